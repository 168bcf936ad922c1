"""The backend's log: a rotating file of JSON lines in its folder, and reading its end.

Whatever users and libraries put into a message, an entry stays one line of the file, of a bounded length, and without
secrets. See ``bridge/log_lines.py`` for what is in a line.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

import msgspec

from ...bridge.errors import CycloramaError
from ...bridge.log_lines import LogLine, entry, plain, readable, shortened
from .secrets_mask import masked

LOG_FILE = "backend.log"

_FILE_BYTES = 1_000_000
_TAIL_BYTES = 1 << 19
_ROUNDED_SECONDS = 0.001  # the log tells times in milliseconds
_CONSIDERED = 100_000
"""Characters of a message that are looked at at all."""


class LogFile(RotatingFileHandler):
    """The file. Where it cannot be written the backend goes on, says so once on standard error, and tries again.

    Args:
        folder: the backend's.
    """

    def __init__(self, folder: Path):
        super().__init__(folder / LOG_FILE, maxBytes=_FILE_BYTES, backupCount=3, encoding="utf-8", delay=True)
        self.setFormatter(_JsonLines())
        self.trouble = ""
        """Why the last entry could not be written, a sentence; "" when it was."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write an entry, or go on without."""
        before, self.trouble = self.trouble, ""
        super().emit(record)
        if self.trouble and not before and sys.stderr is not None:
            with suppress(OSError, ValueError):  # nobody may be there to read it
                print(self.trouble, file=sys.stderr, flush=True)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Called by ``emit`` with an exception under way."""
        error = sys.exc_info()[1]
        reason = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
        self.trouble = f"The log {self.baseFilename} cannot be written: {reason}. The backend goes on without."
        stream, self.stream = self.stream, None  # opened anew for the next entry
        if stream:
            with suppress(OSError, ValueError):
                stream.close()

    def doRollover(self) -> None:  # noqa: N802 (logging's name)
        """Begin a new file; where the old one cannot be renamed, as on Windows while somebody reads it, go on in it."""
        with suppress(OSError):
            super().doRollover()

    def _open(self) -> TextIOWrapper:
        cut_short = _is_cut_short(Path(self.baseFilename))
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        stream = os.fdopen(os.open(self.baseFilename, flags, 0o600), "a", encoding="utf-8", newline="\n")
        if cut_short:
            stream.write("\n")
        return stream


def _is_cut_short(path: Path) -> bool:
    """Whether the last line was not finished, because of a kill or a full disk."""
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = masked(shortened(super().format(record), _CONSIDERED))
        line = LogLine(
            time=datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            level=record.levelname.lower(),
            logger=record.name.removeprefix("cyclorama."),
            text=plain(shortened(text)),
            job=plain(str(getattr(record, "job", ""))[:64]),
        )
        return msgspec.json.encode(line).decode("utf-8")


@contextmanager
def log_in(folder: Path) -> Iterator[LogFile]:
    """All that the package logs goes there meanwhile; also why it ends, when that is a fault."""
    handler = LogFile(folder)
    logger = logging.getLogger("cyclorama")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield handler
    except CycloramaError:
        raise  # told to whoever started us
    except Exception:
        logger.exception("The backend ends")
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()


def last_lines(folder: Path, lines: int, jobs: Mapping[str, float] | None = None) -> str:
    """The end of the log in ``folder``, as people read it, at most half a megabyte; "" where there is none.

    Args:
        jobs: only entries about these, from the times on that are given with them (seconds since 1970): whoever had a
            job of that name before is nobody's business. None: all.
    """
    found: list[str] = []  # newest first
    for path in (folder / LOG_FILE, folder / f"{LOG_FILE}.1"):  # the latter is the older
        for line in reversed(_end_of(path)):
            if len(found) >= lines:
                break
            found += reversed(_shown(line, jobs))
    text = "\n".join(reversed(found[:lines])).encode("utf-8")
    return text[-_TAIL_BYTES:].decode("utf-8", "ignore")


def _shown(line: bytes, jobs: Mapping[str, float] | None) -> list[str]:
    found = entry(line)
    if jobs is not None and (found is None or found.job not in jobs or _is_before(found.time, jobs[found.job])):
        return []
    return (readable(found) if found else plain(line.decode("utf-8", "replace"))).split("\n")


def _is_before(written: str, moment: float) -> bool:
    try:
        return datetime.fromisoformat(written).timestamp() < moment - _ROUNDED_SECONDS
    except (ValueError, OverflowError, OSError):
        return True


def _end_of(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(size - _TAIL_BYTES, 0)
            file.seek(start)
            lines = file.read().split(b"\n")
    except OSError:
        return []
    whole = lines[1:] if start else lines  # the first one is only its end
    return [line for line in whole if line]
