"""Which files a scene may list that is fetched from a backend; both ends check it before anything is written."""

from __future__ import annotations

from collections.abc import Mapping

from .messages import PackageFile
from .package_files import name_fault
from .scene import INFO

MOST_FILES = 100_000
"""With more, the list would not fit in a message (``messages.MAX_REPLY_BYTES``)."""

MOST_BYTES = 1 << 42
"""Of a scene. 4 TB would travel for half a day through the fastest of networks."""


def listing_fault(files: Mapping[str, PackageFile]) -> str:
    """Why a scene may not be made of these files: half a sentence; "" if it may."""
    if INFO not in files:
        return "does not say what is in it"
    if len(files) > MOST_FILES:
        return f"has {len(files)} files; at most {MOST_FILES} can be fetched"
    for name in files:
        if fault := name_fault(name) or _misplaced(name, files):
            return fault
    size = sum(file.size for file in files.values())
    if size > MOST_BYTES:
        return f"has {size / 1e12:.1f} TB; at most {MOST_BYTES / 1e12:.1f} TB can be fetched"
    return ""


def _misplaced(name: str, files: Mapping[str, PackageFile]) -> str:
    if "." not in name:
        return f"names a file without an ending ({name!r})"
    folder, separator, _ = name.rpartition("/")
    return f"names {folder!r} as a file and as a folder" if separator and folder in files else ""
