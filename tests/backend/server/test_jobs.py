"""Jobs run in the order they came, only so many are remembered, and none is lost when the server is."""

import pytest

from cyclorama.backend.server.jobs import MAX_REMEMBERED, MAX_STARTS, MAX_WAITING, Jobs
from cyclorama.backend.server.journal import Journal
from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import PanoramaTo4D


def task(name, output="/o"):
    return messages.Generate(job=name, panorama="/p", output=output, settings=PanoramaTo4D())


def done(name, **more):
    return messages.Done(**{"job": name, "scene": "/o", "seconds": {}, "peak_bytes": 0} | more)


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path)
    yield journal
    journal.close()


@pytest.fixture
def jobs(journal):
    return Jobs(journal)


def reopened(tmp_path, is_made=lambda job: False):
    """As after the server was killed: nothing was closed."""
    return Jobs(Journal(tmp_path), is_made)


def test_the_oldest_waiting_job_runs_next_and_only_one(jobs):
    (first, _), (second, _) = jobs.add(task("first")), jobs.add(task("second"))
    assert jobs.start_next() is first
    assert jobs.start_next() is None
    jobs.end(first, messages.Cancelled(job="first"))
    assert jobs.start_next() is second


def test_a_repeated_job_is_the_same(jobs):
    first, was_new = jobs.add(task("job"))
    assert was_new
    assert jobs.add(task("job")) == (first, False)


def test_another_guest_cannot_take_a_job_over(jobs):
    jobs.add(task("job"), "anna")
    with pytest.raises(CycloramaError) as caught:
        jobs.add(task("job"), "bert")
    assert caught.value.code == "job-differs"


def test_a_job_describes_how_it_ended(jobs):
    (made, _), (failed, _) = jobs.add(task("done")), jobs.add(task("failed"))
    jobs.end(made, done("done", seconds={"lift": 2.5}, peak_bytes=7))
    jobs.end(failed, messages.Failed(job="failed", code="c", sentence="Why.", hint="What."))
    line = made.described()
    assert (line.state, line.fraction, line.output, line.seconds, line.peak_bytes) == (
        "done",
        1,
        "/o",
        {"lift": 2.5},
        7,
    )
    line = failed.described()
    assert (line.state, line.code, line.sentence, line.hint) == ("failed", "c", "Why.", "What.")
    assert line.asked_at > 0 and line.ended_at >= line.asked_at and line.started_at == 0


def test_ended_jobs_are_forgotten_oldest_first(jobs, tmp_path):
    forgotten = []
    for number in range(MAX_REMEMBERED + 1):
        forgotten += jobs.end(jobs.add(task(f"job{number}"))[0], messages.Cancelled(job=f"job{number}"))
    assert [job.name for job in forgotten] == ["job0"]
    for known in (jobs, reopened(tmp_path)):
        with pytest.raises(CycloramaError, match="job0"):
            known.find("job0")
        assert known.find("job1")


def test_a_queue_that_is_full_says_so(jobs):
    ended, _ = jobs.add(task("ended"))
    jobs.end(ended, messages.Cancelled(job="ended"))
    for number in range(MAX_WAITING):
        jobs.add(task(f"job{number}"))
    for refused in (lambda: jobs.add(task("one-more")), lambda: jobs.retry("ended")):
        with pytest.raises(CycloramaError) as caught:
            refused()
        assert caught.value.code == "queue-full"
    assert jobs.add(task("job3"))[0].name == "job3"


def test_what_ended_is_remembered_by_the_next_server(jobs, tmp_path):
    jobs.add(task("failed"))
    jobs.end(jobs.find("failed"), messages.Failed(job="failed", code="c", sentence="Why.", hint="What."))
    jobs.add(task("done"), "anna")
    jobs.start_next()
    jobs.end(jobs.find("done"), done("done", seconds={"lift": 2.5}, peak_bytes=1 << 40))
    jobs.add(task("cancelled"))
    jobs.end(jobs.find("cancelled"), messages.Cancelled(job="cancelled"))
    assert [job.described() for job in reopened(tmp_path)] == [job.described() for job in jobs]


def test_what_waited_or_ran_waits_again_in_its_order(jobs, tmp_path):
    for name in ("first", "second", "third"):
        jobs.add(task(name))
    jobs.end(jobs.find("second"), messages.Cancelled(job="second"))
    jobs.start_next()
    jobs.retry("second")
    after = reopened(tmp_path)
    assert [(job.name, job.state) for job in after] == [(name, "waiting") for name in ("first", "third", "second")]
    assert after.start_next().name == "first"


def test_a_job_under_which_the_server_ended_too_often_fails_until_it_is_retried(jobs, tmp_path):
    jobs.add(task("lethal"))
    for _ in range(MAX_STARTS):
        assert jobs.find("lethal").state == "waiting"
        jobs.start_next()
        jobs = reopened(tmp_path)
    job = jobs.find("lethal")
    assert (job.state, job.code) == ("failed", "backend-ended-repeatedly")
    assert "3 times" in job.sentence and "Resolution" in job.hint
    jobs.retry("lethal")
    jobs.start_next()
    assert reopened(tmp_path).find("lethal").state == "waiting"


def test_a_job_that_was_stopped_in_good_order_is_never_blamed(jobs, tmp_path):
    jobs.add(task("long"))
    for _ in range(2 * MAX_STARTS):
        jobs.suspend(jobs.start_next())
        jobs = reopened(tmp_path)
    assert jobs.find("long").state == "waiting"


def test_a_job_whose_scene_is_there_was_done_though_nobody_wrote_it_down(jobs, tmp_path):
    jobs.add(task("made"))
    jobs.add(task("waits"))
    jobs.start_next()
    assert {job.name: job.state for job in reopened(tmp_path, lambda job: True)} == {"made": "done", "waits": "waiting"}


def test_a_job_that_is_done_is_not_done_again(jobs):
    jobs.end(jobs.add(task("job"))[0], done("job"))
    with pytest.raises(CycloramaError) as caught:
        jobs.retry("job")
    assert caught.value.code == "job-done"


def test_a_retry_that_is_repeated_counts_once(jobs):
    jobs.end(jobs.add(task("job"))[0], messages.Cancelled(job="job"))
    again, was_new = jobs.retry("job")
    assert was_new and jobs.retry("job") == (again, False)


def test_only_what_has_ended_is_forgotten(jobs, tmp_path):
    jobs.add(task("waits"))
    with pytest.raises(CycloramaError) as caught:
        jobs.forget("waits")
    assert caught.value.code == "job-not-ended"
    jobs.end(jobs.find("waits"), messages.Cancelled(job="waits"))
    jobs.forget("waits")
    assert list(jobs) == list(reopened(tmp_path)) == []
