"""The folder of unfinished work (``keepsake.py``): what in it is forgotten, and how much it may take."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..bridge.address import backend_folder
from ..bridge.held_file import is_alive

_KEPT_SECONDS = 14 * 24 * 3600.0
"""Work that nobody went on with for so long is forgotten."""

SHARE_OF_CACHE = 0.5
"""Of what the stage cache may take, all unfinished work together."""


def unfinished_folder() -> Path:
    """The user's own."""
    return backend_folder() / "unfinished"


def sweep(folder: Path, own: str = "") -> None:
    """Forget what is old, and what processes left half-written that are gone.

    Args:
        own: the name of work that is gone on with right now, whatever a clock says of its age.
    """
    for path in folder.glob("*.*"):
        with suppress(OSError):  # another process may be doing the same
            writer = path.suffix[1:]
            left = writer.isdigit() and not is_alive(int(writer))
            old = time.time() - path.stat().st_mtime > _KEPT_SECONDS
            if left or (old and not (own and path.name.startswith(f"{own}."))):
                path.unlink()


def used_bytes(folder: Path) -> int:
    """What all of it takes."""
    return sum(size for _name, size, _changed in _files(folder))


def make_room(folder: Path, own: str, needed_bytes: int, limit_bytes: Callable[[], int]) -> bool:
    """Forget others' work, the oldest first, until so much more fits in; whether it does.

    Args:
        own: the name of the work that is to be kept.
    """
    sizes: defaultdict[str, int] = defaultdict(int)
    changed: defaultdict[str, float] = defaultdict(float)
    for name, size, when in _files(folder):
        work = name.partition(".")[0]
        sizes[work] += size
        changed[work] = max(changed[work], when)
    total, limit = sum(sizes.values()) + needed_bytes, limit_bytes()
    for work in sorted(sizes, key=lambda work: changed[work]):
        if total <= limit:
            break
        if work != own:
            for path in folder.glob(f"{work}.*"):
                with suppress(OSError):
                    path.unlink()
            total -= sizes[work]
    return total <= limit


def _files(folder: Path) -> list[tuple[str, int, float]]:
    found = []
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):
                told = path.stat()
                found.append((path.name, told.st_size, told.st_mtime))
    return found
