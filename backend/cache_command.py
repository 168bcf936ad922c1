"""``cyclorama cache``: what earlier jobs left for later ones, and removing it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from ..bridge.address import backend_folder
from . import unfinished
from .stage_cache import CACHE_FOLDER, Kept, StageCache, default_limit, kept, remove, sweep


def own_cache(wanted: bool = True) -> StageCache | None:
    """The user's own, for a command that makes something; None where it is not wanted."""
    return StageCache(backend_folder() / CACHE_FOLDER) if wanted else None


def in_words(reused: Sequence[str]) -> str:
    """What of a job did not have to be done; "" where all had to."""
    return f"{', '.join(reused)}: from the cache" if reused else ""


def show_cache(folder: Path | None = None, clear: bool = False) -> None:
    """Print what is kept, what was used last first.

    Args:
        folder: the backend's; the user's own when left out.
        clear: remove all that no running job uses, first.
    """
    place = backend_folder(folder) / CACHE_FOLDER
    sweep(place)
    if clear:
        freed = remove(place, [entry.name for entry in kept(place)], leased=False)
        print(f"{_size(freed)} removed.")
    entries = kept(place)
    for entry in entries:
        print(_line(entry, place))
    total = sum(entry.bytes for entry in entries)
    limit = default_limit(place)
    share = f"of at most {_size(limit)}" if limit else "(switched off)"
    print(f"{len(entries)} results of stages in {place}: {_size(total)} {share}.")
    if left := unfinished.used_bytes(backend_folder(folder) / "unfinished"):
        print(f"Unfinished work beside it: {_size(left)}.")


def _line(entry: Kept, place: Path) -> str:
    try:
        seconds = time.time() - (place / "entries" / entry.name / "used").stat().st_mtime
    except OSError:
        seconds = 0.0
    used_by = f"  in use by {', '.join(entry.leased)}" if entry.leased else ""
    return f"{entry.stage:12} {_size(entry.bytes):>10}  used {_ago(max(seconds, 0.0))}{used_by}"


def _ago(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit} ago"
    return "just now"


def _size(size: int) -> str:
    for unit, length in (("GB", 1e9), ("MB", 1e6)):
        if size >= length:
            return f"{size / length:.1f} {unit}"
    return f"{size / 1e3:.1f} kB"
