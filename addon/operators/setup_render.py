"""Set the scene up so that splats render as they were made."""

from __future__ import annotations

from dataclasses import dataclass

import bpy

from ..stage.scene_object import roots

TRANSPARENT_BOUNCES = 64
"""Splats one behind the other that a ray of Cycles may pass; fewer leave black spots."""

EXACT_BOUNCES = 16
"""Of these, how many are never cut short at random; fewer are noisier."""

PIXEL_FILTER = 1.5
"""Pixels; Blender's own, for both engines: so a shot can move from one to the other."""


@dataclass(frozen=True)
class Quality:
    """A way to render: its name and tooltip, and what it sets."""

    name: str
    tooltip: str
    samples: int
    transparent: int = TRANSPARENT_BOUNCES
    exact: int = EXACT_BOUNCES
    threshold: float = 0.01
    sorts: bool = False


QUALITIES = {
    "CYCLES_FINAL": Quality(
        "Cycles, Final",
        f"Exact splats, with reflections, shadows and all light: 128 samples, {TRANSPARENT_BOUNCES} transparent "
        f"bounces (at least {EXACT_BOUNCES})",
        128,
    ),
    "CYCLES_PREVIEW": Quality(
        "Cycles, Preview",
        "The same picture sooner and with more grain: 16 samples, 32 transparent bounces",
        16,
        32,
        8,
        0.1,
    ),
    "EEVEE": Quality(
        "EEVEE",
        "Splats dithered: exact, with a little grain, 64 samples. They light the set by the world alone",
        64,
    ),
    "EEVEE_SORTED": Quality(
        "EEVEE, Sorted",
        "Splats sorted for the camera and blended: without grain at 16 samples, but less exact where they cross. "
        "Mirrors show the world in their place",
        16,
        sorts=True,
    ),
}

_CYCLES = ("CYCLES_FINAL", "CYCLES_PREVIEW")


class CYCLORAMA_OT_setup_render(bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.setup_render"
    bl_label = "Set Up Render"
    bl_description = (
        "Set this scene's render engine, samples, transparent bounces, pixel filter and view transform so that "
        "splats render as they were made"
    )
    bl_options = {"REGISTER", "UNDO"}

    quality: bpy.props.EnumProperty(
        name="Render With",
        items=[(key, quality.name, quality.tooltip) for key, quality in QUALITIES.items()],
        default="CYCLES_FINAL",
        options={"SKIP_SAVE"},
    )
    view: bpy.props.EnumProperty(
        name="View Transform",
        items=[
            (
                "Standard",
                "Standard",
                "The panorama's colours come out as they are in its picture; what is brighter than white is cut off",
            ),
            (
                "AgX",
                "AgX",
                "Bright light of the set rolls off softly. The panorama rolls off with it: it comes out flatter and "
                "duller than its picture; Exposure and Saturation of the 4D scene can make up for some of that",
            ),
            ("KEEP", "As It Is", "Leave the view transform alone"),
        ],
        default="Standard",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, _context: bpy.types.Context, properties) -> str:
        """What this button would set."""
        return f"{cls.bl_description}. {QUALITIES[properties.quality].tooltip}"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a scene to set up."""
        cls.poll_message_set("The scene is linked from another file")
        return context.scene is not None and context.scene.is_editable

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Set it up."""
        scene, quality = context.scene, QUALITIES[self.quality]
        if self.quality in _CYCLES:
            if not hasattr(scene, "cycles"):
                self.report({"ERROR"}, "Switch on Cycles Render Engine in Edit > Preferences > Add-ons")
                return {"CANCELLED"}
            _set_up_cycles(scene, quality)
        else:
            _set_up_eevee(scene, quality)
        if self.view != "KEEP" and not _view_through(scene, self.view):
            self.report({"WARNING"}, f"This Blender's colours have no view transform {self.view}")
        return {"FINISHED"}


def _set_up_cycles(scene: bpy.types.Scene, quality: Quality) -> None:
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.samples = quality.samples
    cycles.use_adaptive_sampling = True
    cycles.adaptive_threshold = quality.threshold
    cycles.transparent_max_bounces = quality.transparent
    cycles.min_transparent_bounces = quality.exact
    cycles.pixel_filter_type = "BLACKMAN_HARRIS"
    cycles.filter_width = PIXEL_FILTER


def _set_up_eevee(scene: bpy.types.Scene, quality: Quality) -> None:
    engines = ("BLENDER_EEVEE", "BLENDER_EEVEE_NEXT")  # the second in Blender 4.5
    known = {engine.identifier for engine in scene.render.bl_rna.properties["engine"].enum_items}
    scene.render.engine = next((engine for engine in engines if engine in known), engines[bpy.app.version < (5, 0)])
    scene.eevee.taa_render_samples = quality.samples
    scene.render.filter_size = PIXEL_FILTER
    for root in roots(scene):
        if root.is_editable:
            root.cyclorama_look.eevee_sorted = quality.sorts


def _view_through(scene: bpy.types.Scene, name: str) -> bool:
    """Whether there is such a view transform; then it is set, without a look."""
    try:
        scene.view_settings.view_transform = name
    except TypeError:  # the artist's own OpenColorIO
        return False
    scene.view_settings.look = "None"
    return True
