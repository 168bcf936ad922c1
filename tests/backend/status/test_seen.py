"""What is known of a backend follows from its messages; and it fits any terminal."""

import io

import pytest
from rich.console import Console

from cyclorama.backend.status.picture import picture
from cyclorama.backend.status.seen import Seen
from cyclorama.backend.words import duration, file_name, size
from cyclorama.bridge import messages

from .stand_in import SURVEY, job

WELCOME = messages.Welcome(protocol=messages.PROTOCOL, version="0.1.0", device="CPU, 2 cores", recipes=())


def seen(*jobs, survey=SURVEY, welcome=WELCOME) -> Seen:
    known = Seen()
    known.hear([welcome, *([survey] if survey else []), messages.Jobs(jobs=jobs)])
    return known


def drawn(known, width=80, height=24, **more) -> list[str]:
    to = io.StringIO()
    Console(file=to, width=width).print(picture(known, width, height, **more))
    return [line.rstrip() for line in to.getvalue().splitlines()]


def test_it_is_complete_when_the_backend_has_told_of_itself_and_its_jobs():
    known = Seen()
    assert not known.complete
    known.hear([WELCOME, SURVEY])
    assert not known.complete
    known.hear([messages.Jobs(jobs=())])
    assert known.complete
    assert seen(
        survey=None, welcome=messages.Welcome(protocol=6, version="", device="", recipes=(), guest="a")
    ).complete
    assert not seen(survey=None).complete


def test_progress_is_that_of_the_job_that_runs():
    known = seen(job("quay", "running"), job("bad", "failed"))
    for name in ("job-quay", "job-bad", "job-unknown"):
        known.hear([messages.Progress(job=name, stage="lift", step=1, total=2, fraction=0.5, seconds_left=9.0)])
    assert [(line.stage, line.fraction) for line in known.jobs.values()] == [("lift", 0.5), ("", 0.0)]


def test_what_changes_the_queue_makes_the_list_outdated():
    known = seen(job("quay", "running"))
    assert not known.outdated
    for event in (messages.Changed(state=job("quay", "done")), messages.Forgotten(job="job-quay"), WELCOME):
        known.outdated = False
        known.hear([event])
        assert known.outdated
    assert known.jobs == {}


def test_events_before_the_first_list_are_no_fault():
    known = Seen()
    known.hear([messages.Changed(state=job("a", "running")), messages.Forgotten(job="b")])
    assert known.jobs is None


def test_waiting_jobs_are_listed_by_their_place_and_ended_ones_newest_first():
    known = seen(
        job("second", "waiting", place=2),
        job("first", "waiting", place=1),
        job("older", "done", ended_at=1.0),
        job("newer", "failed", ended_at=2.0),
    )
    assert [line.job for line in known.of_state("waiting")] == ["job-first", "job-second"]
    assert [line.job for line in known.of_state("done", "failed")] == ["job-newer", "job-older"]


CROWD = [
    job("a job with a very long name " * 4, "running", stage="animate", fraction=0.5, remark="It goes on. " * 9),
    *(job(f"w{place}", "waiting", place=place, guest="somebody-with-a-long-name") for place in range(1, 1001)),
    *(job(f"e{number}", "failed", ended_at=1.0, sentence="It failed. " * 30) for number in range(300)),
]


@pytest.mark.parametrize("width", [20, 40, 71, 72, 80, 200])
@pytest.mark.parametrize("height", [20, 24, 50])
def test_it_fits_the_terminal(width, height):
    survey = messages.Surveyed(
        **{field: getattr(SURVEY, field) for field in SURVEY.__struct_fields__ if field not in ("clients", "workers")},
        clients=SURVEY.clients * 20,
        workers=SURVEY.workers * 20,
    )
    known = seen(*CROWD, survey=survey)
    known.log = "a line of the log " * 20 + "\n" + "another\n" * 200
    lines = drawn(known, width, height, lost="The backend has not answered for 5 seconds.")
    assert all(len(line) <= width for line in lines)
    assert len(lines) <= max(height, 32)
    assert any("50%" in line for line in lines)


def test_what_users_wrote_draws_nothing_but_itself():
    known = seen(job("no\x1b[2Jt\n[red]nice\u202e", "waiting"), survey=None)
    text = "\n".join(drawn(known, 120))
    assert r"no\x1b[2Jt [red]nice\u202e" in text and "\x1b" not in text


def test_an_unknown_state_of_a_newer_backend_is_no_fault():
    assert drawn(seen(job("x", "dreaming")))


@pytest.mark.parametrize(
    "count, words",
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (85e6, "85.0 MB"),
        (999.9e6, "1.0 GB"),
        (1e14, "100 TB"),
        (1e17, "100000 TB"),
    ],
)
def test_sizes_in_words(count, words):
    assert size(count) == words


@pytest.mark.parametrize(
    "seconds, words",
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (3570, "1 h 0 min"),
        (8000, "2 h 13 min"),
        (4e5, "4 days"),
    ],
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    "path, name",
    [("/a/b.cyclorama", "b"), (r"C:\x\y.cyclorama", "y"), ("", ""), ("/pictures/p.exr", "p.exr")],
)
def test_names_of_files_of_any_system(path, name):
    assert file_name(path) == name
