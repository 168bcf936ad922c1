"""The backend on this computer: found or started, connected, lost, started anew. Nothing here waits on the wire."""

from __future__ import annotations

import threading
import time
from collections import deque
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
"""A process of ours that is silent for so long hangs. (A busy disk or a suspended computer takes a few.)"""

_PAUSES = (0.0, 5.0, 20.0)
"""Seconds before a backend that crashed is started again: the first, second and third time in ``_MEMORY_SECONDS``."""

_MEMORY_SECONDS = 300.0


class Backend:
    """The backend of one folder; at most one process of it is ours. Call ``take`` and ``look`` often.

    Args:
        folder: its folder.
        name: who we are, for its log.
        python: tells its interpreter when it has to be started; raises ``CycloramaError``.
    """

    def __init__(self, folder: Path, name: str, python: Callable[[], Path]):
        self.folder = folder
        self.trouble: CycloramaError | None = None
        """Why it does not run, when it should."""
        self.notice: CycloramaError | None = None
        """That it crashed and was started again."""
        self._name = name
        self._python = python
        self._process: BackendProcess | None = None
        self._wanted = False
        self._since = time.monotonic()  # when it was wished for, started, or last connected
        self._reached = False  # connected since it was wished for or started
        self._not_before = 0.0  # when it may be started again
        self._refusal: CycloramaError | None = None  # why our process did not start; perhaps another one runs
        self._crashes: deque[float] = deque()
        self._stopping = False
        self.client = Client(folder, name=name)

    @property
    def state(self) -> State:
        """``starting`` also while a lost connection may come back."""
        if self._connected and not self._stopping:
            return "running"
        return "starting" if self._wanted else "off"

    @property
    def welcome(self) -> messages.Welcome | None:
        """How it introduced itself; None while it does not run."""
        return self.client.welcome if self.state == "running" else None

    @property
    def busy(self) -> bool:
        """Whether it should be looked at again soon."""
        welcome = self.welcome
        return self._stopping or self.state == "starting" or (welcome is not None and not welcome.device)

    @property
    def pid(self) -> int | None:
        """Process id of the backend, when it is ours."""
        return self._process.pid if self._process else None

    @property
    def _connected(self) -> bool:
        return self.client.state == "connected"

    def start(self) -> None:
        """Wish it to run; one that listens already is used. What becomes of it, ``state`` and ``trouble`` tell."""
        self.trouble = None
        if not self._wanted:
            self.notice = None
            self._crashes.clear()
            self._await()
            self._wanted = True
            if self._mismatch():
                self._renew_client()  # another version may run by now

    def stop(self) -> None:
        """End it, ours or not; running jobs are cancelled."""
        self._wanted, self.trouble, self.notice = False, None, None
        if self._connected:
            self.client.send(messages.Shutdown())
        if self._process:
            self._process.stop(told=self._connected)
        self._stopping = self._process is not None or self._connected

    def send(self, request: messages.Request) -> None:
        """Ask for something; only while it runs. Raises ``CycloramaError`` for paths that are no Unicode."""
        self.client.send(request)

    def take(self, most: int) -> list[messages.Reply | messages.AnyEvent]:
        """What it said and was not taken yet, oldest first, so many messages at most."""
        return self.client.drain(most)

    def look(self) -> None:
        """Move its start forward, and notice its end; when all is taken that it said."""
        if self._process and (how := self._process.ended):
            self._process_ended(self._process, how)
        elif self._stopping and not self._process:
            self._stopping = self._connected
        if self._stopping:
            self._since = time.monotonic()
        elif self._connected:
            self._await()
            self._wanted, self._reached, self.trouble = True, True, None
        elif self._wanted:
            self._go_on()

    def close(self) -> None:
        """Leave it: it ends when it has nothing to do, if we started it. Waits for its connection a moment."""
        if self._process:
            self._process.leave()
        self.client.close()

    def _await(self) -> None:
        """From now on it is expected to answer."""
        self._reached, self._refusal, self._not_before, self._since = False, None, 0.0, time.monotonic()

    def _go_on(self) -> None:
        """It should run and is not connected: it starts, or it was lost."""
        waited = time.monotonic() - self._since
        rested = time.monotonic() >= self._not_before
        listed = (self.folder / ADDRESS_FILE).exists()
        if mismatch := self._mismatch():
            self._give_up(mismatch)
        elif self._process:
            self._watch(self._process, waited)
        elif self._reached and not listed:
            self._give_up(None)  # stopped by whoever started it
        elif self._reached and waited > _ANSWER_SECONDS:
            self._crashed("does not answer any more")  # of another Blender; its address is left
        elif self._refusal and waited > _ANSWER_SECONDS:
            self._give_up(self._refusal)
        elif not self._reached and not self._refusal and (waited > _ANSWER_SECONDS or not listed) and rested:
            self._start_process()

    def _mismatch(self) -> CycloramaError | None:
        """One listens that is of another version."""
        trouble = self.client.trouble
        return trouble if trouble and trouble.code == "protocol-mismatch" else None

    def _watch(self, process: BackendProcess, waited: float) -> None:
        """A process of ours that is not connected."""
        if self._reached and waited > _SILENT_SECONDS:
            process.kill()  # it is then started again
        elif not self._reached and waited > _START_SECONDS:
            self._give_up(_not_started(f"did not answer within {_START_SECONDS:.0f} seconds.", self.folder))

    def _start_process(self) -> None:
        try:
            self._process = BackendProcess(self._python(), self.folder)
            self._since = time.monotonic()
        except CycloramaError as error:
            self._give_up(error)

    def _process_ended(self, process: BackendProcess, how: str) -> None:
        self._process = None
        stopped, self._stopping = self._stopping, False
        self._renew_client()
        if stopped:
            self._await()  # if it was wished for again meanwhile
        elif process.ended_as_asked:
            self._give_up(None)  # by another Blender
        elif not self._wanted:
            return
        elif self._reached:
            self._crashed(f"ended unexpectedly ({how})")
        else:  # or another Blender was faster: then we are connected to its backend in a moment
            self._refusal = _not_started(f"did not start ({how}): {process.last_words()}", self.folder)
            self._since = time.monotonic()

    def _renew_client(self) -> None:
        """It may not have noticed yet that the backend is gone."""
        threading.Thread(target=self.client.close, name="cyclorama-farewell", daemon=True).start()
        self.client = Client(self.folder, name=self._name)

    def _crashed(self, how: str) -> None:
        """Start it again after a pause, but not for ever."""
        now = time.monotonic()
        while self._crashes and now - self._crashes[0] > _MEMORY_SECONDS:
            self._crashes.popleft()
        if len(self._crashes) == len(_PAUSES):
            self._give_up(lost(f"The backend {how}, {len(_PAUSES) + 1} times in a few minutes. See its log."))
            return
        pause = _PAUSES[len(self._crashes)]
        self._crashes.append(now)
        self._await()
        self._not_before = now + pause
        self.notice = CycloramaError(
            "backend-restarted", f"The backend {how} and is started again.", "Its jobs go on where they were."
        )

    def _give_up(self, error: CycloramaError | None) -> None:
        self._wanted, self.trouble, self.notice = False, error, None
        if self._process:
            self._process.stop(told=False)
            self._stopping = True


def _not_started(how: str, folder: Path) -> CycloramaError:
    return CycloramaError("backend-not-started", f"The backend {how}", f"Its output is in {folder / OUTPUT_FILE}.")
