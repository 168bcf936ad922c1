"""The files of a package as names: what they are called, which there may be, and that each lies where it says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

INFO = "scene.json"
STATIC = "static.safetensors"
MOVING = "moving.safetensors"
POINTS = "points.safetensors"
SPLAT_FRAMES = "frames"
POINT_FRAMES = "points"
"""Folders of what changes: names for ``frame_name``."""

PICTURES = "video", "depth"
"""Folders of pictures."""

_PART = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?", re.ASCII)
"""Small letters only: "A" and "a" are one file on Windows and macOS, two on Linux."""

_MOST_PARTS = 2

_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.ASCII)
"""On Windows these are no files, in whichever folder."""

_LEFT_BY_OPERATING_SYSTEMS = {".DS_Store", "Thumbs.db", "desktop.ini"}


def frame_name(index: int, folder: str = SPLAT_FRAMES, suffix: str = ".safetensors") -> str:
    """Path inside the package of one frame's file: ``frames/000000.safetensors``."""
    return f"{folder}/{index:06d}{suffix}"


def name_fault(name: str) -> str:
    """Why a package may not have a file of that name (a path inside it, with "/"): half a sentence; "" if it may."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
        return f"names a file outside the package ({name[:_SHOWN]!r})"
    if len(parts) > _MOST_PARTS or not all(_PART.fullmatch(part) and not _DEVICES.fullmatch(part) for part in parts):
        return f"names a file as not every system can ({name[:_SHOWN]!r})"
    return ""


_SHOWN = 100
"""Characters of a name that is no good."""


def leads_out(folder: Path, name: str) -> bool:
    """Whether a file of the package is, or lies behind, a link out of it. Raises ``OSError``."""
    path = folder / name
    if not any(part.is_symlink() for part in (path, *path.parents[: name.count("/")])):
        return False
    return not path.resolve().is_relative_to(folder.resolve())


def unknown_file(folder: Path, known: Iterable[str]) -> Path | None:
    """A file in the package that nobody told of, if there is one. Raises ``OSError``."""
    names = set(known)
    for path in _files_below(folder):
        if path.relative_to(folder).as_posix() not in names and path.name not in _LEFT_BY_OPERATING_SYSTEMS:
            return path
    return None


def _files_below(folder: Path) -> Iterator[Path]:
    """Links to folders are not followed, and count as files."""
    for where, folders, files in os.walk(folder):
        yield from (Path(where, name) for name in files)
        yield from (path for name in folders if (path := Path(where, name)).is_symlink())
