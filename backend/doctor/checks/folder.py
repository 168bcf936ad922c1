"""The backend's folder, and the disks: room, rights, and whether they are of a kind that can be trusted."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from ....bridge.address import FOLDER_VARIABLE
from ....bridge.errors import CycloramaError
from ...models.present import hub_folder
from ...stage_cache import CACHE_FOLDER, default_limit, used_bytes
from ...words import size
from ..finding import Finding, fault, ok, warning
from ..situation import Situation

NO_ROOM = 1_000_000_000
LITTLE_ROOM = 10_000_000_000
_NETWORK_DRIVES = {"nfs", "nfs4", "cifs", "smb", "smbfs", "smb3", "afpfs", "9p", "fuse.sshfs", "davfs"}
_ELSEWHERE = f"choose another folder with --folder or {FOLDER_VARIABLE}"


def folder(situation: Situation) -> Iterator[Finding]:
    """That it is there, ours, closed to others, and can be written."""
    path = situation.folder
    if path.exists() and not path.is_dir():
        yield fault("Folder", f"{path} is no folder.", f"Remove that file, or {_ELSEWHERE}.")
    elif not path.exists():
        parent = _nearest(path)
        if os.access(parent, os.W_OK | os.X_OK):
            yield ok("Folder", f"{path} is made when the backend first starts")
        else:
            yield fault("Folder", f"{path} cannot be made: {parent} is closed to you.", f"Open it, or {_ELSEWHERE}.")
    else:
        wrong = list(_faults_of(path))
        yield from wrong
        if not wrong:
            yield ok("Folder", str(path))
    yield from _on_network_drive(path)


def _faults_of(path: Path) -> Iterator[Finding]:
    found = path.stat()
    if sys.platform != "win32":
        if found.st_uid != os.getuid():
            yield fault("Folder", f"{path} belongs to another user.", f"{_ELSEWHERE[0].upper()}{_ELSEWHERE[1:]}.")
        if found.st_mode & 0o077:
            say = fault if found.st_mode & 0o022 else warning  # who may write there could replace keys
            mode = stat.S_IMODE(found.st_mode)
            fix = f"chmod 700 {path}   (the backend does so when it starts)"
            yield say("Folder", f"{path} is open to other users (mode {mode:04o}).", fix)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield fault("Folder", f"{path} cannot be written.", f"Open it for writing, or {_ELSEWHERE}.")


def _on_network_drive(path: Path) -> Iterator[Finding]:
    """SQLite's write-ahead log and file locks need a disk of this computer."""
    there = _nearest(path)
    mounts = [each for each in psutil.disk_partitions(all=True) if there.is_relative_to(each.mountpoint)]
    kind = max(mounts, key=lambda each: len(each.mountpoint)).fstype.lower() if mounts else ""
    if kind in _NETWORK_DRIVES:
        yield warning(
            "Folder",
            f"{path} lies on a network drive ({kind}), where the list of jobs can be damaged.",
            f"For a disk of this computer, {_ELSEWHERE}.",
        )


def disk(situation: Situation) -> Iterator[Finding]:
    """Room where the backend, the hub's client and Python's temporary files write; one line for each disk."""
    places = {"the backend": situation.folder, "models": hub_folder(), "temporary files": Path(tempfile.gettempdir())}
    disks: dict[int, tuple[Path, list[str]]] = {}
    for what, path in places.items():
        there = _nearest(path)
        disks.setdefault(there.stat().st_dev, (there, []))[1].append(what)
    for there, whats in disks.values():
        free = shutil.disk_usage(there).free
        shown = f"{size(free)} free for {_listed(whats)} ({there})"
        room = 100_000_000 if whats == ["temporary files"] else LITTLE_ROOM
        if free < min(NO_ROOM, room):
            yield fault("Disk", shown, "Make room: a scene takes some hundred MB to some GB.")
        elif free < room:
            yield warning("Disk", shown, "Make room: a video model takes 10 to 40 GB, a scene up to some GB.")
        else:
            yield ok("Disk", shown)


def cache(situation: Situation) -> Iterator[Finding]:
    """What finished stages take."""
    path = situation.folder / CACHE_FOLDER
    try:
        limit = default_limit(_nearest(path))
    except CycloramaError as error:
        yield fault("Cache", error.sentence, error.hint)
        return
    yield ok("Cache", f"{size(used_bytes(path))} of at most {size(limit)}")


def _nearest(path: Path) -> Path:
    """The path itself, or the first of the folders it lies in that is there."""
    return next((each for each in (path, *path.parents) if each.is_dir()), Path(path.anchor))


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
