"""What is known of a backend, as its messages told."""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from ...bridge import messages


class Seen:
    """Fed with all that a client hears; shown by ``picture.py``.

    Attributes:
        welcome: how the backend introduced itself; None before it did.
        survey: how it is; None where it does not tell: guests learn nothing of it.
        jobs: all that it knows by name, oldest first; None before it told.
        log: the end of its log, if it was asked for.
        outdated: the list of jobs should be asked for again: the queue has changed, or the backend was started anew.
    """

    def __init__(self) -> None:
        self.welcome: messages.Welcome | None = None
        self.survey: messages.Surveyed | None = None
        self.jobs: dict[str, messages.JobState] | None = None
        self.log = ""
        self.outdated = True

    @property
    def complete(self) -> bool:
        """Whether there is all that this client will be told."""
        told_of_itself = self.survey is not None or (self.welcome is not None and bool(self.welcome.guest))
        return told_of_itself and self.jobs is not None

    def hear(self, heard: Iterable[messages.Reply | messages.AnyEvent]) -> None:
        """Take what came, in its order."""
        for message in heard:
            self._take(message)

    def _take(self, message: messages.Reply | messages.AnyEvent) -> None:
        match message:
            case messages.Welcome():
                self.welcome, self.outdated = message, True
            case messages.Surveyed():
                self.survey = message
            case messages.Jobs():
                self.jobs, self.outdated = {state.job: state for state in message.jobs}, False
            case messages.Log():
                self.log = message.text
            case messages.Changed():
                self._put(message.state)
                self.outdated = True  # places in the queue may be others now
            case messages.Forgotten():
                (self.jobs or {}).pop(message.job, None)
                self.outdated = True
            case messages.Progress():
                self._advance(message)

    def _put(self, state: messages.JobState) -> None:
        if self.jobs is not None:
            self.jobs[state.job] = state

    def _advance(self, progress: messages.Progress) -> None:
        known = (self.jobs or {}).get(progress.job)
        if known and known.state == "running":
            told = {"stage": progress.stage, "fraction": progress.fraction, "seconds_left": progress.seconds_left}
            self._put(msgspec.structs.replace(known, **told))

    def of_state(self, *states: str) -> list[messages.JobState]:
        """The jobs that stand so, in the order in which they are of interest: the next, or the last, first."""
        found = [job for job in (self.jobs or {}).values() if job.state in states]
        if "waiting" in states:
            return sorted(found, key=lambda job: (job.place or 1 << 30, -job.priority, job.asked_at))
        return sorted(found, key=lambda job: -(job.ended_at or job.asked_at))

    def as_json(self) -> str:
        """All of it for programs."""
        welcome = msgspec.to_builtins(self.welcome) if self.welcome else {}
        kept = ("version", "protocol", "device", "cuda", "cores", "memory_bytes", "guest", "notes", "models")
        survey = msgspec.to_builtins(self.survey) if self.survey else None
        for name in ("type", "request"):
            (survey or {}).pop(name, None)
        told = {
            "at": time.time(),
            "backend": {name: welcome.get(name) for name in kept},
            "survey": survey,
            "jobs": list((self.jobs or {}).values()),
            "log": self.log.splitlines(),
        }
        return msgspec.json.format(msgspec.json.encode(told), indent=2).decode("utf-8")
