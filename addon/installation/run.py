"""One run of the installer: started, listened to in a thread, cancelled. Nothing here waits for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...bridge.errors import CycloramaError
from .installer.request import Request

_PATIENCE_SECONDS = 5.0
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from installer.main import main; main()"


@dataclass(frozen=True)
class Plan:
    """What would be downloaded.

    Args:
        device: what was found, in words.
        note: a remark; "" for none.
        packages: how many.
        download_bytes: over the network, of those whose size is known.
        install_bytes: on the disk in the end, about.
        unknown: how many packages' size nobody tells.
        largest: the three largest, in words.
        free_bytes: on the disk of the folder; -1 when it cannot be told.
    """

    device: str
    note: str
    packages: int
    download_bytes: int
    install_bytes: int
    unknown: int
    largest: str
    free_bytes: int


class Run:
    """An installer at work.

    Args:
        request: what it is to do.

    Raises:
        CycloramaError: Blender's Python cannot be started.
    """

    def __init__(self, request: Request):
        self.command = request.command
        self.stage = ""
        self.fraction = -1.0
        """How much is done; below 0 while unknown."""
        self.done_bytes = self.total_bytes = 0
        self.device = self.note = ""
        self.plan: Plan | None = None
        self.error: CycloramaError | None = None
        self.ended = self.cancelled = False
        python = blender_python()
        try:
            self._program = subprocess.Popen(
                [python, "-X", "utf8", "-c", _PROGRAM, str(Path(__file__).parent), json.dumps(asdict(request))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                env={name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "__PYVENV"))},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                start_new_session=True,  # one group with pip, ended as one
            )
        except OSError as error:
            raise _no_python(f"{python} cannot be started: {error.strerror}") from error
        self._words: list[str] = []
        threading.Thread(target=self._listen, name="cyclorama-installer", daemon=True).start()

    def cancel(self) -> None:
        """Let it end soon; what is there already is kept."""
        if self.ended or self.cancelled:
            return
        self.cancelled = True
        if self._program.stdin:
            self._program.stdin.close()
        threading.Thread(target=self._see_off, name="cyclorama-installer-farewell", daemon=True).start()

    def _listen(self) -> None:
        finished = False
        assert self._program.stdout
        for line in self._program.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                self._words.append(line.strip())
                continue
            finished = finished or "done" in said or "failed" in said
            self._take(said)
        code = self._program.wait()
        self._end_group()  # a pip whose installer was killed
        if not finished and not self.cancelled:
            how = f"signal {-code}" if code < 0 else f"exit code {code}: {' '.join(self._words[-1:])}"
            self.error = CycloramaError(
                "install-ended",
                f"The installation ended unexpectedly ({how}).",
                "Click Continue: what is there is kept.",
            )
        self.ended = True

    def _take(self, said: dict[str, Any]) -> None:
        self.stage = said.get("stage", self.stage)
        self.fraction = said.get("fraction", self.fraction)
        self.done_bytes, self.total_bytes = said.get("done", 0), said.get("total", 0)
        self.device, self.note = said.get("device", self.device), said.get("note", self.note)
        if "plan" in said:
            self.plan = Plan(**said["plan"])
        if "failed" in said and not self.cancelled:
            self.error = CycloramaError(*said["failed"])

    def _see_off(self) -> None:
        try:
            self._program.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._end_group()

    def _end_group(self) -> None:
        if sys.platform != "win32":
            try:
                os.killpg(self._program.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                return


def blender_python() -> str:
    """Blender's own interpreter as a program. Raises CycloramaError when it has none."""
    if "python" in Path(sys.executable).name.lower():
        return sys.executable
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folder = Path(sysconfig.get_config_var("BINDIR") or sys.prefix)
    for candidate in (folder / version, Path(sys.prefix) / "bin" / version, Path(sys.prefix) / "bin" / "python.exe"):
        if candidate.is_file():
            return str(candidate)
    raise _no_python("This Blender has no Python interpreter of its own")


def _no_python(sentence: str) -> CycloramaError:
    return CycloramaError(
        "install-no-python",
        f"{sentence}.",
        "Use Blender from blender.org, or install the backend by hand and set Backend Python.",
    )
