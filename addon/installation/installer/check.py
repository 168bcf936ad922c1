"""Whether the installed packages are as they were installed; what is not is marked for another installation."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import shutil
from pathlib import Path


def forget_broken(packages: Path, thorough: bool) -> list[str]:
    """Make pip forget packages that miss files, as after a kill, or have other contents; their names.

    Args:
        packages: the folder ``site-packages``; left alone but for the broken packages' ``dist-info``.
        thorough: read every file, not only its size.
    """
    broken = []
    for info in sorted(packages.glob("*.dist-info")):
        if not _whole(info, thorough):
            shutil.rmtree(info)
            broken.append(re.split(r"-(?=\d)", info.stem)[0].replace("_", "-"))
    for leftover in packages.glob("~*"):  # pip renames so what it is about to replace
        shutil.rmtree(leftover, ignore_errors=True)
    return broken


def _whole(info: Path, thorough: bool) -> bool:
    try:
        with (info / "RECORD").open(encoding="utf-8", newline="") as file:
            entries = [row for row in csv.reader(file) if len(row) == 3]
    except (OSError, ValueError, csv.Error):
        return False
    if not entries or not (info / "METADATA").is_file():
        return False
    return all(_as_written(info.parent / name, said, size, thorough) for name, said, size in entries)


def _as_written(path: Path, said: str, size: str, thorough: bool) -> bool:
    if not said or not size.isdigit():  # RECORD itself, and what Python compiles
        return True
    try:
        if path.stat().st_size != int(size):
            return False
        if not thorough:
            return True
        kind, _, digest = said.partition("=")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, kind).digest()
    except (OSError, ValueError):
        return False
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode("ascii") == digest
