"""The sub-panels of *Generate*: how the scene moves, how far things are, what it is made of, and where it goes."""

from __future__ import annotations

import bpy

from ...bridge.settings import BY_DESCENT, DEFAULT_FPS, DEFAULT_FRAMES, WITHOUT_NETWORK
from .. import request
from ..operators.open_panorama import CYCLORAMA_OT_open_panorama
from ..operators.randomise_seed import CYCLORAMA_OT_randomise_seed
from ..properties import LOCAL_PROMPTS, GenerateSettings
from .panel import CYCLORAMA_PT_generate, SidebarPanel


class _SubPanel(SidebarPanel):
    bl_parent_id = CYCLORAMA_PT_generate.__name__
    bl_options = {"DEFAULT_CLOSED"}


def _draw_settings(layout: bpy.types.UILayout, settings: GenerateSettings, groups: tuple) -> None:
    """Those settings that are read, one column for each group, with what 0 stands for in it."""
    layout.use_property_split = True
    layout.use_property_decorate = False
    hidden = set(request.unread(settings))
    for group in filter(None, ([name for name in group if name not in hidden] for group in groups)):
        column = layout.column(align=True)
        for name in group:
            if name == "seed":
                _draw_seed(column, settings)
            else:
                column.prop(settings, name, placeholder=_WHERE_EMPTY.get(name, ""))
        zeros = [name for name in group if name in _WHERE_0 and getattr(settings, name) == 0]
        for meaning in dict.fromkeys(_WHERE_0[name](settings) for name in zeros):
            _draw_remark(column, f"0: {meaning}")


def _draw_seed(layout: bpy.types.UILayout, settings: GenerateSettings) -> None:
    row = layout.row(align=True)
    row.prop(settings, "seed")
    row.operator(CYCLORAMA_OT_randomise_seed.bl_idname, text="", icon="FILE_REFRESH")


def _draw_remark(column: bpy.types.UILayout, text: str) -> None:
    """A pale line below a setting's value."""
    row = column.split(factor=0.4)
    row.active = False
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


class CYCLORAMA_PT_prompts(_SubPanel, bpy.types.Panel):
    """What is told to the views that look one way, beside the prompt of all."""

    bl_label = "Prompts"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether a model that reads them is to animate the panorama."""
        return request.reads_prompts(context.scene.cyclorama)

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column(align=True)
        for name in LOCAL_PROMPTS:
            column.prop(context.scene.cyclorama, name, placeholder="Only the prompt of all")


class CYCLORAMA_PT_motion(_SubPanel, bpy.types.Panel):
    """What moves, how, and for how long."""

    bl_label = "Motion"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        settings = context.scene.cyclorama
        layout = self.layout
        _draw_settings(layout, settings, (("animator",), ("frames", "fps")))
        column = layout.column(align=True)
        for line in ("Loops",) if settings.animator == "flow" else ("Does not loop:", "play it Ping-Pong"):
            _draw_remark(column, line)
        regions = context.scene.cyclorama_regions.items
        _draw_settings(layout, settings, (("strength", "seed"),) if regions else (("mask",), ("strength", "seed")))
        text = f"{len(regions)} Regions in the Image Editor" if len(regions) > 1 else "1 Region in the Image Editor"
        layout.operator(
            CYCLORAMA_OT_open_panorama.bl_idname,
            text=text if regions else "Draw Regions in the Image Editor",
            icon="IMAGE_DATA",
        )


class CYCLORAMA_PT_video_model(_SubPanel, bpy.types.Panel):
    """The video model, where one animates."""

    bl_label = "Video Model"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether a video model is to animate the panorama."""
        return context.scene.cyclorama.animator == "panoramic"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        settings = context.scene.cyclorama
        self.layout.column().prop(settings, "model", text="")  # without its name, so that the model's fits
        memory = _memory_in("video model", settings)
        _draw_settings(self.layout, settings, (("checkpoint",), ("steps", "spherical_steps", *memory)))
        if not request.reads_prompts(settings):
            _draw_remark(self.layout.column(), "Reads no prompt")


def _memory_in(panel: str, settings: GenerateSettings) -> tuple[str, ...]:
    """All models share one limit of memory: it stands with the first of them."""
    places = {
        "video model": settings.animator == "panoramic",
        "depth": settings.estimator not in WITHOUT_NETWORK,
        "gaussians": settings.lift != "direct",
    }
    return ("memory",) if panel == next((place for place, taken in places.items() if taken), None) else ()


class CYCLORAMA_PT_depth(_SubPanel, bpy.types.Panel):
    """What tells how far things are."""

    bl_label = "Depth"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        _draw_settings(self.layout, context.scene.cyclorama, _DEPTH)


_DEPTH = (
    ("estimator",),
    ("depth_file", "depth_file_kind"),
    ("estimator_checkpoint",),
    ("eye_height", "far_distance"),
)


class CYCLORAMA_PT_depth_advanced(_SubPanel, bpy.types.Panel):
    """How a network's views become one sphere."""

    bl_label = "Advanced"
    bl_parent_id = "CYCLORAMA_PT_depth"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether a network is to look at the panorama."""
        return context.scene.cyclorama.estimator not in WITHOUT_NETWORK

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        settings = context.scene.cyclorama
        _draw_settings(self.layout, settings, (("align", "metric_reference"), _memory_in("depth", settings)))


class CYCLORAMA_PT_gaussians(_SubPanel, bpy.types.Panel):
    """What the scene is made of."""

    bl_label = "Gaussians"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        settings = context.scene.cyclorama
        memory = _memory_in("gaussians", settings)
        _draw_settings(self.layout, settings, (("width",), ("lift",), ("gaussians",), ("inpainter",), memory))


class CYCLORAMA_PT_gaussians_advanced(_SubPanel, bpy.types.Panel):
    """How the papers' ways fit Gaussians."""

    bl_label = "Advanced"
    bl_parent_id = "CYCLORAMA_PT_gaussians"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether one of the papers' ways is to lift."""
        return context.scene.cyclorama.lift in BY_DESCENT

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        _draw_settings(self.layout, context.scene.cyclorama, _DESCENT)


_DESCENT = (("iterations",), ("densify",), ("semantic_checkpoint", "perceptual_checkpoint"))


class CYCLORAMA_PT_output(_SubPanel, bpy.types.Panel):
    """Where the scene goes, and how it is stored."""

    bl_label = "Output"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        _draw_settings(self.layout, context.scene.cyclorama, (("output_folder",), ("compression",)))


_CLASSES = (
    CYCLORAMA_PT_prompts,
    CYCLORAMA_PT_motion,
    CYCLORAMA_PT_video_model,
    CYCLORAMA_PT_depth,
    CYCLORAMA_PT_depth_advanced,
    CYCLORAMA_PT_gaussians,
    CYCLORAMA_PT_gaussians_advanced,
    CYCLORAMA_PT_output,
)


def register() -> None:
    """Show them."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Take them away."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
