"""The panel *Generate* in the 3D View's sidebar: from a panorama to a 4D scene."""

from __future__ import annotations

import bpy

from ...bridge.estimate import wants_gpu
from .. import device, estimating, link, request
from ..operators.backend import CYCLORAMA_OT_start_backend, CYCLORAMA_OT_stop_backend
from ..operators.generate import CYCLORAMA_OT_generate
from ..operators.render_panorama import CYCLORAMA_OT_render_panorama
from ..properties import GenerateSettings
from . import jobs
from .presets import draw_presets
from .sentences import draw_error, draw_sentence, duration, gigabytes


class SidebarPanel:
    """What all panels of the tab share."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Cyclorama"


class CYCLORAMA_PT_generate(SidebarPanel, bpy.types.Panel):
    """From a panorama to a 4D scene."""

    bl_label = "Generate"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout = self.layout
        settings = context.scene.cyclorama
        _draw_backend(layout, context)
        _draw_panorama(layout.column(), context, settings)
        if request.reads_prompts(settings):
            layout.prop(settings, "prompt", text="", placeholder="Prompt: what shall move, and how")
        draw_presets(layout, settings)
        row = layout.row()
        row.scale_y = 1.6
        row.operator(CYCLORAMA_OT_generate.bl_idname, icon="WORLD_DATA")
        _draw_estimate(layout, context, settings)
        jobs.draw_active(layout, context)


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


def _draw_panorama(layout: bpy.types.UILayout, context: bpy.types.Context, settings: GenerateSettings) -> None:
    """Where it comes from, and what there is to choose for that."""
    layout.use_property_split = True
    layout.use_property_decorate = False
    if len(device.recipes()) > 1:
        layout.prop(settings, "recipe")
    source = layout.row()
    source.use_property_split = False
    source.prop(settings, "panorama_source", expand=True)
    if settings.panorama_source == "IMAGE":
        layout.template_ID(settings, "panorama_image", open="image.open")
    elif settings.panorama_source == "SCENE":
        _draw_scene_render(layout, settings)
    else:
        layout.prop(settings, "panorama", text="", placeholder="A 360° picture")


def _draw_scene_render(layout: bpy.types.UILayout, settings: GenerateSettings) -> None:
    column = layout.column(align=True)
    column.prop(settings, "render_from")
    column.prop(settings, "render_width")
    column.prop(settings, "render_samples")
    whole = layout.row()
    whole.use_property_split = False  # so that its name fits
    whole.prop(settings, "render_without_splats")
    layout.operator(CYCLORAMA_OT_render_panorama.bl_idname, icon="RENDER_STILL")
    layout.prop(settings, "panorama_of_scene", text="", placeholder="Not rendered yet")


def _draw_estimate(layout: bpy.types.UILayout, context: bpy.types.Context, settings: GenerateSettings) -> None:
    """A pale line of what it will take; a warning where there is not enough memory."""
    found = estimating.current(settings)
    if found is None:
        return
    foreseen, fitting = found
    pale = layout.row()
    pale.active = False
    pale.alignment = "CENTER"
    parts = [duration(foreseen.seconds)] if foreseen.basis != "unknown" else []
    parts += [gigabytes(foreseen.peak_bytes)] if foreseen.peak_bytes else []
    if foreseen.basis == "unknown":
        pale.label(text=", ".join(["Time not known before the first job", *parts]))
    else:
        pale.label(text=f"About {', '.join(parts)}")
    if (
        foreseen.basis == "unknown"
        and device.welcome()
        and wants_gpu(request.simple_settings(settings), device.device())
    ):
        draw_sentence(
            layout, context, "Made for an NVIDIA GPU, and the backend has none: it may take days.", icon="INFO"
        )
    if fitting is not None:
        memory = gigabytes(device.device().memory_bytes)
        lower = f"Lower Resolution to {fitting} (in Gaussians)." if fitting else "Choose another way to lift."
        draw_sentence(layout, context, f"More memory than the {memory} there is. {lower}", icon="ERROR")


def register() -> None:
    """Show it."""
    bpy.utils.register_class(CYCLORAMA_PT_generate)


def unregister() -> None:
    """Take it away."""
    bpy.utils.unregister_class(CYCLORAMA_PT_generate)
