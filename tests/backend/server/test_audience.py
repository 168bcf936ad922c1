"""Each client hears all in order, as fast as it reads; one that does not read costs nothing and hinders nobody."""

import pytest

from cyclorama.backend.server import audience
from cyclorama.backend.server.audience import MOST_REPLIES, SILENT_SECONDS, Audience
from cyclorama.backend.server.events import EventLog
from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.wire import Peer

ANNA, BERT = Peer(b"anna"), Peer(b"bert")


class Hall:
    """An audience whose clients have room for so many messages, or have gone; the time is what a test says."""

    def __init__(self, monkeypatch):
        self.room = {ANNA: 1000, BERT: 1000}
        self.got: dict = {ANNA: [], BERT: []}
        self.gone: set = set()
        self.now = 100.0
        monkeypatch.setattr(audience.time, "monotonic", lambda: self.now)
        self.log = EventLog()
        self.audience = Audience(self.send, self.log)

    def send(self, client, message):
        if client in self.gone:
            return "gone"
        if not self.room[client]:
            return "full"
        self.room[client] -= 1
        self.got[client].append(message)
        return "sent"

    def join(self, *clients, run="", heard=0):
        for client in clients:
            self.audience.join(client, "", run, heard)

    def answer(self, client, name):
        self.audience.answer(client, lambda: messages.Pong(request=name))

    def happens(self, job, step=1):
        self.log.add(messages.Progress(job=job, stage="lift", step=step, total=9, fraction=0.0))

    def pump(self, seconds=1.0):
        """Until nothing can be sent any more, ``seconds`` later."""
        self.now += seconds
        while self.audience.pump() == 0.0:
            pass

    def heard(self, client):
        """Names of answers, numbers of events."""
        return [getattr(message, "sequence", None) or message.request for message in self.got[client]]


@pytest.fixture
def hall(monkeypatch):
    return Hall(monkeypatch)


def test_answers_and_events_come_in_the_order_they_came_about(hall):
    hall.join(ANNA)
    hall.answer(ANNA, "first")
    hall.happens("a")
    hall.answer(ANNA, "second")
    hall.happens("b")
    hall.pump()
    assert hall.heard(ANNA) == ["first", 1, "second", 2]


def test_who_comes_back_hears_the_welcome_and_then_what_it_missed(hall):
    hall.join(ANNA)
    hall.happens("a")
    hall.pump()
    hall.gone.add(ANNA)
    hall.happens("b")
    hall.pump()
    assert ANNA not in hall.audience
    hall.gone.clear()
    assert hall.audience.join(ANNA, "", hall.log.run, 1)
    hall.audience.greet(ANNA, lambda: messages.Pong(request="welcome"))
    hall.happens("c")
    hall.pump()
    assert hall.heard(ANNA) == [1, "welcome", 2, 3]


def test_who_is_new_hears_only_what_happens_from_now_on(hall):
    hall.happens("a")
    assert not hall.audience.join(ANNA, "", "another run", 7)
    hall.happens("b")
    hall.pump()
    assert hall.heard(ANNA) == [2]


def test_who_does_not_read_hears_the_newest_when_it_does_and_nobody_waits_for_it(hall):
    hall.join(ANNA, BERT)
    hall.room[ANNA] = 1
    for step in range(1000):
        hall.happens("a", step)
        hall.pump(0.01)
    assert len(hall.got[BERT]) == 1000 and len(hall.got[ANNA]) == 1
    hall.room[ANNA] = 1000
    hall.pump()
    assert [event.step for event in hall.got[ANNA]] == [0, 999]


def test_what_there_was_no_room_for_is_made_once_and_not_lost(hall):
    hall.join(ANNA)
    hall.room[ANNA] = 0
    made = []

    def make(name):
        made.append(name)
        return messages.Pong(request=name)

    for name in ("a", "b"):
        hall.audience.answer(ANNA, lambda name=name: make(name))
        hall.audience.owe_piece(ANNA, lambda name=name: make(f"piece {name}"))
    for _ in range(5):
        hall.pump()
    assert made == ["a"]  # those behind are not even made
    hall.room[ANNA] = 3
    hall.pump()
    assert hall.heard(ANNA) == ["a", "b", "piece a"]
    hall.room[ANNA] = 3
    hall.pump()
    assert hall.heard(ANNA) == made == ["a", "b", "piece a", "piece b"]


def test_pieces_of_files_do_not_hold_up_news(hall):
    hall.join(ANNA)
    for number in range(messages.MOST_PIECES):
        hall.audience.owe_piece(ANNA, lambda number=number: messages.Pong(request=f"piece {number}"))
    hall.audience.pump()
    hall.answer(ANNA, "status")
    hall.happens("a")
    hall.audience.pump()
    before = hall.heard(ANNA).index("status")
    assert before < 8 and hall.heard(ANNA)[before + 1] == 1
    hall.pump()
    assert len(hall.got[ANNA]) == messages.MOST_PIECES + 2


def test_more_pieces_than_the_credit_are_refused(hall):
    hall.join(ANNA)
    for _ in range(messages.MOST_PIECES):
        hall.audience.owe_piece(ANNA, messages.Pong)
    with pytest.raises(CycloramaError) as caught:
        hall.audience.owe_piece(ANNA, messages.Pong)
    assert caught.value.code == "too-many-questions"


def test_who_asks_and_does_not_read_may_ask_no_more_and_is_forgotten_if_it_goes_on(hall):
    hall.join(ANNA, BERT)
    hall.room[ANNA] = 0
    for number in range(MOST_REPLIES):
        hall.audience.check_room(ANNA)
        hall.answer(ANNA, str(number))
    with pytest.raises(CycloramaError) as caught:
        hall.audience.check_room(ANNA)
    assert caught.value.code == "too-many-questions"
    hall.audience.check_room(BERT)
    for _ in range(MOST_REPLIES + 1):
        hall.answer(ANNA, "refused")
    assert ANNA not in hall.audience and BERT in hall.audience


def test_who_does_not_read_for_a_minute_is_forgotten_though_it_pings(hall):
    hall.join(ANNA, BERT)
    hall.room[ANNA] = 0
    hall.happens("a")
    for _ in range(int(SILENT_SECONDS) - 1):
        hall.audience.hear(ANNA)
        hall.audience.hear(BERT)
        hall.pump()
        hall.audience.forget_silent()
    assert ANNA in hall.audience
    hall.audience.hear(BERT)
    hall.pump(3)
    hall.audience.forget_silent()
    assert ANNA not in hall.audience and BERT in hall.audience


def test_who_is_silent_for_a_minute_is_forgotten(hall):
    hall.join(ANNA)
    hall.now += SILENT_SECONDS + 1
    hall.audience.forget_silent()
    assert list(hall.audience) == []


def test_it_is_known_when_there_may_be_more_to_send(hall):
    hall.join(ANNA)
    assert hall.audience.pump() is None
    hall.room[ANNA] = 0
    hall.happens("a")
    pauses = []
    for _ in range(10):
        pause = hall.audience.pump()
        pauses.append(pause)
        hall.now += pause
    assert pauses == sorted(pauses) and 0 < pauses[0] < pauses[-1] <= 0.1
