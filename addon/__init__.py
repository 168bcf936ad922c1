"""Everything that knows Blender; made known to it and taken back here."""

from __future__ import annotations

from . import link, operators, preferences, properties, ui
from .stage import paths, playback

_PARTS = (properties, preferences, operators, ui, paths, playback, link)


def register() -> None:
    """Make all parts of the add-on known to Blender."""
    for part in _PARTS:
        part.register()


def unregister() -> None:
    """Take all of them back, the last first."""
    for part in reversed(_PARTS):
        part.unregister()
