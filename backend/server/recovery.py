"""Whether a job's scene was finished just before the server was killed, and only its end was not written down."""

from __future__ import annotations

from pathlib import Path

from ...bridge.errors import CycloramaError
from ...bridge.scene import INFO, Scene


def is_made(output: Path, started_at: float) -> bool:
    """Whether ``output`` is a whole scene that was written after the job started (seconds since 1970).

    A scene takes its place in one step, so one that is there is whole; nobody else may write there meanwhile.
    """
    try:
        if (output / INFO).stat().st_mtime < started_at:
            return False
        Scene(output)
    except (OSError, CycloramaError):
        return False
    return True
