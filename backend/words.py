"""Sizes, times and names in a few words, for displays."""

from __future__ import annotations

import re

from ..bridge.log_lines import plain


def size(count: float) -> str:
    """Bytes as "3.1 GB"."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 999.5 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" or count >= 99.95 else f"{count:.1f} {unit}"


def duration(seconds: float) -> str:
    """ "12 s", "3 min", "2 h 13 min", "4 days"."""
    seconds = max(seconds, 0)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days"


def file_name(path: str) -> str:
    """The last part of a path of whatever system, without the ending of scenes."""
    return plain(re.split(r"[\\/]", path)[-1]).removesuffix(".cyclorama").replace("\n", " ")
