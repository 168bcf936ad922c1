"""Slow work on the disk, done one after the other in a thread, so that the server's loop goes on meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Result = TypeVar("_Result")


class Errands:
    """All methods belong to the server's thread.

    Args:
        wake: called from the other thread when something has come back.
    """

    def __init__(self, wake: Callable[[], None]):
        self._wake = wake
        self._thread = ThreadPoolExecutor(1, "disk")
        self._back: deque[Callable[[], None]] = deque()

    def send(self, errand: Callable[[], _Result], then: Callable[[Future[_Result]], None] = lambda done: None) -> None:
        """Do ``errand`` in the thread; ``then`` is called with what came of it, by ``come_back``."""
        done = self._thread.submit(errand)
        done.add_done_callback(lambda done: self._return(lambda: then(done)))

    def come_back(self) -> None:
        """Go on with what has been done since the last call."""
        while self._back:
            self._back.popleft()()

    def end(self) -> None:
        """Wait for what was sent, and end the thread."""
        self._thread.shutdown()

    def _return(self, then: Callable[[], None]) -> None:
        self._back.append(then)
        self._wake()
