"""Whole runs of the recipe with each kind of video model, and with regions for the flow."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cyclorama.backend.animate import panoramic
from cyclorama.backend.animate.denoisers.wan import Wan
from cyclorama.backend.animate.panoramic import calls_at_once
from cyclorama.backend.models import memory
from cyclorama.backend.recipes import panorama_to_4d as recipe
from cyclorama.backend.recipes.panorama_to_4d import panorama_to_4d, stages
from cyclorama.backend.sphere.equirectangular import latitudes, longitudes
from cyclorama.backend.sphere.skyline import parse
from cyclorama.bridge.errors import Cancelled, CycloramaError
from cyclorama.bridge.scene import Model, Scene
from cyclorama.bridge.settings import Box, PanoramaTo4D, Region, Stroke

from ...tiny_checkpoints import make_checkpoint
from ...tiny_wan import make as make_wan

HEIGHT, WIDTH = 128, 256
CLOUD = Box(40, 25, 50, 30)
QUICK = PanoramaTo4D(
    animator="panoramic",
    model="tiny",
    frames=1,
    steps=2,
    spherical_steps=1,
    regions=(Region(box=CLOUD),),
    lift="direct",
)


@pytest.fixture(autouse=True)
def unfinished(tmp_path, monkeypatch) -> Path:
    """Where what is not finished is kept."""
    monkeypatch.setenv("CYCLORAMA_FOLDER", str(tmp_path / "backend"))
    return tmp_path / "backend" / "unfinished"


@pytest.fixture(scope="session")
def estimates() -> dict:
    return {}


@pytest.fixture(autouse=True)
def quick_memory(monkeypatch, estimates):
    """Networks as tiny as these spend most of their time on memory: it is estimated once, and not given back."""

    def remembered(model, width, making, panorama_width=0):
        told = (model.name, width, making.frames, making.budget.bytes > 10**9)
        if told not in estimates:
            estimates[told] = calls_at_once(model, width, making, panorama_width)
        return estimates[told]

    monkeypatch.setattr(panoramic, "calls_at_once", remembered)
    monkeypatch.setattr(memory, "_give_freed_memory_back", lambda: None)


@pytest.fixture(scope="session")
def layout():
    return parse(meadow())


@pytest.fixture(autouse=True)
def quick_parse(monkeypatch, layout):
    """Looks at the meadow once for all runs."""
    monkeypatch.setattr(recipe, "parse", lambda image: layout)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory) -> dict[str, str]:
    """Folders of one tiny checkpoint of each family; Stable Video Diffusion's makes two frames."""
    folder = tmp_path_factory.mktemp("checkpoints")
    short = make_checkpoint(folder / "svd")
    change_config(short, "unet", num_frames=2)
    return {
        "svd": str(short),
        "animate-anything": str(make_checkpoint(folder / "animate-anything", "animate-anything")),
        "wan": str(make_wan("wan-2.1", folder / "wan")),
    }


def change_config(checkpoint: Path, component: str, **changes) -> None:
    file = checkpoint / component / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def meadow() -> np.ndarray:
    """Clouded sky over a meadow, scene-linear, as half floats have it."""
    image = np.empty((HEIGHT, WIDTH, 3), np.float32)
    image[: HEIGHT // 2], image[HEIGHT // 2 :] = (0.35, 0.5, 0.9), (0.08, 0.12, 0.04)
    grain = np.exp(0.05 * np.random.default_rng(0).standard_normal((HEIGHT, WIDTH, 1)))
    return (image * grain).astype(np.float16).astype(np.float32)


def in_box(box: Box) -> np.ndarray:
    """(height, width) bool; for boxes that cross neither ±180° nor a pole."""
    latitude, longitude = np.degrees(latitudes(HEIGHT))[:, None], np.degrees(longitudes(WIDTH))[None]
    return (np.abs(latitude - box.latitude) <= box.height / 2) & (np.abs(longitude - box.longitude) <= box.width / 2)


@pytest.fixture
def panorama(picture) -> Path:
    return picture("meadow.exr", meadow(), "half")


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "scenes" / "a.cyclorama"


@pytest.fixture
def make(panorama, output, stored):
    """Makes a scene: ``make(settings)`` -> what is said of it, and its video (frame, height, width, 3)."""

    def made(settings: PanoramaTo4D, name: str = "a.cyclorama"):
        info = panorama_to_4d(panorama, output.with_name(name), settings)
        scene = Scene(output.with_name(name))
        scene.validate()
        assert scene.info.files == info.files and scene.info.notes == info.notes
        return info, np.stack([stored(path) for path in scene.video_frames()])

    return made


def checksums(info) -> dict[str, str]:
    return {name: file.sha256 for name, file in info.files.items() if file.arrays}


# What is made


def test_stable_video_diffusion_moves_a_box_and_a_painted_region_and_nothing_else(make, picture, checkpoints):
    painted = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    painted[30:60, 10:50] = 1
    regions = (Region(box=CLOUD), Region(mask=str(picture("mask.png", painted)), prompt="smoke", strength=2))
    settings = dataclasses.replace(
        QUICK, checkpoint=checkpoints["svd"], frames=0, regions=regions, strokes=(Stroke(0, 20, 10, 0, 5),)
    )
    info, video = make(settings)
    assert (info.frame_count, info.frame_rate, info.loops) == (2, 7.0, False)  # as the model was trained
    assert info.models == (Model(id="svd", licence="cc0-1.0"),)
    assert len(info.notes) == 2 and "reads no prompt" in info.notes[0] and "Strokes" in info.notes[1]
    inside = in_box(CLOUD) | (painted[..., 0] > 0)
    for frame in video:
        assert np.array_equal(frame[~inside], meadow()[~inside])
    for part in (in_box(CLOUD), painted[..., 0] > 0):
        assert (video[0] != video[1]).any(axis=-1)[part].mean() > 0.5


def test_animate_anything_reads_the_prompt_of_each_region(make, checkpoints):
    regions = (Region(box=CLOUD), Region(box=Box(-60, 20, 40, 30), prompt="birds", strength=2))
    settings = dataclasses.replace(QUICK, checkpoint=checkpoints["animate-anything"], prompt="wind", regions=regions)
    info, video = make(dataclasses.replace(settings, model="animate-anything"))
    assert (info.frame_count, info.frame_rate, info.loops, info.notes) == (1, 7.0, False, ())
    inside = in_box(CLOUD) | in_box(regions[1].box)
    assert np.array_equal(video[0][~inside], meadow()[~inside])


def test_wan_makes_its_frames_at_its_rate_and_knows_no_strength(make, checkpoints):
    settings = dataclasses.replace(QUICK, checkpoint=checkpoints["wan"], frames=5, prompt="wind", strength=1.5)
    info, video = make(settings)
    assert (info.frame_count, info.frame_rate, info.loops) == (5, 16.0, False)
    assert info.models == (Model(id="wan", licence="cc0-1.0"),)
    assert len(info.notes) == 1 and "knows no motion strength" in info.notes[0]
    outside = ~in_box(CLOUD)
    for frame in video:
        assert np.array_equal(frame[outside], meadow()[outside])
    assert (video[0] != video[4]).any(axis=-1)[in_box(CLOUD)].mean() > 0.5


def test_views_may_agree_in_other_ways_to_compare(make, checkpoints):
    settings = dataclasses.replace(QUICK, checkpoint=checkpoints["wan"])
    videos = [make(dataclasses.replace(settings, agreement=way), way)[1] for way in ("views", "panorama")]
    outside = ~in_box(CLOUD)
    for video in videos:
        assert np.array_equal(video[0][outside], meadow()[outside])
    assert not np.array_equal(*videos)


def test_the_flow_moves_each_region_with_its_own_strength(make):
    still, brisk = Box(-90, 30, 60, 40), Box(90, 30, 60, 40)
    regions = (Region(box=still, strength=0), Region(box=brisk, strength=2))
    info, video = make(PanoramaTo4D(frames=3, fps=1.0, regions=regions))
    changes = (video != video[0]).any(axis=(0, 3))
    assert not changes[~in_box(brisk)].any()
    assert changes[in_box(brisk)].mean() > 0.8
    assert info.loops and info.models == ()


def test_the_seed_chooses_the_video_and_all_stages_are_reported(panorama, output, checkpoints):
    heard = []
    settings = dataclasses.replace(QUICK, checkpoint=checkpoints["wan"])
    one = checksums(panorama_to_4d(panorama, output.with_name("one"), settings))
    same = checksums(panorama_to_4d(panorama, output.with_name("same"), settings, lambda *each: heard.append(each)))
    other = checksums(panorama_to_4d(panorama, output.with_name("other"), dataclasses.replace(settings, seed=1)))
    assert one == same
    assert {name for name in one if one[name] != other[name]} == {"frames/000000.safetensors"}
    order = list(dict.fromkeys(stage for stage, _, _ in heard))
    assert order == list(stages(settings))
    assert [stage for stage, step, total in heard if step == total] == order
    assert sum(stages(settings).values()) == pytest.approx(1)


# Stopping


def test_what_was_killed_in_the_middle_goes_on_from_there(panorama, output, checkpoints, unfinished, monkeypatch):
    settings = dataclasses.replace(QUICK, checkpoint=checkpoints["wan"], steps=6)
    predict, steps = Wan.predict, []
    counted = lambda self, noisy, step, *more: steps.append(step) or predict(self, noisy, step, *more)  # noqa: E731
    monkeypatch.setattr(Wan, "predict", counted)
    whole = panorama_to_4d(panorama, output.with_name("whole"), settings)
    assert min(steps) == 0 and not list(unfinished.iterdir())
    steps.clear()
    box = ",".join(f"{number:g}" for number in dataclasses.astuple(CLOUD))
    words = f"{panorama} -o {output} --animator panoramic --model tiny --checkpoint {checkpoints['wan']}".split()
    words += f"--frames 1 --steps 6 --spherical-steps 1 --region box={box}".split()
    with subprocess.Popen(
        [sys.executable, "-m", "cyclorama.backend.cli", "make", *words], env=os.environ | {"OMP_NUM_THREADS": "1"}
    ) as process:
        deadline = time.monotonic() + 180
        while not list(unfinished.glob("*.safetensors")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
    assert not output.exists()
    again = panorama_to_4d(panorama, output, settings)
    assert min(steps) > 0
    assert checksums(again) == checksums(whole)
    assert {path.name for path in output.parent.iterdir()} == {"whole", output.name}
    assert not list(unfinished.iterdir())


def test_what_was_stopped_while_it_was_written_is_not_denoised_again(panorama, output, checkpoints, monkeypatch):
    settings = dataclasses.replace(QUICK, checkpoint=checkpoints["wan"])

    def stop_at_the_end(stage, step, total):
        if stage == "write":
            raise Cancelled

    with pytest.raises(Cancelled):
        panorama_to_4d(panorama, output, settings, stop_at_the_end)
    assert not output.parent.exists()
    monkeypatch.delattr(Wan, "predict")
    panorama_to_4d(panorama, output, settings)
    Scene(output).validate()


# What cannot be made


def spoiled(checkpoint: str, folder: Path, component: str, weight: str, value: float) -> str:
    """A copy of a checkpoint, one of whose weights is ``value`` throughout."""
    shutil.copytree(checkpoint, folder)
    (file,) = (folder / component).glob("*.safetensors")
    weights = load_file(file)
    weights[weight].fill_(value)
    save_file(weights, file, {"format": "pt"})
    return str(folder)


@pytest.mark.parametrize(
    ("component", "weight", "says"),
    [("transformer", "proj_out.weight", "At step 1 of 2 the model"), ("vae", "decoder.conv_out.weight", "decoding")],
)
def test_a_model_that_makes_no_numbers_is_stopped(
    component, weight, says, panorama, output, tmp_path, checkpoints, unfinished
):
    harmed = spoiled(checkpoints["wan"], tmp_path / "harmed", component, weight, torch.nan)
    with pytest.raises(CycloramaError, match=says) as raised:
        panorama_to_4d(panorama, output, dataclasses.replace(QUICK, checkpoint=harmed))
    assert raised.value.code == "latents-not-finite" and "harmed" in raised.value.sentence
    assert not output.parent.exists()
    assert not list(unfinished.glob("*"))


def lacking(component: str):
    def harm(checkpoint: Path) -> None:
        shutil.rmtree(checkpoint / component)

    return harm


def of_another_class(checkpoint: Path) -> None:
    index = checkpoint / "model_index.json"
    index.write_text(index.read_text().replace("AutoencoderKLTemporalDecoder", "AutoencoderKL"))
    change_config(checkpoint, "vae", _class_name="AutoencoderKL")


def cut_short(checkpoint: Path) -> None:
    (file,) = (checkpoint / "unet").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("harm", "model", "code"),
    [
        (lacking("vae"), "tiny", "checkpoint-lacks-component"),
        (lacking("image_encoder"), "svd", "checkpoint-lacks-component"),
        (of_another_class, "tiny", "checkpoint-wrong-class"),
        (cut_short, "tiny", "checkpoint-damaged"),
        (lambda checkpoint: None, "animate-anything", "checkpoint-wrong-channels"),
        (lambda checkpoint: None, "wan", "checkpoint-wrong-class"),
    ],
    ids=("no vae", "no image encoder", "wrong class", "cut short", "of svd", "no wan"),
)
def test_a_checkpoint_that_does_not_fit_is_refused(harm, model, code, panorama, output, tmp_path, checkpoints):
    folder = Path(shutil.copytree(checkpoints["svd"], tmp_path / "harmed"))
    harm(folder)
    settings = dataclasses.replace(QUICK, model=model, checkpoint=str(folder))
    with pytest.raises(CycloramaError) as raised:
        panorama_to_4d(panorama, output, settings)
    assert raised.value.code == code and "harmed" in raised.value.sentence
    assert not output.parent.exists()


@pytest.mark.parametrize(
    ("model", "changed", "code", "says"),
    [
        ("svd", {"frames": 3}, "too-many-frames", "at most 2 frames; 3"),
        ("wan", {"frames": 4}, "frames-not-possible", "1 or 5 frames"),
        ("wan", {"frames": 1000}, "too-many-frames", "at most 81 frames"),
        ("wan", {"memory": 0.01}, "memory-too-small", r"at least \d\.\d+ GB"),
        ("wan", {"width": 128}, "panorama-too-small", "at least 256"),
        ("wan", {"regions": (Region(box=Box(0, 0, 0, 0)),)}, "region-empty", "Region 1"),
    ],
    ids=("many", "between", "far too many", "no memory", "narrow", "empty region"),
)
def test_what_the_model_cannot_do_is_said_before_it_computes(
    model, changed, code, says, panorama, output, checkpoints, unfinished
):
    settings = dataclasses.replace(QUICK, checkpoint=checkpoints[model], **changed)
    with pytest.raises(CycloramaError, match=says) as raised:
        panorama_to_4d(panorama, output, settings)
    assert raised.value.code == code
    assert not output.parent.exists() and not unfinished.exists()


def test_a_licence_that_is_not_free_for_all_work_is_named(make, checkpoints, tmp_path):
    folder = Path(shutil.copytree(checkpoints["svd"], tmp_path / "svd-copy"))
    (folder / "README.md").write_text("---\nlicense: other\nlicense_name: some-community\n---\n", "utf-8")
    info, _ = make(dataclasses.replace(QUICK, checkpoint=str(folder), frames=1, steps=1))
    assert any("read it before you use this scene in commercial work" in note for note in info.notes)
    assert info.models[0].licence not in ("", "cc0-1.0")
