"""Paths at the border: what every library and the wire can take."""

from __future__ import annotations

from pathlib import Path

from .errors import CycloramaError


def checked_path(path: Path) -> Path:
    """``path``, unless its bytes are no Unicode text (possible on Linux). Raises ``CycloramaError``."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise CycloramaError(
            "path-not-unicode", f"The name {str(path)!r} is not Unicode text.", "Rename the file or folder."
        ) from error
    return path
