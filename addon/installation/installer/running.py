"""Programs that the installer runs, and that end with it: pip, venv, the first import."""

from __future__ import annotations

import os
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from .trouble import InstallError

_MEANT_FOR_OTHERS = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_REQUIRE_VIRTUALENV", "PIP_REPORT")
_KEPT_LINES = 400


class ProgramError(InstallError):
    """A program ended with an error; ``lines`` are its last and ``ending`` how it ended."""

    def __init__(self, lines: Sequence[str], ending: str):
        super().__init__("install-failed", f"The installation ended early ({ending}).", "Show Log tells more.")
        self.lines, self.ending = lines, ending


class Runner:
    """Runs one program after the other, writes down what they print, and ends the one that runs when asked to.

    Args:
        folder: the working directory, so that no module of the artist's is taken for one of ours.
        log: takes what the programs print; None for nowhere.
    """

    def __init__(self, folder: Path, log: IO[str] | None):
        self._folder, self._log = folder, log
        self._running: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._killed = False

    def run(
        self, command: Sequence[str | os.PathLike[str]], hear: Callable[[str], None] = lambda line: None
    ) -> list[str]:
        """The last lines it printed; ``hear`` gets each. Raises ``ProgramError``; OSError when there is none."""
        last: deque[str] = deque(maxlen=_KEPT_LINES)
        self.note("+ " + " ".join(str(part) for part in command))
        with self._start(command) as program:
            assert program.stdout
            for line in program.stdout:
                line = line.rstrip("\n")
                try:
                    hear(line)
                except InstallError:  # it has heard enough
                    program.kill()
                    raise
                if not line.startswith("Progress "):
                    last.append(line)
                    self.note(line)
        if program.returncode:
            code = program.returncode
            raise ProgramError(list(last), f"signal {-code}" if code < 0 else f"exit code {code}")
        return list(last)

    def note(self, line: str) -> None:
        """Write a line into the log."""
        if self._log:
            self._log.write(line + "\n")
            self._log.flush()

    def kill(self) -> None:
        """End what runs, and start nothing more."""
        with self._lock:
            self._killed = True
            if self._running and self._running.poll() is None:
                self._running.kill()

    def _start(self, command: Sequence[str | os.PathLike[str]]) -> subprocess.Popen[str]:
        with self._lock:
            if self._killed:
                raise ProgramError([], "stopped")
            self._running = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                cwd=self._folder if self._folder.is_dir() else None,
                env=_environment(self._folder),
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
            return self._running


def _environment(folder: Path) -> dict[str, str]:
    """Ours, with pip's own settings (mirrors, proxies), without what is meant for Blender's or another Python."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "__PYVENV")) and name not in _MEANT_FOR_OTHERS
    }
    kept |= {"PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1", "PIP_USER": "0", "NO_COLOR": "1"}
    temporary = folder / "temporary"
    if temporary.is_dir():  # the system's may be small, or in memory
        kept |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    return kept
