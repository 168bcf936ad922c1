"""On every frame change: show each 4D scene as it is at that moment."""

from __future__ import annotations

from math import floor
from pathlib import Path

import bpy

from ...bridge.errors import CycloramaError
from ...bridge.scene import Scene
from .splats import show
from .world_light import show_world_frame

_ROUNDING = 1e-3
"""Frames; so that equal rates never slip by one through the fractions."""

_open_scenes: dict[Path, Scene] = {}
"""Packages opened since the file was loaded; checked once, then read frame by frame."""

_complaints: dict[str, str] = {}
"""Object name -> why its package cannot be played; shown in the panel."""


def package_frame(frame: float, start: int, scene_fps: float, frame_rate: float, count: int) -> int:
    """Which frame of a looping package shows at Blender's ``frame``, when it starts at ``start``."""
    seconds = (frame - start) / scene_fps
    return floor(seconds * frame_rate + _ROUNDING) % count


def opened(package: str, library: bpy.types.Library | None = None) -> Scene:
    """The package at a path as stored in a .blend, this or a linked one. Raises ``CycloramaError``."""
    path = Path(bpy.path.abspath(package, library=library)).resolve()
    if path not in _open_scenes:
        _open_scenes[path] = Scene(path)
    return _open_scenes[path]


def forget() -> None:
    """Close all packages (another file is loaded, or the add-on goes)."""
    _open_scenes.clear()
    _complaints.clear()


def complaint(splats: bpy.types.Object) -> str:
    """Why this object cannot be played; empty when it can."""
    return _complaints.get(splats.name, "")


def show_frame(scene: bpy.types.Scene) -> None:
    """Bring every 4D scene that ``scene`` uses to its current frame."""
    fps = scene.render.fps / scene.render.fps_base
    for splats in scene.objects:
        settings = splats.cyclorama
        if settings.package and splats.type == "MESH":
            try:
                _show(splats, scene.frame_current, fps)
                _complaints.pop(splats.name, None)
            except CycloramaError as error:
                _complaints[splats.name] = str(error)
    world = scene.world
    if world is not None and world.cyclorama.package:
        settings = world.cyclorama
        show_world_frame(
            world, package_frame(scene.frame_current, settings.start, fps, settings.frame_rate, settings.frame_count)
        )


def _show(splats: bpy.types.Object, frame: int, fps: float) -> None:
    settings = splats.cyclorama
    index = package_frame(frame, settings.start, fps, settings.frame_rate, settings.frame_count)
    if index != settings.shown:
        show(splats.data, opened(settings.package, splats.library).changes(index))
        settings.shown = index


@bpy.app.handlers.persistent
def _on_frame_change(scene: bpy.types.Scene, _depsgraph=None) -> None:
    show_frame(scene)


@bpy.app.handlers.persistent
def _on_load(_path=None, _unused=None) -> None:
    forget()
    for scene in bpy.data.scenes:
        show_frame(scene)


def register() -> None:
    """Follow the timeline."""
    bpy.app.handlers.frame_change_pre.append(_on_frame_change)
    bpy.app.handlers.load_post.append(_on_load)


def unregister() -> None:
    """Stop following it."""
    bpy.app.handlers.frame_change_pre.remove(_on_frame_change)
    bpy.app.handlers.load_post.remove(_on_load)
    forget()
