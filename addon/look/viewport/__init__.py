"""Splats drawn in the 3D viewport through the ``gpu`` module, in Solid and Material Preview."""

from __future__ import annotations

import bpy
import numpy as np

from ....bridge.errors import CycloramaError
from . import playblast, settings, sources, who_draws
from .drawing import Drawing

_SOON = 0.01
"""Seconds until a viewport is drawn again whose splats are still being sorted."""

_LATER = 0.5
"""Seconds until it is tried again to change what a render is just using."""

_drawing: Drawing | None = None
_handle = None

_objects = 0
"""How many the file had when they were last looked through."""


def trouble() -> str:
    """Why the viewport draws no splats by itself; empty while it can."""
    return _drawing.trouble if _drawing is not None else "Viewport drawing is off."


def start_again() -> None:
    """Draw once more, though there was trouble; the artist has changed a setting."""
    if _drawing is not None:
        _drawing.trouble = ""
        _do_soon(_settle, 0.0)
    _redraw()


def _draw() -> None:
    """For Blender: after each 3D viewport. Never raises: Blender would print it at every redraw."""
    drawing, context = _drawing, bpy.context
    if drawing is None or context.space_data is None or context.region_data is None:
        return
    try:
        draws = _we_draw(context)
        if any(who_draws.are_hidden(thing) != draws for thing in who_draws.drawn_objects(context.scene.objects)):
            _do_soon(_settle, 0.0)
        if draws and context.space_data.shading.type in who_draws.OURS and not drawing.draw(context):
            _do_soon(_redraw, _SOON)
    except Exception as error:  # noqa: BLE001 - whatever a driver may say
        drawing.trouble = f"Splats are shown as surfels in the viewport: this GPU cannot draw them fast ({error})."
        print("Cyclorama:", drawing.trouble)
        drawing.free()
        _do_soon(_settle, 0.0)


def picture(context: bpy.types.Context, width: int, height: int) -> np.ndarray:
    """The context's 3D viewport as it is displayed, splats included; see ``playblast.picture``.

    Raises:
        CycloramaError: the GPU cannot do it.
    """
    draws = _drawing is not None and _we_draw(context) and context.space_data.shading.type in who_draws.OURS
    who_draws.show_surfels(not draws)
    context.view_layer.update()  # playback changes splats after the frame's own evaluation
    try:
        return playblast.picture(context, _drawing if draws else None, width, height)
    except Exception as error:
        raise CycloramaError(
            "viewport-render", f"The viewport cannot be rendered: {error}.", "Use a smaller resolution, or F12."
        ) from error


def _we_draw(context: bpy.types.Context) -> bool:
    assert _drawing
    is_possible = context.scene.cyclorama_viewport.show and not _drawing.trouble
    windows = context.window_manager
    return is_possible and not who_draws.needed_somewhere(windows) and not who_draws.plays_into_files(windows)


def _do_soon(what, seconds: float) -> None:
    if not bpy.app.timers.is_registered(what):
        bpy.app.timers.register(what, first_interval=seconds)


def _settle() -> float | None:
    """Outside of drawing and rendering, where data may be changed; as a timer, again if it may not yet."""
    if bpy.app.is_job_running("RENDER"):
        return _LATER
    who_draws.show_surfels(not _we_draw(bpy.context))
    return None


def _settle_in_a_window() -> None:
    if not bpy.app.background:
        _settle()


def _redraw() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


@bpy.app.handlers.persistent
def _on_change(_scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph | None = None) -> None:
    if depsgraph is not None:
        sources.mark(depsgraph)


@bpy.app.handlers.persistent
def _before_change(_scene: bpy.types.Scene, _unused=None) -> None:
    """What was just imported has its surfels hidden before they are computed."""
    global _objects
    if len(bpy.data.objects) != _objects:
        _objects = len(bpy.data.objects)
        _settle_in_a_window()


@bpy.app.handlers.persistent
def _before_frame(_scene: bpy.types.Scene, _unused=None) -> None:
    """Blender's own playblast asks no add-on to draw: it gets the surfels, before it evaluates the frame."""
    if not bpy.app.background and who_draws.plays_into_files(bpy.context.window_manager):
        who_draws.show_surfels(True)


@bpy.app.handlers.persistent
def _on_undo(_scene=None, _unused=None) -> None:
    sources.forget()
    _settle_in_a_window()


@bpy.app.handlers.persistent
def _after_loading(_path=None, _unused=None) -> None:
    _settle_in_a_window()


@bpy.app.handlers.persistent
def _before_loading(_path=None, _unused=None) -> None:
    sources.forget()
    if _drawing is not None:
        _drawing.free()


@bpy.app.handlers.persistent
def _before_saving(_path=None, _unused=None) -> None:
    """A file that is opened without the add-on shows its surfels."""
    who_draws.show_surfels(True)


@bpy.app.handlers.persistent
def _after_saving(_path=None, _unused=None) -> None:
    _settle_in_a_window()


_HANDLERS = (
    ("depsgraph_update_pre", _before_change),
    ("depsgraph_update_post", _on_change),
    ("frame_change_pre", _before_frame),
    ("frame_change_post", _on_change),
    ("undo_post", _on_undo),
    ("redo_post", _on_undo),
    ("load_pre", _before_loading),
    ("load_post", _after_loading),
    ("save_pre", _before_saving),
    ("save_post", _after_saving),
    ("save_post_fail", _after_saving),
)


def register() -> None:
    """Draw splats in every viewport from now on."""
    global _drawing, _handle
    settings.register()
    _drawing = Drawing()
    for name, function in _HANDLERS:
        getattr(bpy.app.handlers, name).append(function)
    if not bpy.app.background:
        _handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")


def unregister() -> None:
    """Leave the viewports to Blender."""
    global _drawing, _handle
    if _handle is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
        _handle = None
    for name, function in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(function)
    for timer in (_settle, _redraw):
        if bpy.app.timers.is_registered(timer):
            bpy.app.timers.unregister(timer)
    if _drawing is not None:
        _drawing.free()
        _drawing = None
    sources.forget()
    who_draws.show_surfels(True)
    settings.unregister()
