"""No job is lost when the server ends, however it does, and it ends when nobody needs it."""

import os
import signal
import subprocess
import sys

import msgspec
import pytest

from cyclorama.bridge import messages
from cyclorama.bridge.scene import Scene

from .conftest import Asker, alive, until
from .small_scene import write_scene


@pytest.mark.parametrize("toy", ["endless", "deaf"])
def test_when_the_server_is_killed_its_worker_ends_and_leaves_nothing(backend, asker, toy):
    asker.generate(toy)
    asker.wait_until_it_runs()
    backend.end(signal.SIGKILL)
    backend.wait_for_workers()
    assert not asker.partial("job").exists()
    until(lambda: asker.client.state == "lost")


def test_a_server_started_after_a_killed_one_does_its_jobs(start, asker):
    killed = start()
    asker.generate("deaf")  # still running when the next server starts
    asker.generate("quick", "waiting")
    asker.wait_until_it_runs()
    killed.process.kill()
    start()
    until(lambda: asker.client.state == "lost")
    until(lambda: asker.client.state == "connected")
    until(lambda: asker.states() == {"job": "running", "waiting": "waiting"})
    until(lambda: killed.runs() == ["deaf", "deaf"])
    asker.cancel()
    assert isinstance(asker.ending("waiting"), messages.Done)
    assert not asker.partial("job").exists()


def test_a_job_that_takes_the_server_down_is_not_started_for_ever(start, asker):
    backend = start()
    asker.client.send(asker.task("lethal", "lethal"))  # nobody may be left to answer
    backend.process.wait(30)
    for _ in range(2):
        start().process.wait(30)
    assert backend.runs() == ["lethal"] * 3
    start()
    line = asker.lines()["lethal"]
    assert (line.state, line.code) == ("failed", "backend-ended-repeatedly")
    assert "3 times" in line.sentence
    asker.generate("quick", "next")
    assert isinstance(asker.ending("next"), messages.Done)


def test_a_scene_that_was_made_when_the_server_was_killed_counts_as_made(start, asker, folder, tmp_path):
    killed = start()
    asker.generate("endless")
    asker.wait_until_it_runs()
    killed.end(signal.SIGKILL)
    killed.wait_for_workers()
    write_scene(asker.output("job"))
    start()
    assert isinstance(asker.generate("endless"), messages.Accepted)
    assert isinstance(asker.ending(), messages.Done)
    assert killed.runs() == ["endless"]


def test_a_scene_that_was_made_before_its_job_started_does_not_count(start, asker, folder):
    write_scene(asker.output("job"), 50)
    killed = start()
    asker.request(msgspec.structs.replace(asker.task("endless", "job"), overwrite=True))
    asker.wait_until_it_runs()
    os.utime(asker.output("job") / "scene.json", (2e9, 2e9))  # as by a clock that jumped
    killed.end(signal.SIGKILL)
    killed.wait_for_workers()
    start()
    until(lambda: killed.runs() == ["endless", "endless"])
    assert asker.lines()["job"].remark == "The backend was ended while it ran; it goes on from where it was."
    asker.cancel()


def test_a_scene_that_an_orphaned_worker_finishes_counts_as_made(start, asker, folder, tmp_path):
    killed = start()
    asker.generate("finishes-alone")
    asker.wait_until_it_runs()
    killed.process.kill()
    start()
    assert isinstance(asker.generate("finishes-alone"), messages.Accepted)
    assert isinstance(asker.ending(), messages.Done)
    assert killed.runs() == ["finishes-alone"]
    Scene(asker.output("job")).validate()


def test_ended_jobs_are_known_after_a_restart(start, asker):
    first = start()
    asker.generate("quick", "made")
    made = asker.ending("made")
    asker.generate("refuses", "failed")
    asker.ending("failed")
    before = asker.lines()
    first.end()
    start()
    until(lambda: asker.client.state == "lost")
    assert asker.lines() == before
    assert (before["made"].seconds, before["made"].peak_bytes) == (made.seconds, made.peak_bytes)
    assert before["failed"].sentence == "wide.exr is not twice as wide as high."


def test_a_job_outlives_its_client(backend, asker, folder, tmp_path):
    gone = Asker(folder, tmp_path)
    gone.generate("quick")
    gone.client.close()
    until(lambda: asker.states() == {"job": "done"})
    asker.generate("quick")  # asked for again, its end is told to who asks
    assert isinstance(asker.ending(), messages.Done)


def assert_it_ended_well(backend, asker):
    assert backend.process.wait(30) == 0
    assert not any(alive(worker) for worker in backend.workers())
    assert not asker.partial("job").exists()
    assert not (backend.folder / "address.json").exists()
    assert backend.process.stderr.read() == ""


def test_shutdown_cancels_all_jobs_and_nothing_is_left(backend, asker):
    asker.generate("endless")
    asker.generate("quick", "waiting")
    asker.wait_until_it_runs()
    asker.request(messages.Shutdown())
    assert isinstance(asker.ending(), messages.Cancelled)
    assert isinstance(asker.ending("waiting"), messages.Cancelled)
    assert_it_ended_well(backend, asker)


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "SIGHUP"])
@pytest.mark.parametrize("toy", ["patient", "deaf"])
def test_jobs_that_a_signal_stops_go_on_at_the_next_start(start, asker, tmp_path, how, toy):
    backend = start()
    asker.generate(toy)
    asker.generate("quick", "waiting")
    asker.wait_until_it_runs()
    backend.process.send_signal(getattr(signal, how))
    until(lambda: asker.told_states()[-1:] == ["waiting"])
    assert_it_ended_well(backend, asker)
    start()
    asker.states()  # it is found
    until(lambda: backend.runs() == [toy, toy])
    if toy == "patient":
        (tmp_path / "go on").touch()
        assert isinstance(asker.ending(), messages.Done)
        assert isinstance(asker.ending("waiting"), messages.Done)
    assert not asker.events(messages.Cancelled)


def test_a_signal_does_not_bring_a_cancelled_job_back(backend, start, asker):
    asker.generate("deaf")
    asker.wait_until_it_runs()
    asker.cancel()
    backend.end()
    start()
    assert asker.states() == {"job": "cancelled"}


def test_shutdown_when_idle_waits_for_all_jobs(backend, asker, tmp_path):
    asker.generate("patient")
    asker.generate("quick", "waiting")
    asker.wait_until_it_runs()
    asker.request(messages.Shutdown(when_idle=True))
    assert asker.states() == {"job": "running", "waiting": "waiting"}
    (tmp_path / "go on").touch()
    assert isinstance(asker.ending("waiting"), messages.Done)
    assert_it_ended_well(backend, asker)


def test_somebody_new_keeps_a_backend_that_was_to_end(backend, asker, folder, tmp_path):
    asker.generate("patient")
    asker.wait_until_it_runs()
    asker.request(messages.Shutdown(when_idle=True))
    newcomer = Asker(folder, tmp_path)
    newcomer.states()
    (tmp_path / "go on").touch()
    assert isinstance(newcomer.ending(), messages.Done)
    assert isinstance(newcomer.generate("quick", "next"), messages.Accepted)
    assert isinstance(newcomer.ending("next"), messages.Done)
    newcomer.client.close()


def test_when_blender_ends_an_idle_backend_ends_at_once(backend, asker):
    asker.states()
    asker.client.close()  # says goodbye
    backend.process.stdin.close()
    assert_it_ended_well(backend, asker)


def test_when_blender_is_killed_its_job_is_finished_before_the_backend_ends(backend, asker, folder, tmp_path):
    program = (
        "import os, sys; from pathlib import Path; from cyclorama.bridge import client, messages\n"
        "from cyclorama.bridge.settings import PanoramaTo4D\n"
        "asked = messages.Generate(job='job', panorama='/toys/patient', output=sys.argv[2], settings=PanoramaTo4D())\n"
        "client.Client(Path(sys.argv[1])).request(asked); os.kill(os.getpid(), 9)"
    )
    ran = subprocess.run([sys.executable, "-c", program, folder, asker.output("job")], timeout=60)
    assert ran.returncode == -9
    backend.process.stdin.close()
    backend.process.stdout.close()  # nobody reads what it prints
    until(lambda: backend.runs() == ["patient"])
    asker.wait_until_it_runs()  # a Blender that is opened again finds it
    (tmp_path / "go on").touch()
    assert isinstance(asker.ending(), messages.Done)
    assert asker.states() == {"job": "done"}  # and keeps it
    asker.client.close()
    assert_it_ended_well(backend, asker)


def test_a_blender_that_was_killed_is_not_waited_for_long(backend, folder):
    program = (
        "import os, sys; from pathlib import Path; from cyclorama.bridge import client, messages\n"
        "client.Client(Path(sys.argv[1])).request(messages.Status()); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, folder], timeout=60)
    backend.process.stdin.close()
    assert backend.process.wait(30) == 0
    assert not (folder / "address.json").exists()


def test_what_was_asked_for_is_recalled_after_a_restart(start, asker):
    first = start()
    task = asker.task("quick", "job")
    asker.request(task)
    asker.ending()
    first.end()
    start()
    assert asker.request(messages.Recall(job="job"), 30).asked.settings == task.settings


def test_a_damaged_journal_is_told_and_new_jobs_run(start, asker, folder):
    first = start()
    asker.generate("quick", "old")
    asker.ending("old")
    first.end()
    (folder / "journal.sqlite").write_bytes(b"noise" * 5000)
    start()
    until(lambda: asker.client.welcome and asker.client.welcome.notes)
    assert "could not be read" in asker.client.welcome.notes[0]
    asker.generate("quick")
    assert isinstance(asker.ending(), messages.Done)
    assert asker.states() == {"job": "done"}


def test_a_second_server_in_the_folder_says_so(backend, start, asker):
    second = start()
    assert second.process.wait(30) != 0
    assert f"Another backend is using the folder {backend.folder}" in second.process.stderr.read()
    assert asker.states() == {}  # the first goes on


def test_a_client_is_welcomed_again_after_a_restart_at_the_same_socket(start, asker):
    first = start()
    asker.states()
    first.end()
    asker.client.drain()
    start()
    until(lambda: any(isinstance(message, messages.Welcome) for message in asker.listen()))
    assert asker.states() == {}
