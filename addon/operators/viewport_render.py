"""Render what the viewport shows, splats included."""

from __future__ import annotations

import re
from pathlib import Path

import bpy
import numpy as np

from ...bridge.errors import CycloramaError
from ..look import viewport

RESULT = "Viewport Render"
"""The image that a still becomes."""

_EXTENSIONS = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif", "WEBP": ".webp", "BMP": ".bmp", "TARGA": ".tga"}
"""Formats of pictures as displayed; for others PNG is written."""


class CYCLORAMA_OT_viewport_render(bpy.types.Operator):
    """Render what this viewport shows, splats included: Blender's own viewport render leaves out what add-ons draw"""

    bl_idname = "cyclorama.viewport_render"
    bl_label = "Viewport Render with Splats"
    bl_options = {"REGISTER"}

    animation: bpy.props.BoolProperty(
        name="Animation",
        description="Render the scene's frame range into its output path",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, _context: bpy.types.Context, properties) -> str | None:
        """What this button would render."""
        if properties.animation:
            return f"{cls.__doc__}. All frames, as pictures at the scene's output path"
        return None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a viewport, and a window it is drawn in."""
        if bpy.app.background:
            cls.poll_message_set("There is no viewport without a window; use Render")
            return False
        cls.poll_message_set("There is no 3D viewport here")
        return context.space_data is not None and context.space_data.type == "VIEW_3D"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """All of it, now."""
        self._begin(context)
        try:
            while self._frames:
                self._render_one(context)
            return self._finish(context)
        except CycloramaError as error:
            return self._fail(context, error)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """A still now; an animation frame by frame, so that it can be seen and ended."""
        if not self.animation:
            return self.execute(context)
        self._begin(context)
        manager = context.window_manager
        manager.progress_begin(0, len(self._frames))
        self._timer = manager.event_timer_add(0.001, window=context.window)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """The next frame."""
        if event.type == "ESC":
            self.report({"INFO"}, f"Cancelled after {self._done} frames")
            self.cancel(context)
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"RUNNING_MODAL"}  # what would be changed meanwhile would be in half of the frames
        try:
            if not self._frames:
                return self._finish(context)
            self._render_one(context)
        except CycloramaError as error:
            return self._fail(context, error)
        total = self._done + len(self._frames)
        context.window_manager.progress_update(self._done)
        context.workspace.status_text_set(f"{self.bl_label}: frame {self._done} of {total}   Escape to cancel")
        return {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender, or the artist, ends it."""
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            context.window_manager.progress_end()
            context.workspace.status_text_set(None)
        if context.scene.frame_current != self._frame_before:
            context.scene.frame_set(self._frame_before)

    def _begin(self, context: bpy.types.Context) -> None:
        scene = context.scene
        self._frame_before, self._done, self._timer = scene.frame_current, 0, None
        self._frames = frames_of(scene) if self.animation else [scene.frame_current]

    def _render_one(self, context: bpy.types.Context) -> None:
        scene, frame = context.scene, self._frames.pop(0)
        self._done += 1
        path, file_format = file_of(scene, frame)
        if self.animation and not scene.render.use_overwrite and path.exists():
            return
        if self.animation:
            scene.frame_set(frame)
        share = scene.render.resolution_percentage / 100
        size = (max(int(scene.render.resolution_x * share), 1), max(int(scene.render.resolution_y * share), 1))
        image = _image_of(viewport.picture(context, *size), scene.render.film_transparent)
        if self.animation:
            try:
                _save(image, path, file_format, scene.render.image_settings.quality)
            finally:
                bpy.data.images.remove(image)
        else:
            _show(image)

    def _finish(self, context: bpy.types.Context) -> set[str]:
        if self.animation:
            path, file_format = file_of(context.scene, context.scene.frame_current)
            wanted = context.scene.render.image_settings.file_format
            note = "" if wanted == file_format else f", as {file_format}: {wanted} cannot be written here"
            self.report({"INFO"}, f"Rendered {self._done} frames into {path.parent}{note}")
        self.cancel(context)
        return {"FINISHED"}

    def _fail(self, context: bpy.types.Context, error: CycloramaError) -> set[str]:
        self.report({"ERROR"}, str(error))
        self.cancel(context)
        return {"CANCELLED"}


def frames_of(scene: bpy.types.Scene) -> list[int]:
    """Those that a viewport render of the animation has: of the preview range, if one is set."""
    if scene.use_preview_range:
        return list(range(scene.frame_preview_start, scene.frame_preview_end + 1, scene.frame_step))
    return list(range(scene.frame_start, scene.frame_end + 1, scene.frame_step))


def file_of(scene: bpy.types.Scene, frame: int) -> tuple[Path, str]:
    """Where a frame is written, and in which format: the scene's, or PNG where that is a film or scene-linear."""
    file_format = scene.render.image_settings.file_format
    if file_format in _EXTENSIONS:
        return Path(scene.render.frame_path(frame=frame)), file_format
    path = bpy.path.abspath(scene.render.filepath)
    if path.lower().endswith((".mp4", ".mkv", ".mov", ".avi", ".webm", ".ogv", ".exr", ".hdr", ".dpx")):
        path = path[: path.rindex(".")] + "_"
    numbered, places = re.subn(r"#+", lambda match: f"{frame:0{len(match[0])}d}", path)
    return Path((numbered if places else f"{path}{frame:04d}") + ".png"), "PNG"


def _image_of(pixels: np.ndarray, is_transparent: bool) -> bpy.types.Image:
    """An image as displayed; its colours are not multiplied by the cover, as its kind has them."""
    height, width, _ = pixels.shape
    values = pixels.astype(np.float32) / 255
    if is_transparent:
        values[..., :3] /= np.maximum(values[..., 3:], 1 / 255)
    else:
        values[..., 3] = 1
    image = bpy.data.images.new(RESULT, width, height, alpha=is_transparent)
    image.pixels.foreach_set(values.ravel())
    return image


def _save(image: bpy.types.Image, path: Path, file_format: str, quality: int) -> None:
    image.file_format = file_format
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(filepath=str(path), quality=quality)
    except (OSError, RuntimeError) as error:
        raise CycloramaError(
            "not-written", f"{path} could not be written.", "Choose another folder in Output properties."
        ) from error


def _show(image: bpy.types.Image) -> None:
    """In the place where renders are shown."""
    image.pack()
    before = bpy.data.images.get((RESULT, None))
    if before is not None and before != image:
        before.user_remap(image)
        bpy.data.images.remove(before)
        image.name = RESULT
    bpy.ops.render.view_show("INVOKE_DEFAULT")
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            space = area.spaces.active
            if area.type == "IMAGE_EDITOR" and space.image is not None and space.image.type == "RENDER_RESULT":
                space.image = image
                return
