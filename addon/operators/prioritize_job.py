"""Change the order in which waiting jobs run."""

from __future__ import annotations

import bpy

from .. import link


class CYCLORAMA_OT_prioritize_job(bpy.types.Operator):
    """See ``description``."""

    bl_idname = "cyclorama.prioritize_job"
    bl_label = "Move in Queue"

    job: bpy.props.StringProperty(name="Job", options={"HIDDEN", "SKIP_SAVE"})
    where: bpy.props.EnumProperty(
        name="Where",
        items=(
            ("FIRST", "First", "Generate it before all others that wait"),
            ("LAST", "Last", "Generate all others that wait before it"),
        ),
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        """What it does, for either place."""
        if properties.where == "FIRST":
            return "Run first: generate it before all others that wait. What is being generated now goes on"
        return "Run last: generate all others that wait before it"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether there is an order."""
        cls.poll_message_set("No two jobs are waiting")
        return sum(job.state == "waiting" for job in link.active_jobs()) > 1

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Ask for it."""
        job = link.job_called(self.job)
        if job is None or link.priority_for(job, self.where) is None:
            self.report({"INFO"}, "It cannot be moved further")
            return {"CANCELLED"}
        link.prioritize(self.job, self.where)
        return {"FINISHED"}
