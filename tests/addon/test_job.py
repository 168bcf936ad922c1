"""A job changes by what the backend says of it, and by nothing else."""

import pytest

from cyclorama.addon.link.job import Job
from cyclorama.addon.link.job_list import JobList
from cyclorama.addon.ui.sentences import time_left
from cyclorama.bridge import messages
from cyclorama.bridge.messages import JobState
from cyclorama.bridge.settings import PanoramaTo4D


def _asked(name="a") -> messages.Generate:
    output = f"/scenes/{name}.cyclorama"
    return messages.Generate(request=name, job=name, panorama="/p.exr", output=output, settings=PanoramaTo4D())


def _line(state, name="a", **more) -> JobState:
    return JobState(job=name, state=state, panorama="/p.exr", output="/scenes/a.cyclorama", **more)


@pytest.fixture
def jobs() -> JobList:
    return JobList()


@pytest.fixture
def job(jobs) -> Job:
    """One that the backend has."""
    job = jobs.add(Job.wished(_asked(), blender_scene=1))
    job.state, job.pending = "waiting", ""
    jobs.hear(messages.Changed(state=_line("waiting")))
    return job


def test_what_is_said_of_other_jobs_changes_nothing(jobs, job):
    jobs.hear(messages.Failed(job="b", code="c", sentence="s"))
    jobs.hear(messages.Refused(request="b", code="c", sentence="s"))
    assert job.state == "waiting"


def test_progress_is_taken_in(jobs, job):
    jobs.hear(messages.Progress(job="a", stage="animate", step=1, total=4, fraction=0.3, seconds_left=7.0))
    assert (job.state, job.stage, job.fraction, job.seconds_left) == ("running", "animate", 0.3, 7.0)


def test_the_newest_preview_is_kept_and_ends_nothing(jobs, job):
    for picture in (b"first", b"second"):
        jobs.hear(messages.Preview(job="a", step=1, total=4, picture=picture))
    jobs.hear(messages.Preview(job="b", step=1, total=4, picture=b"of another job"))
    assert (job.preview, job.ended) == (b"second", False)


def test_after_its_end_late_news_change_nothing(jobs, job):
    jobs.hear(messages.Cancelled(job="a"))
    jobs.hear(messages.Failed(job="a", code="c", sentence="s"))
    jobs.hear(messages.Progress(job="a", stage="animate", step=1, total=4, fraction=0.3))
    assert (job.state, job.error) == ("cancelled", None)


def test_a_job_that_is_done_again_lives_again(jobs, job):
    jobs.hear(messages.Failed(job="a", code="c", sentence="s"))
    jobs.hear(messages.Changed(state=_line("waiting")))
    assert (job.state, job.error, job.settled) == ("waiting", None, False)


def test_a_refused_job_has_failed(jobs, job):
    jobs.hear(messages.Refused(request="a", code="queue-full", sentence="1000 jobs are waiting.", hint="Cancel some."))
    assert (job.state, job.error.code, job.error.hint) == ("failed", "queue-full", "Cancel some.")


def test_a_job_refused_for_want_of_a_hello_is_told_again(jobs):
    job = jobs.add(Job.wished(_asked()))
    job.state, job.pending = "waiting", ""
    jobs.hear(messages.Refused(request="a", code=messages.HELLO_FIRST, sentence="Hello first."))
    assert (job.state, job.pending) == ("starting", "generate")


def test_a_job_that_the_backend_does_not_know_is_asked_for_again(jobs, job):
    jobs.hear(messages.Jobs(jobs=(_line("running", "b"),)))
    assert (job.state, job.pending) == ("starting", "generate")
    assert jobs.get("b").state == "running"


def test_a_job_that_ended_while_nobody_listened_has_ended(jobs, job):
    jobs.hear(messages.Jobs(jobs=(_line("done", seconds={"animate": 3.0}, peak_bytes=5),)))
    assert (job.state, str(job.package), job.seconds, job.peak_bytes) == (
        "done",
        "/scenes/a.cyclorama",
        {"animate": 3.0},
        5,
    )


def test_jobs_that_the_backend_has_forgotten_are_gone(jobs, job):
    jobs.hear(messages.Jobs(jobs=(_line("done"), _line("failed", "b"))))
    jobs.hear(messages.Jobs(jobs=()))
    assert list(jobs) == []


def test_a_job_that_no_backend_ever_heard_of_stays(jobs):
    job = jobs.add(Job.wished(_asked()))
    jobs.hear(messages.Jobs(jobs=()))
    assert (list(jobs), job.pending) == ([job], "generate")


def test_a_job_cancelled_just_before_the_backend_was_lost_is_not_started_again(jobs, job):
    job.cancelling = True
    jobs.hear(messages.Jobs(jobs=()))
    assert job.state == "cancelled"


def test_a_retry_is_not_forgotten_when_the_backend_tells_of_the_failure(jobs, job):
    job.state, job.pending = "starting", "retry"
    jobs.hear(messages.Jobs(jobs=(_line("failed", sentence="s"),)))
    assert (job.state, job.pending) == ("starting", "retry")


def test_newest_first(jobs):
    jobs.hear(
        messages.Jobs(jobs=tuple(_line("done", name, asked_at=at) for name, at in (("x", 1), ("y", 3), ("z", 2))))
    )
    assert [job.name for job in jobs] == ["y", "z", "x"]


def test_another_computer_s_paths_are_not_ours(jobs):
    jobs.hear(messages.Changed(state=_line("done", guest="anna")))
    assert (jobs.get("a").state, jobs.get("a").package) == ("done", None)


def test_as_a_guest_a_finished_scene_has_to_be_fetched_by_who_asked(jobs):
    jobs.guest = "anna"
    mine = jobs.add(Job.wished(_asked()))
    jobs.hear(messages.Jobs(jobs=(_line("done", guest="anna"), _line("done", "b", guest="anna"))))
    assert (mine.state, jobs.get("b").state) == ("fetching", "done")


def test_times_in_words():
    assert [time_left(seconds) for seconds in (-1, 12.4, 200)] == ["", "12 s left", "3 min left"]
