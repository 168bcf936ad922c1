"""The backend as the add-on sees it: found or started, connected, lost. Nothing here waits on the wire."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ...bridge import messages
from ...bridge.address import ADDRESS_FILE
from ...bridge.client import Client
from ...bridge.errors import CycloramaError
from .job import lost
from .process import OUTPUT_FILE, BackendProcess

State = Literal["off", "starting", "running"]

_ANSWER_SECONDS = 2.0
"""A backend that listens answers sooner; later, its address counts as a leftover."""

_START_SECONDS = 60.0
_SILENT_SECONDS = 30.0
"""A connection lost for so long does not come back. (A busy disk or a suspended computer takes a few.)"""


class Backend:
    """The backend of one folder; at most one process of it is ours. Call ``take`` often.

    Args:
        folder: its folder.
        name: who we are, for its log.
        python: tells its interpreter when it has to be started; raises ``CycloramaError``.
    """

    def __init__(self, folder: Path, name: str, python: Callable[[], Path]):
        self.folder = folder
        self.trouble: CycloramaError | None = None
        """Why it does not run, when it should."""
        self._name = name
        self._python = python
        self._process: BackendProcess | None = None
        self._wanted = False
        self._since = time.monotonic()  # when it was wished for, started, or last connected
        self._reached = False  # connected since it was wished for
        self._stopping = False
        self._client = Client(folder, name=name)

    @property
    def state(self) -> State:
        """``starting`` also while a lost connection may come back."""
        if self._client.state == "connected" and not self._stopping:
            return "running"
        return "starting" if self._wanted else "off"

    @property
    def device(self) -> str:
        """What it computes on, in words; "" while not known."""
        welcome = self._client.welcome
        return welcome.device if welcome and self.state == "running" else ""

    @property
    def busy(self) -> bool:
        """Whether ``take`` should be called again soon."""
        return self._stopping or self.state == "starting" or (self.state == "running" and not self.device)

    @property
    def pid(self) -> int | None:
        """Process id of the backend, when it is ours."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Wish it to run; one that listens already is used. What becomes of it, ``state`` and ``trouble`` tell."""
        self.trouble = None
        if not self._wanted:
            self._wanted, self._reached, self._since = True, False, time.monotonic()

    def stop(self) -> None:
        """End it, ours or not; running jobs are cancelled."""
        self._wanted, self.trouble = False, None
        if self._process:
            self._process.stop()
        elif self.state == "running":
            self._client.send(messages.Shutdown())
        self._stopping = self._process is not None or self._client.state == "connected"

    def send(self, request: messages.Request) -> None:
        """Ask for something; only while it runs. Raises ``CycloramaError`` for paths that are no Unicode."""
        self._client.send(request)

    def take(self) -> list[messages.Reply | messages.Event]:
        """What it said since the last call; also moves its start forward, and notices its end."""
        heard = self._client.drain()
        if self._process and self._process.ended:
            self._process_ended(self._process)
        elif self._stopping and not self._process:
            self._stopping = self._client.state == "connected"
        if self._stopping:
            self._since = time.monotonic()
        elif self._client.state == "connected":
            self._wanted, self._reached, self._since = True, True, time.monotonic()
        elif self._wanted:
            self._go_on()
        return heard

    def close(self) -> threading.Thread | None:
        """Leave it: end the client, and the process if it is ours (the thread returned ends after it)."""
        self._client.close()
        return self._process.stop() if self._process else None

    def _go_on(self) -> None:
        """It should run and is not connected: it starts, or it was lost."""
        waited = time.monotonic() - self._since
        listed = (self.folder / ADDRESS_FILE).exists()
        if self._reached:
            if not self._process and not listed:
                self._give_up(None)  # stopped by whoever started it
            elif waited > _SILENT_SECONDS:
                self._give_up(lost(f"The backend has not answered for {_SILENT_SECONDS:.0f} seconds."))
        elif self._client.trouble and self._client.trouble.code == "protocol-mismatch":
            self._give_up(self._client.trouble)
        elif not self._process and (waited > _ANSWER_SECONDS or not listed):
            self._start_process()
        elif waited > _START_SECONDS:
            self._give_up(_not_started(f"did not answer within {_START_SECONDS:.0f} seconds.", self.folder))

    def _start_process(self) -> None:
        try:
            self._process = BackendProcess(self._python(), self.folder)
            self._since = time.monotonic()
        except CycloramaError as error:
            self._give_up(error)

    def _process_ended(self, process: BackendProcess) -> None:
        self._process = None
        if self._wanted and not self._stopping:
            self._give_up(
                lost(f"The backend ended unexpectedly ({process.ended}).")
                if self._reached
                else _not_started(f"did not start ({process.ended}): {process.last_words()}", self.folder)
            )
        self._stopping = False
        self._client.close()  # it may not have noticed yet
        self._client = Client(self.folder, name=self._name)

    def _give_up(self, error: CycloramaError | None) -> None:
        self._wanted, self.trouble = False, error
        if self._process:
            self._process.stop()
            self._stopping = True


def _not_started(how: str, folder: Path) -> CycloramaError:
    return CycloramaError("backend-not-started", f"The backend {how}", f"Its output is in {folder / OUTPUT_FILE}.")
