"""Tidy the list of jobs."""

from __future__ import annotations

import bpy

from .. import link


class CYCLORAMA_OT_forget_job(bpy.types.Operator):
    """Take the job off the list; its scene stays on disk, and what was imported stays in the file"""

    bl_idname = "cyclorama.forget_job"
    bl_label = "Remove From List"

    job: bpy.props.StringProperty(name="Job", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether a job has ended."""
        cls.poll_message_set("No job has ended yet")
        return any(not job.active for job in link.jobs())

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Forget it."""
        link.forget(self.job)
        return {"FINISHED"}
