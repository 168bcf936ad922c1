"""Folders called by names that guests have chosen."""

from __future__ import annotations

import hashlib
import re

_HARMLESS = re.compile(r"[a-z0-9_-]+", re.ASCII)
_DEVICES = re.compile(r"con|prn|aux|nul|com\d|lpt\d", re.ASCII)


def folder_name(name: str) -> str:
    """Another for each name of letters without accents, digits, - and _.

    Also where "A" and "a" are one folder, and where "nul" can be none.
    """
    if _HARMLESS.fullmatch(name) and not _DEVICES.fullmatch(name):
        return name
    return f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.{name.lower()}"
