"""The folder that is all the installation's own, and the stamp in it that says what is installed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

STAMP = "environment.json"
LOG = "install.log"
LOCK = "lock"
_FOLDERS = ("venv", "cache", "temporary")
_FILES = (STAMP, "environment.partial", LOG, LOCK)


@dataclass(frozen=True)
class Stamp:
    """What stands in an environment's folder.

    Args:
        version: of the add-on that installed it; "" while nothing is.
        whole: whether the last installation or repair went to its end.
        device: what it was installed for: ``cpu`` or ``cu130``; "" while nothing is.
        torch: its version.
        runs_on: what it computes on, in words.
        python: ``3.13.0``.
        disk_bytes: what it takes on the disk.
    """

    version: str = ""
    whole: bool = False
    device: str = ""
    torch: str = ""
    runs_on: str = ""
    python: str = ""
    disk_bytes: int = 0


def read_stamp(folder: Path) -> Stamp | None:
    """The stamp in ``folder``; one that says nothing when it is damaged, None when there is none."""
    try:
        found = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return Stamp()
    kinds = {name: type(value) for name, value in asdict(Stamp()).items()}
    if not isinstance(found, dict) or any(type(found.get(name)) is not kinds[name] for name in kinds):
        return Stamp()
    return Stamp(**{name: found[name] for name in kinds})


def write_stamp(folder: Path, stamp: Stamp) -> None:
    """Replace it in one step."""
    partial = folder / "environment.partial"
    partial.write_text(json.dumps(asdict(stamp)), encoding="utf-8")
    partial.replace(folder / STAMP)


def holds_others(folder: Path) -> bool:
    """Whether something that is not ours lies in ``folder``."""
    return folder.is_dir() and any(path.name not in (*_FOLDERS, *_FILES) for path in folder.iterdir())


def python_in(folder: Path) -> Path:
    """Where the environment's interpreter is, when there is one."""
    return folder / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def site_packages(folder: Path) -> Path:
    """Where its packages are; a folder that need not exist."""
    if sys.platform == "win32":
        return folder / "venv" / "Lib" / "site-packages"
    found = sorted((folder / "venv" / "lib").glob("python3*/site-packages"))
    return found[-1] if found else folder / "venv" / "lib" / "site-packages"


def disk_bytes(folder: Path) -> int:
    """What the files below ``folder`` take, links not followed."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118 (60 000 files: Path costs seconds)
            except OSError:  # gone meanwhile
                continue
    return total


def free_bytes(folder: Path) -> int:
    """What is free on the disk of ``folder``, which need not exist; -1 when it cannot be told."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    try:
        return shutil.disk_usage(existing).free
    except OSError:
        return -1


def remove_own(folder: Path) -> list[str]:
    """Delete what the installation made in ``folder`` and nothing else; what could not be deleted is returned."""
    left: list[str] = []
    for name in _FOLDERS:
        path = folder / name
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            _remove_tree(path, left)
    for name in _FILES:
        if left and name == STAMP:
            continue  # it marks the folder as ours, for another try
        (folder / name).unlink(missing_ok=True)
    if not left and folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
    return left


def _remove_tree(path: Path, left: list[str]) -> None:
    def keep(_function: object, name: str, _error: object) -> None:
        left.append(name)

    if sys.version_info >= (3, 12):
        shutil.rmtree(path, onexc=keep)
    else:
        shutil.rmtree(path, onerror=keep)
