"""What is set once for all files: where the backend runs, how it is reached, what is installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import bpy

from ..bridge import address
from ..bridge.errors import CycloramaError
from .installation import environment

ADDON = __name__.rsplit(".", 2)[0]
"""The add-on's own name in Blender: ``bl_ext.<repository>.cyclorama``, or ``cyclorama`` when it is imported."""

PYTHON_VARIABLE = "CYCLORAMA_BACKEND_PYTHON"

Location = Literal["HERE", "ELSEWHERE"]

_LOCATIONS = (
    ("HERE", "On This Computer", "The backend is installed on this computer and started when it is needed"),
    ("ELSEWHERE", "On Another Computer", "The backend runs on another computer, such as one with a better GPU"),
)
_DEVICES = (
    ("AUTO", "Automatic", "CUDA where there is an NVIDIA GPU with a driver that is new enough, else the CPU"),
    ("CPU", "CPU", "The smaller download; runs everywhere, slowly"),
    ("CUDA", "CUDA", "For an NVIDIA GPU"),
)


def _prepare_anew(_preferences: bpy.types.AddonPreferences, _context: bpy.types.Context) -> None:
    from . import installation  # only here: it imports this module

    installation.prepare_anew()


class CycloramaPreferences(bpy.types.AddonPreferences):
    """The add-on's page in Blender's preferences."""

    bl_idname = ADDON

    location: bpy.props.EnumProperty(name="Backend Runs", description="Where 4D scenes are generated", items=_LOCATIONS)
    invitation: bpy.props.StringProperty(
        name="Invitation",
        description="The file that was made on the other computer, with its address and the keys that let you in",
        subtype="FILE_PATH",
    )
    install_folder: bpy.props.StringProperty(
        name="Install In",
        description="The folder to install the backend in, in a folder of its own; on a drive with some GB to spare. "
        "Empty: in your user data folder",
        subtype="DIR_PATH",
        update=_prepare_anew,
    )
    install_device: bpy.props.EnumProperty(
        name="Compute On", description="What the backend is installed for", items=_DEVICES, update=_prepare_anew
    )
    wheel_folder: bpy.props.StringProperty(
        name="Wheel Folder",
        description="Install from the wheel files in this folder, without the network. Empty: from the network",
        subtype="DIR_PATH",
        update=_prepare_anew,
    )
    backend_python: bpy.props.StringProperty(
        name="Backend Python",
        description=f"Python interpreter of an environment that the backend is installed in by hand. Empty: that of "
        f"the environment variable {PYTHON_VARIABLE}, else the installed one",
        subtype="FILE_PATH",
    )
    backend_folder: bpy.props.StringProperty(
        name="Backend Folder",
        description="Where the backend keeps its keys, its log and its models. Empty: in your user data folder",
        subtype="DIR_PATH",
    )

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the page."""
        from .ui import backend_page  # only here: it imports this module

        backend_page.draw(self, context)


def location() -> Location:
    """Where the backend runs: ``HERE`` or ``ELSEWHERE``."""
    return _entered("location") or "HERE"  # pyright: ignore[reportReturnType]


def invitation() -> Path:
    """The file that tells the other computer's address and our keys.

    Raises:
        CycloramaError: ``invitation-not-set``; whether the file is one, ``Address.from_invitation`` tells.
    """
    chosen = _entered_path("invitation")
    if not chosen:
        raise CycloramaError(
            "invitation-not-set",
            "Cyclorama does not know the other computer yet.",
            "Choose its Invitation in Edit > Preferences > Add-ons > Cyclorama.",
        )
    return Path(chosen)


def backend_python() -> Path:
    """The backend's Python interpreter: the one set by hand, else the installed one.

    Raises:
        CycloramaError: ``backend-python-…``, nothing is installed, or it is broken.
    """
    chosen = python_by_hand()
    if not chosen:
        return environment.python(environment_folder())
    python = Path(chosen)
    if not python.is_file():
        raise CycloramaError(
            "backend-python-missing",
            f"There is no Python interpreter {python}.",
            "Correct Backend Python in Edit > Preferences > Add-ons > Cyclorama.",
        )
    return python


def python_by_hand() -> str:
    """The interpreter that takes precedence over the installed one; "" when there is none."""
    return _entered_path("backend_python") or os.environ.get(PYTHON_VARIABLE, "")


def backend_folder() -> Path:
    """The backend's folder: the artist's choice, else ``bridge.address.backend_folder``'s."""
    return address.backend_folder(_entered_path("backend_folder"))


def environment_folder() -> Path:
    """The folder that is all the installation's own, whether or not something is in it yet."""
    return environment.own_folder(Path(_entered_path("install_folder") or address.backend_folder()))


def install_device() -> str:
    """``AUTO``, ``CPU`` or ``CUDA``."""
    return _entered("install_device") or "AUTO"


def wheel_folder() -> str:
    """The folder to install from without the network; "" for none."""
    return _entered_path("wheel_folder")


def _entered(name: str) -> str:
    """What the artist entered; "" when nothing, or when the add-on is only imported and has no preferences."""
    entry = bpy.context.preferences.addons.get(ADDON)
    return getattr(entry.preferences, name, "") if entry else ""


def _entered_path(name: str) -> str:
    return bpy.path.abspath(_entered(name))


def register() -> None:
    """Add the page."""
    bpy.utils.register_class(CycloramaPreferences)


def unregister() -> None:
    """Take it away."""
    bpy.utils.unregister_class(CycloramaPreferences)
