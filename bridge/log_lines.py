"""Lines of the backend's log: JSON on disk, one object a line, and as people read them."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

LONGEST_TEXT = 8_000
"""Characters of one entry; of a longer one the middle is left out."""

_JOB_SIGNS = 8

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""What a terminal obeys, what ends a line unseen or turns text around, and what is not Unicode; not tab and newline."""


class LogLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry. ``time``: ISO 8601, in UTC, with milliseconds; ``level``: info, warning, error ..."""

    time: str
    level: str
    logger: str
    text: str
    job: str = ""
    """The one that it is about."""


_decode = msgspec.json.Decoder(LogLine).decode


def entry(line: bytes | str) -> LogLine | None:
    """What a line of the file says; None for one that is no entry."""
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def readable(line: LogLine) -> str:
    """Local time, level, where from, which job, the text; of all but the text only what tells it apart.

    What follows the text's first line is indented, so that it forges no entry.
    """
    job = f" [{plain(line.job[:_JOB_SIGNS])}]" if line.job else ""
    level = "" if line.level == "info" else f" {plain(line.level).upper()}"
    first, *rest = plain(line.text).split("\n")
    start = f"{_local(line.time)}{level} {plain(line.logger.rpartition('.')[2])}{job}: {first}"
    return "\n".join([start, *(f"    {more}" for more in rest)])


def readable_lines(content: str) -> str:
    """The end of a log file as people read it; lines that are no entries, of an older log say, as they are."""
    lines = content.split("\n")
    return "\n".join(readable(found) if (found := entry(line)) else plain(line) for line in lines)


def plain(text: str) -> str:
    """The same with signs that do something, rather than show something, written out."""
    return _UNSEEN.sub(lambda sign: ascii(sign[0])[1:-1], text)


def shortened(text: str, most: int = LONGEST_TEXT) -> str:
    """At most about ``most`` characters of it: its beginning and its end."""
    if len(text) <= most:
        return text
    kept = most // 2
    return f"{text[:kept]}\n… {len(text) - 2 * kept:,} characters left out …\n{text[-kept:]}"


def _local(time: str) -> str:
    try:
        return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return plain(time)
