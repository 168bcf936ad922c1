"""What computes: a digest of our own source files and of the versions of the libraries below them.

Nobody has to count a version up: whatever is changed in a stage, its older results are not found any more.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .digests import digest, digest_of_file

LIBRARIES = (
    "accelerate",
    "diffusers",
    "ftfy",
    "gsplat",
    "numba",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "openimageio",
    "safetensors",
    "scipy",
    "tokenizers",
    "torch",
    "transformers",
)
"""Distributions whose code makes numbers, or decides which."""

_HOUSE = Path(__file__).parent.parent
_COUNTS = (".py", ".safetensors")


def _files(sources: tuple[str, ...]) -> Iterator[Path]:
    for source in sources:
        place = _HOUSE / source
        found = [place] if place.is_file() else [path for path in place.rglob("*") if path.suffix in _COUNTS]
        if not found:  # a version of nothing would never change
            raise FileNotFoundError(place)
        yield from found


_AT_START = {path: digest_of_file(path) for path in _files(("__init__.py", "bridge", "backend"))}
"""Of files as this process found them: it goes on running those when another version is installed meanwhile."""


@cache
def code_version(sources: tuple[str, ...]) -> str:
    """A digest of all code in ``sources`` and of the libraries.

    Args:
        sources: folders and files, as paths in the package.
    """
    files = sorted(set(_files(sources)))
    ours = (f"{path.relative_to(_HOUSE).as_posix()} {_AT_START.get(path) or digest_of_file(path)}" for path in files)
    machine = f"{sys.platform} {platform.machine()} {sys.version_info[:2]}"
    return digest([*ours, *(f"{name} {_version(name)}" for name in LIBRARIES), machine])


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
