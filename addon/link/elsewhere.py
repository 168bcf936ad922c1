"""A backend on another computer, reached with an invitation. It is neither started nor ended from here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...bridge import messages
from ...bridge.address import Address
from ...bridge.client import Client
from ...bridge.errors import CycloramaError
from .backend import State


class Elsewhere:
    """What ``Backend`` is on this computer. A connection that is lost is tried again for as long as it is wanted.

    Args:
        invitation: tells the file that lets us in; raises ``CycloramaError``.
        name: who we are, for its log.
    """

    pid = None
    notice = None

    def __init__(self, invitation: Callable[[], Path], name: str):
        self.client: Client | None = None
        self._invitation = invitation
        self._name = name
        self._wanted = False
        self._refused: CycloramaError | None = None  # the invitation cannot be used

    @property
    def state(self) -> State:
        """``starting`` while it is not reached."""
        if not self._wanted or self.client is None:
            return "off"
        return "running" if self.client.state == "connected" else "starting"

    @property
    def trouble(self) -> CycloramaError | None:
        """Why it is not reached."""
        if self.client is None or self.state != "starting" or self.client.trouble is None:
            return self._refused
        error = self.client.trouble
        if error.code != "backend-silent":
            return error
        return CycloramaError(
            "backend-elsewhere-silent",
            "The backend on the other computer does not answer. It is tried again and again.",
            "See that it runs there and listens (cyclorama serve --listen), and that both computers are on a network.",
        )

    @trouble.setter
    def trouble(self, error: CycloramaError | None) -> None:
        self._refused = error

    @property
    def welcome(self) -> messages.Welcome | None:
        """How it introduced itself; None while it is not reached."""
        return self.client.welcome if self.client and self.state == "running" else None

    @property
    def busy(self) -> bool:
        """Whether it should be looked at again soon."""
        return self.state == "starting"

    def start(self) -> None:
        """Connect, and stay connected."""
        self._refused = None
        if self.client is None:
            try:
                self.client = Client(address=Address.from_invitation(self._invitation()), name=self._name)
            except CycloramaError as error:
                self._refused = error
                return
        self._wanted = True

    def stop(self) -> None:
        """Leave it; its jobs go on."""
        self._wanted, self._refused = False, None
        self.close()

    def send(self, request: messages.Request) -> None:
        """Ask for something; only while it is reached. Raises ``CycloramaError`` for text that is no Unicode."""
        if self.client:
            self.client.send(request)

    def take(self, most: int) -> list[messages.Reply | messages.AnyEvent]:
        """What it said and was not taken yet, oldest first, so many messages at most."""
        return self.client.drain(most) if self.client else []

    def look(self) -> None:
        """Nothing is started or ended from here."""

    def close(self) -> None:
        """End the connection."""
        if self.client:
            self.client.close()
            self.client = None
