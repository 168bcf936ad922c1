"""In which order waiting jobs run: greater priorities first; among equals those who asked take turns."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Mapping

from .job import Job


def in_order(waiting: Iterable[Job], served: Mapping[str, int]) -> list[Job]:
    """``waiting``, given in the order they were asked for, in the order they run if nothing else comes.

    Args:
        served: when each guest's turn was last, as a number that grows; those who had none come first.
    """
    by_priority: dict[int, dict[str, deque[Job]]] = {}
    for job in waiting:
        by_priority.setdefault(job.priority, {}).setdefault(job.guest, deque()).append(job)
    turns, now = dict(served), max(served.values(), default=0)
    ordered: list[Job] = []
    for _, lines in sorted(by_priority.items(), reverse=True):
        next_turns = [(turns.get(guest, 0), place, guest) for place, guest in enumerate(lines)]
        heapq.heapify(next_turns)
        while next_turns:
            _, place, guest = heapq.heappop(next_turns)
            ordered.append(lines[guest].popleft())
            turns[guest] = now = now + 1
            if lines[guest]:
                heapq.heappush(next_turns, (now, place, guest))
    return ordered
