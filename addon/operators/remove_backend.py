"""Delete the installed backend."""

from __future__ import annotations

import bpy

from ...bridge.errors import CycloramaError
from .. import preferences
from ..installation import session
from ..installation.installer.request import in_words


class CYCLORAMA_OT_remove_backend(bpy.types.Operator):
    """Delete the installed environment and nothing else: models and scenes stay. The backend is stopped first"""

    bl_idname = "cyclorama.remove_backend"
    bl_label = "Remove"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether there is something to remove."""
        if session.working():
            cls.poll_message_set("Something is being installed already")
            return False
        cls.poll_message_set("Nothing is installed")
        return session.state() != "absent"

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask first."""
        stamp = session.stamp()
        freed = f"This frees {in_words(stamp.disk_bytes)}.\n" if stamp and stamp.disk_bytes else ""
        return context.window_manager.invoke_confirm(
            self,
            event,
            title="Remove the backend?",
            message=f"{freed}{preferences.environment_folder()} is deleted. Models and scenes stay.",
            confirm_text="Remove",
            icon="WARNING",
        )

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Begin; the preferences show when it is done."""
        try:
            session.remove()
        except CycloramaError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}
