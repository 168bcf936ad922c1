"""Jobs run in the order they came, and only so many are remembered."""

import pytest

from cyclorama.backend.server.jobs import MAX_REMEMBERED, MAX_WAITING, Jobs
from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import PanoramaTo4D


def task(name, output="/o"):
    return messages.Generate(job=name, panorama="/p", output=output, settings=PanoramaTo4D())


def test_the_oldest_waiting_job_runs_next_and_only_one():
    jobs = Jobs()
    first, second = jobs.add(task("first"), b"c"), jobs.add(task("second"), b"c")
    assert jobs.start_next() is first
    assert jobs.start_next() is None
    jobs.end(first, messages.Cancelled(job="first"))
    assert jobs.start_next() is second


def test_a_repeated_job_is_the_same_and_answers_who_asked_last():
    jobs = Jobs()
    first = jobs.add(task("job"), b"one")
    assert jobs.add(task("job"), b"two") is first
    assert first.client == b"two"


def test_a_job_describes_how_it_ended():
    jobs = Jobs()
    done, failed = jobs.add(task("done"), b"c"), jobs.add(task("failed"), b"c")
    jobs.end(done, messages.Done(job="done", scene="/s", seconds={}, peak_bytes=0))
    jobs.end(failed, messages.Failed(job="failed", code="c", sentence="Why.", hint=""))
    assert (done.described().state, done.described().fraction, done.described().output) == ("done", 1.0, "/s")
    assert (failed.described().state, failed.described().sentence) == ("failed", "Why.")


def test_ended_jobs_are_forgotten_oldest_first():
    jobs = Jobs()
    for number in range(MAX_REMEMBERED + 1):
        jobs.end(jobs.add(task(f"job{number}"), b"c"), messages.Cancelled(job=f"job{number}"))
    with pytest.raises(CycloramaError, match="job0"):
        jobs.find("job0")
    assert jobs.find("job1")


def test_a_queue_that_is_full_says_so():
    jobs = Jobs()
    for number in range(MAX_WAITING):
        jobs.add(task(f"job{number}"), b"c")
    with pytest.raises(CycloramaError) as caught:
        jobs.add(task("one-more"), b"c")
    assert caught.value.code == "queue-full"
    assert jobs.add(task("job3"), b"c").name == "job3"
