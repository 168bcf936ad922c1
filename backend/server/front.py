"""The server's main loop: answers clients, hands jobs to workers, and tells clients what becomes of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from ...bridge import messages
from ...bridge.errors import CycloramaError, quotable
from ...bridge.wire import Peer, Server, refusal
from .. import __version__
from ..models.present import model_states
from ..stage_cache import CACHE_FOLDER
from .audience import Audience
from .crew import Crew
from .device import Seat
from .events import EventLog
from .exchange import Exchange
from .job import Job
from .jobs import Jobs
from .journal import Journal
from .log_file import last_lines
from .pipe import Ready
from .recovery import is_made
from .repeats import Repeats
from .supervisor import WORKER_COMMAND
from .survey import Survey
from .work import Work

RECIPES = ("panorama_to_4d",)

_FAREWELL_SECONDS = 0.5  # so long clients may take to hear how it ended
_GONE_SECONDS = 10.0  # a client silent for so long is not waited for
_LONGEST_PATH_BYTES = 4096
_TICK_SECONDS = 1.0  # also bounds the wait for a signal that arrives just before the socket is polled

log = logging.getLogger(__name__)


class Front:
    """A backend between its clients and its workers. All but ``stop`` and ``abandon`` belongs to one thread.

    Args:
        wire: where clients come in; closed at the end.
        folder: the backend's.
        seats: where worker processes run.
        environment: variables for them.
    """

    def __init__(
        self,
        wire: Server,
        folder: Path,
        journal: Journal,
        worker_command: Sequence[str] = WORKER_COMMAND,
        seats: Sequence[Seat] = (Seat(),),
        environment: Mapping[str, str] | None = None,
    ):
        self._wire = wire
        self._folder = folder
        self._journal = journal
        self._crew = Crew(seats, wire.wake, worker_command, environment or {})
        self._exchange = Exchange(folder, wire.wake, lambda: self._jobs)
        self._jobs = Jobs(journal, lambda job: is_made(self._exchange.output(job), job.scene_before, every_byte=True))
        self._events = EventLog()
        self._work = Work(self._jobs, self._crew, self._exchange, self._events, folder / CACHE_FOLDER)
        self._audience = Audience(wire.send, self._events)
        self._repeats = Repeats()
        self._survey = Survey(folder, wire)
        self._device = Ready("")  # as it was told last
        self._ending: Literal["", "suspend", "cancel"] = ""  # and what becomes of jobs
        self._when_idle = False
        self._abandoned = False

    def stop(self) -> None:
        """Make ``run`` return soon; jobs go on when a backend starts again. From any thread and signal handler."""
        self._ending = self._ending or "suspend"
        self._wire.wake()

    def abandon(self) -> None:
        """Make ``run`` return once there is nothing to do and no client is left; from any thread."""
        self._abandoned = True
        self._wire.wake()

    def run(self) -> None:
        """Serve until stopped or asked to shut down; then stop all jobs, end the workers and close the wire."""
        try:
            self._work.clean_up()
            pause = 0.0
            while not (self._ending or self._is_done()):
                pause = self._turn(pause)
        finally:  # also where a fault of ours ended the loop
            self._work.drain(suspend=self._ending != "cancel")
            self._exchange.end()
            self._audience.part(_FAREWELL_SECONDS)
            self._wire.close()

    def _is_done(self) -> bool:
        if not (self._abandoned or self._when_idle) or not self._jobs.idle:
            return False
        return self._when_idle or not self._audience.somebody_within(_GONE_SECONDS)

    def _turn(self, pause: float) -> float:
        """Returns how many seconds the next may wait for something to happen."""
        received = self._wire.receive(pause)
        if received:
            self._answer(*received)
            self._audience.pump()  # what is accepted is told before anything comes of it
        else:
            self._journal.catch_up()
        self._exchange.come_back()
        act_in = self._work.turn()
        self._introduce()
        self._audience.forget_silent()
        send_in = self._audience.pump()
        return min(wait for wait in (act_in, send_in, _TICK_SECONDS) if wait is not None)

    # Clients

    def _answer(self, client: Peer, request: messages.Request) -> None:
        self._audience.hear(client)
        try:
            self._serve(client, request)
        except (CycloramaError, OSError) as error:
            refused = _refusal(error, request)
            if client in self._audience:
                self._audience.answer(client, lambda: refused)
            else:
                self._wire.send(client, refused)

    def _serve(self, client: Peer, request: messages.Request) -> None:
        if isinstance(request, messages.Goodbye):
            self._audience.leave(client)
        elif isinstance(request, messages.Hello):
            self._welcome(client, request)
        elif client not in self._audience:
            raise CycloramaError(messages.HELLO_FIRST, "The backend was started anew.", "Try again.")
        else:
            self._audience.check_room(client)
            if done := self._repeats.answer(client.guest, request):
                self._tell(client, done)
                return
            self._do(client, request)
            self._repeats.note(client.guest, request)

    def _do(self, client: Peer, request: messages.Request) -> None:
        match request:
            case messages.Generate():
                self._generate(client, request)
            case messages.Cancel():
                self._cancel(client, request)
            case messages.Retry():
                self._retry(client, request)
            case messages.Forget():
                self._forget(client, request)
            case messages.Prioritize():
                self._prioritize(client, request)
            case messages.Shutdown():
                self._shut_down(client, request)
            case messages.Status():
                self._tell_status(client, request)
            case messages.Upload() | messages.Piece():
                self._exchange.store(client.guest, request, lambda reply: self._tell_stored(client, request, reply))
            case messages.Fetch():
                job = self._job_of(client, request.job)
                self._audience.owe_piece(client, _made_of(request, lambda: self._exchange.fetched(job, request)))
            case _:
                self._audience.answer(client, _made_of(request, self._read(client, request)))

    def _read(self, client: Peer, request: messages.Request) -> Callable[[], messages.Reply]:
        """What makes the answer to a request that changes no job, as soon as there is room for it."""
        match request:
            case messages.Recall():
                asked = self._job_of(client, request.job).asked
                return lambda: messages.Recalled(asked=asked)
            case messages.ReadLog():
                own = self._jobs.asked_at(client.guest) if client.guest else None
                return lambda: messages.Log(text=last_lines(self._folder, request.lines, own))
            case messages.Survey():
                _check_own_computer(client, "Only programs on the backend's own computer can look at it.")
                return lambda: self._survey.taken(self._audience.described(), self._crew.described())
            case messages.Browse():
                job = self._job_of(client, request.job)
                return lambda: self._exchange.browse(job)
        return messages.Pong

    def _tell_stored(self, client: Peer, request: messages.Request, reply: messages.Stored | CycloramaError) -> None:
        answer = refusal(reply, "") if isinstance(reply, CycloramaError) else reply
        self._tell(client, msgspec.structs.replace(answer, request=request.request))

    def _welcome(self, client: Peer, request: messages.Hello) -> None:
        _check_protocol(request)
        log.info("Hello from %r%s", request.client, f" of guest {client.guest}" if client.guest else "")
        if client in self._audience:
            self._audience.check_room(client)
        else:
            self._when_idle = False  # somebody new counts on us
        resumed = self._audience.join(client, request.client, request.run, request.heard)
        self._audience.greet(client, lambda: self._introduction(client, resumed, request.request))

    def _introduction(self, client: Peer, resumed: bool, request: str = "") -> messages.Welcome:
        return messages.Welcome(
            request=request,
            protocol=messages.PROTOCOL,
            version=__version__,
            device=self._device.device,
            recipes=RECIPES,
            cuda=self._device.cuda,
            cores=self._device.cores,
            memory_bytes=self._device.memory_bytes,
            guest=client.guest,
            notes=() if client.guest else self._journal.notes,
            run=self._events.run,
            resumed=resumed,
            models=model_states(),
        )

    def _generate(self, client: Peer, request: messages.Generate) -> None:
        for path in (request.panorama, request.output):
            _check_length(path)
        if client.guest:
            _check_priority(client, request.priority)
            self._exchange.check(request, client.guest)
        else:
            _check_path("panorama", request.panorama)
            _check_path("output", request.output)
        self._accept(client, request, *self._jobs.add(request, client.guest))

    def _retry(self, client: Peer, request: messages.Retry) -> None:
        self._job_of(client, request.job)
        job, is_new = self._jobs.retry(request.job)
        if is_new:
            self._exchange.discard(job)
        self._accept(client, request, job, is_new)

    def _cancel(self, client: Peer, request: messages.Cancel) -> None:
        job = self._job_of(client, request.job)
        self._accept(client, request, job)
        self._work.cancel(job)

    def _prioritize(self, client: Peer, request: messages.Prioritize) -> None:
        _check_priority(client, request.priority)
        self._job_of(client, request.job)
        job = self._jobs.prioritize(request.job, request.priority)
        self._accept(client, request, job, is_new=True)

    def _forget(self, client: Peer, request: messages.Forget) -> None:
        self._job_of(client, request.job)
        job = self._jobs.forget(request.job)
        self._tell(client, messages.Accepted(request=request.request, job=job.name))
        self._work.forget(job)

    def _tell_status(self, client: Peer, request: messages.Status) -> None:
        def answer() -> messages.Jobs:
            lines = self._jobs.lines(client.guest, request.job)
            return messages.Jobs(request=request.request, jobs=lines, sequence=self._events.newest)

        self._audience.answer(client, answer)
        for job in self._jobs.running:
            preview = self._work.preview(job)
            if preview and job.name == (request.job or job.name) and client.guest in ("", job.guest):
                self._tell(client, preview)

    def _shut_down(self, client: Peer, request: messages.Shutdown) -> None:
        _check_own_computer(client, "The backend can be ended only on its own computer.")
        self._tell(client, messages.Accepted(request=request.request))
        if request.when_idle:
            self._when_idle = True
        else:
            self._ending = "cancel"

    def _accept(self, client: Peer, request: messages.Request, job: Job, is_new: bool = False) -> None:
        self._tell(client, messages.Accepted(request=request.request, job=job.name))
        if is_new:
            self._work.tell_change(job)
        if job.ending:
            self._tell(client, job.ending)

    def _job_of(self, client: Peer, name: str) -> Job:
        """A job that ``client`` may do something with: guests only with their own."""
        job = self._jobs.find(name)
        if client.guest and client.guest != job.guest:
            raise CycloramaError("job-not-yours", f"Job {name} is somebody else's.", "Ask whoever started it.")
        return job

    def _tell(self, client: Peer, message: messages.Reply | messages.AnyEvent) -> None:
        self._audience.answer(client, lambda: message)

    def _introduce(self) -> None:
        """Tell every client what we compute on, if that is new."""
        found = self._crew.introduction
        if found == self._device or (not found.device and self._device.device):
            return
        self._device = found
        log.info("Device: %s", found.device)
        for client in self._audience:
            self._audience.answer(client, lambda client=client: self._introduction(client, resumed=True))


def _made_of(request: messages.Request, make: Callable[[], messages.Reply]) -> Callable[[], messages.Reply]:
    """What makes the answer to ``request``, or the refusal if that cannot be made."""

    def made() -> messages.Reply:
        try:
            return msgspec.structs.replace(make(), request=request.request)
        except (CycloramaError, OSError) as error:
            return _refusal(error, request)

    return made


def _refusal(error: CycloramaError | OSError, request: messages.Request) -> messages.Refused:
    """A disk that fails us is no reason to end."""
    log.info("Refused: %s", error)
    if isinstance(error, OSError):
        words = error.strerror or type(error).__name__
        error = CycloramaError(
            "disk-fault", f"The backend cannot use its disk: {words}.", "See to that disk, then try again."
        )
    return refusal(error, request.request)


def _check_protocol(hello: messages.Hello) -> None:
    if hello.protocol != messages.PROTOCOL:
        older = "backend" if hello.protocol > messages.PROTOCOL else "add-on"
        raise CycloramaError(
            "protocol-mismatch",
            f"The add-on speaks protocol {hello.protocol}, the backend {messages.PROTOCOL}.",
            f"Update the {older}.",
        )


def _check_own_computer(client: Peer, sentence: str) -> None:
    if client.guest:
        raise CycloramaError("guests-cannot", sentence, "Ask whoever runs it.")


def _check_priority(client: Peer, priority: int) -> None:
    if client.guest and priority > 0:
        raise CycloramaError("guests-cannot", "Guests cannot let their jobs run before others.", "Choose 0 or less.")


def _check_length(path: str) -> None:
    """That the list of all jobs fits in a message, whatever signs guests' paths are of."""
    if len(path.encode()) > _LONGEST_PATH_BYTES:
        raise CycloramaError("path-too-long", f"The path {quotable(path)} is too long.", "Choose a shorter one.")


def _check_path(what: str, path: str) -> None:
    """Absolute, and a path to the operating system at all; the rest is the recipe's to judge."""
    if "\0" in path or not Path(path).is_absolute() or not Path(path).name:
        raise CycloramaError("path-not-absolute", f"The {what} {path!r} is no absolute path of a file.")
