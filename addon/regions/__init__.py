"""Regions of the panorama that move in their own ways, as the artist draws them in the Image Editor."""

from __future__ import annotations

from . import arrow_ends, drawing, masks, settings

_PARTS = (settings, masks, drawing, arrow_ends)


def register() -> None:
    """Make all of it known to Blender."""
    for part in _PARTS:
        part.register()


def unregister() -> None:
    """Take it back, the last first."""
    for part in reversed(_PARTS):
        part.unregister()
