"""Ask what to install where, before anything is installed."""

from __future__ import annotations

import bpy

from ..installation import session


class CYCLORAMA_OT_prepare_installation(bpy.types.Operator):
    """See what has to be downloaded, how big it is and where it goes; nothing is installed yet"""

    bl_idname = "cyclorama.prepare_installation"
    bl_label = "Install…"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether nothing is under way."""
        cls.poll_message_set("Something is being installed already")
        return not session.working()

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Open the box in the preferences, and look the sizes up."""
        session.prepare()
        return {"FINISHED"}
