"""The server's main loop: answers clients, hands jobs to the worker, and tells clients what becomes of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from ...bridge import messages
from ...bridge.address import Keys
from ...bridge.errors import CycloramaError
from ...bridge.whole_folder import discard_partial
from ...bridge.wire import Server, refusal
from .. import __version__
from .jobs import Ending, Job, Jobs
from .pipe import FromWorker, Ready
from .supervisor import WORKER_COMMAND, Ended, Supervisor, died

RECIPES = ("panorama_to_4d",)

_CANCEL_SECONDS = 5.0  # a job that has not stopped by then is stopped by force
_FAREWELL_SECONDS = 3.0  # longer than the worker's own LAST_SECONDS
_CLIENT_SECONDS = 60.0  # a client silent for so long must say Hello again
_TICK_SECONDS = 1.0  # also bounds the wait for a signal that arrives just before the socket is polled

log = logging.getLogger(__name__)


class Front:
    """A backend between its clients and its worker. All but ``stop`` belongs to one thread.

    Raises:
        CycloramaError: see ``Server``.
    """

    def __init__(self, folder: Path, keys: Keys, port: int = 0, worker_command: Sequence[str] = WORKER_COMMAND):
        self._wire = Server(keys, port)
        self.endpoint = self._wire.endpoint
        self._worker = Supervisor(folder, self._wire.wake, worker_command)
        self._jobs = Jobs()
        self._clients: dict[bytes, float] = {}  # when each was last heard
        self._device = ""
        self._kill_at: float | None = None
        self._stopping = False

    def stop(self) -> None:
        """Make ``run`` return soon; from any thread and from signal handlers."""
        self._stopping = True
        self._wire.wake()

    def run(self) -> None:
        """Serve until stopped or asked to shut down; then cancel all jobs, end the worker and close the socket."""
        try:
            self._worker.start()
            while not self._stopping:
                self._turn()
        finally:
            self._drain()
            self._wire.close()

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

    def _answer(self, client: bytes, request: messages.Request) -> None:
        try:
            self._serve(client, request)
        except CycloramaError as error:
            log.info("Refused: %s", error)
            self._wire.send(client, refusal(error, request.request))

    def _serve(self, client: bytes, request: messages.Request) -> None:
        if not isinstance(request, messages.Hello) and client not in self._clients:
            raise CycloramaError(messages.HELLO_FIRST, "The backend was started anew.", "Try again.")
        match request:
            case messages.Hello():
                _check_protocol(request)
                log.info("Hello from %r", request.client)
                self._wire.send(client, self._welcome(request.request))
            case messages.Ping():
                self._wire.send(client, messages.Pong(request=request.request))
            case messages.Status():
                jobs = tuple(job.described() for job in self._jobs)
                self._wire.send(client, messages.Jobs(request=request.request, jobs=jobs))
            case messages.Generate():
                self._generate(client, request)
            case messages.Cancel():
                self._cancel(client, request)
            case messages.Shutdown():
                self._wire.send(client, messages.Accepted(request=request.request))
                self._stopping = True
        self._clients[client] = time.monotonic()

    def _welcome(self, request: str = "") -> messages.Welcome:
        return messages.Welcome(
            request=request,
            protocol=messages.PROTOCOL,
            version=__version__,
            device=self._device,
            recipes=RECIPES,
        )

    def _generate(self, client: bytes, request: messages.Generate) -> None:
        _check_path("panorama", request.panorama)
        _check_path("output", request.output)
        job = self._jobs.add(request, client)
        self._accept(client, request.request, job)

    def _cancel(self, client: bytes, request: messages.Cancel) -> None:
        job = self._jobs.find(request.job)
        self._accept(client, request.request, job)
        if job.state == "waiting":
            self._end(job, messages.Cancelled(job=job.name))
        elif job.state == "running":
            self._stop_job(job)
            self._kill_at = self._kill_at or time.monotonic() + _CANCEL_SECONDS

    def _accept(self, client: bytes, request: str, job: Job) -> None:
        self._wire.send(client, messages.Accepted(request=request, job=job.name))
        if job.ending:
            self._wire.send(client, job.ending)

    def _forget_clients(self) -> None:
        oldest = time.monotonic() - _CLIENT_SECONDS
        self._clients = {client: heard for client, heard in self._clients.items() if heard > oldest}

    # The worker

    def _start_next(self) -> None:
        job = self._jobs.start_next()
        if job:
            log.info("Job %s starts", job.name)
            self._worker.start()
            self._worker.tell(job.asked)

    def _stop_job(self, job: Job) -> None:
        job.cancelling = True
        self._worker.tell(messages.Cancel(job=job.name))

    def _hear_worker(self, heard: FromWorker | Ended) -> None:
        job = self._jobs.running
        if isinstance(heard, Ready):
            self._introduce(heard.device)
        elif isinstance(heard, Ended):
            self._worker_ended(heard, job)
        elif job is None or heard.job != job.name:
            log.warning("The worker speaks of job %s, which does not run", heard.job)
        elif isinstance(heard, messages.Progress):
            job.progress = heard
            self._wire.send(job.client, heard)
        elif isinstance(heard, messages.Preview):
            self._wire.send(job.client, heard)
        else:
            self._end(job, heard)

    def _worker_ended(self, ended: Ended, job: Job | None) -> None:
        log.log(logging.INFO if self._stopping else logging.ERROR, "The worker ended (%s)", ended.how)
        if job:
            discard_partial(Path(job.asked.output))  # the worker could not do it
            cancelled = messages.Cancelled(job=job.name)
            self._end(job, cancelled if job.cancelling else died(job.name, job.stage, ended.how))
        if not self._device and not self._stopping:
            self._introduce("the worker process does not start; see backend.log")

    def _introduce(self, device: str) -> None:
        """Tell every client what we compute on."""
        self._device = device
        log.info("Device: %s", device)
        for client in self._clients:
            self._wire.send(client, self._welcome())

    def _end(self, job: Job, ending: Ending) -> None:
        log.info("Job %s ends: %s", job.name, ending)
        if job.state == "running":
            self._kill_at = None
        self._jobs.end(job, ending)
        self._wire.send(job.client, ending)

    def _kill_if_overdue(self) -> None:
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            log.warning("The worker does not stop; it is killed")
            self._worker.kill()

    # The end

    def _drain(self) -> None:
        """Cancel every job and end the worker, by force if it takes too long."""
        for job in self._jobs:
            if job.state == "waiting":
                self._end(job, messages.Cancelled(job=job.name))
        if self._jobs.running:
            self._stop_job(self._jobs.running)
        self._worker.dismiss()
        deadline = time.monotonic() + _FAREWELL_SECONDS
        while self._worker.alive:
            heard = self._worker.take(timeout=0.1)
            if heard:
                self._hear_worker(heard)
            if time.monotonic() > deadline:
                self._worker.kill()


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
