"""A backend answers, runs jobs one at a time, and tells the truth about whatever dies."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import PanoramaTo4D

from .conftest import Asker, alive, until
from .small_scene import write_scene


def test_it_says_where_it_listens(backend, folder):
    assert backend.line.startswith("Listening on tcp://127.0.0.1:")
    assert backend.line.endswith(f", folder {folder}\n")


def test_it_welcomes_and_tells_its_device_when_the_worker_is_ready(backend, asker):
    until(lambda: asker.client.welcome and asker.client.welcome.device)
    assert "CPU" in asker.client.welcome.device or "NVIDIA" in asker.client.welcome.device
    welcome = asker.client.welcome
    assert welcome.recipes == ("panorama_to_4d",)
    assert welcome.cores >= 1 and welcome.memory_bytes > 1 << 28
    assert welcome.cuda == ("CPU" not in welcome.device)
    assert (welcome.guest, welcome.notes) == ("", ())


def test_a_job_is_done(backend, asker):
    assert asker.generate("quick").job == "job"
    done = asker.ending()
    assert done.scene == str(asker.output("job"))
    assert set(done.seconds) == {"animate", "write"}
    assert done.peak_bytes > 1 << 20
    assert asker.output("job").exists()
    assert asker.states() == {"job": "done"}


def test_progress_grows_ends_whole_and_is_not_told_too_often(backend, asker):
    asker.generate("quick")
    told = []
    until(lambda: told.extend(asker.client.drain()) or any(isinstance(message, messages.Done) for message in told))
    progress = [message for message in told if isinstance(message, messages.Progress)]
    assert [message.fraction for message in progress] == sorted(message.fraction for message in progress)
    assert progress[-1].fraction == pytest.approx(1)
    assert len(progress) < 100


def test_previews_are_told_but_not_too_often(backend, asker):
    asker.generate("shows")
    told = []
    until(lambda: told.extend(asker.client.drain()) or any(isinstance(message, messages.Done) for message in told))
    previews = [message for message in told if isinstance(message, messages.Preview)]
    assert [preview.step for preview in previews][-1] == 1 and len(previews) <= 2
    assert all(preview.picture[:4] == b"RIFF" and preview.picture[8:12] == b"WEBP" for preview in previews)
    assert previews[-1].total == 2 and len(previews[-1].picture) <= messages.MAX_PREVIEW_BYTES


def test_jobs_wait_for_each_other(backend, asker):
    asker.generate("endless", "first")
    asker.generate("quick", "second")
    asker.wait_until_it_runs("first")
    assert asker.states() == {"first": "running", "second": "waiting"}
    asker.cancel("first")
    assert isinstance(asker.ending("second"), messages.Done)
    assert asker.states() == {"first": "cancelled", "second": "done"}
    assert len(backend.workers()) == 1


def test_the_same_job_asked_twice_runs_once(backend, asker):
    asker.generate("quick")
    asker.generate("quick")
    asker.ending()
    asker.generate("quick")
    until(lambda: len(asker.events(messages.Done)) >= 2)  # told again
    assert backend.runs() == ["quick"]


def test_another_task_under_a_known_name_is_refused(backend, asker):
    asker.generate("quick")
    with pytest.raises(CycloramaError) as caught:
        asker.generate("endless")
    assert caught.value.code == "job-differs"


FAILURES = {
    "refuses": "panorama-not-2-to-1",
    "hungry": "out-of-memory",
    "hungry_on_cuda": "out-of-memory",
    "broken": "internal-error",
}


@pytest.mark.parametrize(("toy", "code"), FAILURES.items(), ids=FAILURES)
def test_a_job_that_fails_says_why_and_leaves_nothing(backend, asker, toy, code):
    asker.generate(toy)
    failed = asker.ending()
    assert failed.code == code
    assert failed.sentence and failed.hint
    assert not asker.partial("job").exists()
    asker.generate("quick", "next")
    assert isinstance(asker.ending("next"), messages.Done)
    assert len(backend.workers()) == 1


def test_a_job_without_memory_names_the_settings_to_lower(backend, asker):
    asker.generate("hungry_on_cuda")
    failed = asker.ending()
    assert failed.sentence == "The graphics card does not have enough memory for this scene."
    assert "Resolution, Frames or At Most (Gaussians)" in failed.hint
    line = asker.lines()["job"]
    assert (line.code, line.sentence, line.hint) == (failed.code, failed.sentence, failed.hint)


def test_an_unforeseen_fault_is_in_the_log_that_its_hint_names(backend, asker, folder):
    asker.generate("broken")
    failed = asker.ending()
    assert "ZeroDivisionError" in failed.sentence
    assert str(folder / "backend.log") in failed.hint
    until(lambda: "ZeroDivisionError: a fault in a recipe" in backend.log())


def test_a_running_job_is_cancelled(backend, asker):
    asker.generate("endless")
    asker.wait_until_it_runs()
    asker.cancel()
    assert isinstance(asker.ending(), messages.Cancelled)
    assert not asker.partial("job").exists()


def test_a_job_that_does_not_stop_is_stopped_by_force(backend, asker):
    asker.generate("deaf")
    asker.wait_until_it_runs()
    asker.cancel()
    assert isinstance(asker.ending(), messages.Cancelled)
    assert not asker.partial("job").exists()
    asker.generate("quick", "next")
    assert isinstance(asker.ending("next"), messages.Done)


def test_a_job_that_nobody_knows_cannot_be_cancelled(backend, asker):
    with pytest.raises(CycloramaError) as caught:
        asker.cancel("none")
    assert caught.value.code == "job-unknown"


@pytest.mark.parametrize("path", ["relative.exr", "/", "/with\0nothing"])
def test_a_path_that_is_not_absolute_is_refused(backend, asker, path):
    task = messages.Generate(job="job", panorama=path, output="/o", settings=PanoramaTo4D())
    with pytest.raises(CycloramaError) as caught:
        asker.request(task)
    assert caught.value.code == "path-not-absolute"


def test_another_protocol_is_refused_with_what_to_update(backend, asker):
    with pytest.raises(CycloramaError, match="Update the backend") as caught:
        asker.request(messages.Hello(protocol=messages.PROTOCOL + 1))
    assert caught.value.code == "protocol-mismatch"


def test_a_killed_worker_fails_its_job_and_the_next_has_a_new_one(backend, asker):
    asker.generate("endless")
    asker.wait_until_it_runs()
    os.kill(backend.workers()[0], signal.SIGKILL)
    failed = asker.ending()
    assert failed.code == "worker-died"
    assert failed.sentence == "The worker process ended (signal 9) during animate."
    assert not asker.partial("job").exists()
    asker.generate("quick", "next")
    assert isinstance(asker.ending("next"), messages.Done)
    assert len(backend.workers()) == 2


def test_a_worker_that_ends_by_itself_is_told(backend, asker):
    asker.generate("dies")
    assert asker.ending().sentence == "The worker process ended (exit code 3) during depth."
    assert not asker.partial("job").exists()


def test_a_worker_that_cannot_start_fails_each_job(start, asker, tmp_path):
    script = tmp_path / "worker.py"
    script.write_text("import a_module_that_is_not_installed")
    backend = start(worker=script)
    until(lambda: asker.client.welcome and "does not start" in asker.client.welcome.device)
    asker.generate("quick")
    assert asker.ending().sentence == "The worker process ended (exit code 1) at its start."
    until(lambda: "a_module_that_is_not_installed" in backend.log())


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
    asker.generate("lethal", "lethal")
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


def test_a_client_that_was_killed_does_not_stop_the_others(backend, asker, folder):
    program = (
        "import os, sys; from pathlib import Path; from cyclorama.bridge import client, messages\n"
        "client.Client(Path(sys.argv[1])).request(messages.Status()); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program, folder], timeout=60).returncode == -9
    assert asker.states() == {}


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


def test_two_clients_see_each_others_jobs(backend, asker, folder, tmp_path):
    other = Asker(folder, tmp_path)
    other.states()
    asker.generate("patient")
    other.wait_until_it_runs()
    assert other.told_states() == ["waiting", "running"]
    until(lambda: other.events(messages.Preview))
    assert other.states() == {"job": "running"}
    (tmp_path / "go on").touch()
    for each in (asker, other):
        assert isinstance(each.ending(), messages.Done)
        assert each.told_states() == ["waiting", "running", "done"]
    other.request(messages.Forget(job="job"))
    until(lambda: asker.events(messages.Forgotten))
    assert asker.states() == other.states() == {}
    assert asker.output("job").exists()
    other.client.close()


def test_who_comes_later_is_shown_the_newest_preview(backend, asker, folder, tmp_path):
    asker.generate("patient")
    asker.wait_until_it_runs()
    later = Asker(folder, tmp_path)
    line = later.lines()["job"]
    assert (line.state, line.stage, line.panorama) == ("running", "animate", "/toys/patient")
    assert 0 < line.asked_at <= line.started_at and line.ended_at == 0
    until(lambda: later.events(messages.Preview))
    asker.cancel()
    later.client.close()


def test_a_job_that_failed_is_retried(backend, asker):
    asker.generate("refuses")
    asker.ending()
    reply = asker.request(messages.Retry(job="job"))
    assert reply.job == "job"
    until(lambda: len(asker.events(messages.Failed)) == 2)
    assert asker.told_states() == ["waiting", "running", "failed"] * 2
    assert backend.runs() == ["refuses", "refuses"]


def test_what_was_asked_for_is_recalled_after_a_restart(start, asker):
    first = start()
    task = asker.task("quick", "job")
    asker.request(task)
    asker.ending()
    first.end()
    start()
    assert asker.request(messages.Recall(job="job"), 30).asked.settings == task.settings


def test_the_log_is_read(backend, asker):
    asker.generate("broken")
    asker.ending()
    log = asker.request(messages.ReadLog(lines=2000)).text
    assert "ZeroDivisionError: a fault in a recipe" in log
    assert log.splitlines()[-3:] == asker.request(messages.ReadLog(lines=3)).text.splitlines()


UNKNOWN = [messages.Retry(job="none"), messages.Forget(job="none"), messages.Recall(job="none")]


@pytest.mark.parametrize("request_", UNKNOWN, ids=lambda request: type(request).__name__)
def test_a_job_that_nobody_knows_is_named(backend, asker, request_):
    with pytest.raises(CycloramaError, match="no job none") as caught:
        asker.request(request_)
    assert caught.value.code == "job-unknown"


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


def test_a_port_in_use_is_named(start, folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        backend = start(port)
        assert backend.process.wait(30) != 0
    assert f"Port {port} is in use" in backend.process.stderr.read()
    assert not (folder / "address.json").exists()
    assert backend.workers() == []


def test_a_port_can_be_chosen(start, asker):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert f":{port}," in start(port).line
    assert asker.states() == {}


def test_the_server_stays_light():
    program = (
        "import sys, cyclorama.backend.server.serve\n"
        "print({'torch', 'cv2', 'numba', 'scipy', 'bpy'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert printed == "set()\n"


def test_a_client_is_welcomed_again_after_a_restart_at_the_same_port(start, asker):
    first = start()
    asker.states()
    first.end()
    asker.client.drain()
    start(first.port)
    until(lambda: any(isinstance(message, messages.Welcome) for message in asker.listen()))
    assert asker.states() == {}
