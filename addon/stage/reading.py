"""Reading ahead of the playhead, in a thread: what was compressed is unpacked, the rest is in the system's cache.

So a frame change finds its numbers ready, or reads them itself where the thread was not fast enough.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from ...bridge.errors import CycloramaError
from ...bridge.scene import Scene

FRAMES_AHEAD = 2
"""More would only help where one frame takes much longer to read than the others, and take as much more memory."""

_PIECE = 1 << 20
"""Bytes; of files that need no unpacking no more than this is held."""

Arrays = dict[str, np.ndarray]
_Part = tuple[Path, str]
"""A package, and a folder of frames in it."""


class Reader:
    """Holds at most ``FRAMES_AHEAD`` unpacked frames of each part that is played, none of those that are not packed."""

    def __init__(self):
        self._changed = threading.Condition()
        self._wanted: dict[_Part, tuple[Scene, list[str]]] = {}
        self._ready: dict[_Part, dict[str, Arrays | None]] = {}
        self._thread: threading.Thread | None = None

    def take(self, package: Scene, name: str) -> Iterable[tuple[str, np.ndarray]]:
        """The arrays of one file of a package: those that lie ready, else read one after the other.

        Raises:
            CycloramaError: the file cannot be read; also while the arrays are gone through.
        """
        with self._changed:
            ready = self._ready.get(_part(package, name), {}).pop(name, None)
        return package.stream(name) if ready is None else ready.items()

    def prepare(self, package: Scene, names: list[str]) -> None:
        """Have these files of one part ready next, in this order; what else was ready of it is let go."""
        if not names:
            return
        part = _part(package, names[0])
        with self._changed:
            self._wanted[part] = package, names
            ready = self._ready.get(part, {})
            self._ready[part] = {name: ready[name] for name in names if name in ready}
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cyclorama reading", daemon=True)
                self._thread.start()
            self._changed.notify()

    def stop(self) -> None:
        """Let go of everything; the thread ends when it has read its file."""
        with self._changed:
            self._wanted.clear()
            self._ready.clear()
            thread, self._thread = self._thread, None
            self._changed.notify()
        if thread is not None:
            thread.join(timeout=1.0)

    def wait(self) -> None:
        """Until all that was asked for is ready."""
        with self._changed:
            self._changed.wait_for(lambda: next(self._missing(), None) is None)

    def held_bytes(self) -> int:
        """Memory of what lies ready."""
        with self._changed:
            frames = [arrays for ready in self._ready.values() for arrays in ready.values() if arrays]
        return sum(array.nbytes for arrays in frames for array in arrays.values())

    def _missing(self) -> Iterator[tuple[_Part, Scene, str]]:
        for part, (package, names) in self._wanted.items():
            for name in names:
                if name not in self._ready[part]:
                    yield part, package, name

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._thread is not threading.current_thread() or self._next())
                if self._thread is not threading.current_thread():
                    return
                part, package, name = next(self._missing())
            arrays = _read(package, name)
            with self._changed:
                if part in self._wanted and name in self._wanted[part][1]:
                    self._ready[part][name] = arrays
                self._changed.notify_all()

    def _next(self) -> bool:
        return next(self._missing(), None) is not None


def _part(package: Scene, name: str) -> _Part:
    return package.folder, name.partition("/")[0]


def _read(package: Scene, name: str) -> Arrays | None:
    """The arrays, where they are packed; else (and where they cannot be read) only the system has read them."""
    with suppress(CycloramaError, OSError):  # whoever takes the frame reads it again, and says so
        if package.info.files[name].encoding:
            return dict(package.stream(name))
        with (package.folder / name).open("rb", buffering=0) as file:
            piece = bytearray(_PIECE)
            while file.readinto(piece):
                pass
    return None
