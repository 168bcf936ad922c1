"""Where the backend is found: its Python interpreter and its folder."""

from __future__ import annotations

import os
from pathlib import Path

import bpy

from ..bridge import address
from ..bridge.errors import CycloramaError

ADDON = __name__.rsplit(".", 2)[0]
"""The add-on's own name in Blender: ``bl_ext.<repository>.cyclorama``, or ``cyclorama`` when it is imported."""

PYTHON_VARIABLE = "CYCLORAMA_BACKEND_PYTHON"


class CycloramaPreferences(bpy.types.AddonPreferences):
    """The add-on's page in Blender's preferences."""

    bl_idname = ADDON

    backend_python: bpy.props.StringProperty(
        name="Backend Python",
        description=f"Python interpreter of the environment the backend is installed in. Empty: that of the "
        f"environment variable {PYTHON_VARIABLE}",
        subtype="FILE_PATH",
    )
    backend_folder: bpy.props.StringProperty(
        name="Backend Folder",
        description="Where the backend keeps its keys, its log and its models. Empty: in your user data folder",
        subtype="DIR_PATH",
    )

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw the page."""
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "backend_python", placeholder=os.environ.get(PYTHON_VARIABLE, ""))
        layout.prop(self, "backend_folder", placeholder=str(address.backend_folder()))


def backend_python() -> Path:
    """The backend's Python interpreter. Raises ``CycloramaError`` when none is set, or it is no file."""
    chosen = _chosen("backend_python") or os.environ.get(PYTHON_VARIABLE, "")
    if not chosen:
        raise CycloramaError(
            "backend-python-not-set",
            "Cyclorama does not know where its backend is installed.",
            "Set Backend Python in Edit > Preferences > Add-ons > Cyclorama.",
        )
    python = Path(chosen)
    if not python.is_file():
        raise CycloramaError(
            "backend-python-missing",
            f"There is no Python interpreter {python}.",
            "Correct Backend Python in Edit > Preferences > Add-ons > Cyclorama.",
        )
    return python


def backend_folder() -> Path:
    """The backend's folder: the artist's choice, else ``bridge.address.backend_folder``'s."""
    return address.backend_folder(_chosen("backend_folder"))


def _chosen(name: str) -> str:
    """What the artist entered; "" when nothing, or when the add-on is only imported and has no preferences."""
    entry = bpy.context.preferences.addons.get(ADDON)
    return bpy.path.abspath(getattr(entry.preferences, name, "")) if entry else ""


def register() -> None:
    """Add the page."""
    bpy.utils.register_class(CycloramaPreferences)


def unregister() -> None:
    """Take it away."""
    bpy.utils.unregister_class(CycloramaPreferences)
