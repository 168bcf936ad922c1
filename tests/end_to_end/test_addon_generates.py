"""The add-on in a fresh Blender starts the backend, has a scene made, and imports it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PANORAMA = ROOT / "presets" / "panoramas" / "sunset.exr"

SCRIPT = """
import atexit, json, sys
import bpy, cyclorama
from cyclorama.addon import link

cyclorama.register()
atexit.register(cyclorama.unregister)  # Blender 4.5 hangs at its end otherwise
scene = bpy.context.scene
settings = scene.cyclorama
settings.panorama, settings.output_folder, settings.width, settings.frames = sys.argv[1], sys.argv[2], 128, 2
bpy.ops.cyclorama.generate()
stages = []
job = link.wait(link.current_job(), 120, lambda job: stages.append(job.stage))
imported = bpy.data.collections[job.imported]
bpy.ops.cyclorama.import_scene(directory=str(job.package), world=False, camera=False)
result = {
    "package": str(job.package),
    "stages": sorted(set(stages) - {""}),
    "kinds": sorted(object.type for object in imported.all_objects),
    "world": scene.world.name,
}
print("RESULT", json.dumps(result))
"""


@pytest.mark.parametrize("environment", [".venv-blender", ".venv-blender-4.5"])
def test_from_the_click_to_the_scene_on_the_timeline(environment, tmp_path):
    python = ROOT / environment / "bin" / "python"
    if not python.exists():
        pytest.skip(f"NO {environment}: run tools/environment {environment.removeprefix('.venv-')}")
    ran = subprocess.run(
        [python, "-c", SCRIPT, PANORAMA, tmp_path / "scenes"],
        env=os.environ | {"CYCLORAMA_BACKEND_PYTHON": sys.executable, "CYCLORAMA_FOLDER": str(tmp_path / "backend")},
        capture_output=True,
        text=True,
        timeout=180,
    )
    found = [line for line in ran.stdout.splitlines() if line.startswith("RESULT ")]
    assert found, ran.stdout + ran.stderr
    result = json.loads(found[0].removeprefix("RESULT "))
    assert Path(result["package"]) == tmp_path / "scenes" / "sunset.cyclorama"
    assert (tmp_path / "scenes" / "sunset.cyclorama" / "scene.json").is_file()
    assert result["stages"]
    assert result["kinds"] == ["CAMERA", "EMPTY", "MESH", "MESH"]
    assert result["world"] == "sunset"
