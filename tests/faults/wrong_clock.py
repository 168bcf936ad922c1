"""A clock that is wrong by the seconds in the file that ``WRONG_BY`` names, for a process that imports this first."""

import os
import time
from pathlib import Path

VARIABLE = "WRONG_BY"

_right = time.time


def wrong() -> float:
    """Seconds since 1970, more or less."""
    return _right() + float(Path(os.environ[VARIABLE]).read_text())


if VARIABLE in os.environ:
    time.time = wrong
