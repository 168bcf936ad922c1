"""A backend answers, runs jobs in their order, and tells all its clients what becomes of them."""

import socket
import subprocess
import sys

import msgspec
import pytest

from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import Box, PanoramaTo4D, Region

from .conftest import Asker, until


def test_it_says_where_it_listens(backend, folder):
    assert backend.line == f"Listening on ipc://{folder / 'server.socket'}, folder {folder}\n"


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


def test_previews_are_told_but_not_too_often(backend, asker, tmp_path):
    asker.generate("shows")
    told = []
    until(lambda: told.extend(asker.client.drain()) or any(shown(message) == 1 for message in told))
    (tmp_path / "go on").touch()
    until(lambda: told.extend(asker.client.drain()) or any(isinstance(message, messages.Done) for message in told))
    previews = [message for message in told if isinstance(message, messages.Preview)]
    assert len(previews) <= 2
    assert all(preview.picture[:4] == b"RIFF" and preview.picture[8:12] == b"WEBP" for preview in previews)
    assert previews[-1].total == 2 and len(previews[-1].picture) <= messages.MAX_PREVIEW_BYTES


def shown(message) -> int | None:
    return message.step if isinstance(message, messages.Preview) else None


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


def test_jobs_are_moved_in_the_queue(backend, asker):
    asker.generate("endless")
    asker.wait_until_it_runs()
    for job in ("a", "b"):
        asker.generate("quick", job)
    asker.request(messages.Prioritize(job="b", priority=4))
    lines = asker.lines()
    assert [(lines[job].priority, lines[job].place) for job in ("job", "a", "b")] == [(0, 0), (0, 2), (4, 1)]
    (line,) = asker.request(messages.Status(job="b")).jobs
    assert line == lines["b"]
    assert asker.request(messages.Status(job="none")).jobs == ()
    asker.cancel()
    asker.ending("a")
    ended = [event.job for event in asker.listen() if isinstance(event, messages.Done)]
    assert ended == ["b", "a"]


def test_it_tells_how_it_is(backend, asker, folder):
    until(lambda: asker.client.welcome and asker.client.welcome.device)
    asker.generate("endless")
    asker.wait_until_it_runs()
    found = asker.request(messages.Survey())
    assert (found.pid, found.folder, found.listens_at) == (backend.process.pid, str(folder), "")
    assert found.endpoint == f"ipc://{folder / 'server.socket'}"
    (worker,) = found.workers
    assert (worker.pid, worker.job) == (backend.workers()[0], "job") and worker.device
    assert found.memory_bytes > 1 << 20 and worker.memory_bytes > 1 << 20 and found.disk_free_bytes > 0
    assert [client.guest for client in found.clients] == [""] and found.cache_limit_bytes > 0
    asker.cancel()


def test_a_client_that_was_away_hears_what_it_missed(backend, asker, folder, tmp_path):
    asker.generate("endless")
    asker.wait_until_it_runs()
    welcome = asker.request(messages.Hello())
    assert not welcome.resumed
    heard = asker.request(messages.Status()).sequence
    asker.cancel()
    asker.ending()
    away = Asker(folder, tmp_path)
    away.states()
    resumed = away.request(messages.Hello(run=welcome.run, heard=heard))
    assert resumed.resumed and resumed.run == welcome.run
    assert isinstance(away.ending(), messages.Cancelled)
    assert away.told_states()[-1:] == ["cancelled"]
    assert not away.request(messages.Hello(run="another", heard=heard)).resumed
    away.client.close()


def test_what_an_artist_wrote_is_not_in_the_log(backend, asker):
    task = asker.task("quick", "job")
    settings = PanoramaTo4D(
        prompt="a secret film",
        local_prompts=("", "hidden", "", ""),
        regions=(Region(box=Box(0, 0, 9, 9), prompt="x y"),),
    )
    asker.request(msgspec.structs.replace(task, settings=settings))
    asker.ending()
    until(lambda: "Job job: " in backend.log())
    assert not any(words in backend.log() for words in ("secret", "hidden", "x y"))
    assert "<13 characters>" in backend.log()


def test_a_client_that_was_killed_does_not_stop_the_others(backend, asker, folder):
    program = (
        "import os, sys; from pathlib import Path; from cyclorama.bridge import client, messages\n"
        "client.Client(Path(sys.argv[1])).request(messages.Status()); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program, folder], timeout=60).returncode == -9
    assert asker.states() == {}


def test_two_clients_see_each_others_jobs(backend, asker, folder, tmp_path):
    other = Asker(folder, tmp_path)
    other.states()
    asker.generate("patient")
    other.wait_until_it_runs()
    assert other.told_states()[-1] == "running"
    until(lambda: other.events(messages.Preview))
    assert other.states() == {"job": "running"}
    (tmp_path / "go on").touch()
    for each in (asker, other):
        assert isinstance(each.ending(), messages.Done)
        assert each.told_states()[-1] == "done"
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
    assert asker.told_states()[-1] == "failed"
    assert backend.runs() == ["refuses", "refuses"]


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
    assert f"127.0.0.1, port {port};" in start(port).guests_line
    assert asker.states() == {}


def test_the_server_stays_light():
    program = (
        "import sys, cyclorama.backend.server.serve\n"
        "print({'torch', 'cv2', 'numba', 'scipy', 'bpy'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert printed == "set()\n"
