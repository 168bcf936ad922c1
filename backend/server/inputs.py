"""Files that guests upload: ``inputs/<guest>/<checksum>.<ending>``."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ...bridge import messages
from ...bridge.address import open_folder
from ...bridge.durable import flush_folder
from ...bridge.errors import CycloramaError
from .errands import Errands
from .guest_folders import folder_name

FOLDER = "inputs"

MOST_FILES = 200
MOST_BYTES = 1 << 34
"""So many files, and bytes, of one guest are kept; beyond, those go first that were used longest ago."""

_ROOM_BYTES = 1 << 30
"""So much stays free on the disk after an upload."""

_MOST_UPLOADS = 4
"""Of one guest at a time."""

_MOST_UNWRITTEN = 32
"""Pieces that have come and are not on the disk yet; they are held in memory."""

_FRESH_SECONDS = 3600.0
"""An input that no job names may still be meant for one."""

_PARTIAL = ".partial"
_READ_BYTES = 1 << 20

log = logging.getLogger(__name__)

Reply = Callable[[messages.Stored | CycloramaError], None]


@dataclass(eq=False)
class _Growing:
    """A file that is being uploaded. ``accepted``: bytes that have come; the disk may be a little behind."""

    path: Path
    size: int
    accepted: int
    hashed: Any  # hashlib does not name its type
    file: IO[bytes]


class Inputs:
    """A name is a checksum, so nothing is stored twice and nothing can be exchanged. Guests do not share files: who
    only knows a checksum gets nothing by it.

    Args:
        folder: the backend's.
        errands: does what takes the disk's time.
        in_use: names of a guest's files that must stay: those of its jobs that wait or run.
    """

    def __init__(self, folder: Path, errands: Errands, in_use: Callable[[str], Collection[str]]):
        self._folder = folder / FOLDER
        self._errands = errands
        self._in_use = in_use
        self._growing: dict[tuple[str, str], _Growing] = {}
        self._unwritten = 0

    def offer(self, guest: str, name: str, size: int, reply: Reply) -> None:
        """How much is there of a file that somebody wants to upload? ``reply`` is called then, or soon.

        Raises:
            CycloramaError: ``disk-full``, ``inputs-full``, ``folder-not-usable``, ``guests-only``.
        """
        if not guest:
            raise CycloramaError(
                "guests-only", "On its own computer the backend reads files where they are.", "Name their paths."
            )
        path = self.place(guest, name)
        if path.is_file():
            with suppress(OSError):
                os.utime(path)  # it is used again
            reply(messages.Stored(file=name, size=size, whole=True))
            return
        growing = self._growing.get((guest, name))
        if growing is None or growing.size != size:
            growing = self._begin(guest, path, size)
        if growing.accepted < size:
            reply(messages.Stored(file=name, size=growing.accepted))
        else:
            self._store(guest, name, growing, b"", reply)

    def write(self, guest: str, piece: messages.Piece, reply: Reply) -> None:
        """The next piece; what is there already is not written again. ``reply`` is called when it is on the disk.

        Raises:
            CycloramaError: ``upload-unknown``, ``upload-out-of-order``, ``upload-too-long``, ``upload-too-fast``.
        """
        growing = self._growing.get((guest, piece.file))
        if growing is None and self.place(guest, piece.file).is_file():
            reply(messages.Stored(file=piece.file, size=self.place(guest, piece.file).stat().st_size, whole=True))
            return
        if growing is None:
            raise CycloramaError("upload-unknown", "The backend expects no such file.", "Try again.")
        if piece.offset > growing.accepted:
            raise CycloramaError("upload-out-of-order", "A piece of the file is missing.", "Try again.")
        if self._unwritten >= _MOST_UNWRITTEN:
            raise CycloramaError("upload-too-fast", "The backend's disk is not so fast.", "Try again.")
        new = memoryview(piece.content)[growing.accepted - piece.offset :]
        if growing.accepted + len(new) > growing.size:
            raise CycloramaError("upload-too-long", "The file is longer than was said.", "Try again.")
        self._store(guest, piece.file, growing, new, reply)

    def place(self, guest: str, name: str) -> Path:
        """Where a guest's file lies, or would lie."""
        return self._folder / folder_name(guest) / name  # ``messages.StoredName`` lets no separator through

    def sweep(self, named: Collection[tuple[str, str]]) -> None:
        """At the start of a server: remove what no job names (``named``: guest and file), if it is not fresh."""
        kept = {self.place(guest, name) for guest, name in named}
        oldest = time.time() - _FRESH_SECONDS
        for path in self._folder.glob("*"):
            if path.is_dir() and not path.is_symlink():
                self._sweep(path, kept, oldest)
            else:
                path.unlink(missing_ok=True)

    def forget(self, guest: str, names: Collection[str]) -> None:
        """No job names these any more."""
        for name in names:
            with suppress(
                OSError
            ):  # on Windows while somebody reads it, on a disk that fails: the next sweep tries again
                self.place(guest, name).unlink(missing_ok=True)

    def end(self) -> None:
        """Close all files; what has come of them stays for the next server."""
        for growing in self._growing.values():
            growing.file.close()
        self._growing.clear()

    # Room

    def _begin(self, guest: str, path: Path, size: int) -> _Growing:
        name = path.name
        self._drop(guest, name)
        mine = [other for other in self._growing if other[0] == guest]
        if len(mine) >= _MOST_UPLOADS:
            self._drop(*mine[0])  # whoever sends it is told, and begins again
        open_folder(self._folder)
        open_folder(path.parent)
        try:
            self._make_room(guest, path.parent, size)
            self._check_disk(size)
            growing = self._open(path, size)
        except OSError as error:
            raise _not_stored(error) from error
        self._growing[guest, name] = growing
        return growing

    def _make_room(self, guest: str, folder: Path, size: int) -> None:
        """Within the guest's limits. Raises CycloramaError ``inputs-full``, ``OSError``."""
        files = sorted(_files(folder), key=lambda file: file[0])
        count, total = len(files) + 1, sum(known for _, known, _ in files) + size + self._coming(guest)
        coming = {f"{name}{_PARTIAL}" for of, name in self._growing if of == guest}
        in_use, fresh = coming.union(self._in_use(guest)), time.time() - _FRESH_SECONDS
        for used_at, known, path in files:
            if count <= MOST_FILES and total <= MOST_BYTES:
                return
            if path.name not in in_use and used_at < fresh:
                path.unlink()
                count, total = count - 1, total - known
        if count > MOST_FILES or total > MOST_BYTES:
            raise CycloramaError(
                "inputs-full",
                f"The backend keeps {MOST_FILES} files or {MOST_BYTES / 1e9:.0f} GB of you, and has as much.",
                "Wait until your jobs are done, or forget some of them.",
            )

    def _check_disk(self, size: int) -> None:
        if shutil.disk_usage(self._folder).free < self._coming() + size + _ROOM_BYTES:
            raise _disk_full()

    def _coming(self, guest: str | None = None) -> int:
        """Bytes of uploads that have not come yet; of all guests or one."""
        growing = (growing for (of, _), growing in self._growing.items() if guest in (None, of))
        return sum(one.size - one.accepted for one in growing)

    def _sweep(self, folder: Path, kept: Collection[Path], oldest: float) -> None:
        for used_at, _, path in _files(folder):
            if path not in kept and used_at < oldest:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()  # if it is empty

    # Growing

    def _open(self, path: Path, size: int) -> _Growing:
        """An upload that goes on where it was cut, also by an end of the server."""
        partial = path.with_name(f"{path.name}{_PARTIAL}")
        file = partial.open("ab", buffering=0)
        if file.tell() > size:
            file.truncate(0)
            file.seek(0)
        growing = _Growing(path, size, file.tell(), hashlib.sha256(), file)
        if growing.accepted:
            self._errands.send(lambda: _hash_known(growing, partial))
        return growing

    def _store(self, guest: str, name: str, growing: _Growing, new: bytes | memoryview, reply: Reply) -> None:
        growing.accepted += len(new)
        accepted, is_last = growing.accepted, growing.accepted == growing.size
        self._unwritten += 1

        def back(done: Future[None]) -> None:
            self._unwritten -= 1
            try:
                done.result()
            except (OSError, ValueError, CycloramaError) as error:
                self._drop(guest, name, growing)
                reply(error if isinstance(error, CycloramaError) else _not_stored(error))
                return
            if is_last:
                self._drop(guest, name, growing)
            reply(messages.Stored(file=name, size=accepted, whole=is_last))

        self._errands.send(lambda: _append(growing, new, is_last), back)

    def _drop(self, guest: str, name: str, growing: _Growing | None = None) -> None:
        """It grows no more."""
        known = self._growing.get((guest, name))
        if known is not None and (growing is None or growing is known):
            del self._growing[guest, name]
            self._errands.send(known.file.close)


# In the other thread


def _hash_known(growing: _Growing, partial: Path) -> None:
    with partial.open("rb") as file:
        left = growing.accepted
        while left and (content := file.read(min(left, _READ_BYTES))):
            growing.hashed.update(content)
            left -= len(content)


def _append(growing: _Growing, new: bytes | memoryview, is_last: bool) -> None:
    """Write, and put the file in its place when it is whole. Raises ``OSError``, CycloramaError ``upload-damaged``."""
    if growing.file.closed:
        if growing.path.is_file():
            return  # the last piece came twice
        raise CycloramaError("upload-unknown", "The backend expects this file no more.", "Try again.")
    growing.hashed.update(new)
    while new:
        new = new[growing.file.write(new) :]
    if is_last:
        _put(growing)


def _put(growing: _Growing) -> None:
    partial = Path(growing.file.name)
    os.fsync(growing.file.fileno())  # a job that names it is accepted next, and must find it after a power cut
    growing.file.close()
    if growing.hashed.hexdigest() != growing.path.name[:64]:
        partial.unlink(missing_ok=True)
        raise CycloramaError("upload-damaged", "The file was damaged on its way.", "Generate again.")
    partial.replace(growing.path)
    flush_folder(growing.path.parent)


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """When each was used last (seconds since 1970), its size, its path."""
    for path in folder.iterdir():
        with suppress(OSError):
            if path.is_symlink() or not path.is_file():
                continue
            status = path.stat()
            yield status.st_mtime, status.st_size, path


def _not_stored(error: Exception) -> CycloramaError:
    log.error("An upload cannot be stored: %s", error)
    return _disk_full()


def _disk_full() -> CycloramaError:
    return CycloramaError(
        "disk-full", "The backend's computer has no room for the file.", "Make room on its disk, then generate again."
    )
