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


def test_it_says_where_it_listens(backend, folder):
    assert backend.line.startswith("Listening on tcp://127.0.0.1:")
    assert backend.line.endswith(f", folder {folder}\n")


def test_it_welcomes_and_tells_its_device_when_the_worker_is_ready(backend, asker):
    until(lambda: asker.client.welcome and asker.client.welcome.device)
    assert "CPU" in asker.client.welcome.device or "NVIDIA" in asker.client.welcome.device
    assert asker.client.welcome.recipes == ("panorama_to_4d",)


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


FAILURES = {"refuses": "panorama-not-2-to-1", "hungry": "out-of-memory", "broken": "internal-error"}


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
        asker.client.request(task)
    assert caught.value.code == "path-not-absolute"


def test_another_protocol_is_refused_with_what_to_update(backend, asker):
    with pytest.raises(CycloramaError, match="Update the backend") as caught:
        asker.client.request(messages.Hello(protocol=messages.PROTOCOL + 1))
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
    assert asker.ending().sentence == "The worker process ended (exit code 1) during start."
    until(lambda: "a_module_that_is_not_installed" in backend.log())


@pytest.mark.parametrize("toy", ["endless", "deaf"])
def test_when_the_server_is_killed_its_worker_ends_and_leaves_nothing(backend, asker, toy):
    asker.generate(toy)
    asker.wait_until_it_runs()
    backend.end(signal.SIGKILL)
    backend.wait_for_workers()
    assert not asker.partial("job").exists()
    until(lambda: asker.client.state == "lost")


def test_a_server_started_after_a_killed_one_takes_the_job_again(start, asker):
    killed = start()
    asker.generate("deaf")
    asker.wait_until_it_runs()
    killed.process.kill()
    start()  # at once, while the old worker still runs
    until(lambda: asker.client.state == "lost")
    until(lambda: asker.client.state == "connected")
    assert asker.states() == {}
    asker.generate("quick")
    assert isinstance(asker.ending(), messages.Done)
    assert not asker.partial("job").exists()


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


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "stdin", "shutdown"])
def test_however_it_is_ended_jobs_are_cancelled_and_nothing_is_left(backend, asker, folder, how):
    asker.generate("endless")
    asker.generate("quick", "waiting")
    asker.wait_until_it_runs()
    if how == "stdin":
        backend.process.stdin.close()
    elif how == "shutdown":
        asker.client.request(messages.Shutdown())
    else:
        backend.process.send_signal(getattr(signal, how))
    assert isinstance(asker.ending(), messages.Cancelled)
    assert isinstance(asker.ending("waiting"), messages.Cancelled)
    assert backend.process.wait(30) == 0
    assert not any(alive(worker) for worker in backend.workers())
    assert not asker.partial("job").exists()
    assert not (folder / "address.json").exists()
    assert backend.process.stderr.read() == ""


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
    port = int(first.line.partition(",")[0].rpartition(":")[2])
    first.end()
    asker.client.drain()
    start(port)
    until(lambda: any(isinstance(message, messages.Welcome) for message in asker.listen()))
    assert asker.states() == {}
