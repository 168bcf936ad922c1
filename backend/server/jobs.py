"""The jobs of a backend and their order; no sockets and no processes here."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable

from ...bridge import messages
from ...bridge.errors import CycloramaError
from .events import state_only
from .failures import ended_repeatedly
from .job import Ending, Job
from .journal import Journal
from .queue_order import in_order

MAX_WAITING = 1000
MAX_WAITING_OF_A_GUEST = 100
"""So that one guest cannot take the whole queue."""

MAX_REMEMBERED = 200
"""So many ended jobs are still known."""

MAX_STARTS = 3
"""A job under which the backend ended so often is not started again by itself."""


_NOT_WRITTEN = "It waits because its start cannot be written down: the backend's disk is full."


class Jobs:
    """Which jobs there are, and which runs next. Every change is in the journal when a method returns.

    Those that waited or ran when an earlier server ended wait again.

    Args:
        is_made: whether the scene of a job that ran then is there and whole, though nobody wrote down that it was done.
    """

    def __init__(self, journal: Journal, is_made: Callable[[Job], bool] = lambda job: False):
        self._journal = journal
        self._jobs = {job.name: job for job in journal.jobs()}  # in the order they were asked for
        self._waiting = self._of("waiting")
        self._running = self._of("running")
        self._ended = self._of("done", "failed", "cancelled")  # in the order they ended
        self._served: dict[str, int] = {}  # guest -> number of its last turn
        self._queue: list[Job] | None = None  # in the order they run; None: not known
        self._places: dict[str, int] = {}
        self._lines: dict[str, messages.JobState] = {}  # as last described
        for job in list(self._running.values()):
            self._recover(job, is_made(job))

    def __iter__(self):
        return iter(list(self._jobs.values()))

    @property
    def running(self) -> tuple[Job, ...]:
        """Those that run."""
        return tuple(self._running.values())

    @property
    def idle(self) -> bool:
        """Whether none runs and none waits."""
        return not (self._running or self._waiting)

    @property
    def waiting(self) -> list[Job]:
        """In the order they run, if nothing else comes."""
        if self._queue is None:
            self._queue = in_order(self._waiting.values(), self._served)
            self._places = {job.name: place for place, job in enumerate(self._queue, 1)}
        return list(self._queue)

    def find(self, name: str) -> Job:
        """Raises CycloramaError ``job-unknown``."""
        try:
            return self._jobs[name]
        except KeyError:
            raise CycloramaError(
                "job-unknown", f"This backend knows no job {name}.", "It may have been forgotten; generate again."
            ) from None

    def described(self, job: Job) -> messages.JobState:
        """How it stands now, as a line of ``Jobs``."""
        if job.state == "waiting" and self._queue is None:
            _ = self.waiting
        line = self._lines.get(job.name)
        if line is None:
            place = self._places.get(job.name, 0) if job.state == "waiting" else 0
            line = self._lines[job.name] = job.described(place)
        return line

    def lines(self, guest: str = "", name: str = "") -> tuple[messages.JobState, ...]:
        """All jobs, or that of a ``name`` if there is one, as ``guest`` may see them ("": on our own computer)."""
        found: Iterable[Job] = self._jobs.values()
        if name:
            found = [self._jobs[name]] if name in self._jobs else []
        if not guest:
            return tuple([self.described(job) for job in found])
        return tuple([self.described(job) if job.guest == guest else state_only(self.described(job)) for job in found])

    def asked_at(self, guest: str) -> dict[str, float]:
        """The jobs that somebody asked for, by name, and when (seconds since 1970)."""
        return {job.name: job.asked_at for job in self._jobs.values() if job.guest == guest}

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
        self._check_room(guest)
        new = Job(asked, guest, asked.priority, asked_at=time.time())
        self._enqueue(new)
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
        self._check_room(job.guest)
        again = Job(job.asked, job.guest, job.priority, asked_at=time.time())
        self._enqueue(again)
        return again, True

    def prioritize(self, name: str, priority: int) -> Job:
        """Let a waiting job run earlier or later. Raises CycloramaError ``job-unknown``, ``job-not-waiting``."""
        job = self.find(name)
        if job.state != "waiting":
            raise CycloramaError("job-not-waiting", f"Job {name} does not wait.", "Only waiting jobs can be moved.")
        job.priority = priority
        self._write(job)
        return job

    def start_next(
        self,
        device: str = "",
        may_run: Callable[[Job], bool] = lambda job: True,
        scene_before: Callable[[Job], str] = lambda job: "",
    ) -> Job | None:
        """The job that now runs on ``device``; None where none waits.

        Args:
            may_run: whether a job may run now, next to those that do.
            scene_before: what lies at its output; see ``recovery.scene_digest``.

        Raises:
            CycloramaError: ``journal-not-writable``; it waits on, because nobody would know that it ran.
        """
        job = next((job for job in self.waiting if may_run(job)), None)
        if job is None:
            return None
        job.start(time.time(), device, scene_before(job))
        job.remark = "" if job.remark == _NOT_WRITTEN else job.remark
        try:
            self._journal.write(job)
        except CycloramaError:
            job.starts -= 1
            job.wait(_NOT_WRITTEN)
            self._touch(job)
            raise
        self._served[job.guest] = max(self._served.values(), default=0) + 1
        self._running[job.name] = self._waiting.pop(job.name)
        self._touch(job)
        return job

    def hear(self, progress: messages.Progress) -> None:
        """A running job has come so far; this alone is not journaled."""
        if job := self._running.get(progress.job):
            job.hear(progress)
            self._lines.pop(job.name, None)

    def suspend(self, job: Job) -> None:
        """It was stopped in good order, to be started again."""
        job.starts -= 1
        self._wait_again(job)

    def try_again(self, job: Job, remark: str) -> None:
        """Its worker process ended; it waits, to be tried once more."""
        job.deaths += 1
        job.starts -= 1
        self._wait_again(job, remark)

    def end(self, job: Job, ending: Ending) -> list[Job]:
        """``job`` is over, one way or another. Returns those that are forgotten for it."""
        job.end(ending, time.time())
        self._waiting.pop(job.name, None)
        self._running.pop(job.name, None)
        self._ended[job.name] = job
        self._write(job)
        forgotten = list(self._ended.values())[:-MAX_REMEMBERED]
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

    def _of(self, *states: str) -> dict[str, Job]:
        return {name: job for name, job in self._jobs.items() if job.state in states}

    def _enqueue(self, job: Job) -> None:
        self._journal.add(job)
        for known in (self._jobs, self._ended):
            known.pop(job.name, None)
        self._jobs[job.name] = self._waiting[job.name] = job
        self._touch(job)

    def _wait_again(self, job: Job, remark: str = "") -> None:
        job.wait(remark)
        self._running.pop(job.name, None)
        self._waiting = self._of("waiting")  # in its place among the others
        self._write(job)

    def _remove(self, job: Job) -> None:
        self._jobs.pop(job.name)
        self._ended.pop(job.name, None)
        self._lines.pop(job.name, None)
        self._journal.remove(job.name)

    def _write(self, job: Job) -> None:
        self._journal.update(job)
        self._touch(job)

    def _touch(self, job: Job) -> None:
        """It has changed, and with it perhaps the places of those that wait."""
        self._queue = None
        self._forget_lines({job.name, *self._waiting})

    def _forget_lines(self, names: Collection[str]) -> None:
        for name in names:
            self._lines.pop(name, None)

    def _check_room(self, guest: str) -> None:
        if len(self._waiting) >= MAX_WAITING:
            raise CycloramaError("queue-full", f"{MAX_WAITING} jobs are waiting already.", "Cancel some of them.")
        if guest and sum(job.guest == guest for job in self._waiting.values()) >= MAX_WAITING_OF_A_GUEST:
            raise CycloramaError(
                "queue-full", f"{MAX_WAITING_OF_A_GUEST} of your jobs are waiting already.", "Cancel some of them."
            )

    def _recover(self, job: Job, is_made: bool) -> None:
        """It ran when the server ended, without a word."""
        if is_made:
            self.end(job, messages.Done(job=job.name, scene=job.asked.output, seconds={}, peak_bytes=0))
        elif job.starts < MAX_STARTS:
            self._wait_again(job, "The backend was ended while it ran; it goes on from where it was.")
        else:
            self.end(job, ended_repeatedly(job.asked, job.starts))


def _task(asked: messages.Generate) -> tuple:
    return asked.panorama, asked.output, asked.settings, asked.overwrite, asked.files
