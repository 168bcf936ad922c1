"""Remove the chosen region's arrow."""

from __future__ import annotations

import bpy

from ..regions.exchange import set_stroke
from ..regions.listing import active_region


class CYCLORAMA_OT_remove_stroke(bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.remove_stroke"
    bl_label = "Remove Arrow"
    bl_description = "Remove the chosen region's arrow; the region drifts gently then"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether it has one."""
        region = active_region(context.scene)
        cls.poll_message_set("The chosen region has no arrow")
        return region is not None and region.has_stroke

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove it."""
        set_stroke(active_region(context.scene), None)
        return {"FINISHED"}
