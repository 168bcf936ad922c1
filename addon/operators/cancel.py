"""Stop what is being generated."""

from __future__ import annotations

import bpy

from .. import link


class CYCLORAMA_OT_cancel(bpy.types.Operator):
    """Stop generating; with the same settings, a video model goes on later from its last step"""

    bl_idname = "cyclorama.cancel"
    bl_label = "Cancel"

    job: bpy.props.StringProperty(
        name="Job", description="Which; empty: the newest that is being generated", options={"HIDDEN", "SKIP_SAVE"}
    )

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether something is being generated."""
        cls.poll_message_set("Nothing is being generated")
        return link.working()

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Ask for it; the job ends within a moment."""
        link.cancel(self.job or next(job.name for job in link.jobs() if job.active))
        return {"FINISHED"}
