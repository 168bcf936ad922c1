"""Jobs at work: given to worker processes that are free, followed, and brought to an end whatever happens to those."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from ...bridge import messages
from ...bridge.errors import CycloramaError
from ...bridge.whole_folder import discard_partial
from ..stage_cache import release, release_others
from .crew import Crew, Worker
from .events import EventLog
from .exchange import Exchange
from .failures import OUT_OF_MEMORY, died, failure, not_started
from .job import Ending, Job
from .jobs import Jobs
from .pipe import FromWorker, Ready
from .recovery import is_made, same_place, scene_digest
from .supervisor import Ended

MOST_DEATHS = 2
"""When so many worker processes have ended under a job, it has failed."""

_PAUSE_SECONDS = 1.0
"""Between two attempts to write down that a job starts, on a full disk say."""

log = logging.getLogger(__name__)


class Work:
    """All of it is for the server's thread.

    Args:
        events: where everything that happens to jobs is told.
        cache: folder of the stage cache.
    """

    def __init__(self, jobs: Jobs, crew: Crew, exchange: Exchange, events: EventLog, cache: Path):
        self._jobs, self._crew, self._exchange, self._events = jobs, crew, exchange, events
        self._cache = cache
        self._disk = ThreadPoolExecutor(1, "cache")  # so that the server's loop does not wait for the disk
        self._releases: dict[str, Future[None]] = {}  # of jobs that ended just now
        self._previews: dict[str, messages.Preview] = {}  # the newest of each job that runs
        self._settled = self._suspending = self._draining = False
        self._not_before = 0.0  # when a job may be started again; 0: at any time

    def clean_up(self) -> None:
        """What jobs that are forgotten left."""
        self._exchange.sweep(list(self._jobs))
        release_others(self._cache, {job.name for job in self._jobs if not job.ending})

    def turn(self) -> float | None:
        """Take a step. Seconds until the next is needed, if nothing happens; None: none is."""
        while said := self._crew.take():
            self._hear(*said)
        self._start_jobs()
        return self._crew.kill_overdue()

    def preview(self, job: Job) -> messages.Preview | None:
        """The newest of a job that runs."""
        return self._previews.get(job.name)

    def cancel(self, job: Job) -> None:
        """Stop it, waiting or running; it is told when it has."""
        if job.state == "waiting":
            self._end(job, messages.Cancelled(job=job.name))
        elif job.state == "running":
            job.cancelling = True
            self._crew.cancel(job)

    def tell_change(self, job: Job) -> None:
        """This is how it stands now."""
        self._events.add(messages.Changed(state=self._jobs.described(job)), job.guest)

    def forget(self, job: Job) -> None:
        """It is off the list."""
        self._releases.pop(job.name, None)
        self._exchange.forget(job)
        self._events.add(messages.Forgotten(job=job.name), job.guest)

    def drain(self, suspend: bool) -> None:
        """Stop every job, for ever or until the next start, and end the workers, by force if it takes too long."""
        self._draining, self._suspending = True, suspend
        if not suspend:
            for job in self._jobs.waiting:
                self._end(job, messages.Cancelled(job=job.name))
        self._crew.drain(self._hear)
        self._disk.shutdown()

    def _start_jobs(self) -> None:
        """Have worker processes, and give jobs to those that are ready."""
        is_wanted = bool(self._jobs.waiting)
        self._crew.start(is_wanted)
        if is_wanted and self._crew.given_up:  # not even a process could be made
            self._fail_next()
        if not self._settled and self._crew.settled:
            self._settled = True
            self._take_over()
        if not is_wanted or not self._settled or time.monotonic() < self._not_before:
            return
        for worker in self._crew.idle:
            if not self._give_job(worker):
                return

    def _take_over(self) -> None:
        """What an earlier server's workers left, the last of which may have ended just now."""
        for job in self._jobs:
            if job.state != "done":
                discard_partial(self._exchange.output(job))
            if job.state == "waiting" and job.starts and is_made(self._exchange.output(job), job.scene_before):
                self._end(job, messages.Done(job=job.name, scene=job.asked.output, seconds={}, peak_bytes=0))

    def _give_job(self, worker: Worker) -> bool:
        """Whether there was one."""
        taken = {same_place(self._exchange.output(job)) for job in self._jobs.running}
        try:
            job = self._jobs.start_next(
                worker.device,
                lambda job: same_place(self._exchange.output(job)) not in taken,
                lambda job: scene_digest(self._exchange.output(job)),
            )
        except CycloramaError as error:
            self._postpone(error)
            return False
        self._not_before = 0.0
        if job is None:
            return False
        log.info("Job %s starts", job.name, extra={"job": job.name})
        if job.name in self._releases:  # it is tried again: what it takes from now on is not to be released
            wait([self._releases.pop(job.name)])
        self.tell_change(job)
        try:
            self._exchange.prepare(job)
            self._crew.give(worker, job, self._exchange.task(job))
        except (CycloramaError, OSError) as error:
            log.error("Job %s cannot be given to a worker: %r", job.name, error, extra={"job": job.name})
            self._end(job, failure(job.asked, error))
        return True

    def _postpone(self, error: CycloramaError) -> None:
        """No job can be started, because that could not be written down."""
        if not self._not_before:
            log.error("Jobs wait: %s", error)
            self.tell_change(self._jobs.waiting[0])
        self._not_before = time.monotonic() + _PAUSE_SECONDS

    def _fail_next(self) -> None:
        job = self._jobs.waiting[0]
        self._end(job, not_started(job.asked, self._crew.trouble))

    def _hear(self, worker: Worker, said: FromWorker | Ended) -> None:
        job = worker.job
        if isinstance(said, Ready):
            return  # the crew knows
        if isinstance(said, Ended):
            self._worker_ended(said, job)
        elif job is None or said.job != job.name:
            log.warning("A worker speaks of job %s, which it was not given", said.job)
        elif isinstance(said, messages.Progress):
            self._jobs.hear(said)
            self._events.add(said, job.guest)
        elif isinstance(said, messages.Preview):
            self._previews[job.name] = said
            self._events.add(said, job.guest)
        else:
            self._end(job, said)

    def _worker_ended(self, ended: Ended, job: Job | None) -> None:
        level = logging.INFO if self._draining or (job and job.cancelling) else logging.ERROR
        log.log(level, "The worker ended (%s)", ended.how, extra={"job": job.name} if job else None)
        if job:
            discard_partial(self._exchange.output(job))  # the worker could not do it
            self._go_on_after(ended, job)
        elif self._crew.given_up and self._jobs.waiting and not self._draining:
            self._fail_next()

    def _go_on_after(self, ended: Ended, job: Job) -> None:
        """A worker process ended under a job: done already, cancelled, tried once more, or failed."""
        if is_made(self._exchange.output(job), job.scene_before):
            self._end(job, messages.Done(job=job.name, scene=job.asked.output, seconds={}, peak_bytes=0))
        elif job.cancelling or self._draining:
            self._end(job, messages.Cancelled(job=job.name))
        else:
            deaths = job.deaths + 1
            failed = died(job.asked, job.stage, ended.how, ended.system_was_out_of_memory, deaths)
            if failed.code == OUT_OF_MEMORY or deaths >= MOST_DEATHS:
                self._end(job, failed)
            else:
                self._leave(job)
                self._jobs.try_again(job, f"{failed.sentence} It goes on from the stages that were done.")
                self.tell_change(job)

    def _end(self, job: Job, ending: Ending) -> None:
        self._leave(job)
        if isinstance(ending, messages.Cancelled) and self._suspending and not job.cancelling:
            log.info("Job %s is stopped and waits for the next start", job.name, extra={"job": job.name})
            self._jobs.suspend(job)
            self.tell_change(job)
            return
        log.info("Job %s ends: %s", job.name, ending, extra={"job": job.name})
        forgotten = self._jobs.end(job, ending)
        self._releases[job.name] = self._disk.submit(release, self._cache, job.name)
        self.tell_change(job)
        assert job.ending
        self._events.add(job.ending, job.guest)
        for old in forgotten:
            self.forget(old)

    def _leave(self, job: Job) -> None:
        self._crew.rest(job)
        self._previews.pop(job.name, None)
