"""The backend as a process of ours: started, watched, let go. Nothing here waits for it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from ...bridge.address import open_folder
from ...bridge.errors import CycloramaError

OUTPUT_FILE = "output.log"
"""What the backend prints, in its folder; a new one at each start. (``backend.log`` is its own diary.)"""

PATIENCE_SECONDS = 15.0
"""So long a backend may take to end when it is asked to."""


class BackendProcess:
    """A backend that watches its standard input: when that ends, as it does when Blender does in whatever way, the
    backend finishes its jobs and ends.

    Raises:
        CycloramaError: the folder cannot be used, or the interpreter does not run.
    """

    def __init__(self, python: Path, folder: Path):
        open_folder(folder)
        self._output = folder / OUTPUT_FILE
        self._kill_at: float | None = None
        command = [python, "-m", "cyclorama.backend.cli", "serve", "--folder", folder, "--watch-stdin"]
        try:
            with self._output.open("wb") as output:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=folder,  # "-m" looks for modules in the working directory first
                    env=_environment(),
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                    start_new_session=True,  # neither Ctrl+C in Blender's terminal nor closing it is meant for it
                )
        except OSError as error:
            raise CycloramaError(
                "backend-python-not-startable",
                f"The backend cannot be started with {python}: {error.strerror}.",
                "Check Backend Python in Edit > Preferences > Add-ons > Cyclorama.",
            ) from error

    @property
    def pid(self) -> int:
        """The operating system's number of it."""
        return self._process.pid

    @property
    def ended(self) -> str:
        """How it ended ("exit code 1", "signal 9"); "" while it runs. One that was stopped and does not end is killed
        by looking."""
        code = self._process.poll()
        if code is None:
            if self._kill_at is not None and time.monotonic() > self._kill_at:
                self._process.kill()
            return ""
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    @property
    def ended_as_asked(self) -> bool:
        """Whether somebody told it to end."""
        return self._process.poll() == 0

    def last_words(self) -> str:
        """The last line it printed; says why it did not start, for instance."""
        try:
            lines = self._output.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def stop(self, told: bool) -> None:
        """Have it end now; by force if it takes too long. ``told``: it was sent ``Shutdown``."""
        if not told:
            self._process.terminate()
        self._kill_at = time.monotonic() + PATIENCE_SECONDS

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def leave(self) -> None:
        """Let go of it: it ends by itself when it has nothing to do."""
        assert self._process.stdin
        self._process.stdin.close()


def _environment() -> dict[str, str]:
    """Ours, without what is meant for Blender's own Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "__PYVENV"))}
