"""The backend's log: a rotating file in its folder, and reading its end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

from ...bridge.errors import CycloramaError

LOG_FILE = "backend.log"

_TAIL_BYTES = 1 << 19


@contextmanager
def log_in(folder: Path) -> Iterator[None]:
    """All that the package logs goes there meanwhile; also why it ends, when that is a fault."""
    handler = RotatingFileHandler(folder / LOG_FILE, maxBytes=1_000_000, backupCount=3, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("cyclorama")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    except CycloramaError:
        raise  # told to whoever started us
    except Exception:
        logger.exception("The backend ends")
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()


def last_lines(folder: Path, lines: int) -> str:
    """The end of the log in ``folder``, at most half a megabyte; "" where there is none."""
    found: list[str] = []
    for path in (folder / LOG_FILE, folder / f"{LOG_FILE}.1"):  # the latter is the older
        if len(found) < lines:
            found = _end_of(path) + found
    text = "\n".join(found[-lines:])
    return text[-_TAIL_BYTES:]


def _end_of(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - _TAIL_BYTES, 0))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
