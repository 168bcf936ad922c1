"""Install the backend, or go on where an installation was left."""

from __future__ import annotations

import bpy

from ...bridge.errors import CycloramaError
from ..installation import session


class CYCLORAMA_OT_install_backend(bpy.types.Operator):
    """Download and install the program that generates 4D scenes. What is there already is kept"""

    bl_idname = "cyclorama.install_backend"
    bl_label = "Install"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether nothing is under way."""
        cls.poll_message_set("Something is being installed already")
        return not session.working()

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Begin; the preferences show how far it is."""
        try:
            session.install()
        except CycloramaError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}
