"""The jobs of a backend and their states; no sockets and no processes here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...bridge import messages
from ...bridge.errors import CycloramaError

MAX_WAITING = 1000
MAX_REMEMBERED = 200
"""So many ended jobs are still known."""

State = Literal["waiting", "running", "done", "failed", "cancelled"]
Ending = messages.Done | messages.Failed | messages.Cancelled


@dataclass
class Job:
    """What was asked, by which client, and how far it is."""

    asked: messages.Generate
    client: bytes
    state: State = "waiting"
    progress: messages.Progress | None = None
    ending: Ending | None = None
    cancelling: bool = False

    @property
    def name(self) -> str:
        """The name its client gave it."""
        return self.asked.job

    @property
    def stage(self) -> str:
        """The stage it is in, or was in last; "" before the first."""
        return self.progress.stage if self.progress else ""

    def described(self) -> messages.JobState:
        """As a line of ``Jobs``."""
        return messages.JobState(
            job=self.name,
            state=self.state,
            stage=self.stage,
            fraction=1.0 if self.state == "done" else self.progress.fraction if self.progress else 0.0,
            sentence=self.ending.sentence if isinstance(self.ending, messages.Failed) else "",
            output=self.ending.scene if isinstance(self.ending, messages.Done) else self.asked.output,
        )


class Jobs:
    """First come, first served, one at a time."""

    def __init__(self):
        self._jobs: dict[str, Job] = {}  # oldest first

    def __iter__(self):
        return iter(list(self._jobs.values()))

    @property
    def running(self) -> Job | None:
        """The one that runs."""
        return next((job for job in self if job.state == "running"), None)

    def find(self, name: str) -> Job:
        """Raises CycloramaError ``job-unknown``."""
        try:
            return self._jobs[name]
        except KeyError:
            raise CycloramaError(
                "job-unknown", f"This backend knows no job {name}.", "It may have been started anew; generate again."
            ) from None

    def add(self, asked: messages.Generate, client: bytes) -> Job:
        """The job of that name, new or known; from now on its events are for ``client``.

        Raises:
            CycloramaError: ``job-differs`` when a known job has that name but another task, ``queue-full``.
        """
        known = self._jobs.get(asked.job)
        if known is None:
            if sum(job.state == "waiting" for job in self) >= MAX_WAITING:
                raise CycloramaError("queue-full", f"{MAX_WAITING} jobs are waiting already.", "Cancel some of them.")
            known = self._jobs[asked.job] = Job(asked, client)
        elif _task(known.asked) != _task(asked):
            raise CycloramaError(
                "job-differs", f"Job {asked.job} was asked for with other settings.", "Give the new job a new name."
            )
        known.client = client
        return known

    def start_next(self) -> Job | None:
        """The job that now runs, if none did and one was waiting."""
        waiting = next((job for job in self if job.state == "waiting"), None)
        if waiting is None or self.running:
            return None
        waiting.state = "running"
        return waiting

    def end(self, job: Job, ending: Ending) -> None:
        """``job`` is over, one way or another."""
        states: dict[type, State] = {messages.Done: "done", messages.Failed: "failed", messages.Cancelled: "cancelled"}
        job.state, job.ending = states[type(ending)], ending
        ended = [job for job in self if job.ending]
        for forgotten in ended[:-MAX_REMEMBERED]:
            del self._jobs[forgotten.name]


def _task(asked: messages.Generate) -> tuple:
    return asked.panorama, asked.output, asked.settings, asked.overwrite
