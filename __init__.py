# SPDX-License-Identifier: GPL-3.0-or-later
"""Cyclorama: moving 3D backdrops for Blender.

This folder is at once a Blender extension and the Python package ``cyclorama`` of the backend.
"""

__version__ = "0.1.0"


def register() -> None:
    """Make the add-on known to Blender (called by Blender)."""
    from . import addon

    addon.register()


def unregister() -> None:
    """Take back all that ``register`` did (called by Blender)."""
    from . import addon

    addon.unregister()
