"""What the backend says is taken in little by little, in its order, and all of it."""

import itertools
from collections import deque

import pytest

from cyclorama.addon.link import hearing
from cyclorama.addon.link.hearing import Hearing


@pytest.fixture
def waiting():
    """What was said and is not taken in yet."""
    return deque(range(100))


@pytest.fixture
def taken() -> list[int]:
    return []


@pytest.fixture
def ear(taken) -> Hearing:
    def hear(message):
        taken.append(message)
        for _ in range(message if message == 7 else 0):  # a long one, of 7 parts
            yield

    return Hearing(hear)


@pytest.fixture
def take(waiting):
    return lambda most: [waiting.popleft() for _ in range(min(most, len(waiting)))]


@pytest.fixture
def slow(monkeypatch):
    """A clock that goes on by a second whenever somebody looks at it."""
    seconds = itertools.count()
    monkeypatch.setattr(hearing.time, "perf_counter", lambda: next(seconds))


def test_with_time_enough_all_is_taken_in(ear, take, taken):
    assert ear.go_on(take, seconds=60)
    assert taken == list(range(100))


def test_when_the_time_is_over_the_rest_waits_and_its_order_is_kept(ear, take, taken, slow):
    turns = 1
    while not ear.go_on(take, seconds=0):
        assert len(taken) <= 16 * turns
        turns += 1
    assert turns > 5
    assert taken == list(range(100))


def test_a_long_message_is_interrupted_too(ear, take, taken, waiting, slow):
    waiting.clear()
    waiting.extend([7] * 10)
    assert not ear.go_on(take, seconds=0)
    assert len(taken) == 2, "16 parts: two messages of 7 and their ends"


def test_a_turn_always_comes_further(ear, take, taken, slow):
    ear.go_on(take, seconds=-1)
    assert taken


def test_a_message_that_cannot_be_taken_in_does_not_stop_those_that_come_later(take, waiting, taken):
    def hear(message):
        if message == 3:
            raise ValueError
        taken.append(message)
        yield

    ear = Hearing(hear)
    with pytest.raises(ValueError):
        ear.go_on(take, seconds=60)
    assert ear.go_on(take, seconds=60)
    assert taken[-1] == 99


def test_nothing_said_is_all_taken_in(ear, take, waiting):
    waiting.clear()
    assert ear.go_on(take, seconds=60)
