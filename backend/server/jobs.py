"""The jobs of a backend and their order; no sockets and no processes here."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...bridge import messages
from ...bridge.errors import CycloramaError
from .job import Ending, Job
from .journal import Journal

MAX_WAITING = 1000
MAX_REMEMBERED = 200
"""So many ended jobs are still known."""

MAX_STARTS = 3
"""A job under which the backend ended so often is not started again by itself."""


class Jobs:
    """First come, first served, one at a time. Every change is in the journal when a method returns.

    Those that waited or ran when an earlier server ended wait again.

    Args:
        is_made: whether the scene of a job that ran then is there and whole, though nobody wrote down that it was done.
    """

    def __init__(self, journal: Journal, is_made: Callable[[Job], bool] = lambda job: False):
        self._journal = journal
        self._jobs = {job.name: job for job in journal.jobs()}  # in the order they run
        for job in self:
            if job.state == "running":
                self._recover(job, is_made(job))

    def __iter__(self):
        return iter(list(self._jobs.values()))

    @property
    def running(self) -> Job | None:
        """The one that runs."""
        return next((job for job in self if job.state == "running"), None)

    @property
    def idle(self) -> bool:
        """Whether none runs and none waits."""
        return not any(job.state in ("running", "waiting") for job in self)

    def find(self, name: str) -> Job:
        """Raises CycloramaError ``job-unknown``."""
        try:
            return self._jobs[name]
        except KeyError:
            raise CycloramaError(
                "job-unknown", f"This backend knows no job {name}.", "It may have been forgotten; generate again."
            ) from None

    def add(self, asked: messages.Generate, guest: str = "") -> tuple[Job, bool]:
        """The job of that name, and whether it is new.

        Raises:
            CycloramaError: ``job-differs`` when a known job has that name but another task, ``queue-full``,
                ``journal-not-writable``.
        """
        known = self._jobs.get(asked.job)
        if known is not None:
            if (_task(known.asked), known.guest) != (_task(asked), guest):
                raise CycloramaError(
                    "job-differs", f"Job {asked.job} was asked for with other settings.", "Give the new job a new name."
                )
            return known, False
        self._check_room()
        new = Job(asked, guest, asked_at=time.time())
        self._journal.add(new)
        self._jobs[asked.job] = new
        return new, True

    def retry(self, name: str) -> tuple[Job, bool]:
        """A job that failed or was cancelled waits again, as the last; whether it did not yet.

        Raises:
            CycloramaError: ``job-unknown``, ``job-done``, ``queue-full``, ``journal-not-writable``.
        """
        job = self.find(name)
        if job.state == "done":
            raise CycloramaError("job-done", f"The scene {job.asked.output} has been made.", "Generate another one.")
        if not job.ending:
            return job, False
        self._check_room()
        again = Job(job.asked, job.guest, asked_at=time.time())
        self._journal.add(again)
        del self._jobs[name]
        self._jobs[name] = again
        return again, True

    def start_next(self) -> Job | None:
        """The job that now runs, if none did and one was waiting."""
        waiting = next((job for job in self if job.state == "waiting"), None)
        if waiting is None or self.running:
            return None
        waiting.state, waiting.started_at = "running", time.time()
        waiting.starts += 1
        self._journal.update(waiting)
        return waiting

    def suspend(self, job: Job) -> None:
        """It was stopped in good order, to be started again."""
        job.wait()
        job.starts -= 1
        self._journal.update(job)

    def end(self, job: Job, ending: Ending) -> list[Job]:
        """``job`` is over, one way or another. Returns those that are forgotten for it."""
        job.end(ending, time.time())
        self._journal.update(job)
        forgotten = [job for job in self if job.ending][:-MAX_REMEMBERED]
        for old in forgotten:
            self._remove(old)
        return forgotten

    def forget(self, name: str) -> Job:
        """Take a job that has ended off the list.

        Raises:
            CycloramaError: ``job-unknown``, ``job-not-ended``.
        """
        job = self.find(name)
        if not job.ending:
            raise CycloramaError("job-not-ended", f"Job {name} has not ended yet.", "Cancel it first.")
        self._remove(job)
        return job

    def _remove(self, job: Job) -> None:
        del self._jobs[job.name]
        self._journal.remove(job.name)

    def _check_room(self) -> None:
        if sum(job.state == "waiting" for job in self) >= MAX_WAITING:
            raise CycloramaError("queue-full", f"{MAX_WAITING} jobs are waiting already.", "Cancel some of them.")

    def _recover(self, job: Job, is_made: bool) -> None:
        """It ran when the server ended, without a word."""
        if is_made:
            self.end(job, messages.Done(job=job.name, scene=job.asked.output, seconds={}, peak_bytes=0))
            return
        if job.starts < MAX_STARTS:
            job.wait()
            self._journal.update(job)
            return
        failed = messages.Failed(
            job=job.name,
            code="backend-ended-repeatedly",
            sentence=f"The backend ended {job.starts} times while it made this scene.",
            hint="It may take more memory than there is: lower Resolution or Frames and generate, or try again.",
        )
        self.end(job, failed)


def _task(asked: messages.Generate) -> tuple:
    return asked.panorama, asked.output, asked.settings, asked.overwrite, asked.files
