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


def test_a_backend_that_was_killed_is_started_again_and_its_job_goes_on(long_job):
    pids = _with_children(link.backend_pid())
    os.kill(pids[0], signal.SIGKILL)
    drain_until(lambda: link.notice())
    assert link.notice().sentence == "The backend ended unexpectedly (signal 9) and is started again."
    assert _gone(pids)
    drain_until(lambda: link.backend_state() == "running")
    assert link.backend_pid() not in pids
    drain_until(lambda: long_job.state == "running" and long_job.listed)
    bpy.ops.cyclorama.cancel()
    drain_until(lambda: long_job.ended)


def test_a_backend_that_dies_again_and_again_is_given_up_and_the_artist_told(scene, monkeypatch):
    monkeypatch.setattr("cyclorama.addon.link.backend._PAUSES", (0.0, 0.1))
    link.start_backend()
    for _ in range(3):
        drain_until(link.backend_pid)
        drain_until(lambda: link.backend_state() == "running")
        os.kill(link.backend_pid(), signal.SIGKILL)
        drain_until(lambda: link.backend_state() != "running")
    drain_until(lambda: link.backend_state() == "off")
    assert "3 times" in link.trouble().sentence
    bpy.ops.cyclorama.generate()  # when the artist asks for it, it is started all the same
    assert link.wait(link.current_job(), timeout=60).imported
    assert link.trouble() is None


def test_the_address_of_a_dead_backend_does_not_block(scene, backend):
    link.start_backend()
    drain_until(link.device)
    address = (backend / "address.json").read_bytes()
    os.kill(link.backend_pid(), signal.SIGKILL)
    cyclorama.unregister()
    (backend / "address.json").write_bytes(address)
    cyclorama.register()
    bpy.ops.cyclorama.generate()
    assert link.wait(link.current_job(), timeout=60).imported


def test_switching_the_addon_off_does_not_stop_a_job(long_job, scene):
    pids = _with_children(link.backend_pid())
    started = time.perf_counter()
    cyclorama.unregister()
    assert time.perf_counter() - started < 5, "it waited for the backend"
    assert all(map(_alive, pids))
    cyclorama.register()
    link.start_backend()
    drain_until(lambda: link.working() and link.jobs()[0].state == "running")
    assert link.backend_pid() is None, "another was started"
    assert link.jobs()[0].name == long_job.name
    bpy.ops.cyclorama.stop_backend()
    drain_until(lambda: link.backend_state() == "off")
    assert _gone(pids)


def test_cancel_ends_the_job_within_a_moment(long_job, tmp_path):
    bpy.ops.cyclorama.cancel()
    drain_until(lambda: long_job.ended, timeout=10)
    assert long_job.state == "cancelled"
    assert list((tmp_path / "scenes").iterdir()) == []


def test_two_jobs_are_made_one_after_the_other(scene):
    jobs = []
    for _ in range(2):
        bpy.ops.cyclorama.generate()
        jobs.append(link.current_job())
    for job in jobs:
        link.wait(job, timeout=60)
    assert len({job.imported for job in jobs}) == 2
    assert [Path(job.output).name for job in jobs] == ["sunset.cyclorama", "sunset 2.cyclorama"]


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
