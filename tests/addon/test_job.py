"""A job changes by what the backend says of it, and by nothing else."""

import pytest

from cyclorama.addon.link.job import Job
from cyclorama.addon.link.job_list import JobList
from cyclorama.addon.link.queue import priority_for
from cyclorama.addon.ui.sentences import time_left
from cyclorama.bridge import messages
from cyclorama.bridge.messages import JobState
from cyclorama.bridge.settings import PanoramaTo4D


def _asked(name="a") -> messages.Generate:
    output = f"/scenes/{name}.cyclorama"
    return messages.Generate(request=name, job=name, panorama="/p.exr", output=output, settings=PanoramaTo4D())


def _line(state, name="a", **more) -> JobState:
    return JobState(job=name, state=state, panorama="/p.exr", output="/scenes/a.cyclorama", **more)


def _hear_list(jobs: JobList, *lines: JobState, sequence: int = 0) -> None:
    for _ in jobs.hear_all(messages.Jobs(jobs=lines, sequence=sequence)):
        pass


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
    _hear_list(jobs, _line("running", "b"))
    assert (job.state, job.pending) == ("starting", "generate")
    assert jobs.get("b").state == "running"


def test_a_job_that_ended_while_nobody_listened_has_ended(jobs, job):
    _hear_list(jobs, _line("done", seconds={"animate": 3.0}, peak_bytes=5))
    assert (job.state, str(job.package), job.seconds, job.peak_bytes) == (
        "done",
        "/scenes/a.cyclorama",
        {"animate": 3.0},
        5,
    )


def test_jobs_that_the_backend_has_forgotten_are_gone(jobs, job):
    _hear_list(jobs, _line("done"), _line("failed", "b"))
    _hear_list(jobs)
    assert list(jobs) == []


def test_a_job_that_no_backend_ever_heard_of_stays(jobs):
    job = jobs.add(Job.wished(_asked()))
    _hear_list(jobs)
    assert (list(jobs), job.pending) == ([job], "generate")


def test_a_job_cancelled_just_before_the_backend_was_lost_is_not_started_again(jobs, job):
    job.cancelling = True
    _hear_list(jobs)
    assert job.state == "cancelled"


def test_a_retry_is_not_forgotten_when_the_backend_tells_of_the_failure(jobs, job):
    job.state, job.pending = "starting", "retry"
    _hear_list(jobs, _line("failed", sentence="s"))
    assert (job.state, job.pending) == ("starting", "retry")


def test_newest_first(jobs):
    _hear_list(jobs, *(_line("done", name, asked_at=at) for name, at in (("x", 1), ("y", 3), ("z", 2))))
    assert [job.name for job in jobs] == ["y", "z", "x"]


def test_another_computer_s_paths_are_not_ours(jobs):
    jobs.hear(messages.Changed(state=_line("done", guest="anna")))
    assert (jobs.get("a").state, jobs.get("a").package) == ("done", None)


def test_as_a_guest_a_finished_scene_has_to_be_fetched_by_who_asked(jobs):
    jobs.guest = "anna"
    mine = jobs.add(Job.wished(_asked()))
    _hear_list(jobs, _line("done", guest="anna"), _line("done", "b", guest="anna"))
    assert (mine.state, jobs.get("b").state) == ("fetching", "done")


def test_what_the_list_had_in_it_already_is_not_heard_again(jobs):
    _hear_list(jobs, _line("done"), sequence=7)
    jobs.hear(messages.Changed(sequence=6, state=_line("running")))
    assert jobs.get("a").state == "done"
    jobs.hear(messages.Changed(sequence=8, state=_line("waiting")))
    assert jobs.get("a").state == "waiting"


def test_a_picture_that_is_older_than_the_list_is_news_all_the_same(jobs):
    _hear_list(jobs, _line("running"), sequence=7)
    jobs.hear(messages.Preview(sequence=5, job="a", step=1, total=4, picture=b"picture"))
    assert jobs.get("a").preview == b"picture"


def test_of_other_people_s_jobs_a_guest_sees_only_how_far_they_are(jobs):
    jobs.guest = "anna"
    _hear_list(jobs, JobState(job="b", state="running"))
    assert (jobs.get("b").title, jobs.get("b").locked, jobs.get("b").state) == ("Someone's scene", True, "running")


def test_guests_jobs_are_not_locked_on_the_backend_s_own_computer(jobs):
    _hear_list(jobs, _line("running", guest="anna"))
    assert (jobs.get("a").theirs, jobs.get("a").locked) == (True, False)


@pytest.fixture
def queue(jobs) -> JobList:
    """Four jobs wait, in this order: y x z w."""
    told = (("w", 4, -1, 4), ("x", 1, 0, 2), ("y", 2, 5, 1), ("z", 3, 0, 3))
    lines = (_line("waiting", name, asked_at=at, priority=of, place=place) for name, at, of, place in told)
    _hear_list(jobs, *lines)
    return jobs


def test_places_in_the_queue_are_those_the_backend_tells(queue):
    assert queue.places == {"y": 1, "x": 2, "z": 3, "w": 4}


@pytest.mark.parametrize(
    ("event", "order"),
    [
        (messages.Changed(state=_line("running", "y")), "xzw"),
        (messages.Progress(job="y", stage="animate", step=1, total=2, fraction=0.1), "xzw"),
        (messages.Cancelled(job="x"), "yzw"),
        (messages.Forgotten(job="z"), "yxw"),
        (messages.Changed(state=_line("waiting", "new", place=3)), ["y", "x", "new", "z", "w"]),
        (messages.Changed(state=_line("waiting", "w", place=1)), "wyxz"),
        (messages.Changed(state=_line("waiting", "x", place=2)), "yxzw"),
    ],
)
def test_when_one_comes_goes_or_moves_the_others_move_too(queue, event, order):
    queue.hear(event)
    assert list(queue.places) == list(order)
    assert list(queue.places.values()) == list(range(1, len(order) + 1))


@pytest.mark.parametrize(("name", "first", "last"), [("x", 6, -2), ("y", None, -2), ("z", 6, -2), ("w", 6, None)])
def test_the_priority_that_puts_a_job_first_or_last(queue, name, first, last):
    job = queue.get(name)
    found = [priority_for(job, where, queue.places, queue, guest=False) for where in ("FIRST", "LAST")]
    assert found == [first, last]


def test_guests_are_not_put_before_those_whose_computer_it_is(jobs):
    _hear_list(jobs, _line("waiting", place=1), _line("waiting", "b", place=2))
    job = jobs.get("b")
    assert priority_for(job, "FIRST", jobs.places, jobs, guest=True) is None
    assert priority_for(job, "FIRST", jobs.places, jobs, guest=False) == 1


def test_where_all_priorities_are_taken_it_is_put_among_the_highest(jobs):
    _hear_list(jobs, _line("waiting", place=1, priority=10), _line("waiting", "b", place=2))
    assert priority_for(jobs.get("b"), "FIRST", jobs.places, jobs, guest=False) == 10
    jobs.hear(messages.Changed(state=_line("waiting", "b", place=2, priority=10)))
    assert priority_for(jobs.get("b"), "FIRST", jobs.places, jobs, guest=False) is None


def test_times_in_words():
    assert [time_left(seconds) for seconds in (-1, 12.4, 200)] == ["", "12 s left", "3 min left"]
