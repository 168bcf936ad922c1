"""Requests that were done already: a client whose connection took the answer asks again, and once is meant."""

from __future__ import annotations

from collections import OrderedDict

from ...bridge import messages

MOST = 1000
"""So many are remembered, until the server ends. Asked again after that they are done again, which the journal bears:
a job that waits or runs is not retried, and one that is off the list cannot be taken off it."""

ONCE = (messages.Cancel, messages.Retry, messages.Forget, messages.Prioritize)
"""What may do harm when it is done twice: in between, the job may have ended or been changed by others. ``Generate`` is
known by its job, pieces of files by where they belong; all else changes nothing, or ends the server."""


class Repeats:
    """Known by who asked, what, and by the name that the client gave the request."""

    def __init__(self):
        self._done: OrderedDict[tuple[str, type, str, str], None] = OrderedDict()

    def note(self, guest: str, request: messages.Request) -> None:
        """It was accepted."""
        if isinstance(request, ONCE) and request.request:
            self._done[guest, type(request), request.job, request.request] = None
            if len(self._done) > MOST:
                self._done.popitem(last=False)

    def answer(self, guest: str, request: messages.Request) -> messages.Accepted | None:
        """What it was answered, if it is one that was accepted before."""
        if not isinstance(request, ONCE) or (guest, type(request), request.job, request.request) not in self._done:
            return None
        return messages.Accepted(request=request.request, job=request.job)
