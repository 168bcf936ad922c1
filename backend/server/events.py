"""What has happened since the server started, numbered, so that a client that was away is told what it missed.

Of several events of one type and job only the newest is kept: a client that comes back learns how things stand, not
how they went.
"""

from __future__ import annotations

import uuid
from collections import deque
from typing import NamedTuple

import msgspec

from ...bridge import messages

MOST_FORGOTTEN = 1000
"""So many events of jobs that are off the list are kept; a client that missed more asks for the whole list."""

_ENDINGS = (messages.Done, messages.Failed, messages.Cancelled)
_PASSING = (messages.Progress, messages.Preview)
_KINDS = (messages.Changed, *_PASSING, *_ENDINGS)


class Told(NamedTuple):
    """An event with its number in it, and whose job it is about: the guest's name, or ""."""

    event: messages.AnyEvent
    owner: str

    def as_seen_by(self, guest: str) -> messages.AnyEvent | None:
        """The event as a client may see it; None where it may not. ``guest``: who the client is, "" on our computer.

        Of other people's jobs guests are told where they stand and how far they are, and nothing of what they are.
        """
        if not guest or guest == self.owner:
            return self.event
        match self.event:
            case messages.Changed():
                return msgspec.structs.replace(self.event, state=state_only(self.event.state))
            case messages.Progress() | messages.Forgotten():
                return self.event
        return None


def state_only(state: messages.JobState) -> messages.JobState:
    """What guests may know of a job that is not theirs: no paths, no words, not who asked."""
    return messages.JobState(
        job=state.job,
        state=state.state,
        stage=state.stage,
        fraction=state.fraction,
        seconds_left=state.seconds_left,
        asked_at=state.asked_at,
        started_at=state.started_at,
        ended_at=state.ended_at,
        priority=state.priority,
        place=state.place,
    )


class EventLog:
    """The events of one run of the server; ``run`` names it, ``newest`` is the number of the last event."""

    def __init__(self):
        self.run = uuid.uuid4().hex
        self.newest = 0
        self._kept: dict[tuple[type, str], Told] = {}  # by sequence, because what is told anew goes to the end
        self._forgotten: deque[str] = deque()  # jobs
        self._lost = 0  # number of the newest event that went without another taking its place

    def add(self, event: messages.AnyEvent, owner: str = "") -> None:
        """Number an event and keep it in place of older ones that it makes pointless."""
        self.newest += 1
        event = msgspec.structs.replace(event, sequence=self.newest)
        job = event.state.job if isinstance(event, messages.Changed) else event.job
        self._drop(job, _outdated_by(event))
        self._kept[type(event), job] = Told(event, owner)
        if isinstance(event, messages.Forgotten):
            self._limit_forgotten(job)

    def after(self, sequence: int) -> list[Told]:
        """All that is kept of what happened after the event of that number, oldest first."""
        missed = []
        if sequence < self.newest:
            for told in reversed(self._kept.values()):
                if told.event.sequence <= sequence:
                    break
                missed.append(told)
        missed.reverse()
        return missed

    def is_whole_after(self, run: str, sequence: int) -> bool:
        """Whether ``after`` tells a client all that it missed since it heard that event of that run."""
        return run == self.run and self._lost <= sequence <= self.newest

    def _drop(self, job: str, kinds: tuple[type, ...]) -> None:
        for kind in kinds:
            self._kept.pop((kind, job), None)

    def _limit_forgotten(self, job: str) -> None:
        if job in self._forgotten:
            self._forgotten.remove(job)
        self._forgotten.append(job)
        if len(self._forgotten) > MOST_FORGOTTEN:
            told = self._kept.pop((messages.Forgotten, self._forgotten.popleft()))
            self._lost = max(self._lost, told.event.sequence)


def _outdated_by(event: messages.AnyEvent) -> tuple[type, ...]:
    """Which kinds of events of the same job nobody needs to be told any more."""
    match event:
        case messages.Forgotten():
            return (*_KINDS, messages.Forgotten)
        case messages.Changed(state=state) if state.state in ("waiting", "running"):
            return (messages.Changed, *_PASSING, *_ENDINGS)
        case messages.Changed():
            return (messages.Changed, *_PASSING)
    return (type(event),)
