"""The order in which waiting jobs run, and how to change it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ...bridge.messages import PRIORITIES, JobState
from .job import Job

Where = Literal["FIRST", "LAST"]

_GUESTS_MOST = 0
"""Guests cannot be put before the people whose computer it is."""


class Queue:
    """Names of waiting jobs in the order they run.

    Only the backend knows it (people take turns), and it tells the place of one job at a time, or of all; here the
    others are moved up and down accordingly.
    """

    def __init__(self):
        self._names: list[str] = []

    def __iter__(self):
        return iter(self._names)

    def set_all(self, told: Iterable[JobState]) -> None:
        """The backend told all its jobs."""
        waiting = sorted((state for state in told if state.state == "waiting"), key=lambda state: state.place)
        self._names = [state.job for state in waiting]

    def put(self, name: str, place: int) -> None:
        """A job waits there, 1 being the first; 0: last."""
        if 0 < place <= len(self._names) and self._names[place - 1] == name:
            return
        self.remove(name)
        self._names.insert(place - 1 if place else len(self._names), name)

    def remove(self, name: str) -> None:
        """A job does not wait any more."""
        if name in self._names:
            self._names.remove(name)


def priority_for(job: Job, where: Where, places: dict[str, int], jobs: Iterable[Job], *, guest: bool) -> int | None:
    """The priority with which ``job`` runs before (or after) the others of ``jobs`` that wait.

    Where as many jobs were put first as there are priorities, it comes among those of the highest.

    Args:
        places: of all that wait, from 1 on.
        guest: whether we are one.

    Returns:
        None where it does already, or no priority would change its place.
    """
    others = [other.priority for other in jobs if other.name in places and other is not job]
    if job.name not in places or job.locked or not others:
        return None
    least, most = PRIORITIES[0], _GUESTS_MOST if guest else PRIORITIES[1]
    if where == "FIRST":
        wish = min(max(others) + 1, most)
        return wish if wish > job.priority and places[job.name] > 1 else None
    wish = max(min(others) - 1, least)
    return wish if wish < job.priority and places[job.name] < len(places) else None
