"""The tab *Cyclorama* in the 3D View's sidebar."""

from __future__ import annotations

import bpy

from ...bridge.settings import BY_DESCENT, DEFAULT_FPS, DEFAULT_FRAMES, WITHOUT_NETWORK
from .. import link
from ..link import Job
from ..operators.backend import CYCLORAMA_OT_start_backend, CYCLORAMA_OT_stop_backend
from ..operators.cancel import CYCLORAMA_OT_cancel
from ..operators.generate import CYCLORAMA_OT_generate
from ..operators.import_scene import CYCLORAMA_OT_import_scene
from ..operators.setup_render import CYCLORAMA_OT_setup_render
from ..properties import GenerateSettings
from ..request import unread
from ..stage import playback
from . import thumbnail
from .sentences import draw_error, draw_sentence, time_left


class _Panel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Cyclorama"


class CYCLORAMA_PT_generate(_Panel, bpy.types.Panel):
    """From a panorama to a 4D scene."""

    bl_label = "Cyclorama"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout = self.layout
        job = link.current_job()
        _draw_backend(layout, context)
        _draw_inputs(layout.column(), context)
        if job and not job.ended:
            _draw_progress(layout, job)
        else:
            row = layout.row()
            row.scale_y = 1.3
            row.operator(CYCLORAMA_OT_generate.bl_idname, icon="WORLD_DATA")
        if job and job.ended:
            _draw_ending(layout, context, job)
        layout.operator(CYCLORAMA_OT_import_scene.bl_idname, text="Import…", icon="IMPORT")
        _draw_complaint(layout, context)


def _draw_backend(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """One line: whether the backend runs and on what; a button to change that."""
    state = link.backend_state()
    row = layout.row()
    if state == "off":
        row.label(text="Backend is off", icon="RADIOBUT_OFF")
        row.operator(CYCLORAMA_OT_start_backend.bl_idname, text="Start")
    else:
        text = "Starting…" if state == "starting" else link.device() or "Backend is running"
        row.label(text=text, icon="SORTTIME" if state == "starting" else "RADIOBUT_ON")
        row.operator(CYCLORAMA_OT_stop_backend.bl_idname, text="", icon="QUIT", emboss=False)
    trouble = link.trouble()
    if trouble:
        draw_error(layout, context, trouble)


def _draw_inputs(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    layout.use_property_split = True
    layout.use_property_decorate = False
    settings = context.scene.cyclorama
    layout.enabled = not link.working()
    layout.prop(settings, "panorama")
    layout.prop(settings, "output_folder")


def _draw_progress(layout: bpy.types.UILayout, job: Job) -> None:
    row = layout.row(align=True)
    row.scale_y = 1.3
    row.progress(factor=job.fraction, text=_progress_text(job))
    row.operator(CYCLORAMA_OT_cancel.bl_idname, text="", icon="CANCEL")
    icon = thumbnail.icon(job.preview)
    if icon:
        layout.box().template_icon(icon_value=icon, scale=11.0)  # a square, whatever is in it


def _progress_text(job: Job) -> str:
    if job.cancelling:
        return "Cancelling…"
    if job.state == "running":
        return "  ".join(part for part in (job.stage.capitalize(), time_left(job.seconds_left)) if part)
    return "Starting…" if job.state == "starting" else "Waiting…"


def _draw_ending(layout: bpy.types.UILayout, context: bpy.types.Context, job: Job) -> None:
    """How the last job ended."""
    if job.error:
        draw_error(layout, context, job.error)
    elif job.state == "cancelled":
        draw_sentence(layout, context, "Cancelled", icon="X")
    elif job.imported in bpy.data.collections:  # not undone, and no other file was opened
        draw_sentence(layout, context, f"Imported as {job.imported}", icon="CHECKMARK")
    elif job.package:
        draw_sentence(layout, context, f"Finished: {job.package}", icon="CHECKMARK")


def _draw_complaint(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Why the active object does not play."""
    splats = context.object
    complaint = playback.complaint(splats) if splats else ""
    if complaint:
        draw_sentence(layout.box(), context, complaint, icon="ERROR")


def _draw_settings(layout: bpy.types.UILayout, settings: GenerateSettings, groups: tuple) -> None:
    """Those settings that are read, one column for each group, with what 0 stands for in it."""
    layout.use_property_split = True
    layout.use_property_decorate = False
    layout.enabled = free = not link.working()
    hidden = set(unread(settings))
    for group in filter(None, ([name for name in group if name not in hidden] for group in groups)):
        column = layout.column(align=True)
        for name in group:
            column.prop(settings, name, placeholder=_WHERE_EMPTY.get(name, ""))
        zeros = [name for name in group if free and name in _WHERE_0 and getattr(settings, name) == 0]
        for meaning in dict.fromkeys(_WHERE_0[name](settings) for name in zeros):
            _draw_remark(column, f"0: {meaning}")


def _draw_remark(column: bpy.types.UILayout, text: str) -> None:
    """A pale line below a setting's value."""
    row = column.split(factor=0.4)
    row.enabled = False
    row.label()
    row.label(text=text)


def _own_length(settings: GenerateSettings) -> str:
    return "the model's own" if settings.animator == "panoramic" else f"{DEFAULT_FRAMES} frames, {DEFAULT_FPS:g} fps"


_WHERE_0 = {
    "frames": _own_length,
    "fps": _own_length,
    "width": lambda settings: "the panorama's",
    "memory": lambda settings: "what is free",
    "gaussians": lambda settings: "by the resolution",
    "iterations": lambda settings: "as in the paper",
}
"""What the backend takes where a setting is 0."""

_WHERE_EMPTY = {
    "mask": "Sky and water",
    "checkpoint": "The usual one",
    "estimator_checkpoint": "The usual one",
    "metric_reference": "Own, or eye height",
    "inpainter": "Without a model",
    "semantic_checkpoint": "DINOv2",
    "perceptual_checkpoint": "VGG16",
}
"""The same where a text is empty."""


class CYCLORAMA_PT_settings(_Panel, bpy.types.Panel):
    """How the scene moves, and how far things are."""

    bl_label = "Motion and Depth"
    bl_parent_id = "CYCLORAMA_PT_generate"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        _draw_settings(self.layout, context.scene.cyclorama, _SETTINGS)


_SETTINGS = (
    ("animator",),
    ("frames", "fps"),
    ("mask",),
    ("strength", "seed"),
    ("width",),
)


class CYCLORAMA_PT_video_model(_Panel, bpy.types.Panel):
    """The video model, where one animates."""

    bl_label = "Video Model"
    bl_parent_id = "CYCLORAMA_PT_settings"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether a video model is to animate the panorama."""
        return context.scene.cyclorama.animator == "panoramic"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        settings = context.scene.cyclorama
        wide = self.layout.column()  # without names, so that sentences fit
        wide.enabled = not link.working()
        wide.prop(settings, "model", text="")
        wide.prop(settings, "prompt", text="", placeholder="Prompt")
        _draw_settings(self.layout, settings, (("checkpoint",), ("steps", *_memory_in("video model", settings))))


def _memory_in(panel: str, settings: GenerateSettings) -> tuple[str, ...]:
    """All models share one limit of memory: it stands with the first of them."""
    places = {
        "video model": settings.animator == "panoramic",
        "depth": settings.estimator not in WITHOUT_NETWORK,
        "gaussians": settings.lift != "direct",
    }
    return ("memory",) if panel == next((place for place, taken in places.items() if taken), None) else ()


class CYCLORAMA_PT_depth(_Panel, bpy.types.Panel):
    """What tells how far things are."""

    bl_label = "Depth"
    bl_parent_id = "CYCLORAMA_PT_settings"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        _draw_settings(self.layout, context.scene.cyclorama, _DEPTH)


_DEPTH = (
    ("estimator",),
    ("depth_file", "depth_file_kind"),
    ("estimator_checkpoint",),
    ("eye_height", "far_distance"),
)


class CYCLORAMA_PT_depth_advanced(_Panel, bpy.types.Panel):
    """How a network's views become one sphere."""

    bl_label = "Advanced"
    bl_parent_id = "CYCLORAMA_PT_depth"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether a network is to look at the panorama."""
        return context.scene.cyclorama.estimator not in WITHOUT_NETWORK

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        settings = context.scene.cyclorama
        _draw_settings(self.layout, settings, (("align", "metric_reference"), _memory_in("depth", settings)))


class CYCLORAMA_PT_gaussians(_Panel, bpy.types.Panel):
    """What the scene is made of."""

    bl_label = "Gaussians"
    bl_parent_id = "CYCLORAMA_PT_generate"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        settings = context.scene.cyclorama
        memory = _memory_in("gaussians", settings)
        _draw_settings(self.layout, settings, (("lift",), ("gaussians",), ("inpainter",), memory, ("compression",)))


class CYCLORAMA_PT_gaussians_advanced(_Panel, bpy.types.Panel):
    """How the papers' ways fit Gaussians."""

    bl_label = "Advanced"
    bl_parent_id = "CYCLORAMA_PT_gaussians"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether one of the papers' ways is to lift."""
        return context.scene.cyclorama.lift in BY_DESCENT

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        _draw_settings(self.layout, context.scene.cyclorama, _DESCENT)


_DESCENT = (("iterations",), ("densify",), ("semantic_checkpoint", "perceptual_checkpoint"))


class CYCLORAMA_PT_render(_Panel, bpy.types.Panel):
    """What makes the scene render well."""

    bl_label = "Render"
    bl_parent_id = "CYCLORAMA_PT_generate"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw it."""
        self.layout.operator(CYCLORAMA_OT_setup_render.bl_idname, icon="RESTRICT_RENDER_OFF")


_CLASSES = (
    CYCLORAMA_PT_generate,
    CYCLORAMA_PT_settings,
    CYCLORAMA_PT_video_model,
    CYCLORAMA_PT_depth,
    CYCLORAMA_PT_depth_advanced,
    CYCLORAMA_PT_gaussians,
    CYCLORAMA_PT_gaussians_advanced,
    CYCLORAMA_PT_render,
)


def register() -> None:
    """Show the tab."""
    thumbnail.register()
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Take it away."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
    thumbnail.unregister()
