"""The add-on and a real backend process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import bpy
import pytest

import cyclorama
from cyclorama.addon import link

from .conftest import PANORAMA, drain_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@pytest.fixture
def scene(addon, backend, tmp_path):
    scene = bpy.context.scene
    scene.cyclorama.panorama = str(PANORAMA)
    scene.cyclorama.output_folder = str(tmp_path / "scenes")
    scene.cyclorama.width, scene.cyclorama.frames = 128, 2
    return scene


@pytest.fixture
def long_job(scene):
    """A job that would take minutes, running."""
    scene.cyclorama.width, scene.cyclorama.frames = 2048, 240
    bpy.ops.cyclorama.generate()
    job = link.current_job()
    drain_until(lambda: job.state == "running")
    return job


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _with_children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [pid, *(int(child) for thread in threads for child in (thread / "children").read_text().split())]


def _gone(pids: list[int], timeout: float = 15.0) -> bool:
    deadline = time.monotonic() + timeout
    while any(map(_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(_alive, pids))


def test_a_generated_scene_is_imported_by_itself(scene):
    bpy.ops.cyclorama.generate()
    job = link.wait(link.current_job(), timeout=60)
    assert job.state == "done"
    assert job.imported in scene.collection.children
    assert link.device()
    assert not link.working()


def test_a_scene_whose_file_was_closed_meanwhile_waits_on_disk(scene):
    bpy.ops.cyclorama.generate()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    job = link.wait(link.current_job(), timeout=60)
    link.drain()
    assert job.package.is_dir()
    assert not job.imported
    assert not bpy.data.objects


def test_killing_the_backend_fails_the_job_and_leaves_nothing(long_job, tmp_path):
    pids = _with_children(link.backend_pid())
    os.kill(pids[0], signal.SIGKILL)
    drain_until(lambda: long_job.ended)
    assert long_job.state == "failed"
    assert long_job.error.sentence == "The backend ended unexpectedly (signal 9)."
    assert long_job.error.hint
    assert link.backend_state() == "off"
    assert _gone(pids)
    assert list((tmp_path / "scenes").iterdir()) == []


def test_after_a_crash_generate_starts_the_backend_anew(scene):
    link.start_backend()
    drain_until(link.device)
    os.kill(link.backend_pid(), signal.SIGKILL)
    drain_until(lambda: link.backend_state() == "off")
    assert link.trouble()
    bpy.ops.cyclorama.generate()
    assert link.wait(link.current_job(), timeout=60).imported
    assert link.trouble() is None


def test_cancel_ends_the_job_within_a_moment(long_job, tmp_path):
    bpy.ops.cyclorama.cancel()
    drain_until(lambda: long_job.ended, timeout=10)
    assert long_job.state == "cancelled"
    assert list((tmp_path / "scenes").iterdir()) == []


def test_what_the_backend_refuses_is_the_job_s_error(scene, tmp_path):
    (tmp_path / "no picture.jpg").write_bytes(b"")
    scene.cyclorama.panorama = str(tmp_path / "no picture.jpg")
    bpy.ops.cyclorama.generate()
    drain_until(lambda: link.current_job().ended)
    assert "no picture.jpg" in link.current_job().error.sentence


def test_the_backend_ends_with_the_addon(scene):
    link.start_backend()
    drain_until(link.device)
    pids = _with_children(link.backend_pid())
    cyclorama.unregister()
    assert _gone(pids)
    cyclorama.register()


def test_stop_and_start_again(scene):
    link.start_backend()
    drain_until(link.device)
    first = link.backend_pid()
    bpy.ops.cyclorama.stop_backend()
    bpy.ops.cyclorama.start_backend()
    drain_until(lambda: link.backend_pid() not in (None, first) and link.device())
    assert _gone([first])


def test_a_backend_that_runs_already_is_used_and_left_alone(scene, backend):
    python = Path(os.environ["CYCLORAMA_BACKEND_PYTHON"])
    command = [python, "-m", "cyclorama.backend.cli", "serve", "--folder", backend]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with subprocess.Popen(command, env=environment, cwd=backend.parent, stdout=subprocess.DEVNULL) as other:
        try:
            while not (backend / "address.json").exists():
                time.sleep(0.05)
            bpy.ops.cyclorama.generate()
            assert link.wait(link.current_job(), timeout=60).imported
            assert link.backend_pid() is None
            cyclorama.unregister()
            cyclorama.register()
            assert other.poll() is None
        finally:
            other.terminate()


def test_draining_never_holds_blender_up(scene):
    bpy.ops.cyclorama.generate()
    job = link.current_job()
    longest = 0.0
    while not job.ended:
        started = time.perf_counter()
        link.drain()
        if not job.ended:  # the last one imports
            longest = max(longest, time.perf_counter() - started)
        time.sleep(0.01)
    assert longest < 0.05  # typically 1 ms; shared test machines hiccup
