"""What Blender and the backend say to each other, so that both have the same list of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ...bridge import messages
from ...bridge.client import Client
from ...bridge.errors import CycloramaError
from .asked import Answered, Asked
from .backend import Backend
from .elsewhere import Elsewhere
from .hearing import Heard, Hearing
from .job import Job, lost
from .job_list import JobList
from .travel import Travel

_LIST = "status"
"""``request`` of our ``Status``."""


class Conversation:
    """With one backend at a time."""

    def __init__(self, jobs: JobList):
        self.complete = False
        """Whether ``jobs`` has all that the connected backend knows."""
        self.refused: CycloramaError | None = None
        """Why the backend did not take something that was about no job."""
        self._jobs = jobs
        self._travel = Travel(jobs)
        self._asked = Asked()
        self._run = ""  # of the backend that was welcomed last
        self._listed = ""  # the run whose list ``jobs`` has, and all events since
        self._hearing: Hearing | None = None

    def listen(self, backend: Backend | Elsewhere, seconds: float) -> bool:
        """Take in what it says, for so long at most; whether that was all."""
        self._hearing = self._hearing or Hearing(partial(self._hear, backend))
        return self._hearing.go_on(backend.take, seconds)

    def speak(self, backend: Backend | Elsewhere) -> None:
        """Tell what it has not been told yet, and let files travel; see to the jobs when it is off."""
        if backend.state != "running":
            self.complete = False
        if backend.state == "off":
            self._put_to_sleep(backend)
        elif self.complete and backend.client:
            for job in reversed([job for job in self._jobs.active if job.pending and job.state == "starting"]):
                self._tell(backend.client, job)
            self._travel.look(backend.client)

    def ask(self, backend: Backend | Elsewhere, request: messages.Request, answered: Answered) -> None:
        """Ask what is safe to repeat; ``answered`` is called with the answer."""
        self._asked.ask(backend, request, answered)

    def ask_about(self, backend: Backend | Elsewhere, job: Job, request: messages.Request) -> None:
        """Ask for something to be done with a job; if that is refused, it says why and is as it was."""
        job.refusal = None
        self.ask(backend, request, partial(self._if_refused, job))

    def forget(self, backend: Backend | Elsewhere, job: Job) -> None:
        """Have it taken off the list."""
        self.ask(backend, messages.Forget(job=job.name), partial(self._if_not_forgotten, job))

    def stop_sending(self, job: Job) -> None:
        """Its files need not travel any more."""
        self._travel.stop(job)

    def end(self) -> None:
        """The next backend is another."""
        self._travel.stop_all()
        self._asked.clear()
        self._hearing, self.complete, self.refused, self._run, self._listed = None, False, None, "", ""

    def _hear(self, backend: Backend | Elsewhere, message: Heard) -> Iterator[None]:
        """Yields where that may be interrupted."""
        if isinstance(message, messages.Welcome):
            self._hear_welcome(backend, message)
        elif isinstance(message, messages.Jobs):
            yield from self._jobs.hear_all(message)
            self.complete, self._listed = True, self._run
            self._asked.ask_again(backend)
        elif not self._asked.hear(message):
            self._jobs.hear(message)
            if isinstance(message, messages.Refused) and message.request in ("", _LIST):
                self.refused = CycloramaError(message.code, message.sentence, message.hint)

    def _hear_welcome(self, backend: Backend | Elsewhere, message: messages.Welcome) -> None:
        """A new connection, if it answers our Hello; else only the device became known."""
        self._jobs.guest = message.guest
        self._jobs.touch()
        if not message.request:
            return
        self._run, self.refused = message.run, None
        if message.resumed and message.run == self._listed:
            self.complete = True  # what was missed follows
        else:
            self.complete = False
            backend.send(messages.Status(request=_LIST))

    def _if_refused(self, job: Job, answer: Heard) -> None:
        if isinstance(answer, messages.Refused):
            job.cancelling = False
            job.refusal = CycloramaError(answer.code, answer.sentence, answer.hint)
            self._jobs.touch()

    def _if_not_forgotten(self, job: Job, answer: Heard) -> None:
        """It comes back to our list, unless the backend does not know it anyway."""
        if isinstance(answer, messages.Refused) and answer.code != "job-unknown":
            self._if_refused(self._jobs.get(job.name) or self._jobs.add(job), answer)

    def _tell(self, client: Client, job: Job) -> None:
        """Have the backend do it."""
        self._jobs.touch()
        try:
            if job.pending == "retry":
                client.send(messages.Retry(request=job.name, job=job.name))
            elif not self._jobs.guest and job.asked:
                client.send(job.asked)
            else:
                self._travel.send(client, job)
                return
            job.state, job.pending = "waiting", ""
        except CycloramaError as error:
            job.fail(error)

    def _put_to_sleep(self, backend: Backend | Elsewhere) -> None:
        """The jobs that the backend has go on when it is started again; the others have failed."""
        self._listed = ""  # these states are not the backend's
        for job in self._jobs.active:
            if job.pending:
                job.fail(backend.trouble or lost("The backend was stopped."))
                backend.trouble = None  # told as the job's
            else:
                job.state, job.cancelling = "asleep", False
            self._jobs.touch()
