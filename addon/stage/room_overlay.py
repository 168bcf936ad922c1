"""Draws the room a camera has in each 4D scene; red where the active camera has left it."""

from __future__ import annotations

import logging

import bpy
import gpu
from gpu_extras.batch import batch_for_shader

from . import room
from .scene_object import roots

_INSIDE = (0.35, 0.75, 1.0, 0.35)
_OUTSIDE = (1.0, 0.12, 0.08, 0.9)
_WIDTH_PX = 1.5

log = logging.getLogger(__name__)

_handler: object | None = None


def _draw() -> None:
    try:
        _draw_rooms(bpy.context)
    except Exception:  # Blender would repeat it at every redraw
        log.exception("Drawing the safe radius failed; it is switched off")
        unregister_drawing()


def _draw_rooms(context: bpy.types.Context) -> None:
    space, scene = context.space_data, context.scene
    if not (space.overlay.show_overlays and scene.cyclorama_show_room):
        return
    view = space.region_3d
    eye = view.view_matrix.inverted().translation
    left = room.left_by(scene)
    for root in roots(scene):
        if not root.visible_get() or (view.is_perspective and not room.leaves(root, eye)):
            continue  # seen from inside, its lines are only in the way
        _draw_room(root, _OUTSIDE if root in left else _INSIDE)


def _draw_room(root: bpy.types.Object, colour: tuple[float, float, float, float]) -> None:
    shader = gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
    shader.uniform_float("viewportSize", gpu.state.viewport_get()[2:])
    shader.uniform_float("lineWidth", _WIDTH_PX * bpy.context.preferences.system.ui_scale)
    shader.uniform_float("color", colour)
    gpu.state.blend_set("ALPHA")
    with gpu.matrix.push_pop():
        gpu.matrix.multiply_matrix(root.matrix_world)
        for line in room.outline(root):
            batch_for_shader(shader, "LINE_STRIP", {"pos": line.astype("f4")}).draw(shader)
    gpu.state.blend_set("NONE")


def _in_overlays(popover: bpy.types.Panel, context: bpy.types.Context) -> None:
    popover.layout.prop(context.scene, "cyclorama_show_room")


def unregister_drawing() -> None:
    """Draw no more."""
    global _handler
    if _handler is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_handler, "WINDOW")
        _handler = None


def register() -> None:
    """Draw in every 3D viewport, and offer to switch it off among the overlays."""
    global _handler
    bpy.types.Scene.cyclorama_show_room = bpy.props.BoolProperty(
        name="Cyclorama Safe Radius",
        description="Show how far the camera may go in a 4D scene before holes show; red when it is outside",
        default=True,
        options=set(),
    )
    bpy.types.VIEW3D_PT_overlay_guides.append(_in_overlays)
    if not bpy.app.background:
        _handler = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")


def unregister() -> None:
    """Take both back."""
    unregister_drawing()
    bpy.types.VIEW3D_PT_overlay_guides.remove(_in_overlays)
    del bpy.types.Scene.cyclorama_show_room
