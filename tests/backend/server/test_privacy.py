"""Guests learn of other people's jobs that they are there and how far they are, and nothing else."""

from dataclasses import replace

import msgspec
import pytest

from cyclorama.bridge import messages, transfer
from cyclorama.bridge.errors import CycloramaError

from .conftest import Asker, until


@pytest.fixture
def guests(host, invite, tmp_path):
    """Two, each on a computer of its own."""
    guests = []
    for name in ("anna", "bert"):
        place = tmp_path / name
        place.mkdir()
        guests.append(Asker(tmp_path / "no backend", place, invite(name, host.port)))
    yield guests
    for guest in guests:
        guest.client.close()


def made_for(guest, toy, job, **more):
    panorama = guest.place / f"{job}.EXR"
    panorama.write_text(toy)
    asked = guest.task(toy, job)
    settings = replace(asked.settings, prompt=f"secret of {job}")
    asked = msgspec.structs.replace(asked, panorama=str(panorama), settings=settings, **more)
    guest.request(transfer.upload(guest.client, asked))


def test_a_guest_hears_that_others_are_at_work_and_not_on_what(guests, asker):
    anna, bert = guests
    bert.states()
    made_for(anna, "patient", "annas")
    asker.generate("quick", "ours")
    until(lambda: bert.events(messages.Progress, "annas"))
    until(lambda: anna.events(messages.Preview, "annas"))
    lines = bert.lines()
    assert (lines["annas"].state, lines["ours"].state, lines["ours"].place) == ("running", "waiting", 1)
    heard = repr([*lines.values(), *bert.listen()])
    assert not any(secret in heard for secret in ("anna'", "secret", "/toys", ".EXR", ".cyclorama", "RIFF"))
    assert "EXR" in repr(anna.lines()["annas"]) and "toys" in repr(asker.lines()["ours"])
    asker.cancel("annas")
    anna.ending("annas")
    until(lambda: bert.told_states("annas")[-1:] == ["cancelled"])
    assert not bert.events((messages.Preview, messages.Cancelled), "annas")


def test_a_guest_reads_of_the_log_only_what_is_about_its_jobs(guests, asker):
    anna, bert = guests
    made_for(anna, "refuses", "annas")
    anna.ending("annas")
    until(lambda: "wide.exr is not twice" in anna.request(messages.ReadLog()).text)
    assert bert.request(messages.ReadLog()).text == ""
    log = anna.request(messages.ReadLog()).text
    assert "annas" in log and "Listening" not in log and "bert" not in log and "secret" not in log
    assert "bert" in asker.request(messages.ReadLog(lines=2000)).text


def test_what_concerns_the_whole_backend_is_not_for_guests(guests, asker):
    anna, _ = guests
    for request in (messages.Survey(), messages.Shutdown()):
        with pytest.raises(CycloramaError) as caught:
            anna.request(request)
        assert caught.value.code == "guests-cannot"
    assert asker.states() == {}


def test_a_guest_cannot_push_itself_to_the_front(guests, asker):
    anna, bert = guests
    with pytest.raises(CycloramaError) as caught:
        made_for(anna, "quick", "urgent", priority=1)
    assert caught.value.code == "guests-cannot"
    asker.generate("endless", "ours")
    asker.wait_until_it_runs("ours")
    made_for(anna, "quick", "annas", priority=-1)
    for request in (messages.Prioritize(job="annas", priority=1), messages.Prioritize(job="ours", priority=-10)):
        with pytest.raises(CycloramaError):
            anna.request(request)
    with pytest.raises(CycloramaError) as caught:
        bert.request(messages.Prioritize(job="annas", priority=0))
    assert caught.value.code == "job-not-yours"
    anna.request(messages.Prioritize(job="annas", priority=0))
    assert asker.lines()["annas"].priority == 0
    asker.cancel("ours")
