"""The user interface in a real Blender with a window: every panel is opened and shot, and nothing may fail.

``make window`` runs it; the pictures lie in build/window/.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WINDOW = ROOT / "tools" / "blender_window"
PICTURES = ROOT / "build" / "window"
NOT_HERE = 77
"""Exit status of the tool where no window can be had."""

STATIONS = ("empty_0", "preferences", "generating", "generated_0", "solid_1", "material_3", "regions_0")


@pytest.fixture(scope="module")
def folder():
    ready = subprocess.run([WINDOW, "setup"], capture_output=True, text=True)
    if ready.returncode == NOT_HERE:
        pytest.skip(ready.stderr.strip())
    assert ready.returncode == 0, ready.stdout + ready.stderr
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    return PICTURES


@pytest.fixture(scope="module")
def backend(folder):
    """A backend outside, which Blender finds by its folder."""
    shutil.copy(ROOT / "presets" / "panoramas" / "sunset.exr", folder / "sea.exr")
    command = [sys.executable, "-m", "cyclorama.backend.cli", "serve", "--folder", folder / "backend"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder)
    assert running.stdout and running.stdout.readline().startswith(b"Listening")
    yield folder / "backend"
    running.terminate()
    running.wait(30)


@pytest.fixture(scope="module")
def log(folder, backend):
    """What Blender printed on a tour through the installed extension."""
    packages = list((ROOT / "build").glob("cyclorama-*.zip"))
    assert packages, "run make extension first"
    own = {"BLENDER_USER_RESOURCES": str(folder / "user"), "CYCLORAMA_FOLDER": str(backend)}
    environment = os.environ | own
    (folder / "user").mkdir()
    install = ["--background", "--command", "extension", "install-file", "-r", "user_default", "-e", packages[0]]
    installed = subprocess.run([WINDOW, "run", *install], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    tour = Path(__file__).with_name("tour.py")
    toured = subprocess.run(
        [WINDOW, "run", "--python-exit-code", "1", "-P", tour, "--", folder],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    said = toured.stdout + toured.stderr
    (folder / "blender.log").write_text(said, encoding="utf-8")
    return said


def test_the_tour_ends_where_it_should(log):
    assert "TOUR DONE" in log, log[-3000:]


def test_nothing_fails_on_the_way(log):
    assert "Traceback" not in log, log[-3000:]
    assert "Error:" not in log, log[-3000:]


@pytest.mark.parametrize("name", STATIONS)
def test_every_station_is_shot(log, folder, name):
    assert (folder / f"{name}.png").stat().st_size > 10_000, f"{name} is (nearly) one colour"
