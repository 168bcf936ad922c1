"""Do a job again, or go on with it."""

from __future__ import annotations

import bpy

from .. import link


class CYCLORAMA_OT_retry_job(bpy.types.Operator):
    """Generate it again with the same settings; what was finished of it is not done again"""

    bl_idname = "cyclorama.retry_job"
    bl_label = "Retry"

    job: bpy.props.StringProperty(name="Job", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether a job did not come to its end."""
        cls.poll_message_set("No job has failed or was cancelled")
        return any(not job.active and job.state != "done" for job in link.jobs())

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Ask for it."""
        link.retry(self.job)
        return {"FINISHED"}
