"""Move the chosen region up or down in the list."""

from __future__ import annotations

import bpy

from ..regions import editors
from ..regions.listing import move


class CYCLORAMA_OT_move_region(bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.move_region"
    bl_label = "Move Region"
    bl_description = "Move the chosen region in the list; where regions overlap, the lower in the list lies on top"
    bl_options = {"REGISTER", "UNDO"}

    direction: bpy.props.EnumProperty(
        name="Direction", items=[("UP", "Up", "Towards the first"), ("DOWN", "Down", "Towards the last")]
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there are two."""
        cls.poll_message_set("There is no other region")
        return len(context.scene.cyclorama_regions.items) > 1

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Move it."""
        move(context.scene, up=self.direction == "UP")
        editors.redraw()
        return {"FINISHED"}
