"""Remove the chosen region."""

from __future__ import annotations

import bpy

from ..regions import editors
from ..regions.listing import active_region, remove


class CYCLORAMA_OT_remove_region(bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.remove_region"
    bl_label = "Remove Region"
    bl_description = "Remove the chosen region, with what was painted in it"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether one is chosen."""
        cls.poll_message_set("There is no region")
        return active_region(context.scene) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove it; an editor in which it was painted turns to the panorama."""
        editors.leave_painting(context.scene, active_region(context.scene))
        remove(context.scene)
        editors.redraw()
        return {"FINISHED"}
