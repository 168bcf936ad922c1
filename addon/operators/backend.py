"""Start and stop the backend."""

from __future__ import annotations

import bpy

from ...bridge.errors import CycloramaError
from .. import link, preferences


class CYCLORAMA_OT_start_backend(bpy.types.Operator):
    """Start the program that generates 4D scenes. Generate starts it too; it ends with Blender"""

    bl_idname = "cyclorama.start_backend"
    bl_label = "Start Backend"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether it is off."""
        cls.poll_message_set("The backend is running already")
        return link.backend_state() == "off"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Start it."""
        try:
            preferences.backend_python()
        except CycloramaError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        link.start_backend()
        return {"FINISHED"}


class CYCLORAMA_OT_stop_backend(bpy.types.Operator):
    """Stop the program that generates 4D scenes, and free its memory. What it is generating is cancelled"""

    bl_idname = "cyclorama.stop_backend"
    bl_label = "Stop Backend"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether it runs."""
        cls.poll_message_set("The backend is not running")
        return link.backend_state() != "off"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Stop it."""
        link.stop_backend()
        return {"FINISHED"}
