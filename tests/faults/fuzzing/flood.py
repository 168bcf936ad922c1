"""A flood of messages that no honest program sends, and the wire's end that brings them to a server."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, given, settings

from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.frames import checksum, frames_of, reply_in, request_in, request_name
from cyclorama.bridge.wire import Peer, refusal

from .mutations import packed, packed_nest, spoilt, warped
from .sayable import described, sayable

LONGEST_SECONDS = 1.0
"""Of the processor, for one message or one package."""

PATIENCE = 10
"""So many times as long it may take by the clock: others use this machine and its disk, too."""

PEERS = (Peer(b"ours"), Peer(b"ours too"), Peer(b"a", "guest", "k" * 40), Peer(b"b", "other", "l" * 40))


def corpus(kind: Any, count: int, seed: int = 0) -> list[Any]:
    """``count`` messages of ``kind``, as hypothesis finds them interesting: the same ones at every call."""
    found: list[Any] = []

    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate], derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(sayable(kind))
    def collect(message: Any) -> None:
        found.append(message)

    collect()
    return found


class Flood:
    """Spoils messages, in turn by their bytes and by their values; the same ones for the same seed."""

    def __init__(self, seed: int, honest: Sequence[Any]):
        self._chance = Random(seed)
        self._values = [described(message) for message in honest]
        self._frames = [[bytes(frame) for frame in frames_of(message)] for message in honest]
        self._heads = [frames[0] for frames in self._frames]

    def message(self) -> list[bytes]:
        """The frames of the next one."""
        chance = self._chance
        way = chance.random()
        at = chance.randrange(len(self._frames))
        if way < 0.33:
            frames = [spoilt(chance, self._heads[at], self._heads), *self._frames[at][1:]]
        elif way < 0.74:
            frames = [packed(warped(chance, self._values[at])), *self._frames[at][1:]]
        elif way < 0.80:
            frames = list(self._frames[at])
            frames[-1] = spoilt(chance, frames[-1], self._heads)
        elif way < 0.801:
            frames = [packed_nest(chance)]
        elif way < 0.8012:
            frames = [bytes(chance.choice((messages.MAX_HEADER_BYTES + 1, messages.PIECE_BYTES)))]
        elif way < 0.83:
            frames = self._frames[at] * chance.choice((0, 2, 3, 40))
        else:
            frames = list(self._frames[at])
        if len(frames) == 2 and chance.random() < 0.7:  # else nothing passes the checksum
            frames[0] = _with_checksum(frames[0], frames[1])
        return frames


def _with_checksum(head: bytes, content: bytes) -> bytes:
    try:
        value = msgspec.msgpack.decode(head)
    except (ValueError, RecursionError):
        return head
    if not isinstance(value, dict):
        return head
    return packed(value | {"checksum": checksum(content)})


class Tally:
    """What became of the messages, and which took longest."""

    def __init__(self):
        self.outcomes: Counter[str] = Counter()
        self.slowest = (0.0, 0.0, "")
        """Seconds of this thread's processor, seconds by the clock, and which message."""
        self.count = 0
        self._began = time.monotonic()

    def note(self, outcome: str) -> None:
        self.outcomes[outcome] += 1

    def took(self, cpu: float, wall: float, what: str) -> None:
        self.count += 1
        if max(cpu, wall) > max(self.slowest[:2]):
            self.slowest = cpu, wall, what

    def told(self) -> str:
        """In a line."""
        seconds = time.monotonic() - self._began
        cpu, wall, what = self.slowest
        outcomes = ", ".join(f"{name} {count}" for name, count in self.outcomes.most_common(14))
        return (
            f"{self.count} in {seconds:.1f} s ({self.count / seconds:.0f}/s), slowest {1000 * wall:.0f} ms "
            f"(processor {1000 * cpu:.0f} ms, {what[:80]}); {outcomes}"
        )


def assert_none_took_long(tally: Tally) -> None:
    """Nothing hangs for a second."""
    cpu, wall, what = tally.slowest
    assert cpu < LONGEST_SECONDS and wall < PATIENCE * LONGEST_SECONDS, f"{what} took {wall:.2f} s"


class FloodedWire:
    """In place of a ``wire.Server``: what it brings is decoded as there, by the same functions.

    What the server sends is read as a client reads it. Now and then a client is said to be gone, or not to read.
    """

    endpoint, listens_at, port = "tcp://127.0.0.1:1", "", 1

    def __init__(self, flood: Flood, count: int, hello: Callable[[], messages.Hello]):
        self._flood, self._left, self._hello = flood, count, hello
        self._chance = Random(1)
        self._began: tuple[float, float] | None = None
        self._last = ""
        self.current: list[bytes] = []
        self.tally = Tally()
        self.at_the_end: Callable[[], None] = lambda: None

    def receive(self, _timeout: float) -> tuple[Peer, messages.Request] | None:
        self._time()
        if self._left <= 0:
            self.at_the_end()
            return None
        self._left -= 1
        client = self._chance.choice(PEERS)
        self._began = time.thread_time(), time.monotonic()
        if self._left % 40 == 0:
            return client, self._hello()
        self.current = frames = self._flood.message()
        try:
            request = request_in(frames)
        except CycloramaError as error:
            self._last = error.code
            self.tally.note(f"not taken: {error.code}")
            self.send(client, refusal(error, request_name(frames)))
            return None
        self._last = type(request).__name__
        if isinstance(request, messages.Shutdown) and not client.guest:  # it would be right to end
            return None
        self.tally.note("taken")
        return client, request

    def _time(self) -> None:
        if self._began is not None:
            cpu, wall = time.thread_time() - self._began[0], time.monotonic() - self._began[1]
            self.tally.took(cpu, wall, f"{self._last} of {sum(map(len, self.current))} bytes")
            assert_none_took_long(self.tally)
            self._began = None

    def send(self, _client: Peer, message: messages.Reply | messages.AnyEvent) -> str:
        heard = reply_in(frames_of(message))
        self.tally.note(f"refused: {heard.code}" if isinstance(heard, messages.Refused) else type(heard).__name__)
        return self._chance.choices(("sent", "full", "gone"), (200, 10, 1))[0]

    def wake(self) -> None:
        """Nobody waits here."""

    def drop_guests(self) -> None:
        """There are none."""

    def close(self) -> None:
        """Nothing is open."""
