"""One worker process as the server sees it: started, fed, listened to, and ended."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import msgspec

from ...bridge import messages
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
    """At most one process at a time. Two threads listen to it; all methods are for the server's thread.

    Args:
        tell: called, from another thread, with all that the process says, and at last that it ``Ended``.
        command: what starts the process.
        environment: variables of its own.
    """

    def __init__(
        self, tell: Callable[[FromWorker | Ended], None], command: Sequence[str], environment: Mapping[str, str]
    ):
        self._tell = tell
        self._command = tuple(command)
        self._environment = dict(environment)
        self._process: subprocess.Popen | None = None
        self._pipe: Pipe[FromWorker] | None = None
        self._job = ""  # the one it works on
        self._killed_before = 0

    def start(self) -> None:
        """Start a process if there is none; its ``Ready`` follows. Raises OSError."""
        if self._process:
            return
        self._killed_before = system_kills()
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            creationflags=_NO_WINDOW,
            env=os.environ | self._environment,
        )
        assert process.stdin and process.stdout and process.stderr
        pipe = Pipe(process.stdout, process.stdin, FromWorker)  # pyright: ignore[reportArgumentType]  # a union
        self._process, self._pipe = process, pipe
        threading.Thread(target=self._listen, args=(process, pipe), name="worker", daemon=True).start()
        threading.Thread(target=self._copy_to_log, args=(process.stderr,), name="worker-log", daemon=True).start()

    def give(self, task: messages.Generate) -> None:
        """Have it do a job."""
        self._job, self._killed_before = task.job, system_kills()
        self.send(task)

    def send(self, message: ToWorker) -> None:
        """Lost when the process has ended, which is then told."""
        if self._pipe:
            try:
                self._pipe.send(message)
            except OSError as error:
                log.info("The worker does not listen: %s", error)

    def rest(self) -> None:
        """It has no job any more."""
        self._job = ""

    def dismiss(self) -> None:
        """Let the process end by itself, at once or, with a job, within ``worker.LAST_SECONDS``."""
        if self._process and self._process.stdin:
            try:
                self._process.stdin.close()
            except OSError as error:
                log.info("The worker does not listen: %s", error)

    def kill(self) -> None:
        """End it now; ``Ended`` follows."""
        if self._process:
            self._process.kill()

    def forget(self) -> None:
        """It has ended, and that has been heard."""
        self.dismiss()  # closes our end of the pipe
        self._process = self._pipe = None
        self._job = ""

    @property
    def pid(self) -> int:
        """Its process id; 0 when there is none, or its end has been heard."""
        return self._process.pid if self._process else 0

    @property
    def dying(self) -> bool:
        """Whether it has ended, which is not heard yet."""
        return self._process is not None and self._process.poll() is not None

    def _listen(self, process: subprocess.Popen, pipe: Pipe[FromWorker]) -> None:
        try:
            while message := pipe.receive():
                self._tell(message)
        except (OSError, msgspec.DecodeError) as error:
            log.error("The worker is not understood and is ended: %s", error)
            process.kill()
        code = process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._tell(Ended(how, code == -9 and system_kills() > self._killed_before))

    def _copy_to_log(self, lines: IO[bytes]) -> None:
        """What it and its libraries print goes to the backend's log; also keeps the pipe from filling up."""
        with lines:
            for line in lines:
                job = {"job": self._job} if self._job else None
                log.info("worker: %s", line.decode(errors="replace").rstrip(), extra=job)
