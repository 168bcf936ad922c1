"""A file that a process holds until it ends, however it ends: the system itself lets go of it.

A number of a process alone says too little: after a restart another process may have it, in a container always does.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30
    """Byte that is locked: what is locked there nobody else can read, and the file's content they shall."""

    def _take(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_RETRY_SECONDS = 0.02


class HeldFile:
    """Held from construction until ``release`` or the end of the process. Its content is the process's number.

    Args:
        path: the file, made where it is missing; it stays.
        patience: seconds to wait for another holder.

    Raises:
        TimeoutError: another holds it.
        OSError: the file cannot be made, or its disk knows no locks.
    """

    def __init__(self, path: Path, patience: float = 0.0):
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._wait(path, time.monotonic() + patience)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, str(os.getpid()).encode())
        except BaseException:
            os.close(self._descriptor)
            raise

    def _wait(self, path: Path, deadline: float) -> None:
        while True:
            try:
                return _take(self._descriptor)
            except (BlockingIOError, PermissionError) as error:  # the latter on Windows
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"{path} is held by another process") from error
            time.sleep(_RETRY_SECONDS)

    def release(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)

    def __enter__(self) -> HeldFile:
        return self

    def __exit__(self, *_exception) -> None:
        self.release()


def is_held(path: Path) -> bool | None:
    """Whether somebody holds it; None where that cannot be told: there is no such file, or its disk knows no locks."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        _take(descriptor)
    except (BlockingIOError, PermissionError):
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def is_alive(process: int) -> bool:
    """Whether there is a process of that number."""
    if process <= 0:
        return False
    if sys.platform == "win32":  # there os.kill(…, 0) would end it
        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, process)
        return bool(handle and ctypes.windll.kernel32.CloseHandle(handle))
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
