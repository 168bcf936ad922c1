"""Packages copied into the folder of the .blend, whole or not at all, so that both can go to a render farm."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from ...bridge.errors import CycloramaError
from ...bridge.scene import INFO, SUFFIX, Scene, is_package
from ...bridge.whole_folder import WholeFolder

FOLDER = "scenes"
"""Beside the .blend."""


@dataclass(frozen=True)
class Copy:
    """One package to copy: where it lies, its place beside the .blend, and how big it is."""

    package: Scene
    target: Path
    size: int
    there: bool
    """It lies in its place already."""


def planned(packages: list[Scene], beside: Path) -> list[Copy]:
    """Where each package goes below the folder ``beside``: by its name, numbered where another of that name is.

    Raises:
        CycloramaError: there is not enough room.
    """
    taken: dict[Path, Path] = {}
    copies = []
    for package in packages:
        source = package.folder.resolve()
        target, there = _place(source, beside / FOLDER, taken)
        taken[target] = source
        size = sum(file.bytes for file in package.info.files.values())
        copies.append(Copy(package, target, size, there))
    needed = sum(copy.size for copy in copies if not copy.there)
    free = shutil.disk_usage(beside).free
    if needed > free:
        raise CycloramaError(
            "disk-full",
            f"{beside} has {free / 1e6:.0f} MB free, and the scenes need {needed / 1e6:.0f} MB.",
            "Make room there, or save the file on another disk.",
        )
    return copies


def copied(copy: Copy) -> Generator[int, None, None]:
    """Copy one package, file by file; yields the bytes of each. Closed before its end, it leaves no trace.

    Raises:
        CycloramaError: a file cannot be read or written (the disk is full). No trace is left then.
    """
    if copy.there:
        return
    with WholeFolder(copy.target, False, is_package, "Cyclorama scene") as folder:
        for name, file in copy.package.info.files.items():
            folder.file(name, lambda path, name=name: shutil.copyfile(copy.package.folder / name, path))
            yield file.bytes
        folder.file(INFO, lambda path: shutil.copyfile(copy.package.folder / INFO, path))
        folder.put(Scene)


def _place(source: Path, folder: Path, taken: dict[Path, Path]) -> tuple[Path, bool]:
    """A free place for ``source``, or one where it or its copy lies already."""
    if source.parent == folder.resolve():
        return folder / source.name, True
    stem = source.name.removesuffix(SUFFIX)
    number = 0
    while True:
        target = folder / (f"{stem}.{number:03d}{SUFFIX}" if number else f"{stem}{SUFFIX}")
        if target not in taken:
            if not target.exists():
                return target, False
            if _same(source, target):
                return target, True
        number += 1


def _same(one: Path, other: Path) -> bool:
    """Whether two packages hold the same: their descriptions name the checksums of all files."""
    try:
        return (one / INFO).read_bytes() == (other / INFO).read_bytes()
    except OSError:
        return False
