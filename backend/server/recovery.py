"""Whether a job's scene was finished when whoever made it was killed, and only its end was not told.

No clock is asked, for clocks jump: what lay at a job's output is noted before it starts, and compared.
"""

from __future__ import annotations

import os
from pathlib import Path

from ...bridge.errors import CycloramaError
from ...bridge.scene import INFO, Scene, sha256


def scene_digest(output: Path) -> str:
    """Names the scene at ``output``: the checksum of its ``scene.json``, which has those of all files; "": none."""
    try:
        return sha256(output / INFO)
    except OSError:
        return ""


def is_made(output: Path, before: str, *, every_byte: bool = False) -> bool:
    """Whether ``output`` is a whole scene, and another one than ``before`` the job (see ``scene_digest``).

    A scene takes its place in one step, so one that is there is whole; ``every_byte``: check it nevertheless, as after
    a power cut. Nobody else may write there meanwhile.
    """
    if scene_digest(output) in ("", before):
        return False
    try:
        scene = Scene(output)
        if every_byte:
            scene.validate()
    except (OSError, CycloramaError):
        return False
    return True


def same_place(output: Path) -> str:
    """The same for all paths that lead to ``output``, so that no two jobs write there at once."""
    return os.path.realpath(output).casefold()  # there are disks that take "A" for "a"; to wait does no harm
