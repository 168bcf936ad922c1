"""The backend as a process of ours: started, watched, ended. Nothing here waits for it."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

from ...bridge.address import open_folder
from ...bridge.errors import CycloramaError

OUTPUT_FILE = "output.log"
"""What the backend prints, in its folder; a new one at each start. (``backend.log`` is its own diary.)"""

_PATIENCE_SECONDS = 10.0
"""So long a backend may take to end by itself."""


class BackendProcess:
    """A backend that ends when Blender does, however that ends: it watches its standard input.

    Raises:
        CycloramaError: the folder cannot be used, or the interpreter does not run.
    """

    def __init__(self, python: Path, folder: Path):
        open_folder(folder)
        self._output = folder / OUTPUT_FILE
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
                    start_new_session=True,  # Ctrl+C in Blender's terminal is not meant for it
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
        """How it ended ("exit code 1", "signal 9"); "" while it runs."""
        code = self._process.poll()
        if code is None:
            return ""
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def last_words(self) -> str:
        """The last line it printed; says why it did not start, for instance."""
        try:
            lines = self._output.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def stop(self) -> threading.Thread:
        """Let it end, by force if it takes too long. The thread returned ends after it; nobody has to wait."""
        stdin = self._process.stdin
        assert stdin
        stdin.close()
        farewell = threading.Thread(target=self._see_off, name="cyclorama-farewell", daemon=True)
        farewell.start()
        return farewell

    def _see_off(self) -> None:
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _environment() -> dict[str, str]:
    """Ours, without what is meant for Blender's own Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "__PYVENV"))}
