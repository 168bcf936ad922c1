"""What the backend was asked about jobs and has not answered yet."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Protocol

import msgspec

from ...bridge import messages

Answered = Callable[[messages.Reply | messages.AnyEvent], None]
"""Takes the answer, which may be a ``Refused``."""


class Listener(Protocol):
    """What can be asked."""

    def send(self, request: messages.Request) -> None:
        """Raises ``CycloramaError`` for text that is no Unicode."""


class Asked:
    """Requests that are safe to repeat: a backend that was started anew is asked again."""

    def __init__(self):
        self._open: dict[str, tuple[messages.Request, Answered]] = {}

    def ask(self, backend: Listener, request: messages.Request, answered: Answered) -> None:
        """Ask, and have ``answered`` called with the answer."""
        name = uuid.uuid4().hex
        self._open[name] = request, answered
        backend.send(msgspec.structs.replace(request, request=name))

    def ask_again(self, backend: Listener) -> None:
        """It is another than before. (What a lost connection took with it, the client asks again.)"""
        still_open, self._open = self._open, {}
        for request, answered in still_open.values():
            self.ask(backend, request, answered)

    def hear(self, message: messages.Reply | messages.AnyEvent) -> bool:
        """Whether the message answered one of ours."""
        if message.request not in self._open:
            return False
        _, answered = self._open.pop(message.request)
        answered(message)
        return True

    def clear(self) -> None:
        """Forget all."""
        self._open.clear()
