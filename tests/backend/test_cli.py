"""The command line makes and inspects scenes; what it cannot do it says in one line, and leaves nothing behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cyclorama.bridge.scene import Scene
from cyclorama.bridge.whole_folder import partial_path

HEIGHT, WIDTH = 64, 128
QUICKLY = ("--lift", "direct")
"""What is not about lifting is lifted in the fastest way."""

COMMAND = (sys.executable, "-m", "cyclorama.backend.cli")
NOT_SAID_BY_US = re.compile(r"(read|layout|depth|animate|lift|look around|write): [\d.]+ s|libpng error: .*")


def start(*arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that strays can be counted
        env=os.environ | {"COLUMNS": "200"},
        # A shell's job in the background, as these tests may be, and what it starts are deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """One command, to its end; no process of it is left."""
    with start(*arguments) as process:
        output, errors = process.communicate(timeout=60)
    assert_gone(process.pid)
    assert "Traceback" not in errors + output
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def assert_gone(group: int) -> None:
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)


def complaint(errors: str) -> str:
    """The one line in which the program says what is wrong."""
    lines = [line for line in errors.splitlines() if not NOT_SAID_BY_US.fullmatch(line)]
    assert len(lines) == 1 and lines[0].startswith("cyclorama: "), errors
    return lines[0]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def meadow() -> np.ndarray:
    image = np.empty((HEIGHT, WIDTH, 3), np.float32)
    image[: HEIGHT // 2], image[HEIGHT // 2 :] = (0.35, 0.5, 0.9), (0.08, 0.12, 0.04)
    return image * np.random.default_rng(0).uniform(0.95, 1.05, (HEIGHT, WIDTH, 1)).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def unfinished(tmp_path_factory) -> Iterator[Path]:
    """Where commands keep work that is not finished."""
    folder = tmp_path_factory.mktemp("backend")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CYCLORAMA_FOLDER", str(folder))
        yield folder / "unfinished"


@pytest.fixture(scope="module")
def made(tmp_path_factory, picture_at) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A scene with a stroke inside a mask, and what making it said."""
    folder = tmp_path_factory.mktemp("made")
    panorama = picture_at(folder / "meadow.exr", meadow(), "float")
    mask = picture_at(folder / "mask.png", np.ones((HEIGHT, WIDTH, 1), np.float32))
    said = run(
        *("make", panorama, "-o", folder / "a.cyclorama", "--frames", 3, "--fps", 12, "--seed", 7),
        *("--mask", mask, "--stroke", "-120,45,-20.5,0,3", "--stroke", "30,40,20,0,2", "--eye-height", 1.7),
    )
    return folder / "a.cyclorama", said


@pytest.fixture
def panorama(picture) -> Path:
    return picture("meadow.exr", meadow(), "float")


@pytest.fixture
def output(tmp_path) -> Path:
    (tmp_path / "scenes").mkdir()
    return tmp_path / "scenes" / "a.cyclorama"


# make


def test_make_makes_a_scene_and_says_so_in_a_line(made):
    folder, said = made
    assert said.returncode == 0, said.stderr
    scene = Scene(folder)
    scene.validate()
    (line,) = said.stdout.splitlines()
    assert str(folder) in line and "3 frames" in line and f"{scene.info.moving_count:,}" in line


def test_make_tells_each_finished_stage_in_a_clean_line(made):
    stages = [line.partition(":")[0] for line in made[1].stderr.splitlines()]
    assert stages == ["read", "layout", "depth", "animate", "lift", "look around", "write"]
    assert "\x1b" not in made[1].stderr + made[1].stdout


def test_a_scene_takes_an_own_depth_image(picture, panorama, output, stored):
    own = np.random.default_rng(0).uniform(2, 90, (HEIGHT, WIDTH, 1)).astype(np.float32)
    words = ("--estimator", "file", "--depth-file", picture("depth.exr", own, "float"))
    assert run("make", panorama, "-o", output, "--frames", 2, *words, *QUICKLY).returncode == 0
    Scene(output).validate()
    np.testing.assert_array_equal(stored(output / "depth" / "000000.exr"), own)


def test_unless_said_otherwise_it_is_fitted_and_nothing_unfinished_is_left(made, unfinished):
    info = Scene(made[0]).info
    assert info.generator.settings["lift"] == "fast"
    assert info.safe_radius is not None and len(info.safe_radii) == 10
    assert list(unfinished.iterdir()) == []


def test_what_is_chosen_on_the_command_line_reaches_the_scene(made):
    info = Scene(made[0]).info
    assert (info.frame_count, info.frame_rate, info.seed) == (3, 12.0, 7)
    strokes = info.generator.settings["strokes"]
    names = ("longitude", "latitude", "d_longitude", "d_latitude", "speed")
    assert [[stroke[name] for name in names] for stroke in strokes] == [[-120, 45, -20.5, 0, 3], [30, 40, 20, 0, 2]]
    assert info.generator.settings["eye_height"] == 1.7


def test_a_relative_output_is_made_where_the_user_is(panorama, monkeypatch):
    monkeypatch.chdir(panorama.parent)
    assert run("make", panorama.name, "-o", "a.cyclorama", "--frames", 1, *QUICKLY).returncode == 0
    Scene(panorama.parent / "a.cyclorama").validate()


def test_a_reduced_panorama_is_noted(picture, output):
    large = np.repeat(np.repeat(meadow(), 2, axis=0), 2, axis=1)
    said = run("make", picture("large.exr", large, "float"), "-o", output, "--frames", 1, "--width", 128, *QUICKLY)
    assert said.returncode == 0
    assert said.stdout.startswith("note: ") and "256 x 128" in said.stdout


# Bad input


def spoiled(name: str, panorama: Path, picture) -> tuple[list[object], str]:
    """Arguments of ``make`` with one thing wrong, and what the complaint must name."""
    folder = panorama.parent
    flat = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    if name == "not 2:1":
        return [picture("square.png", flat[:, :HEIGHT])], "square.png has 64 x 64 pixels"
    if name == "no image":
        (folder / "diary.jpg").write_text("Dear diary")
        return [folder / "diary.jpg"], "diary.jpg"
    if name in ("truncated EXR", "truncated PNG"):
        path = picture("cut.exr", meadow(), "half") if name.endswith("EXR") else picture("cut.png", meadow())
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return [path], path.name
    if name == "0 bytes":
        (folder / "empty.exr").touch()
        return [folder / "empty.exr"], "empty.exr"
    if name == "missing":
        return [folder / "none.exr"], "none.exr"
    if name in ("NaN", "infinite"):
        flat[12, 34] = float(name) if name == "NaN" else np.inf
        return [picture("bad.exr", flat, "float")], "bad.exr has a pixel that is NaN or infinite, at column 34, row 12"
    if name == "mask of another shape":
        return [panorama, "--mask", picture("mask.png", flat[:32, :32] + 1)], "mask.png has 32 x 32"
    if name == "black mask":
        return [panorama, "--mask", picture("mask.png", flat)], "mask.png is black"
    if name == "stroke outside the mask":
        flat[:10] = 1
        mask = picture("mask.png", flat)
        return [panorama, "--mask", mask, "--stroke", "50,-30,10,0,2"], "Stroke 1 starts at longitude 50°, latitude -30"
    if name == "stroke without length":
        return [panorama, "--stroke", "50,30,0,0,2"], "Stroke 1 at longitude 50°, latitude 30° has no length"
    if name == "stroke beyond the sphere":
        return [panorama, "--stroke", "190,30,10,0,2"], "'strokes"
    return {
        "less than no frames": ([panorama, "--frames", -1], "'frames'"),
        "box too wide": ([panorama, "--region", "box=0,0,400,10"], "'regions[0].box.width'"),
        "preview of no format": ([panorama, "--preview", folder / "a.gif"], "a.gif"),
        "preview nowhere": ([panorama, "--preview", folder / "none" / "a.png"], "none"),
        "NaN fps": ([panorama, "--fps", "nan"], "'fps'"),
        "depth file nobody reads": ([panorama, "--depth-file", "d.exr"], "the estimator is 'skyline'"),
        "iterations nobody reads": ([panorama, "--iterations", 5], "the lift 'fast' does not read it"),
        "too few Gaussians": ([panorama, "--frames", 1, "--gaussians", 500], "500 Gaussians cannot close a panorama"),
        "depth file missing": (
            [panorama, "--estimator", "file", "--depth-file", folder / "no.exr"],
            "no.exr",
        ),
    }[name]


BAD = [
    *("not 2:1", "no image", "truncated EXR", "truncated PNG", "0 bytes", "missing", "NaN", "infinite"),
    *("mask of another shape", "black mask", "stroke outside the mask", "stroke without length"),
    *("stroke beyond the sphere", "less than no frames", "NaN fps"),
    *("box too wide", "preview of no format", "preview nowhere"),
    *("depth file nobody reads", "depth file missing", "iterations nobody reads", "too few Gaussians"),
]


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_line_that_names_it_and_leaves_nothing(name, panorama, picture, output):
    arguments, named = spoiled(name, panorama, picture)
    said = run("make", *arguments, "-o", output)
    assert said.returncode == 1
    assert named in complaint(said.stderr)
    assert said.stdout == ""
    assert names_in(output.parent) == set()


def test_an_output_that_exists_is_named_and_kept(made, panorama, tmp_path):
    output = shutil.copytree(made[0], tmp_path / "scenes" / "a.cyclorama")
    said = run("make", panorama, "-o", output)
    assert said.returncode == 1
    assert f"{output} exists already" in complaint(said.stderr)
    Scene(output).validate()
    assert run("make", panorama, "-o", output, "--frames", 1, "--overwrite", *QUICKLY).returncode == 0
    assert Scene(output).info.frame_count == 1
    assert names_in(output.parent) == {output.name}


def test_a_folder_that_is_no_scene_is_not_overwritten(panorama, output):
    output.mkdir()
    (output / "holiday.jpg").write_bytes(b"picture")
    said = run("make", panorama, "-o", output, "--overwrite")
    assert said.returncode == 1
    assert f"{output} exists and is no Cyclorama scene" in complaint(said.stderr)
    assert names_in(output) == {"holiday.jpg"}


def test_an_output_that_cannot_be_written_is_named(panorama):
    said = run("make", panorama, "-o", panorama / "a.cyclorama")
    assert said.returncode == 1
    assert f"{panorama / 'a.cyclorama'} cannot be written" in complaint(said.stderr)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["dance"], "dance"),
        (["make", "a.exr"], "output"),
        (["make", "a.exr", "-o", "b", "--frames", "many"], "frames"),
        (["make", "a.exr", "-o", "b", "--stroke", "1,2,3,4"], "stroke"),
        (["make", "a.exr", "-o", "b", "--stroke", "1,2,3,4,fast"], "stroke"),
        (["make", "a.exr", "-o", "b", "--model", "gpt"], "animate-anything"),
        (["make", "a.exr", "-o", "b", "--region", "box=1,2,3"], "four numbers, 3 given"),
        (["make", "a.exr", "-o", "b", "--colour", "green"], "colour"),
        (["inspect"], "required"),
        (["make", "a.exr", "-o", "b", "--estimator", "midas"], "depth-anything-metric"),
        (["make", "a.exr", "-o", "b", "--lift", "slowly"], "4k4dgen"),
        (["depth", "a.exr"], "output"),
        (["depth", "a.exr", "-o", "b", "--frames", "3"], "frames"),
        (["depth", "a.exr", "-o", "b", "--rig", "car"], "auto"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_ends_with_2_and_names_what_is_wrong(arguments, named, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    said = run(*arguments)
    assert said.returncode == 2
    assert named in (said.stderr + said.stdout).lower()
    assert names_in(tmp_path) == set()


def test_the_version_is_told():
    import cyclorama

    assert run("--version").stdout == f"cyclorama {cyclorama.__version__}\n"


def test_help_names_every_command_and_setting():
    assert all(command in run("--help").stdout for command in ("make", "depth", "inspect", "serve", "demo"))
    helped = run("make", "--help").stdout
    for option in ("--frames", "--fps", "--mask", "--stroke", "--seed", "--width", "--overwrite", "LON,LAT,DLON,DLAT"):
        assert option in helped, option
    for option in ("--animator", "--model", "--checkpoint", "--agreement", "--prompt", "--memory", "--preview"):
        assert option in helped, option
    for option in ("--estimator", "--estimator-checkpoint", "--depth-file", "--align", "--metric-reference"):
        assert option in helped and option in run("depth", "--help").stdout, option
    for option in ("--lift", "--gaussians", "--inpainter", "--iterations", "--densify", "--compression"):
        assert option in helped, option
    for said in ("{flow,panoramic}", "svd: Moves by itself", "--steps", "--spherical-steps", "--region", "mask=FILE"):
        assert said in helped, said


# Stopping


def wait_until_it_writes(process: subprocess.Popen, output: Path) -> None:
    deadline = time.monotonic() + 30
    while not partial_path(output).exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
def test_stopping_it_leaves_nothing(panorama, output, how):
    with start("make", panorama, "-o", output, "--frames", 1000, *QUICKLY) as process:
        wait_until_it_writes(process, output)
        process.send_signal(how)
        said, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors and said == ""
    if how == signal.SIGINT:
        assert complaint(errors) == "cyclorama: stopped."
    assert names_in(output.parent) == set()
    assert_gone(process.pid)


@pytest.fixture
def film(tmp_path) -> Path:
    """A video of so many frames that telling their depth takes a while."""
    import cv2  # only here: the other tests go without

    path = tmp_path / "film.avi"
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 24.0, (WIDTH, HEIGHT))
    image = (meadow()[..., ::-1] * 200).astype(np.uint8)
    for _ in range(500):
        film.write(image)
    film.release()
    return path


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
def test_stopping_depth_leaves_nothing(film, output, how):
    with start("depth", film, "-o", output) as process:
        wait_until_it_writes(process, output)
        process.send_signal(how)
        said, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors and said == ""
    if how == signal.SIGINT:
        assert complaint(errors) == "cyclorama: stopped."
    assert names_in(output.parent) == set()
    assert_gone(process.pid)


def test_after_it_was_killed_the_next_one_clears_up(panorama, output):
    with start("make", panorama, "-o", output, "--frames", 1000, *QUICKLY) as process:
        wait_until_it_writes(process, output)
        process.kill()
    assert not output.exists()
    assert run("make", panorama, "-o", output, "--frames", 1, *QUICKLY).returncode == 0
    Scene(output).validate()
    assert names_in(output.parent) == {output.name}


def test_two_at_once_do_not_write_over_each_other(panorama, output):
    with start("make", panorama, "-o", output, "--frames", 1000, *QUICKLY) as first:
        wait_until_it_writes(first, output)
        second = run("make", panorama, "-o", output)
        assert partial_path(output).exists()
        first.terminate()
    assert second.returncode == 1
    assert f"being written by process {first.pid}" in complaint(second.stderr)


# inspect


def test_inspect_says_in_words_what_is_in_a_scene(made):
    said = run("inspect", made[0])
    assert said.returncode == 0 and said.stderr == ""
    info = Scene(made[0]).info
    for fact in (str(made[0]), f"{info.static_count:,} static", f"{info.moving_count:,} moving", "seed 7", "loops"):
        assert fact in said.stdout, fact
    assert "3 frames at 12 a second = 0.25 s" in said.stdout
    assert f"safe radius: {info.safe_radius:.2f} m" in said.stdout


def test_inspect_says_it_in_json_for_programs(made):
    said = run("inspect", made[0], "--json")
    assert said.returncode == 0 and said.stderr == ""
    found = json.loads(said.stdout)
    info = Scene(made[0]).info
    assert found["moving_count"] == info.moving_count and found["seed"] == 7
    assert found["bounds"] == [list(corner) for corner in info.bounds]
    assert sum(found["bytes"].values()) == sum(file.bytes for file in info.files.values())
    on_disk = sum(path.stat().st_size for path in made[0].rglob("*") if path.is_file())
    assert sum(found["bytes"].values()) == on_disk - (made[0] / "scene.json").stat().st_size


@pytest.mark.parametrize("harm", ["cut short", "flipped byte", "unknown file", "newer", "no scene", "missing"])
def test_inspect_names_what_is_wrong_with_a_scene(made, tmp_path, harm):
    scene = shutil.copytree(made[0], tmp_path / "a.cyclorama")
    frame = scene / "frames" / "000001.safetensors"
    about = frame
    if harm == "cut short":
        frame.write_bytes(frame.read_bytes()[:-5])
    elif harm == "flipped byte":
        frame.write_bytes(frame.read_bytes()[:-1] + b"\xff")
    elif harm == "unknown file":
        about = scene / "notes.txt"
        about.touch()
    elif harm == "newer":
        about = scene / "scene.json"
        about.write_text(about.read_text().replace('"version": 1', '"version": 99'))
    elif harm == "no scene":
        about = tmp_path
    else:
        about = tmp_path / "none.cyclorama"
    said = run(
        "inspect", about if harm in ("no scene", "missing") else scene, *(["--json"] if harm == "flipped byte" else [])
    )
    assert said.returncode == 1 and said.stdout == ""
    assert str(about) in complaint(said.stderr)
