"""The add-on in a fresh Blender starts the backend, has a scene made, and imports it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..tiny_checkpoints import make_checkpoint

ROOT = Path(__file__).resolve().parents[2]
PANORAMA = ROOT / "presets" / "panoramas" / "sunset.exr"
BLENDERS = [".venv-blender", ".venv-blender-4.5"]

SCRIPT = """
import atexit, json, sys
import bpy, cyclorama
from cyclorama.addon import link

cyclorama.register()
atexit.register(cyclorama.unregister)  # Blender 4.5 hangs at its end otherwise
scene = bpy.context.scene
for name, value in json.loads(sys.argv[1]).items():
    setattr(scene.cyclorama, name, value)
bpy.ops.cyclorama.generate()
stages, previews = [], []

def listen(job):
    stages.append(job.stage)
    previews.append(job.preview)

job = link.wait(link.current_job(), 120, listen)
imported = bpy.data.collections[job.imported]
bpy.ops.cyclorama.import_scene(directory=str(job.package), world=False, camera=False)
result = {
    "package": str(job.package),
    "stages": sorted(set(stages) - {""}),
    "previews": [preview[8:12].decode() for preview in sorted(set(previews) - {b""})],
    "kinds": sorted(object.type for object in imported.all_objects),
    "played": [[shown.cyclorama.frame_rate, shown.cyclorama.frame_count]
               for shown in imported.all_objects if shown.cyclorama.package],
    "world": scene.world.name,
}
print("RESULT", json.dumps(result))
"""


def generated(environment, folder, **settings):
    """What comes of it in that Blender, when an artist sets that in the panel; packages go below ``folder``."""
    python = ROOT / environment / "bin" / "python"
    if not python.exists():
        pytest.skip(f"NO {environment}: run tools/environment {environment.removeprefix('.venv-')}")
    settings = {"panorama": str(PANORAMA), "output_folder": str(folder / "scenes")} | settings
    backend = {"CYCLORAMA_BACKEND_PYTHON": sys.executable, "CYCLORAMA_FOLDER": str(folder / "backend")}
    ran = subprocess.run(
        [python, "-c", SCRIPT, json.dumps(settings)],
        env=os.environ | backend | {"OMP_NUM_THREADS": "1"},  # threads that wait for each other are slow on a busy CPU
        capture_output=True,
        text=True,
        timeout=180,
    )
    found = [line for line in ran.stdout.splitlines() if line.startswith("RESULT ")]
    assert found, ran.stdout + ran.stderr
    return json.loads(found[0].removeprefix("RESULT "))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.mark.parametrize("environment", BLENDERS)
def test_from_the_click_to_the_scene_on_the_timeline(environment, tmp_path):
    result = generated(environment, tmp_path, width=128, frames=2, strength=8.0)

    assert Path(result["package"]) == tmp_path / "scenes" / "sunset.cyclorama"
    assert (tmp_path / "scenes" / "sunset.cyclorama" / "scene.json").is_file()
    assert result["stages"]
    assert result["kinds"] == ["CAMERA", "EMPTY", "EMPTY", "MESH", "MESH", "MESH"]
    assert result["world"] == "sunset"


@pytest.mark.parametrize("environment", BLENDERS)
def test_a_video_model_shows_its_work_and_plays_at_its_own_rate(environment, tmp_path, checkpoint):
    settings = {"animator": "panoramic", "model": "tiny", "checkpoint": f"{checkpoint}/", "prompt": "slow clouds"}
    result = generated(environment, tmp_path, width=256, frames=2, steps=2, **settings)

    assert result["previews"]
    assert set(result["previews"]) == {"WEBP"}
    assert [7.0, 2] in result["played"]  # tiny has the rate of Stable Video Diffusion
    assert result["kinds"] == ["CAMERA", "EMPTY", "EMPTY", "MESH", "MESH", "MESH"]
    scene = json.loads((tmp_path / "scenes" / "sunset.cyclorama" / "scene.json").read_text("utf-8"))
    assert [model["licence"] for model in scene["models"]] == ["cc0-1.0"]
    assert (scene["frame_count"], scene["frame_rate"]) == (2, 7.0)
    assert {"animator": "panoramic", "model": "tiny", "prompt": "slow clouds", "steps": 2}.items() <= scene[
        "generator"
    ]["settings"].items()
