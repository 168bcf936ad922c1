"""What the backend says, taken in little by little: Blender stands still meanwhile, and shall not notice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ...bridge import messages

Heard = messages.Reply | messages.AnyEvent

_AT_ONCE = 16
"""So many steps are taken however long they take, so that it always goes on; then the clock is looked at."""


class Hearing:
    """Messages in their order, each taken in wholly before the next.

    Args:
        hear: takes in one message; yields where it may be interrupted for other things.
    """

    def __init__(self, hear: Callable[[Heard], Iterator[None]]):
        self._hear = hear
        self._steps: Iterator[None] | None = None

    def go_on(self, take: Callable[[int], list[Heard]], seconds: float) -> bool:
        """Take in what ``take`` gives (so many messages at most), for ``seconds``; whether nothing is left."""
        until = time.perf_counter() + seconds
        steps, self._steps = self._steps or self._all(take), None  # given up if a step raises
        for count, _ in enumerate(steps, 1):
            if count % _AT_ONCE == 0 and time.perf_counter() > until:
                self._steps = steps
                return False
        return True

    def stop(self) -> None:
        """The rest is not wanted any more."""
        self._steps = None

    def _all(self, take: Callable[[int], list[Heard]]) -> Iterator[None]:
        while messages_ := take(_AT_ONCE):
            for message in messages_:
                yield from self._hear(message)
                yield
