"""What happened is kept so that a client that was away hears how things stand, and a guest only what it may know."""

from typing import Any

from cyclorama.backend.server.events import MOST_FORGOTTEN, EventLog
from cyclorama.bridge import messages


def state(job, state="waiting", **more):
    return messages.JobState(job=job, state=state, **more)


def progress(job, step):
    return messages.Progress(job=job, stage="lift", step=step, total=9, fraction=step / 9)


def missed(log, sequence=0, guest="") -> list[Any]:
    return [seen for told in log.after(sequence) if (seen := told.as_seen_by(guest)) is not None]


def test_events_are_numbered_from_one_on():
    log = EventLog()
    log.add(messages.Changed(state=state("a")))
    log.add(progress("a", 1))
    assert [event.sequence for event in missed(log)] == [1, 2]
    assert [event.sequence for event in missed(log, 1)] == [2]
    assert missed(log, 2) == []


def test_of_one_kind_and_job_only_the_newest_is_told():
    log = EventLog()
    for step in range(5):
        log.add(progress("a", step))
        log.add(progress("b", step))
    assert [(event.job, event.step, event.sequence) for event in missed(log)] == [("a", 4, 9), ("b", 4, 10)]


def test_a_job_that_has_ended_leaves_no_progress_and_no_picture():
    log = EventLog()
    log.add(progress("a", 1))
    log.add(messages.Preview(job="a", step=1, total=9, picture=b"RIFF"))
    log.add(messages.Changed(state=state("a", "done")))
    log.add(messages.Done(job="a", scene="/o", seconds={}, peak_bytes=0))
    assert [type(event) for event in missed(log)] == [messages.Changed, messages.Done]


def test_a_job_that_is_tried_again_has_not_failed():
    log = EventLog()
    log.add(messages.Failed(job="a", code="c", sentence="Why."))
    log.add(messages.Changed(state=state("a", "waiting")))
    assert [type(event) for event in missed(log)] == [messages.Changed]


def test_of_a_job_off_the_list_only_that_is_told():
    log = EventLog()
    log.add(messages.Changed(state=state("a", "done")))
    log.add(messages.Done(job="a", scene="/o", seconds={}, peak_bytes=0))
    log.add(messages.Forgotten(job="a"))
    assert [type(event) for event in missed(log)] == [messages.Forgotten]


def test_who_was_away_for_too_long_must_ask_for_the_whole_list():
    log = EventLog()
    for number in range(MOST_FORGOTTEN):
        log.add(messages.Forgotten(job=f"j{number}"))
    assert log.is_whole_after(log.run, 0)
    log.add(messages.Forgotten(job="one-more"))
    assert not log.is_whole_after(log.run, 0)
    assert log.is_whole_after(log.run, 1)
    assert len(missed(log)) == MOST_FORGOTTEN


def test_another_run_or_a_number_that_was_never_told_is_not_resumed():
    log = EventLog()
    assert log.is_whole_after(log.run, 0)
    assert not log.is_whole_after("", 0)
    assert not log.is_whole_after(EventLog().run, 0)
    assert not log.is_whole_after(log.run, 1)


def test_the_log_grows_with_jobs_and_not_with_time():
    log = EventLog()
    for step in range(10_000):
        log.add(progress(f"j{step % 3}", step))
        log.add(messages.Forgotten(job=f"k{step}"))
    assert len(log.after(0)) == 3 + MOST_FORGOTTEN


SECRETS = {
    **{"panorama": "/secret/p.exr", "output": "/secret/o", "sentence": "/secret: why", "hint": "/secret"},
    **{"guest": "bert", "remark": "secret", "device": "secret", "code": "secret"},
    **{"reused": ("secret",), "seconds": {"secret": 1.0}},
}


def test_of_others_jobs_guests_hear_only_where_they_stand():
    log = EventLog()
    log.add(messages.Changed(state=state("a", "running", stage="lift", fraction=0.5, **SECRETS)), "bert")
    log.add(progress("a", 4), "bert")
    log.add(messages.Preview(job="a", step=1, total=9, picture=b"RIFF"), "bert")
    log.add(messages.Failed(job="a", code="c", sentence="/secret/p.exr is none.", hint="secret"), "bert")
    heard = missed(log, guest="anna")
    assert [type(event) for event in heard] == [messages.Changed, messages.Progress]
    assert (heard[0].state.state, heard[0].state.fraction) == ("running", 0.5)
    assert "secret" not in repr(heard) and "bert" not in repr(heard)
    assert "secret" in repr(missed(log, guest="bert")) and len(missed(log, guest="")) == 4
