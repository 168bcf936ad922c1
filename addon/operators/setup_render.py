"""Set the scene up so that splats render as they were made."""

from __future__ import annotations

import bpy

TRANSPARENT_BOUNCES = 64
"""Splats one behind the other that a ray of Cycles may pass; fewer leave black spots."""

EXACT_BOUNCES = 16
"""Of these, how many are never cut short at random; fewer are noisier."""


class CYCLORAMA_OT_setup_render(bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.setup_render"
    bl_label = "Set Up Render"
    bl_description = (
        f"Render splats as they were made: Cycles, {TRANSPARENT_BOUNCES} transparent bounces (at least "
        f"{EXACT_BOUNCES}), and the view transform Standard, which leaves the panorama's colours as they are"
    )
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is Cycles."""
        cls.poll_message_set("Switch on Cycles Render Engine in Edit > Preferences > Add-ons")
        return hasattr(context.scene, "cycles")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Set it up."""
        scene = context.scene
        scene.render.engine = "CYCLES"
        scene.cycles.transparent_max_bounces = TRANSPARENT_BOUNCES
        scene.cycles.min_transparent_bounces = EXACT_BOUNCES
        scene.view_settings.view_transform = "Standard"
        scene.view_settings.look = "None"
        return {"FINISHED"}
