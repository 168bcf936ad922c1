"""Import the scene of a job that is done."""

from __future__ import annotations

import bpy

from ...bridge.errors import CycloramaError
from .. import link


class CYCLORAMA_OT_import_job(bpy.types.Operator):
    """Import the finished 4D scene into this scene, into a collection of its own"""

    bl_idname = "cyclorama.import_job"
    bl_label = "Import"
    bl_options = {"REGISTER", "UNDO"}

    job: bpy.props.StringProperty(name="Job", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether a scene is finished."""
        cls.poll_message_set("No scene is finished yet")
        return any(job.package for job in link.jobs())

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Import it."""
        try:
            link.import_again(self.job, context.scene)
        except CycloramaError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}
