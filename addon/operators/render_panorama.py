"""Render the scene as a panorama."""

from __future__ import annotations

import logging
from pathlib import Path

import bpy

from ...bridge.errors import CycloramaError
from .. import request
from ..panorama_render import PanoramaRender, finish, prepare, prepared

SUFFIX = ".exr"

_LOOK_AGAIN_SECONDS = 0.1

log = logging.getLogger(__name__)

_running: PanoramaRender | None = None
"""The one that Blender renders in its own thread; there is never more than one render job."""


class CYCLORAMA_OT_render_panorama(bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.render_panorama"
    bl_label = "Render Panorama"
    bl_description = (
        "Render this scene all around with Cycles, whatever engine it is set to, and make the picture the panorama. "
        "None of its settings change; Esc in the render window cancels"
    )
    bl_options = {"REGISTER"}  # undo would come upon the copy that is rendered; a step is pushed when it is done

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether it can be rendered now."""
        if not hasattr(context.scene, "cycles"):
            cls.poll_message_set("Switch on Cycles Render Engine in Edit > Preferences > Add-ons")
        elif context.scene.cyclorama.render_from == "CAMERA" and context.scene.camera is None:
            cls.poll_message_set("The scene has no active camera: add one, or render from the 3D cursor")
        elif bpy.app.is_job_running("RENDER"):
            cls.poll_message_set("Blender is rendering already")
        else:
            return True
        return False

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Render in Blender's render window, while the artist goes on working."""
        if bpy.app.background:
            return self.execute(context)
        try:
            _start(prepare(context.scene, context.view_layer.name, _path(context.scene)))
        except (CycloramaError, RuntimeError) as error:
            self.report({"ERROR"}, str(error).strip())
            return {"CANCELLED"}
        return {"FINISHED"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Render here and now; for scripts and the background."""
        try:
            context.view_layer.update()  # a script may just have moved the camera
            with prepared(context.scene, context.view_layer.name, _path(context.scene)) as render:
                bpy.ops.render.render(scene=render.copy, write_still=True)
        except (CycloramaError, RuntimeError) as error:
            self.report({"ERROR"}, str(error).strip())
            return {"CANCELLED"}
        if finish(render) is None:
            self.report({"ERROR"}, f"The panorama was not rendered to {render.path}")
            return {"CANCELLED"}
        self.report({"INFO"}, f"Rendered {render.path.name}")
        return {"FINISHED"}


def _path(scene: bpy.types.Scene) -> Path:
    folder = request.output_folder(scene.cyclorama)
    name = "".join("_" if letter in '<>:"/\\|?*' else letter for letter in scene.name)
    return request.free_name(folder, f"{name} panorama", SUFFIX)


def _start(render: PanoramaRender) -> None:
    """As a render job. Its handlers run in another thread, so they only tell a timer that it has ended."""
    global _running
    _running = render
    bpy.app.handlers.render_complete.append(_ended)
    bpy.app.handlers.render_cancel.append(_ended)
    try:
        started = bpy.ops.render.render("INVOKE_DEFAULT", scene=render.copy, write_still=True)
    except RuntimeError:
        _stop()
        raise
    if "CANCELLED" in started:
        _stop()
        raise CycloramaError("render-not-started", "Blender did not start to render.")


def _ended(scene: bpy.types.Scene, *_others: object) -> None:
    """A render has ended in some way; perhaps not ours."""
    if _running and scene.name == _running.copy and not bpy.app.timers.is_registered(_tidy):
        bpy.app.timers.register(_tidy, first_interval=0.0)


def _tidy() -> float | None:
    """In the main thread, once the job is over."""
    if bpy.app.is_job_running("RENDER"):
        return _LOOK_AGAIN_SECONDS
    try:
        _stop()
    except Exception:  # a timer that raises says so nowhere
        log.exception("Tidying up after the panorama failed")
    return None


def _forget() -> PanoramaRender | None:
    """Listen no longer; returns what was rendered."""
    global _running
    for handlers in (bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel):
        if _ended in handlers:
            handlers.remove(_ended)
    render, _running = _running, None
    return render


def _stop() -> None:
    """Put everything back; and show the picture where the render was shown, which is gone with the copy."""
    render = _forget()
    if render is None:
        return
    image = finish(render)
    if image is None or bpy.app.background:
        return
    for area in (area for window in bpy.context.window_manager.windows for area in window.screen.areas):
        space = area.spaces.active
        if area.type == "IMAGE_EDITOR" and space.image and space.image.type == "RENDER_RESULT":
            space.image = image
        area.tag_redraw()
    bpy.ops.ed.undo_push(message="Render Panorama")


def unregister() -> None:
    """Nothing is left behind; of a render that still runs the copy, which must not go while it is rendered."""
    if bpy.app.timers.is_registered(_tidy):
        bpy.app.timers.unregister(_tidy)
    if _running and bpy.app.is_job_running("RENDER"):
        _forget()
    else:
        _stop()
