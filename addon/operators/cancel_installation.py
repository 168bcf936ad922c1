"""Stop installing, or asking about it."""

from __future__ import annotations

import bpy

from ..installation import session


class CYCLORAMA_OT_cancel_installation(bpy.types.Operator):
    """Stop. What is downloaded and installed already is kept, and an installation can be continued"""

    bl_idname = "cyclorama.cancel_installation"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether something is under way."""
        cls.poll_message_set("Nothing is being installed")
        return session.working() or session.preparing()

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Stop it."""
        session.stop_preparing()
        session.cancel()
        return {"FINISHED"}
