"""Jobs whose files travel, because the backend is on another computer."""

from __future__ import annotations

from pathlib import Path

from ...bridge.client import Client
from ...bridge.messages import Generate
from .job import Job
from .job_list import JobList
from .journey import Journey

_CUT = ("backend-silent", "backend-unreachable")
"""Errors of a connection that comes back."""


class Travel:
    """All journeys of the jobs in ``jobs``; look at them often."""

    def __init__(self, jobs: JobList):
        self._jobs = jobs
        self._journeys: dict[str, Journey] = {}

    def send(self, client: Client, job: Job) -> None:
        """Send its files, and then what was asked for."""
        if job.asked:
            job.state, job.fraction = "sending", 0.0
            self._journeys[job.name] = Journey.up(client, job.asked)

    def stop(self, job: Job) -> None:
        """Its files need not travel any more."""
        if journey := self._journeys.pop(job.name, None):
            journey.stop()

    def stop_all(self) -> None:
        """None needs to."""
        while self._journeys:
            self._journeys.popitem()[1].stop()

    def look(self, client: Client) -> None:
        """Take in what has arrived; fetch what is finished."""
        for name, journey in list(self._journeys.items()):
            job = self._jobs.get(name)
            if job is None or journey.over:
                self._journeys.pop(name).stop()
            if job:
                _take_in(job, journey, client)
                self._jobs.touch()
        for job in self._jobs.active:
            if job.state == "fetching" and job.name not in self._journeys:
                job.fraction = 0.0
                self._journeys[job.name] = Journey.down(client, job.name, Path(job.output))


def _take_in(job: Job, journey: Journey, client: Client) -> None:
    job.fraction = journey.fraction
    if not journey.over:
        return
    if isinstance(journey.arrived, Generate):
        client.send(journey.arrived)
        job.state, job.pending, job.fraction = "waiting", "", 0.0
    elif journey.arrived:
        job.state, job.package, job.fraction = "done", journey.arrived, 1.0
    elif journey.error and journey.error.code not in _CUT:
        job.fail(journey.error)
    elif job.state == "sending":
        job.state = "starting"  # goes on when there is a connection
