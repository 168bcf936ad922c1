"""All jobs as this Blender sees them: those the backend tells of, and those it has not been told of yet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from ...bridge import messages
from ...bridge.scene import SUFFIX
from .job import RESTING, Job
from .queue import Queue

_when_asked = attrgetter("asked_at")


class JobList:
    """Jobs by name. ``guest``: who we are to the backend; "" where we see its disk."""

    def __init__(self):
        self.guest = ""
        self.revision = 0
        """Goes up with everything that may change what is shown of a job."""
        self._jobs: dict[str, Job] = {}
        self._ordered: tuple[Job, ...] | None = ()  # None: they are to be put in order again
        self._active: tuple[int, tuple[Job, ...]] = (0, ())  # of which revision, and which
        self._queue = Queue()
        self._places: tuple[int, dict[str, int]] = (0, {})  # likewise
        self._told = 0  # ``sequence`` of the newest event that the list the backend told last had in it

    def __iter__(self) -> Iterator[Job]:
        """Newest first."""
        if self._ordered is None:
            self._ordered = tuple(sorted(self._jobs.values(), key=_when_asked, reverse=True))
        return iter(self._ordered)

    @property
    def active(self) -> tuple[Job, ...]:
        """Those that are being worked on, or will be without further ado; newest first."""
        if self._active[0] != self.revision:
            self._active = self.revision, tuple(job for job in self if job.state not in RESTING)
        return self._active[1]

    @property
    def places(self) -> dict[str, int]:
        """Where in the queue those stand that wait: 1 runs next."""
        if self._places[0] != self.revision:
            waiting = (name for name in self._queue if self._jobs[name].state == "waiting")
            self._places = self.revision, {name: place for place, name in enumerate(waiting, 1)}
        return self._places[1]

    def get(self, name: str) -> Job | None:
        """The one of that name."""
        return self._jobs.get(name)

    def add(self, job: Job) -> Job:
        """Put it on the list."""
        self._jobs[job.name], self._ordered = job, None
        self.touch()
        return job

    def drop(self, name: str) -> None:
        """Take it off the list."""
        if self._jobs.pop(name, None):
            self._queue.remove(name)
            self._ordered = None
            self.touch()

    def drop_listed(self) -> None:
        """Take off what only a backend knows."""
        self._jobs = {name: job for name, job in self._jobs.items() if not job.listed}
        self._queue.set_all(())
        self._ordered, self._told = None, 0
        self.touch()

    def clear(self) -> None:
        """Take all off."""
        self._jobs.clear()
        self._queue.set_all(())
        self._ordered, self._told = None, 0
        self.touch()

    def touch(self) -> None:
        """Something of a job was changed."""
        self.revision += 1

    def hear(self, message: messages.Reply | messages.AnyEvent) -> None:
        """Take in what the backend said, other than ``Jobs``."""
        if isinstance(message, messages.Refused):
            if job := self._jobs.get(message.request):
                job.hear_refused(message)
        elif not isinstance(message, messages.Event) or self._knows(message):
            return
        elif isinstance(message, messages.Changed):
            self._stand(message.state)
            if message.state.state == "waiting":
                self._queue.put(message.state.job, message.state.place)
        elif isinstance(message, messages.Forgotten):
            self.drop(message.job)
        elif job := self._jobs.get(message.job):
            job.hear(message, self.guest)
        self.touch()

    def hear_all(self, told: messages.Jobs) -> Iterator[None]:
        """Take in the backend's list, job by job; yields between them.

        What the backend does not tell of is no longer there, unless it is still to be told of it.
        """
        names = set()
        for state in told.jobs:
            self._stand(state)
            names.add(state.job)
            self.touch()
            yield
        for name in [name for name in self._jobs if name not in names]:
            job = self._jobs.get(name)
            if job and not job.miss():
                self.drop(name)
            self.touch()
            yield
        self._queue.set_all(told.jobs)
        self._told = told.sequence

    def free_output(self, output: Path) -> str:
        """``output``, or a name like it where another job will write to it."""
        taken = {job.output for job in self if not job.ended}
        asked, stem, number = output, output.name.removesuffix(SUFFIX), 1
        if numbered := re.fullmatch(r"(.+) (\d{1,6})", stem):  # "sea 3" is followed by "sea 4"
            stem, number = numbered[1], int(numbered[2])
        while str(output) in taken or (output != asked and output.exists()):
            number += 1
            output = output.with_name(f"{stem} {number}{SUFFIX}")
        return str(output)

    def _knows(self, event: messages.Event) -> bool:
        """Whether the list that the backend told had it in it. (Pictures are in no list.)"""
        return 0 < event.sequence <= self._told and not isinstance(event, messages.Preview)

    def _stand(self, told: messages.JobState) -> None:
        """A job, new if it was asked for elsewhere, is like this now."""
        job = self._jobs.get(told.job)
        if job is None:
            job = self._jobs[told.job] = Job(told.job, state="waiting", settled=True)
            self._ordered = None
        asked_at = job.asked_at
        if job.state == "waiting" and told.state != "waiting":
            self._queue.remove(job.name)
        job.stand(told, self.guest)
        if job.asked_at != asked_at:
            self._ordered = None
