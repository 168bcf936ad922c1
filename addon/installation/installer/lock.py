"""Two Blenders do not install into one folder at the same time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .place import LOCK
from .trouble import InstallError


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system gives it back when we end, however. Raises InstallError when it is taken."""
    with (folder / LOCK).open("a+b") as file:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InstallError(
                "install-busy",
                f"Another Blender is working on {folder}.",
                "Wait until it has finished, then try again.",
            ) from error
        yield
