"""On every frame change: show each 4D scene as it is at that moment."""

from __future__ import annotations

from collections.abc import Iterator

import bpy

from ...bridge.errors import CycloramaError
from ...bridge.scene import POINT_FRAMES, SPLAT_FRAMES, Scene, frame_name
from . import packages
from .clock import index_at, index_later
from .points import show_points
from .reading import FRAMES_AHEAD
from .scene_object import PLAYED, POINTS, parts, root_of, seen_roots
from .splats import show
from .world_light import show_world_frame

_complaints: dict[int, str] = {}
"""Session id of a root -> why it cannot be played; shown in the panel."""

_rendered: dict[int, int] = {}
"""Session id of a scene -> the frame of it that is being rendered. Motion blur asks for moments around it."""

_last_frame: dict[int, int] = {}
"""Session id of a scene -> the frame shown last; tells which way the playhead goes."""


def complaint(thing: bpy.types.Object | None) -> str:
    """Why the 4D scene that an object is, or belongs to, cannot be played; empty when it can."""
    root = root_of(thing)
    return _complaints.get(root.session_uid, "") if root is not None else ""


def forget() -> None:
    """Close all packages, and try again what failed (see ``packages.forget``)."""
    packages.forget()
    _complaints.clear()


def show_frame(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph | None = None) -> None:
    """Bring every 4D scene that ``scene`` uses to its current frame.

    Args:
        depsgraph: evaluated at that frame: then animated and driven time mappings are followed (see ``index_at``).
    """
    forwards = scene.frame_current >= _last_frame.get(scene.session_uid, scene.frame_current)
    _last_frame[scene.session_uid] = scene.frame_current
    done: dict[bpy.types.Mesh, int] = {}
    for root in seen_roots(scene):
        if not root.cyclorama.package or root.cyclorama.baked:
            continue
        try:
            index = index_at(root, scene, depsgraph)
            step = 1 if forwards else -1
            after = [index_later(root, scene, scene.frame_current + step * n) for n in range(1, FRAMES_AHEAD + 1)]
            _show(root, index, after, done)
            _complaints.pop(root.session_uid, None)
        except CycloramaError as error:
            _complaints[root.session_uid] = str(error)
    _show_world(scene, depsgraph)


def _show(root: bpy.types.Object, index: int, after: list[int], done: dict[bpy.types.Mesh, int]) -> None:
    played = list(parts(root, *PLAYED))
    _part_from_others(played, index, done)
    stale = [part for part in played if part.data.cyclorama_shown != index]
    if not stale:
        return
    package = packages.opened(packages.package_path(root))
    for part in stale:
        folder = POINT_FRAMES if part.cyclorama.role == POINTS else SPLAT_FRAMES
        _show_part(part, package, frame_name(index, folder))
        part.data.cyclorama_shown = index
        names = [frame_name(each, folder) for each in dict.fromkeys(after) if each != index]
        packages.reader.prepare(package, names)


def _show_part(part: bpy.types.Object, package: Scene, name: str) -> None:
    mesh = part.data
    if not mesh.is_editable:  # Blender would silently change nothing
        raise CycloramaError(
            "mesh-linked", f"{mesh.name} is linked from another file and cannot be played.", "Press Make Playable."
        )
    if name not in package.info.files:
        raise CycloramaError("package-changed", f"{package.folder} has other frames now.", "Press Relink.")
    arrays = packages.reader.take(package, name)
    (show_points if part.cyclorama.role == POINTS else show)(mesh, arrays)


def _part_from_others(played: list[bpy.types.Object], index: int, done: dict[bpy.types.Mesh, int]) -> None:
    """Linked duplicates of a 4D scene share their meshes as long as both show the same; then each gets its own."""
    for part in played:
        if done.setdefault(part.data, index) != index and part.is_editable and not _rendered:
            part.data = part.data.copy()
            done[part.data] = index


def _show_world(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph | None) -> None:
    world = scene.world
    root = world.cyclorama.root if world is not None else None
    if root is not None and root.cyclorama.package and not root.cyclorama.baked:
        show_world_frame(world, index_at(root, scene, depsgraph))


@bpy.app.handlers.persistent
def _on_frame_change(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph | None = None) -> None:
    """After evaluation, so that animated time mappings are known; Blender then evaluates once more what changed."""
    moment = scene.frame_current + scene.frame_subframe
    if _rendered.get(scene.session_uid, moment) == moment:
        show_frame(scene, depsgraph)


@bpy.app.handlers.persistent
def _before_rendering(scene: bpy.types.Scene, _unused=None) -> None:
    _rendered[scene.session_uid] = scene.frame_current


@bpy.app.handlers.persistent
def _after_rendering(_scene=None, _unused=None) -> None:
    _rendered.clear()


@bpy.app.handlers.persistent
def _on_load(_path=None, _unused=None) -> None:
    _start_afresh()
    here = bpy.context.scene
    for scene in _others_first(here):
        show_frame(scene)


@bpy.app.handlers.persistent
def _on_undo(_scene=None, _unused=None) -> None:
    """What undo brought back may be another frame than the one it went back to."""
    if bpy.context.scene is not None:
        show_frame(bpy.context.scene)


def _others_first(here: bpy.types.Scene | None) -> Iterator[bpy.types.Scene]:
    """All scenes; what they share is to be as the open one has it."""
    yield from (scene for scene in bpy.data.scenes if scene != here)
    if here is not None:
        yield here


def _start_afresh(*_unused) -> None:
    forget()
    _rendered.clear()
    _last_frame.clear()


_HANDLERS = (
    ("frame_change_post", _on_frame_change),
    ("render_pre", _before_rendering),
    ("render_post", _after_rendering),
    ("render_complete", _after_rendering),
    ("render_cancel", _after_rendering),
    ("load_post", _on_load),
    ("undo_post", _on_undo),
    ("redo_post", _on_undo),
)


def register() -> None:
    """Follow the timeline."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    """Stop following it."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
    _start_afresh()
