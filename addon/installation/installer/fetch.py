"""Downloads that go on where they were broken off, also by a kill: large files over home connections need that."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .pip import Package, trust

_CHUNK = 1 << 18
_TRIES = 5
_SILENT_SECONDS = 60.0


@dataclass(frozen=True)
class Fetched:
    """What is there, and what is left to pip, which knows passwords and proxies that we do not."""

    files: dict[str, Path]
    left: list[Package]


def fetch(
    packages: Sequence[Package], folder: Path, show: Callable[[int, str], None], note: Callable[[str], None]
) -> Fetched:
    """Download into ``folder``.

    Args:
        packages: what to download; local ones and those without a checksum are left to pip.
        folder: keeps whole files, and begun ones as ``….partial``.
        show: called with the bytes that are there and the package's name.
        note: takes a line for the log.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    left: list[Package] = []
    there = 0
    for package in packages:
        path = folder / package.file
        before = there
        reachable = len(left) == sum(other.local or not other.sha256 for other in left)
        if package.local or not package.sha256 or not reachable:
            left.append(package)
        elif _whole(path, package.sha256) or _fetch(
            package, path, lambda size, name=package.name, before=before: show(before + size, name), note
        ):
            files[package.name] = path
            there += path.stat().st_size
        else:
            left.append(package)
    return Fetched(files, left)


def _fetch(package: Package, path: Path, show: Callable[[int], None], note: Callable[[str], None]) -> bool:
    """Whether it is there now, and is what it should be."""
    partial = path.with_name(path.name + ".partial")
    for attempt in range(_TRIES):
        try:
            _go_on(package.url, partial, show)
        except urllib.error.HTTPError as error:
            note(f"{package.url}: {error}")
            if error.code != 416:  # the begun file is longer than it can be
                return False
            partial.unlink(missing_ok=True)
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            note(f"{package.url}: {error}")
            time.sleep(0.5 * attempt)
            continue
        if _whole(partial, package.sha256):
            partial.replace(path)
            return True
        if package.bytes < 0 or not partial.exists() or partial.stat().st_size >= package.bytes:
            partial.unlink(missing_ok=True)  # damaged: anew
    return False


def _go_on(url: str, partial: Path, show: Callable[[int], None]) -> None:
    begun = partial.stat().st_size if partial.exists() else 0
    question = urllib.request.Request(url, headers={"Range": f"bytes={begun}-"} if begun else {})
    with urllib.request.urlopen(question, timeout=_SILENT_SECONDS, context=trust()) as answer:
        goes_on = answer.status == 206
        size = begun if goes_on else 0
        with partial.open("ab" if goes_on else "wb") as file:
            shown = 0.0
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                size += len(chunk)
                if time.monotonic() - shown > 0.2:
                    show(size)
                    shown = time.monotonic()


def _whole(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
