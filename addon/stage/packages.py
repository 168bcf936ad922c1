"""The packages that this file shows, opened; and what of them will be shown next, read ahead."""

from __future__ import annotations

from pathlib import Path

import bpy

from ...bridge.scene import Scene
from .reading import Reader

_open_scenes: dict[Path, Scene] = {}
"""Opened since the file was loaded; checked once, then read frame by frame."""

reader = Reader()


def package_path(root: bpy.types.Object) -> Path:
    """Where the package of a 4D scene, of this file or a linked one, lies."""
    return Path(bpy.path.abspath(root.cyclorama.package, library=root.library)).resolve()


def opened(path: Path) -> Scene:
    """The package there, opened once. Raises ``CycloramaError``."""
    if path not in _open_scenes:
        _open_scenes[path] = Scene(path)
    return _open_scenes[path]


def forget() -> None:
    """Close all packages (another file is loaded, a package was moved or made anew, or the add-on goes)."""
    reader.stop()
    _open_scenes.clear()
