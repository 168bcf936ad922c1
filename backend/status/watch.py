"""The command: connect, ask every second, show; once, or until somebody leaves."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.live import Live

from ...bridge import messages
from ...bridge.address import Address
from ...bridge.client import Client
from ...bridge.errors import CycloramaError
from ...bridge.log_lines import plain
from .keyboard import LEAVE, Keyboard
from .picture import picture
from .seen import Seen

_FIRST_SECONDS = 8.0
"""Longer than a client's patience with a backend that does not answer."""

_SURVEY_SECONDS = 2.0
"""A backend that has told its jobs is shown without the rest after so long."""

_REFRESH_SECONDS = 1.0
_PLAIN_LINES = 60
_CTRL_C = "\x03"  # where the terminal makes no signal of it


def show_status(
    folder: Path | None = None, invitation: Path | None = None, *, once: bool, as_json: bool, log_lines: int = 0
) -> None:
    """Until q, or once as plain text or JSON.

    Raises:
        CycloramaError: ``backend-not-running``, ``backend-silent``, and all that keeps a client from a backend at the
            start. One that is lost later is waited for.
    """
    address = Address.from_invitation(invitation) if invitation else None
    console = Console()
    with Client(folder, address=address, name="cyclorama status") as client:
        watch = Watch(client, log_lines)
        watch.wait_for_all()
        if as_json:
            print(watch.seen.as_json())
        elif once or not console.is_terminal or console.is_dumb_terminal:
            console.print(picture(watch.seen, console.width, _PLAIN_LINES, with_log=False))
            if watch.seen.log:
                print(f"\nLog\n{plain(watch.seen.log)}")
        else:
            _show_until_left(watch, console)


class Watch:
    """A client that asks how its backend is.

    Args:
        log_lines: of the log's end that are asked for, too.
    """

    def __init__(self, client: Client, log_lines: int = 0):
        self.seen = Seen()
        self._client = client
        self._log_lines = log_lines

    @property
    def lost(self) -> str:
        """Why there is no connection, a sentence; "" where there is one."""
        if self._client.state == "connected":
            return ""
        trouble = self._client.trouble
        return trouble.sentence if trouble else "The backend does not answer."

    def turn(self) -> None:
        """Take what came and ask for more; never waits."""
        self.seen.hear(self._client.drain())
        if self._client.state == "connected" and self.seen.welcome is not None:
            self._ask()

    def _ask(self) -> None:
        if self.seen.welcome and not self.seen.welcome.guest:
            self._client.send(messages.Survey())
        if self.seen.outdated:
            self._client.send(messages.Status())
        if self._log_lines:
            self._client.send(messages.ReadLog(lines=self._log_lines))

    def wait_for_all(self) -> None:
        """Until it is known how the backend is. Raises as ``show_status``."""
        begin = time.monotonic()
        asked_at = told_at = 0.0
        while not self._is_known():
            now = time.monotonic()
            if self._client.trouble and self._client.state != "connected":
                raise self._client.trouble
            if now - begin > _FIRST_SECONDS and self.seen.jobs is None:
                raise CycloramaError("backend-silent", "The backend does not answer.", "Start it again.")
            told_at = told_at or now if self.seen.jobs is not None else 0.0
            if told_at and now - told_at > _SURVEY_SECONDS:
                return
            if self._client.state == "connected" and now - asked_at > _REFRESH_SECONDS:
                self.turn()
                asked_at = now if self.seen.welcome else 0.0
            time.sleep(0.02)
            self.seen.hear(self._client.drain())

    def _is_known(self) -> bool:
        return self.seen.complete and bool(self.seen.log or not self._log_lines)


def _show_until_left(watch: Watch, console: Console) -> None:
    try:
        with Keyboard() as keyboard, Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                watch.turn()
                live.update(picture(watch.seen, console.width, console.height, watch.lost), refresh=True)
                if keyboard.wait(_REFRESH_SECONDS) in (LEAVE, LEAVE.upper(), _CTRL_C):
                    return
    except KeyboardInterrupt:
        return  # as good a way to leave as q
