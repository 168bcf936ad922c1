"""Duplicate the chosen region."""

from __future__ import annotations

import bpy

from ..regions.listing import MOST_REGIONS, active_region, duplicate
from .add_region import TOO_MANY


class CYCLORAMA_OT_duplicate_region(bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.duplicate_region"
    bl_label = "Duplicate Region"
    bl_description = "Copy the chosen region, with a mask of its own"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether one is chosen, and one more is taken."""
        if active_region(context.scene) is None:
            cls.poll_message_set("There is no region")
            return False
        cls.poll_message_set(TOO_MANY)
        return len(context.scene.cyclorama_regions.items) < MOST_REGIONS

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Copy it."""
        duplicate(context.scene)
        return {"FINISHED"}
