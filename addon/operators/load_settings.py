"""Go back to the settings of an earlier job."""

from __future__ import annotations

import bpy

from .. import link


class CYCLORAMA_OT_load_settings(bpy.types.Operator):
    """Set the panorama, the regions and all settings as they were when this job was asked for"""

    bl_idname = "cyclorama.load_settings"
    bl_label = "Load Settings"

    job: bpy.props.StringProperty(name="Job", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether there is a job."""
        cls.poll_message_set("Nothing has been generated yet")
        return bool(link.jobs())

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Ask the backend for them; they are there in a moment."""
        link.recall(self.job, context.scene)
        return {"FINISHED"}
