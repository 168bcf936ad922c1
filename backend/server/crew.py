"""The worker processes, one for each device: started when they are needed, given jobs, and ended."""

from __future__ import annotations

import logging
import queue
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil

from ...bridge import messages
from .device import Seat
from .job import Job
from .pipe import FromWorker, Ready
from .supervisor import Ended, Supervisor

SEAT_VARIABLE = "CYCLORAMA_SEAT"
"""Tells a worker process the number of its seat."""

CANCEL_SECONDS = 0.25
"""A job on the processor that has not stopped by then is stopped by force: a worker is quickly replaced.

Half of the half second that is promised; the system needs the rest to end a process and take its memory back."""

CANCEL_SECONDS_CUDA = 5.0
"""The same on a GPU: the models in its memory are worth waiting for."""

_MOST_FALSE_STARTS = 5  # in a row; then nothing is started without a job
_LONGEST_PAUSE = 60.0  # seconds between two of them
_FAREWELL_SECONDS = 3.0  # longer than the worker's own LAST_SECONDS

log = logging.getLogger(__name__)


@dataclass
class Worker:
    """A seat and what happens there."""

    seat: Seat
    process: Supervisor
    ready: Ready | None = None
    """As it introduced itself; None while it starts."""
    job: Job | None = None
    kill_at: float | None = None
    used: bool = False
    """Whether the process was given a job."""
    false_starts: int = 0
    """How often in a row a process ended before it was given one."""
    try_at: float = 0.0
    """When it may be started again, if there are others."""
    trouble: str = ""
    """How it ended the last time it did."""

    @property
    def device(self) -> str:
        """In words; "" while it is not known."""
        return self.ready.device if self.ready else ""


class Crew:
    """All workers. All but ``wake`` is for the server's thread.

    Args:
        seats: where they run.
        wake: called, from another thread, when there is something to ``take``.
        command: what starts a worker process.
        environment: what else it is told.
    """

    def __init__(
        self, seats: Sequence[Seat], wake: Callable[[], None], command: Sequence[str], environment: Mapping[str, str]
    ):
        self._wake = wake
        self._said: queue.SimpleQueue[tuple[Worker, FromWorker | Ended]] = queue.SimpleQueue()
        self._settled = False
        self.workers = tuple(self._worker(seat, command, environment) for seat in seats)

    def start(self, wanted: bool) -> None:
        """Have a process at each seat, where it failed before after a pause only.

        Args:
            wanted: whether a job waits: then one is started at once if there is no other, and after many failures too.
        """
        now, urgent = time.monotonic(), wanted and self.hopeless
        for worker in self.workers:
            is_time = now >= worker.try_at and (wanted or worker.false_starts < _MOST_FALSE_STARTS)
            if not worker.process.pid and (urgent or is_time):
                self._start(worker)

    @property
    def settled(self) -> bool:
        """Whether each seat's process was ready or failed to start: none of an earlier server's is at work then."""
        self._settled = self._settled or all(worker.ready or worker.false_starts for worker in self.workers)
        return self._settled

    @property
    def introduction(self) -> Ready:
        """What all that are ready compute on."""
        ready = [worker.ready for worker in self.workers if worker.ready]
        if not ready:
            return Ready("the worker process does not start; see backend.log" if self.trouble else "")
        counts = Counter(each.device for each in ready)
        words = ", ".join(f"{count} x {name}" if count > 1 else name for name, count in counts.items())
        return Ready(words, ready[0].cuda, ready[0].cores, min(each.memory_bytes for each in ready))

    @property
    def trouble(self) -> str:
        """How the last attempt to start a process failed, if none is there any more; else ""."""
        return self.workers[-1].trouble if self.hopeless else ""

    @property
    def given_up(self) -> bool:
        """Whether it cannot be helped: none is there, and each failed to start more than once."""
        return self.hopeless and all(worker.false_starts > 1 for worker in self.workers)

    @property
    def idle(self) -> list[Worker]:
        """Those that are ready for a job; one that was just killed is not: the job would get the blame."""
        return [worker for worker in self.workers if worker.ready and worker.job is None and not worker.process.dying]

    @property
    def hopeless(self) -> bool:
        """Whether none is there, or on its way."""
        return not any(worker.process.pid for worker in self.workers)

    def give(self, worker: Worker, job: Job, task: messages.Generate) -> None:
        """Have an idle one do a job. ``task``: the job as the worker is to understand it."""
        worker.job, worker.kill_at, worker.false_starts, worker.used = job, None, 0, True
        worker.process.give(task)

    def rest(self, job: Job) -> None:
        """Whoever did this job, or was to do it, has none now."""
        for worker in self.workers:
            if worker.job is job:
                worker.job = worker.kill_at = None
                worker.process.rest()

    def cancel(self, job: Job) -> None:
        """Have it stopped, soon by force."""
        for worker in self.workers:
            if worker.job is job:
                worker.process.send(messages.Cancel(job=job.name))
                patience = CANCEL_SECONDS_CUDA if worker.ready and worker.ready.cuda else CANCEL_SECONDS
                worker.kill_at = worker.kill_at or time.monotonic() + patience

    def kill_overdue(self) -> float | None:
        """End those that did not stop in time. Seconds until the next has to; None: none has to."""
        now, waits = time.monotonic(), []
        for worker in self.workers:
            if worker.kill_at is not None and worker.kill_at <= now:
                log.warning("The worker does not stop; it is killed", extra=_of(worker))
                worker.kill_at = None
                worker.process.kill()
            elif worker.kill_at is not None:
                waits.append(worker.kill_at - now)
        return min(waits, default=None)

    def take(self, timeout: float = 0.0) -> tuple[Worker, FromWorker | Ended] | None:
        """The next thing one of them said, or that it ended; None when there is nothing within ``timeout`` seconds."""
        try:
            worker, said = self._said.get(timeout=timeout) if timeout > 0 else self._said.get_nowait()
        except queue.Empty:
            return None
        if isinstance(said, Ready):
            worker.ready = said
            self._retire_without_device(worker)
        elif isinstance(said, Ended):
            self._ended(worker, said.how)
        return worker, said

    def drain(self, hear: Callable[[Worker, FromWorker | Ended], None]) -> None:
        """End all processes, by force if it takes too long, and hear what they still say."""
        for worker in self.workers:
            if worker.job:
                worker.process.send(messages.Cancel(job=worker.job.name))
            worker.process.dismiss()
        deadline = time.monotonic() + _FAREWELL_SECONDS
        while not self.hopeless:
            said = self.take(timeout=0.1)
            if said:
                hear(*said)
            if time.monotonic() > deadline:
                for worker in self.workers:
                    worker.process.kill()

    def described(self) -> tuple[messages.WorkerState, ...]:
        """The processes and what they cost."""
        return tuple(
            messages.WorkerState(
                device=worker.device,
                pid=worker.process.pid,
                memory_bytes=memory_bytes(worker.process.pid),
                job=worker.job.name if worker.job else "",
            )
            for worker in self.workers
            if worker.process.pid
        )

    def _worker(self, seat: Seat, command: Sequence[str], environment: Mapping[str, str]) -> Worker:
        def hear(said: FromWorker | Ended) -> None:
            self._said.put((worker, said))
            self._wake()

        own = {**environment, **seat.environment, SEAT_VARIABLE: str(seat.number)}
        worker = Worker(seat, Supervisor(hear, command, own))
        return worker

    def _start(self, worker: Worker) -> None:
        worker.used = False
        try:
            worker.process.start()
        except OSError as error:
            log.error("The worker cannot be started: %s", error)
            _failed_to_start(worker, error.strerror or str(error))

    def _ended(self, worker: Worker, how: str) -> None:
        if worker.used:
            worker.trouble = how
        else:
            _failed_to_start(worker, how)
        worker.ready = worker.kill_at = None
        worker.process.forget()

    def _retire_without_device(self, worker: Worker) -> None:
        """A GPU that the driver lists and CUDA does not have is no seat; the last one stays, on the processor."""
        assert worker.ready
        if worker.seat.environment and not worker.ready.cuda and len(self.workers) > 1:
            log.warning("Seat %d has no GPU; it is left empty", worker.seat.number)
            self.workers = tuple(other for other in self.workers if other is not worker)
            worker.ready = None
            worker.process.dismiss()


def _failed_to_start(worker: Worker, how: str) -> None:
    worker.false_starts += 1
    worker.trouble = how
    worker.try_at = time.monotonic() + min(2.0 ** (worker.false_starts - 1), _LONGEST_PAUSE)


def memory_bytes(process: int) -> int:
    """What a process of ours takes; 0 when it has ended."""
    try:
        return psutil.Process(process).memory_info().rss
    except psutil.Error:
        return 0


def _of(worker: Worker) -> dict[str, str]:
    return {"job": worker.job.name} if worker.job else {}
