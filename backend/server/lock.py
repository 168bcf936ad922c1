"""A lock on a file that its process holds until it ends, however it ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from ...bridge.errors import CycloramaError

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """Held from construction until ``release`` or the end of the process.

    Args:
        path: the file, made where it is missing; it stays.
        patience: seconds to wait for another holder to end.

    Raises:
        CycloramaError: ``folder-in-use`` when another process holds it.
    """

    def __init__(self, path: Path, patience: float = 0.0):
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + patience
        while not self._taken():
            if time.monotonic() > deadline:
                os.close(self._descriptor)
                raise CycloramaError(
                    "folder-in-use",
                    f"Another backend is using the folder {path.parent}.",
                    "Stop it first, or choose another folder with --folder.",
                )
            time.sleep(0.05)

    def _taken(self) -> bool:
        try:
            _lock(self._descriptor)
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)
