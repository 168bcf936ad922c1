"""Jobs survive their worker processes, stop when they are told, and run on as many devices as there are."""

import os
import signal
import time

import msgspec
import pytest

from cyclorama.bridge import messages
from cyclorama.bridge.scene import Scene

from .conftest import until


def test_a_running_job_is_cancelled(backend, asker):
    asker.generate("endless")
    asker.wait_until_it_runs()
    asker.cancel()
    assert isinstance(asker.ending(), messages.Cancelled)
    assert not asker.partial("job").exists()


def test_a_job_whose_worker_was_killed_is_tried_once_more_and_then_fails(backend, asker):
    asker.generate("endless")
    asker.wait_until_it_runs()
    os.kill(backend.workers()[0], signal.SIGKILL)
    until(lambda: backend.runs() == ["endless", "endless"])
    line = asker.lines()["job"]
    assert line.state == "running"
    assert line.remark == (
        "The worker process ended (signal 9) during animate. It goes on from the stages that were done."
    )
    until(lambda: len([event for event in asker.events(messages.Progress) if event.step == 0]) == 2)
    os.kill(backend.workers()[1], signal.SIGKILL)
    failed = asker.ending()
    assert failed.code == "worker-died"
    assert failed.sentence == "The worker process ended again (signal 9) during animate."
    assert not asker.partial("job").exists()
    asker.generate("quick", "next")
    assert isinstance(asker.ending("next"), messages.Done)
    assert len(backend.workers()) == 3


def test_a_job_that_survives_the_second_time_is_done(backend, asker):
    asker.generate("dies_once")
    assert isinstance(asker.ending(), messages.Done)
    assert backend.runs() == ["dies_once"] * 2
    assert "ended (signal 9)" in asker.lines()["job"].remark


def test_the_next_server_knows_that_a_worker_died_under_a_job(start, asker):
    first = start()
    asker.generate("endless")
    asker.wait_until_it_runs()
    os.kill(first.workers()[0], signal.SIGKILL)
    until(lambda: first.runs() == ["endless"] * 2)
    run = asker.client.welcome.run
    first.end()
    second = start()
    until(lambda: second.runs() == ["endless"] * 3)
    until(lambda: asker.client.welcome.run != run)  # it has found the new server
    asker.listen().clear()
    asker.wait_until_it_runs()
    os.kill(second.workers()[-1], signal.SIGKILL)
    assert asker.ending().code == "worker-died"


def test_a_scene_that_was_made_when_its_worker_died_is_done(backend, asker):
    asker.generate("made-and-dead")
    assert isinstance(asker.ending(), messages.Done)
    assert backend.runs() == ["made-and-dead"]  # nothing is made twice
    Scene(asker.output("job")).validate()


def test_a_worker_that_ends_by_itself_is_told(backend, asker):
    asker.generate("dies")
    assert asker.ending().sentence == "The worker process ended again (exit code 3) during depth."
    assert not asker.partial("job").exists()


def test_workers_leave_the_processor_to_others(backend, asker):
    asker.generate("nice")
    assert isinstance(asker.ending(), messages.Done)


def test_a_worker_that_cannot_start_fails_each_job_and_is_not_started_for_ever(start, asker, tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(f"open({str(tmp_path / 'starts')!r}, 'a').write('x')\nimport a_module_that_is_not_installed")
    backend = start(worker=script)
    until(lambda: asker.client.welcome and "does not start" in asker.client.welcome.device)
    for job in ("one", "two"):
        asker.generate("quick", job)
        failed = asker.ending(job)
        assert (failed.code, failed.sentence) == (
            "worker-does-not-start",
            "The worker process ended (exit code 1) at its start.",
        )
    assert len((tmp_path / "starts").read_text()) <= 4
    until(lambda: "a_module_that_is_not_installed" in backend.log())


def test_a_worker_program_that_is_not_there_fails_each_job(start, asker):
    start(worker="")
    asker.generate("quick")
    failed = asker.ending()
    assert failed.code == "worker-does-not-start" and "No such file" in failed.sentence


def test_an_idle_worker_that_is_killed_is_replaced(backend, asker):
    until(lambda: asker.client.welcome and asker.client.welcome.device)
    os.kill(backend.workers()[0], signal.SIGKILL)
    until(lambda: len(backend.workers()) == 2)
    asker.generate("quick")
    assert isinstance(asker.ending(), messages.Done)


def test_two_devices_work_on_two_jobs_at_once(start, asker, folder):
    backend = start(seats=2)
    for job in ("first", "second", "third"):
        asker.generate("endless", job)
    asker.wait_until_it_runs("first")
    asker.wait_until_it_runs("second")
    assert asker.states() == {"first": "running", "second": "running", "third": "waiting"}
    assert len(set(backend.workers())) == 2
    assert {path.name for path in folder.glob("worker*.lock")} == {"worker.lock", "worker-1.lock"}
    survey = asker.request(messages.Survey())
    assert {worker.job for worker in survey.workers} == {"first", "second"}
    asker.cancel("first")
    asker.wait_until_it_runs("third")
    assert asker.states()["second"] == "running"
    os.kill(backend.workers()[0], signal.SIGKILL)  # one of them starts anew
    until(lambda: len(backend.workers()) == 3 and set(asker.states().values()) == {"cancelled", "running"})
    for job in ("second", "third"):
        asker.cancel(job)
        assert isinstance(asker.ending(job), messages.Cancelled)


def test_two_jobs_never_write_to_the_same_place_at_once(start, asker, tmp_path):
    start(seats=2)
    (tmp_path / "link").symlink_to(tmp_path)
    first, second = asker.task("endless", "first"), asker.task("quick", "second")
    asker.request(first)
    output = str(tmp_path / "link" / "first.cyclorama")
    asker.request(msgspec.structs.replace(second, output=output, overwrite=True))
    asker.generate("quick", "third")
    assert isinstance(asker.ending("third"), messages.Done)
    assert asker.states()["second"] == "waiting"
    asker.cancel("first")
    assert isinstance(asker.ending("second"), messages.Done)


def test_a_server_that_is_killed_leaves_no_job_of_two_behind(start, asker):
    killed = start(seats=2)
    for job in ("first", "second"):
        asker.generate("deaf", job)
        asker.wait_until_it_runs(job)
    killed.process.kill()
    start(seats=2)
    until(lambda: killed.runs() == ["deaf"] * 4)
    until(lambda: asker.states() == {"first": "running", "second": "running"})
    for job in ("first", "second"):
        asker.cancel(job)
        assert isinstance(asker.ending(job), messages.Cancelled)
        assert not asker.partial(job).exists()


@pytest.mark.parametrize("toy", ["endless", "deaf"])
def test_cancelling_takes_effect_at_once_whatever_the_job_does(backend, asker, toy):
    asker.generate(toy)
    asker.generate("quick", "next")
    asker.wait_until_it_runs()
    asked = time.monotonic()
    asker.cancel()
    assert isinstance(asker.ending(), messages.Cancelled)
    took = time.monotonic() - asked
    print(f"cancelled ({toy}) in {took:.3f} s, promised are 0.5 s")
    assert took < 0.5 * 6  # other processes may be busy
    assert isinstance(asker.ending("next"), messages.Done)
    assert len(backend.workers()) == (1 if toy == "endless" else 2)


def test_a_job_that_waits_is_cancelled(backend, asker):
    asker.generate("endless")
    asker.generate("quick", "waiting")
    asker.cancel("waiting")
    assert isinstance(asker.ending("waiting"), messages.Cancelled)
    asker.cancel()
    assert isinstance(asker.ending("job"), messages.Cancelled)
    assert "quick" not in backend.runs()
