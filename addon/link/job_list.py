"""All jobs as this Blender sees them: those the backend tells of, and those it has not been told of yet."""

from __future__ import annotations

from collections.abc import Iterator

from ...bridge import messages
from .job import Job


class JobList:
    """Jobs by name. ``guest``: who we are to the backend; "" where we see its disk."""

    def __init__(self):
        self.guest = ""
        self.revision = 0
        """Goes up with everything that may change what is shown of a job."""
        self._jobs: dict[str, Job] = {}

    def __iter__(self) -> Iterator[Job]:
        """Newest first."""
        newest_last = sorted(self._jobs.values(), key=lambda job: job.asked_at)
        return reversed(newest_last)

    def get(self, name: str) -> Job | None:
        """The one of that name."""
        return self._jobs.get(name)

    def add(self, job: Job) -> Job:
        """Put it on the list."""
        self._jobs[job.name] = job
        self.touch()
        return job

    def drop(self, name: str) -> None:
        """Take it off the list."""
        if self._jobs.pop(name, None):
            self.touch()

    def clear(self) -> None:
        """Take all off."""
        self._jobs.clear()
        self.touch()

    def touch(self) -> None:
        """Something of a job was changed."""
        self.revision += 1

    def hear(self, message: messages.Reply | messages.Event) -> None:
        """Take in what the backend said."""
        if isinstance(message, messages.Jobs):
            self._hear_all(message)
        elif isinstance(message, messages.Forgotten):
            self._jobs.pop(message.job, None)
        elif isinstance(message, messages.Refused):
            if job := self._jobs.get(message.request):
                job.hear_refused(message)
        elif isinstance(message, messages.Changed):
            self._known(message.state.job).hear(message, self.guest)
        elif isinstance(message, messages.Event):
            if job := self._jobs.get(message.job):
                job.hear(message, self.guest)
        else:
            return
        self.touch()

    def _hear_all(self, message: messages.Jobs) -> None:
        """What the backend does not tell of is no longer there, unless it is still to be told of it."""
        for state in message.jobs:
            self._known(state.job).stand(state, self.guest)
        told = {state.job for state in message.jobs}
        for name in [name for name, job in self._jobs.items() if name not in told and not job.miss()]:
            del self._jobs[name]

    def _known(self, name: str) -> Job:
        """The one of that name, new if it was asked for elsewhere."""
        return self._jobs.setdefault(name, Job(name, state="waiting", settled=True))
