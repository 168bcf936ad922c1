"""Check the installed backend, and install again what is damaged."""

from __future__ import annotations

import bpy

from ...bridge.errors import CycloramaError
from ..installation import session


class CYCLORAMA_OT_repair_backend(bpy.types.Operator):
    """Check every installed file, and download again only what is damaged. The backend is stopped first"""

    bl_idname = "cyclorama.repair_backend"
    bl_label = "Repair"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether there is something to repair."""
        if session.working():
            cls.poll_message_set("Something is being installed already")
            return False
        cls.poll_message_set("Nothing is installed")
        return session.state() != "absent"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Begin; the preferences show how far it is."""
        try:
            session.repair()
        except CycloramaError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}
