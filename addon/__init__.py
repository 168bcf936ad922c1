"""Everything that knows Blender; made known to it and taken back here."""

from __future__ import annotations

from . import link, operators, preferences, properties, regions, ui
from .installation import session as installation
from .look import settings as look_settings
from .look import viewport
from .stage import paths, playback, room_overlay
from .stage import settings as stage_settings

_PARTS = (
    properties,
    regions,
    stage_settings,
    look_settings,
    preferences,
    installation,
    operators,
    ui,
    paths,
    playback,
    viewport,
    room_overlay,
    link,
)


def register() -> None:
    """Make all parts of the add-on known to Blender."""
    for part in _PARTS:
        part.register()


def unregister() -> None:
    """Take all of them back, the last first."""
    for part in reversed(_PARTS):
        part.unregister()
