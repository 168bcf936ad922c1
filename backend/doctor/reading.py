"""The JSON files in a backend's folder, read without touching them: ``bridge.address`` also closes them to others."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

_File = TypeVar("_File")


class DamagedError(Exception):
    """It cannot be read; half a sentence that shows nothing of what is in it."""


def read_untouched(path: Path, kind: type[_File]) -> _File:
    """What is in it. Raises ``DamagedError``; ``FileNotFoundError`` or ``NotADirectoryError`` where it is not there."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise DamagedError(f"cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedError("is damaged") from error
