from cyclorama.addon.link import Job
from cyclorama.addon.ui.sentences import time_left
from cyclorama.bridge import messages
from cyclorama.bridge.settings import PanoramaTo4D


def _told() -> Job:
    asked = messages.Generate(request="a", job="a", panorama="/p.exr", output="/o", settings=PanoramaTo4D())
    return Job(asked, blender_scene=1, state="waiting")


def test_what_is_said_of_other_jobs_changes_nothing():
    job = _told()
    job.hear(messages.Failed(job="b", code="c", sentence="s"))
    job.hear(messages.Refused(request="b", code="c", sentence="s"))
    job.hear(messages.Jobs(request="", jobs=()))
    assert job.state == "waiting"


def test_progress_is_taken_in():
    job = _told()
    job.hear(messages.Progress(job="a", stage="animate", step=1, total=4, fraction=0.3, seconds_left=7.0))
    assert (job.state, job.stage, job.fraction, job.seconds_left) == ("running", "animate", 0.3, 7.0)


def test_the_newest_preview_is_kept_and_ends_nothing():
    job = _told()
    for picture in (b"first", b"second"):
        job.hear(messages.Preview(job="a", step=1, total=4, picture=picture))
    job.hear(messages.Preview(job="b", step=1, total=4, picture=b"of another job"))
    assert (job.preview, job.ended) == (b"second", False)


def test_after_its_end_nothing_changes_a_job():
    job = _told()
    job.hear(messages.Cancelled(job="a"))
    job.hear(messages.Failed(job="a", code="c", sentence="s"))
    assert (job.state, job.error) == ("cancelled", None)


def test_a_refused_job_has_failed():
    job = _told()
    job.hear(messages.Refused(request="a", code="queue-full", sentence="1000 jobs are waiting.", hint="Cancel some."))
    assert (job.state, job.error.code, job.error.hint) == ("failed", "queue-full", "Cancel some.")


def test_a_job_refused_for_want_of_a_hello_is_told_again():
    job = _told()
    job.hear(messages.Refused(request="a", code=messages.HELLO_FIRST, sentence="Hello first."))
    assert job.state == "starting"


def test_a_backend_started_anew_does_not_know_the_job():
    job = _told()
    job.hear(messages.Jobs(request="a", jobs=(messages.JobState(job="b", state="running"),)))
    assert (job.state, job.error.code) == ("failed", "backend-lost")


def test_a_job_that_ended_while_nobody_listened_is_asked_for_again():
    job = _told()
    job.hear(messages.Jobs(request="a", jobs=(messages.JobState(job="a", state="done"),)))
    assert job.state == "starting"


def test_times_in_words():
    assert [time_left(seconds) for seconds in (-1, 12.4, 200)] == ["", "12 s left", "3 min left"]
