"""The worker process as the server sees it: started, fed, listened to, and ended."""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from ...bridge.address import FOLDER_VARIABLE
from .failures import system_kills
from .pipe import FromWorker, Pipe, ToWorker

WORKER_COMMAND = (sys.executable, "-P", "-m", "cyclorama.backend.server.worker")  # -P: no imports from where we stand

_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ended:
    """The worker process is no more; ``how``: "signal 9" or "exit code 1"."""

    how: str
    system_was_out_of_memory: bool = False
    """Whether the operating system has ended a process for want of memory meanwhile."""


class Supervisor:
    """At most one worker process at a time. Two threads listen to it; all methods are for the server's thread.

    Args:
        folder: the backend's folder, told to the worker.
        wake: called, from another thread, when there is something to ``take``.
        command: what starts the worker.
    """

    def __init__(self, folder: Path, wake: Callable[[], None], command: Sequence[str] = WORKER_COMMAND):
        self._folder = folder
        self._wake = wake
        self._command = tuple(command)
        self._process: subprocess.Popen | None = None
        self._pipe: Pipe[FromWorker] | None = None
        self._heard: queue.SimpleQueue[FromWorker | Ended] = queue.SimpleQueue()

    def start(self) -> None:
        """Start a worker if there is none; its ``Ready`` follows. Raises OSError."""
        if self._process:
            return
        killed_before = system_kills()
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            creationflags=_NO_WINDOW,
            env=os.environ | {FOLDER_VARIABLE: str(self._folder)},
        )
        assert process.stdin and process.stdout and process.stderr
        pipe = Pipe(process.stdout, process.stdin, FromWorker)  # pyright: ignore[reportArgumentType]  # a union
        self._process, self._pipe = process, pipe
        threading.Thread(target=self._listen, args=(process, pipe, killed_before), name="worker", daemon=True).start()
        threading.Thread(target=_copy_to_log, args=(process.stderr,), name="worker-log", daemon=True).start()

    def tell(self, message: ToWorker) -> None:
        """Hand a job to the worker, or cancel it; lost when the worker has ended, which ``take`` then tells."""
        if self._pipe:
            try:
                self._pipe.send(message)
            except OSError as error:
                log.info("The worker does not listen: %s", error)

    def take(self, timeout: float = 0.0) -> FromWorker | Ended | None:
        """The next thing the worker said, or that it ended; None when there is nothing within ``timeout`` seconds."""
        try:
            heard = self._heard.get(timeout=timeout) if timeout > 0 else self._heard.get_nowait()
        except queue.Empty:
            return None
        if isinstance(heard, Ended):
            self._forget()
        return heard

    def dismiss(self) -> None:
        """Let the worker end by itself, at once or, with a job, within ``worker.LAST_SECONDS``."""
        if self._process and self._process.stdin:
            try:
                self._process.stdin.close()
            except OSError as error:
                log.info("The worker does not listen: %s", error)

    def kill(self) -> None:
        """End the worker now; ``Ended`` follows."""
        if self._process:
            self._process.kill()

    @property
    def alive(self) -> bool:
        """Whether there is a worker whose end has not been taken yet."""
        return self._process is not None

    def _forget(self) -> None:
        self.dismiss()  # closes our end of the pipe
        self._process = self._pipe = None

    def _listen(self, process: subprocess.Popen, pipe: Pipe[FromWorker], killed_before: int) -> None:
        try:
            while message := pipe.receive():
                self._heard.put(message)
                self._wake()
        except (OSError, msgspec.DecodeError) as error:
            log.error("The worker is not understood and is ended: %s", error)
            process.kill()
        code = process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._heard.put(Ended(how, code == -9 and system_kills() > killed_before))
        self._wake()


def _copy_to_log(lines: IO[bytes]) -> None:
    """What the worker and its libraries print goes to the backend's log; also keeps the pipe from filling up."""
    with lines:
        for line in lines:
            log.info("worker: %s", line.decode(errors="replace").rstrip())
