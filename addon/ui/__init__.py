"""What the artist sees."""

from . import (
    camera,
    generate_settings,
    jobs,
    look,
    panel,
    presets,
    regions,
    scene,
    status_bar,
    thumbnail,
    viewport_render,
)

_PARTS = (
    thumbnail,
    presets,
    panel,
    generate_settings,
    jobs,
    regions,
    scene,
    look,
    viewport_render,
    camera,
    status_bar,
)


def register() -> None:
    """Show it."""
    for part in _PARTS:
        part.register()


def unregister() -> None:
    """Take it away, the last first."""
    for part in reversed(_PARTS):
        part.unregister()
