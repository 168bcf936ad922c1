"""A scene on its way from another computer: files that grow on disk, are hashed meanwhile, and checked when whole."""

from __future__ import annotations

import hashlib
import os
import queue
import shutil
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .durable import flush_file
from .errors import CycloramaError
from .frames import Frame
from .messages import PackageFile
from .scene import INFO

ASK_AGAIN = "Fetch it again; if that does not help, generate it again."

_SCENE = ".scene"
"""Which scene arrives there: the checksum of its ``scene.json``, which holds those of all others."""

_UNHASHED = 4
"""Pieces that may wait to be hashed; they are held in memory."""

_READ_BYTES = 1 << 20
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)


class Rest(NamedTuple):
    """What is missing of a file: all from ``offset`` to ``size``."""

    name: str
    offset: int
    size: int


class Arriving:
    """Use as a context manager, in one thread. What an earlier attempt at this very scene has left is used.

    Nothing is written outside ``folder``, whatever links somebody put there.

    Args:
        folder: where the files grow; it stays when the context is left.
        files: of the scene; their names have been checked (``package_files.name_fault``).

    Raises:
        OSError: ``folder`` cannot be written.
    """

    def __init__(self, folder: Path, files: Mapping[str, PackageFile]):
        self.folder = folder
        self.total = sum(file.size for file in files.values())
        self._files = files
        self._open: tuple[str, int] | None = None  # name and descriptor of the file that grows
        self._tried: set[str] = set()  # files that came once already, and were not what they should be
        _take_over(folder, files)
        self._sizes = {name: self._size(name) for name in files}
        self._hashing = _Hashing()
        self._flusher = ThreadPoolExecutor(1, "cyclorama-flushing")
        self._flushed: list[Future[None]] = []

    def __enter__(self) -> Arriving:
        self._hashing.start()
        for name in self._files:
            self._begin(name)
        return self

    def __exit__(self, *_exception) -> None:
        self._close()
        self._hashing.end()
        self._flusher.shutdown(cancel_futures=True)

    @property
    def come(self) -> int:
        """Bytes that are there."""
        return sum(self._sizes.values())

    def rest(self) -> list[Rest]:
        """What is to be fetched, after all that came has been checked; empty: the scene is whole, and on the disk.

        ``scene.json`` is the last, so who has asked for its end has the others.

        Raises:
            CycloramaError: ``scene-damaged``: a file came twice, and was wrong both times.
            OSError: the disk is full, or broken.
        """
        self._close()
        while self._flushed:
            self._flushed.pop().result()
        for name in self._hashing.wrong():
            self._again(name)
        order = sorted(self._files, key=lambda name: name == INFO)
        rest = (Rest(name, self._sizes[name], self._files[name].size) for name in order)
        return [missing for missing in rest if missing.offset < missing.size]

    def write(self, name: str, content: Frame) -> None:
        """The next bytes of a file, no more than are missing. Raises OSError."""
        if self._open is None or self._open[0] != name:
            self._close()
            self._open = name, os.open(self.folder / name, _FLAGS, 0o644)
        left = memoryview(content)
        self._hashing.grow(name, left)
        while left:
            written = os.write(self._open[1], left)
            self._sizes[name] += written
            left = left[written:]
        if self._sizes[name] == self._files[name].size:
            self._close()
            self._finish(name)

    def _begin(self, name: str) -> None:
        """Let what is there of a file be hashed."""
        if self._sizes[name]:
            self._hashing.read(name, self.folder / name)
        if self._sizes[name] == self._files[name].size:
            (self.folder / name).touch()  # one of no bytes is never written
            self._finish(name)

    def _finish(self, name: str) -> None:
        """It is whole: compare it with its checksum, and flush it while the next one comes."""
        self._hashing.finish(name, self._files[name].sha256)
        self._flushed.append(self._flusher.submit(flush_file, self.folder / name))

    def _again(self, name: str) -> None:
        """Fetch a file a second time: a power cut may have damaged what was there of it."""
        (self.folder / name).unlink(missing_ok=True)
        if name in self._tried:
            raise CycloramaError("scene-damaged", f"The scene's file {name} was damaged on its way.", ASK_AGAIN)
        self._tried.add(name)
        self._sizes[name] = 0

    def _size(self, name: str) -> int:
        path = self.folder / name
        if not path.exists():
            return 0
        size = path.stat().st_size
        if size <= self._files[name].size:
            return size
        path.unlink()
        return 0

    def _close(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None


class _Hashing:
    """SHA-256 of files as they grow, in a thread, so that it costs the one that writes no time."""

    def __init__(self):
        self._steps: queue.Queue[tuple] = queue.Queue(_UNHASHED)
        self._wrong: list[str] = []
        self._hashes = {}
        self._thread = threading.Thread(target=self._run, name="cyclorama-hashing", daemon=True)

    def start(self) -> None:
        """Call once, before all else."""
        self._thread.start()

    def read(self, name: str, path: Path) -> None:
        """A file begins with what is there now."""
        self._steps.put((self._read, name, path, path.stat().st_size))

    def grow(self, name: str, content: memoryview) -> None:
        """It goes on with ``content``, which must not change."""
        self._steps.put((self._grow, name, content))

    def finish(self, name: str, sha256: str) -> None:
        """It is whole, and should have this checksum."""
        self._steps.put((self._finish, name, sha256))

    def wrong(self) -> list[str]:
        """Waits until all is hashed; the files that had another checksum since the last call."""
        self._steps.join()
        wrong, self._wrong = self._wrong, []
        return wrong

    def end(self) -> None:
        """End the thread; what is not hashed yet is left."""
        with suppress(queue.Empty):
            while True:
                self._steps.get_nowait()
        self._steps.put((None,))
        self._thread.join()

    def _run(self) -> None:
        while True:
            do, *more = self._steps.get()
            if do is None:
                return
            try:
                do(*more)
            finally:
                self._steps.task_done()

    def _read(self, name: str, path: Path, size: int) -> None:
        hashed = self._hashes[name] = hashlib.sha256()
        with suppress(OSError), path.open("rb") as file:  # then the checksum will be wrong, and the file fetched again
            while size and (content := file.read(min(size, _READ_BYTES))):
                hashed.update(content)
                size -= len(content)

    def _grow(self, name: str, content: memoryview) -> None:
        self._hashes.setdefault(name, hashlib.sha256()).update(content)

    def _finish(self, name: str, sha256: str) -> None:
        if self._hashes.pop(name, hashlib.sha256()).hexdigest() != sha256:
            self._wrong.append(name)


def _take_over(folder: Path, files: Mapping[str, PackageFile]) -> None:
    """Make ``folder`` one that holds nothing but parts of this scene."""
    if folder.is_symlink():
        folder.unlink()
    scene = folder / _SCENE
    try:
        known = scene.read_text() == files[INFO].sha256
    except (OSError, UnicodeDecodeError):
        known = False
    if not known:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for path in _strangers(folder, {folder / name for name in files}):
        path.unlink()
    scene.write_text(files[INFO].sha256)
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)


def _strangers(folder: Path, known: set[Path]) -> Iterator[Path]:
    """Links, and files that are not ``known``."""
    for where, folders, files in os.walk(folder):
        for path in (Path(where, name) for name in (*folders, *files)):
            if path.is_symlink() or not (path.is_dir() or path in known):
                yield path
