"""The server's main loop: answers clients, hands jobs to the worker, and tells clients what becomes of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from ...bridge import messages
from ...bridge.errors import CycloramaError
from ...bridge.whole_folder import discard_partial
from ...bridge.wire import Peer, Server, refusal
from .. import __version__
from .exchange import Exchange
from .failures import died
from .job import Ending, Job
from .jobs import Jobs
from .journal import Journal
from .log_file import last_lines
from .pipe import FromWorker, Ready
from .recovery import is_made
from .supervisor import WORKER_COMMAND, Ended, Supervisor

RECIPES = ("panorama_to_4d",)

_CANCEL_SECONDS = 5.0  # a job that has not stopped by then is stopped by force
_FAREWELL_SECONDS = 3.0  # longer than the worker's own LAST_SECONDS
_CLIENT_SECONDS = 60.0  # a client silent for so long must say Hello again
_GONE_SECONDS = 10.0  # one silent for so long is not waited for
_TICK_SECONDS = 1.0  # also bounds the wait for a signal that arrives just before the socket is polled

log = logging.getLogger(__name__)


class Front:
    """A backend between its clients and its worker. All but ``stop`` and ``abandon`` belongs to one thread.

    Args:
        wire: where clients come in; closed at the end.
        folder: the backend's.
    """

    def __init__(self, wire: Server, folder: Path, journal: Journal, worker_command: Sequence[str] = WORKER_COMMAND):
        self._wire = wire
        self._folder = folder
        self._worker = Supervisor(folder, self._wire.wake, worker_command)
        self._exchange = Exchange(folder)
        self._jobs = Jobs(journal, lambda job: is_made(self._exchange.output(job), job.started_at))
        self._notes = journal.notes
        self._clients: dict[Peer, float] = {}  # when each was last heard
        self._ready = Ready("")
        self._preview: messages.Preview | None = None  # the newest of the job that runs
        self._kill_at: float | None = None
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
        """Serve until stopped or asked to shut down; then stop all jobs, end the worker and close the socket."""
        try:
            self._clean_up()
            self._start_worker()
            while not (self._ending or self._is_done()):
                self._turn()
        finally:
            self._drain()
            self._wire.close()

    def _clean_up(self) -> None:
        """What jobs that were running left, when the server before us was killed."""
        for job in self._jobs:
            if job.state == "waiting":
                discard_partial(self._exchange.output(job))
        self._exchange.sweep(list(self._jobs))

    def _is_done(self) -> bool:
        if not (self._abandoned or self._when_idle) or not self._jobs.idle:
            return False
        somebody_is_there = any(heard > time.monotonic() - _GONE_SECONDS for heard in self._clients.values())
        return self._when_idle or not somebody_is_there

    def _turn(self) -> None:
        received = self._wire.receive(_TICK_SECONDS)
        if received:
            self._answer(*received)
        while heard := self._worker.take():
            self._hear_worker(heard)
        self._start_next()
        self._kill_if_overdue()
        self._forget_clients()

    # Clients

    def _answer(self, client: Peer, request: messages.Request) -> None:
        try:
            self._serve(client, request)
        except CycloramaError as error:
            log.info("Refused: %s", error)
            self._wire.send(client, refusal(error, request.request))

    def _serve(self, client: Peer, request: messages.Request) -> None:
        if isinstance(request, messages.Goodbye):
            self._clients.pop(client, None)
            return
        if not isinstance(request, messages.Hello) and client not in self._clients:
            raise CycloramaError(messages.HELLO_FIRST, "The backend was started anew.", "Try again.")
        match request:
            case messages.Hello():
                self._welcome(client, request)
            case messages.Generate():
                self._generate(client, request)
            case messages.Cancel():
                self._cancel(client, request)
            case messages.Retry():
                self._retry(client, request)
            case messages.Forget():
                self._forget(client, request)
            case messages.Status():
                self._tell_status(client, request)
            case messages.Shutdown():
                self._shut_down(client, request)
            case _:
                self._wire.send(client, self._read(client, request))
        self._clients[client] = time.monotonic()

    def _read(self, client: Peer, request: messages.Request) -> messages.Reply:
        """The answer to a request that changes no job."""
        match request:
            case messages.Recall():
                return messages.Recalled(request=request.request, asked=self._job_of(client, request.job).asked)
            case messages.ReadLog():
                return messages.Log(request=request.request, text=last_lines(self._folder, request.lines))
            case messages.Upload():
                return _answering(request, self._exchange.inputs.offer(request.file, request.size))
            case messages.Piece():
                return _answering(request, self._exchange.inputs.write(request.file, request.offset, request.content))
            case messages.Browse():
                return _answering(request, self._exchange.browse(self._job_of(client, request.job)))
            case messages.Fetch():
                job = self._job_of(client, request.job)
                content = self._exchange.read(job, request.name, request.offset, request.length)
                return messages.Fetched(request=request.request, content=content)
        return messages.Pong(request=request.request)

    def _welcome(self, client: Peer, request: messages.Hello) -> None:
        _check_protocol(request)
        log.info("Hello from %r%s", request.client, f" of guest {client.guest}" if client.guest else "")
        if client not in self._clients:
            self._when_idle = False  # somebody new counts on us
        self._wire.send(client, self._introduction(client, request.request))

    def _introduction(self, client: Peer, request: str = "") -> messages.Welcome:
        return messages.Welcome(
            request=request,
            protocol=messages.PROTOCOL,
            version=__version__,
            device=self._ready.device,
            recipes=RECIPES,
            cuda=self._ready.cuda,
            cores=self._ready.cores,
            memory_bytes=self._ready.memory_bytes,
            guest=client.guest,
            notes=self._notes,
        )

    def _generate(self, client: Peer, request: messages.Generate) -> None:
        if client.guest:
            self._exchange.check(request)
        else:
            _check_path("panorama", request.panorama)
            _check_path("output", request.output)
        self._accept(client, request.request, *self._jobs.add(request, client.guest))

    def _retry(self, client: Peer, request: messages.Retry) -> None:
        self._job_of(client, request.job)
        job, is_new = self._jobs.retry(request.job)
        if is_new:
            self._exchange.forget(job)
        self._accept(client, request.request, job, is_new)

    def _cancel(self, client: Peer, request: messages.Cancel) -> None:
        job = self._job_of(client, request.job)
        self._accept(client, request.request, job)
        if job.state == "waiting":
            self._end(job, messages.Cancelled(job=job.name))
        elif job.state == "running":
            job.cancelling = True
            self._stop_running(job)
            self._kill_at = self._kill_at or time.monotonic() + _CANCEL_SECONDS

    def _forget(self, client: Peer, request: messages.Forget) -> None:
        self._job_of(client, request.job)
        job = self._jobs.forget(request.job)
        self._wire.send(client, messages.Accepted(request=request.request, job=job.name))
        self._forgotten(job)

    def _forgotten(self, job: Job) -> None:
        self._exchange.forget(job)
        self._tell_all(messages.Forgotten(job=job.name))

    def _tell_status(self, client: Peer, request: messages.Status) -> None:
        lines = tuple(job.described() for job in self._jobs)
        self._wire.send(client, messages.Jobs(request=request.request, jobs=lines))
        if self._preview:
            self._wire.send(client, self._preview)

    def _shut_down(self, client: Peer, request: messages.Shutdown) -> None:
        if client.guest:
            raise CycloramaError(
                "guests-cannot", "The backend can be ended only on its own computer.", "Ask whoever runs it."
            )
        self._wire.send(client, messages.Accepted(request=request.request))
        if request.when_idle:
            self._when_idle = True
        else:
            self._ending = "cancel"

    def _accept(self, client: Peer, request: str, job: Job, is_new: bool = False) -> None:
        self._wire.send(client, messages.Accepted(request=request, job=job.name))
        if is_new:
            self._tell_change(job)
        if job.ending:
            self._wire.send(client, job.ending)

    def _job_of(self, client: Peer, name: str) -> Job:
        """A job that ``client`` may do something with: guests only with their own."""
        job = self._jobs.find(name)
        if client.guest and client.guest != job.guest:
            raise CycloramaError("job-not-yours", f"Job {name} is somebody else's.", "Ask whoever started it.")
        return job

    def _tell_all(self, event: messages.Event) -> None:
        for client in self._clients:
            self._wire.send(client, event)

    def _tell_change(self, job: Job) -> None:
        self._tell_all(messages.Changed(state=job.described()))

    def _forget_clients(self) -> None:
        oldest = time.monotonic() - _CLIENT_SECONDS
        self._clients = {client: heard for client, heard in self._clients.items() if heard > oldest}

    # The worker

    def _start_worker(self) -> str:
        """Returns why it cannot be started, or ""."""
        try:
            self._worker.start()
        except OSError as error:
            log.error("The worker cannot be started: %s", error)
            return error.strerror or str(error)
        return ""

    def _start_next(self) -> None:
        job = self._jobs.start_next()
        if job is None:
            return
        log.info("Job %s starts", job.name)
        self._tell_change(job)
        fault = self._start_worker()
        if fault:
            self._end(job, died(job.asked, "", fault, False))
            return
        try:
            self._exchange.prepare(job)
            self._worker.tell(self._exchange.task(job))
        except CycloramaError as error:
            failed = messages.Failed(job=job.name, code=error.code, sentence=error.sentence, hint=error.hint)
            self._end(job, failed)

    def _stop_running(self, job: Job) -> None:
        self._worker.tell(messages.Cancel(job=job.name))

    def _hear_worker(self, heard: FromWorker | Ended) -> None:
        job = self._jobs.running
        if isinstance(heard, Ready):
            self._introduce(heard)
        elif isinstance(heard, Ended):
            self._worker_ended(heard, job)
        elif job is None or heard.job != job.name:
            log.warning("The worker speaks of job %s, which does not run", heard.job)
        elif isinstance(heard, messages.Progress):
            job.hear(heard)
            self._tell_all(heard)
        elif isinstance(heard, messages.Preview):
            self._preview = heard
            self._tell_all(heard)
        else:
            self._end(job, heard)

    def _worker_ended(self, ended: Ended, job: Job | None) -> None:
        log.log(logging.INFO if self._ending else logging.ERROR, "The worker ended (%s)", ended.how)
        if job:
            discard_partial(self._exchange.output(job))  # the worker could not do it
            cancelled = job.cancelling or self._ending
            failed = died(job.asked, job.stage, ended.how, ended.system_was_out_of_memory)
            self._end(job, messages.Cancelled(job=job.name) if cancelled else failed)
        if not self._ready.device and not (self._ending or self._is_done()):
            self._introduce(Ready("the worker process does not start; see backend.log"))

    def _introduce(self, ready: Ready) -> None:
        """Tell every client what we compute on."""
        self._ready = ready
        log.info("Device: %s", ready.device)
        for client in self._clients:
            self._wire.send(client, self._introduction(client))

    def _end(self, job: Job, ending: Ending) -> None:
        if job.state == "running":
            self._kill_at = self._preview = None
        if isinstance(ending, messages.Cancelled) and self._ending == "suspend" and not job.cancelling:
            log.info("Job %s is stopped and waits for the next start", job.name)
            self._jobs.suspend(job)
            self._tell_change(job)
            return
        log.info("Job %s ends: %s", job.name, ending)
        forgotten = self._jobs.end(job, ending)
        self._tell_change(job)
        assert job.ending
        self._tell_all(job.ending)
        for old in forgotten:
            self._forgotten(old)

    def _kill_if_overdue(self) -> None:
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            log.warning("The worker does not stop; it is killed")
            self._worker.kill()

    # The end

    def _drain(self) -> None:
        """Stop every job, for ever or until the next start, and end the worker, by force if it takes too long."""
        self._ending = self._ending or "suspend"  # also where a fault of ours ended the loop
        for job in self._jobs:
            if job.state == "waiting" and self._ending == "cancel":
                self._end(job, messages.Cancelled(job=job.name))
        if self._jobs.running:
            self._stop_running(self._jobs.running)
        self._worker.dismiss()
        deadline = time.monotonic() + _FAREWELL_SECONDS
        while self._worker.alive:
            heard = self._worker.take(timeout=0.1)
            if heard:
                self._hear_worker(heard)
            if time.monotonic() > deadline:
                self._worker.kill()


def _answering(request: messages.Request, reply: messages.Reply) -> messages.Reply:
    return msgspec.structs.replace(reply, request=request.request)


def _check_protocol(hello: messages.Hello) -> None:
    if hello.protocol != messages.PROTOCOL:
        older = "backend" if hello.protocol > messages.PROTOCOL else "add-on"
        raise CycloramaError(
            "protocol-mismatch",
            f"The add-on speaks protocol {hello.protocol}, the backend {messages.PROTOCOL}.",
            f"Update the {older}.",
        )


def _check_path(what: str, path: str) -> None:
    """Absolute, and a path to the operating system at all; the rest is the recipe's to judge."""
    if "\0" in path or not Path(path).is_absolute() or not Path(path).name:
        raise CycloramaError("path-not-absolute", f"The {what} {path!r} is no absolute path of a file.")
