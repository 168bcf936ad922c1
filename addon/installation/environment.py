"""The installed environment as the add-on sees it: where it is, whether it can be used."""

from __future__ import annotations

from pathlib import Path

from ...bridge.errors import CycloramaError
from .installer.place import python_in, read_stamp

OWN_FOLDER = "cyclorama-environment"

_WHERE = "in Edit > Preferences > Add-ons > Cyclorama."


def own_folder(chosen: Path) -> Path:
    """The folder below ``chosen`` that belongs to the installation alone, so that removing it harms nothing else."""
    return chosen / OWN_FOLDER


def python(folder: Path) -> Path:
    """The interpreter of the environment in ``folder``.

    Raises:
        CycloramaError: ``backend-python-not-set``, ``…-unfinished`` or ``…-missing``.
    """
    stamp = read_stamp(folder)
    if stamp is None:
        raise CycloramaError("backend-python-not-set", "The backend is not installed yet.", f"Click Install… {_WHERE}")
    if not stamp.whole:
        raise CycloramaError(
            "backend-python-unfinished", "The backend is not installed completely.", f"Click Continue {_WHERE}"
        )
    interpreter = python_in(folder)
    if not interpreter.is_file():  # the Blender that made it was removed
        raise CycloramaError(
            "backend-python-missing", f"The backend in {folder} has lost its Python.", f"Click Repair {_WHERE}"
        )
    return interpreter
