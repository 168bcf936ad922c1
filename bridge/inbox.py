"""What a client has heard and nobody has taken yet, in order, without what newer events make pointless."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Hashable

from . import messages

Heard = messages.Reply | messages.AnyEvent


class Inbox:
    """Filled by one thread and emptied by another.

    Of a job's ``Changed``, ``Progress`` and ``Preview`` only the newest is kept, each at its own place in the order: so
    a job's end never comes before what led to it, and much is not more than a few for each job.
    """

    def __init__(self):
        self._kept: OrderedDict[Hashable, Heard] = OrderedDict()
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, message: Heard) -> None:
        """As the newest."""
        key = _key(message)
        with self._lock:
            if key is None:
                key = next(self._numbers)
            else:
                self._kept.pop(key, None)
            self._kept[key] = message

    def take(self, most: int | None = None) -> list[Heard]:
        """The oldest, so many at most; None: all. They are gone then."""
        with self._lock:
            count = len(self._kept) if most is None else min(most, len(self._kept))
            return [self._kept.popitem(last=False)[1] for _ in range(count)]


def _key(message: Heard) -> Hashable:
    """The same for messages of which only the newest counts; None where each does."""
    match message:
        case messages.Changed():
            return messages.Changed, message.state.job
        case messages.Progress() | messages.Preview():
            return type(message), message.job
    return None
