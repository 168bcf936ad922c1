"""Add a region."""

from __future__ import annotations

import bpy

from ..regions.listing import MOST_REGIONS, add_region

TOO_MANY = f"There are {MOST_REGIONS} regions already, and no more can move in their own ways"


class CYCLORAMA_OT_add_region(bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.add_region"
    bl_label = "Add Region"
    bl_description = "Add a part of the panorama that moves in its own way"
    bl_options = {"REGISTER", "UNDO"}

    kind: bpy.props.EnumProperty(
        name="Kind",
        items=[("PAINTED", "Painted", "Marked by painting"), ("BOX", "Box", "A box on the panorama")],
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether one more is taken."""
        cls.poll_message_set(TOO_MANY)
        return len(context.scene.cyclorama_regions.items) < MOST_REGIONS

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add it."""
        add_region(context.scene, self.kind)
        return {"FINISHED"}
