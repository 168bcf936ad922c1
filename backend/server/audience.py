"""The clients that are connected: what each is still owed, sent when there is room and never faster than it reads.

What is owed is kept as something that makes it (a *maker*), so that a client that does not read costs no memory.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from ...bridge import messages
from ...bridge.errors import CycloramaError
from ...bridge.wire import Peer
from .events import EventLog

MOST_REPLIES = 128
"""A client that has so many answers still to take may ask nothing more; twice as many, and it is forgotten."""

SILENT_SECONDS = 60.0
"""A client that neither asks nor reads for so long is forgotten."""

_PAUSES = (0.002, 0.05)  # seconds until a client that had no room is tried again: at first, at most
_AT_ONCE = 64  # messages for one client in a row
_PIECES_AT_ONCE = 1  # of files, which take longer
_CANNOT_ASK = ("too-many-questions", "There are too many questions at once.", "Wait for answers.")

Sent = Literal["sent", "full", "gone"]
ToClient = messages.Reply | messages.AnyEvent
Maker = Callable[[], ToClient]

log = logging.getLogger(__name__)


@dataclass
class Member:
    """A client. Times are of the monotonic clock."""

    name: str
    heard_at: float
    cursor: int = 0
    """Number of the last event it was sent, or that is not for it."""
    replies: deque[tuple[int, Maker]] = field(default_factory=deque)
    """In order; each with the number of the event before it."""
    pieces: deque[Maker] = field(default_factory=deque)
    """Of files: sent when nothing else is owed."""
    stuck_since: float | None = None
    try_at: float = 0.0
    pause: float = _PAUSES[0]


class Audience:
    """All clients that have said Hello. For the server's thread.

    Args:
        send: to a client; None counts as "sent".
        log: of events, which every client is told.
    """

    def __init__(self, send: Callable[[Peer, ToClient], Sent | None], log: EventLog):
        self._send = send
        self._log = log
        self._members: dict[Peer, Member] = {}

    def __contains__(self, client: Peer) -> bool:
        return client in self._members

    def __iter__(self) -> Iterator[Peer]:
        return iter(list(self._members))

    def join(self, client: Peer, name: str, run: str, heard: int) -> bool:
        """It says Hello, for the first time or again, and last heard that event of that run of the server.

        Returns whether it will be told all that it missed.
        """
        resumed = self._log.is_whole_after(run, heard)
        member = self._members.setdefault(client, Member(name, time.monotonic()))
        member.name, member.cursor = name, heard if resumed else self._log.newest
        member.pieces.clear()  # whoever connects again asks for them again
        self.hear(client)
        return resumed

    def greet(self, client: Peer, make: Maker) -> None:
        """Owe it the answer to its Hello, before what it missed."""
        self._members[client].replies.appendleft((0, make))

    def leave(self, client: Peer) -> None:
        """Forget it and all it is owed."""
        self._members.pop(client, None)

    def hear(self, client: Peer) -> None:
        """It is there: it asked something."""
        if member := self._members.get(client):
            member.heard_at, member.try_at = time.monotonic(), 0.0

    def check_room(self, client: Peer) -> None:
        """That it may ask something. Raises CycloramaError ``too-many-questions``."""
        if len(self._members[client].replies) >= MOST_REPLIES:
            raise CycloramaError(*_CANNOT_ASK)

    def answer(self, client: Peer, make: Maker) -> None:
        """Owe it an answer, after all that happened until now and before what happens next."""
        member = self._members.get(client)
        if member is None:
            return
        if len(member.replies) >= 2 * MOST_REPLIES:
            log.warning("Client %r asks and asks but does not read; it is forgotten", member.name)
            self.leave(client)
            return
        member.replies.append((self._log.newest, make))

    def owe_piece(self, client: Peer, make: Maker) -> None:
        """Owe it a piece of a file, when there is nothing else. Raises CycloramaError ``too-many-questions``."""
        member = self._members.get(client)
        if member is None:
            return
        if len(member.pieces) >= messages.MOST_PIECES:
            raise CycloramaError(*_CANNOT_ASK)
        member.pieces.append(make)

    def pump(self) -> float | None:
        """Send what there is room for, a little to each client. Seconds until there may be more to send; None: no."""
        now = time.monotonic()
        waits = [self._pump_one(client, member, now) for client, member in list(self._members.items())]
        return min((wait for wait in waits if wait is not None), default=None)

    def part(self, seconds: float) -> None:
        """Send all that is owed, to those that read it within so long."""
        deadline = time.monotonic() + seconds
        while (pause := self.pump()) is not None and time.monotonic() < deadline:
            time.sleep(pause)

    def forget_silent(self) -> None:
        """Those that do not ask, or do not read, for long."""
        oldest = time.monotonic() - SILENT_SECONDS
        for client, member in list(self._members.items()):
            if member.heard_at < oldest or (member.stuck_since or oldest) < oldest:
                log.info("Client %r is silent; it is forgotten", member.name)
                self.leave(client)

    def somebody_within(self, seconds: float) -> bool:
        """Whether any of them was heard so lately."""
        return any(member.heard_at > time.monotonic() - seconds for member in self._members.values())

    def described(self) -> tuple[messages.ClientState, ...]:
        """Who they are."""
        now = time.monotonic()
        return tuple(
            messages.ClientState(member.name, client.guest, now - member.heard_at)
            for client, member in self._members.items()
        )

    def _pump_one(self, client: Peer, member: Member, now: float) -> float | None:
        if member.try_at > now:
            return member.try_at - now
        outcome = self._send_news(client, member) or self._send_pieces(client, member)
        match outcome:
            case "full":
                member.stuck_since = member.stuck_since or now
                member.try_at, member.pause = now + member.pause, min(member.pause * 2, _PAUSES[1])
                return member.pause
            case "gone":
                log.info("Client %r has gone", member.name)
                self.leave(client)
        return 0.0 if outcome == "sent" else None

    def _send_news(self, client: Peer, member: Member) -> Sent | None:
        """Answers and events in the order they came about. None: there is none left; "sent": there is."""
        missed = iter(self._log.after(member.cursor))
        told = next(missed, None)
        for _ in range(_AT_ONCE):
            if member.replies and (told is None or member.replies[0][0] < told.event.sequence):
                outcome = self._send_reply(client, member)
            elif told is not None:
                event = told.as_seen_by(client.guest)
                outcome = self._try(client, member, event) if event is not None else "sent"
                if outcome == "sent":
                    member.cursor, told = told.event.sequence, next(missed, None)
            else:
                return None
            if outcome != "sent":
                return outcome
        return "sent"

    def _send_reply(self, client: Peer, member: Member) -> Sent:
        after, make = member.replies.popleft()
        reply = make()
        outcome = self._try(client, member, reply)
        if outcome == "full":
            member.replies.appendleft((after, lambda: reply))
        return outcome

    def _send_pieces(self, client: Peer, member: Member) -> Sent | None:
        for _ in range(min(_PIECES_AT_ONCE, len(member.pieces))):
            piece = member.pieces.popleft()()
            outcome = self._try(client, member, piece)
            if outcome == "full":
                member.pieces.appendleft(lambda piece=piece: piece)
            if outcome != "sent":
                return outcome
        return "sent" if member.pieces else None

    def _try(self, client: Peer, member: Member, message: ToClient) -> Sent:
        outcome = self._send(client, message) or "sent"
        if outcome == "sent":
            member.stuck_since, member.pause = None, _PAUSES[0]
        return outcome
