"""What was written stays, even where the power is cut in the next moment."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

_NOT_ASKED = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EBADF)
"""What folders of some disks answer that cannot be asked, though names are in order there."""


def flush_file(path: Path) -> None:
    """Wait until the file's content is on the disk. Raises ``OSError``."""
    with path.open("rb+") as file:  # Windows flushes only what may be written
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Wait until the names in ``folder`` are on the disk, where a system can be asked for that. Raises ``OSError``."""
    if sys.platform == "win32":  # keeps a journal of names by itself
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NOT_ASKED:
            raise


def flush_tree(folder: Path, *, names_only: bool = False) -> None:
    """``flush_file`` of all files in ``folder`` and ``flush_folder`` of all folders, itself the last.

    With ``names_only`` the files' content has been flushed before. Raises ``OSError``, above all where a disk turns
    out to be full only now.
    """
    for inside in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        if inside.is_symlink():
            continue
        if inside.is_dir():
            flush_folder(inside)
        elif inside.is_file() and not names_only:
            flush_file(inside)
    flush_folder(folder)
