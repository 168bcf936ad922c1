"""What is being generated and what was: the list of jobs, and the one selected in it."""

from __future__ import annotations

import bpy

from .. import link
from ..link import Job
from ..operators.cancel import CYCLORAMA_OT_cancel
from ..operators.forget_job import CYCLORAMA_OT_forget_job
from ..operators.import_job import CYCLORAMA_OT_import_job
from ..operators.load_settings import CYCLORAMA_OT_load_settings
from ..operators.retry_job import CYCLORAMA_OT_retry_job
from . import thumbnail
from .sentences import draw_error, draw_sentence, time_left

_ICONS = {
    "starting": "SORTTIME",
    "sending": "EXPORT",
    "waiting": "SORTTIME",
    "running": "PLAY",
    "asleep": "PAUSE",
    "fetching": "IMPORT",
    "done": "CHECKMARK",
    "failed": "ERROR",
    "cancelled": "X",
}

_TEXTS = {
    "starting": "Starting…",
    "sending": "Sending Files…",
    "waiting": "Waiting",
    "running": "Running",
    "asleep": "Backend Is Off",
    "fetching": "Fetching…",
    "done": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
}

_STAGES = {
    "layout": "Sky and ground",
    "estimator": "Depth model",
    "lift": "Gaussians",
    "look around": "Safe radius",
    "check": "Checking",
    "read": "Reading",
    "write": "Writing",
}
"""What the backend's stages are called where their own names say little to an artist."""

_MOVING = ("running", "sending", "fetching")
"""States in which there is a progress to show."""


class JobRow(bpy.types.PropertyGroup):
    """A line of the list; its name is the job's."""


class JobRows(bpy.types.PropertyGroup):
    """All lines, newest first: Blender's lists show collections only."""

    items: bpy.props.CollectionProperty(type=JobRow)
    active: bpy.props.IntProperty(name="Job", description="The job that is shown below the list", options={"SKIP_SAVE"})


def mirror() -> None:
    """Make the rows those of the jobs there are; the same job stays selected, or the one just asked for."""
    rows = bpy.context.window_manager.cyclorama_jobs
    before = [row.name for row in rows.items]
    names = [job.name for job in link.jobs()]
    if names == before:
        return
    chosen = before[rows.active] if rows.active < len(before) else ""
    asked = link.current_job()
    if asked and asked.name not in before:
        chosen = asked.name
    rows.items.clear()
    for name in names:
        rows.items.add().name = name
    rows.active = names.index(chosen) if chosen in names else max(min(rows.active, len(names) - 1), 0)


def selected(context: bpy.types.Context) -> Job | None:
    """The job that is shown below the list."""
    rows = context.window_manager.cyclorama_jobs
    return link.job_called(rows.items[rows.active].name) if rows.active < len(rows.items) else None


def shown_first() -> Job | None:
    """Of those that are being worked on, the one to show where there is room for one."""
    active = [job for job in link.jobs() if job.active]
    return next((job for job in active if job.state in _MOVING), active[0] if active else None)


def progress_text(job: Job) -> str:
    """How far it is, in a few words."""
    if job.cancelling:
        return "Cancelling…"
    if job.state == "running":
        return "  ".join(part for part in (stage_name(job.stage), time_left(job.seconds_left)) if part) or "Running"
    if job.state == "done" and job.imported in bpy.data.collections:  # not undone, and no other file was opened
        return "Imported"
    return _TEXTS[job.state]


def stage_name(stage: str) -> str:
    """One of the backend's stages in the artist's words."""
    return _STAGES.get(stage, stage.capitalize())


def draw_active(layout: bpy.types.UILayout, _context: bpy.types.Context) -> None:
    """One line: what is being generated, and a button to cancel it; nothing when nothing is."""
    job = shown_first()
    if job:
        row = layout.row(align=True)
        row.progress(factor=job.fraction, text=progress_text(job))
        row.operator(CYCLORAMA_OT_cancel.bl_idname, text="", icon="CANCEL").job = job.name


class CYCLORAMA_UL_jobs(bpy.types.UIList):
    """One line for each job."""

    def draw_item(
        self, _context, layout, _data, item, _icon, _active_data, _active_property, _index=0, _flag=0
    ) -> None:
        """Draw a line."""
        job = link.job_called(item.name)
        if job is None:
            return  # until the rows are mirrored again
        line = layout.split(factor=0.45, align=True)
        line.label(text=job.title, icon=_ICONS[job.state])
        if job.state in _MOVING and not job.cancelling:
            line.progress(factor=job.fraction, text=progress_text(job).removesuffix(" left"))  # so that it fits
        else:
            line.label(text=progress_text(job))


class CYCLORAMA_PT_jobs(bpy.types.Panel):
    """The list, and the selected job."""

    bl_label = "Jobs"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Cyclorama"
    bl_order = 1

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout = self.layout
        for remark in _remarks():
            draw_sentence(layout, context, remark, icon="INFO")
        rows = context.window_manager.cyclorama_jobs
        if not rows.items:
            pale = layout.row()
            pale.active = False
            pale.label(text="Nothing generated yet")
            return
        layout.template_list("CYCLORAMA_UL_jobs", "", rows, "items", rows, "active", rows=3, maxrows=6)
        job = selected(context)
        if job:
            _draw_job(layout, context, job)


def _remarks() -> list[str]:
    """What there is to know of the backend, and nothing to be done about."""
    notice, welcome = link.notice(), link.welcome()
    return [*([str(notice)] if notice else ()), *(welcome.notes if welcome else ())]


def _draw_job(layout: bpy.types.UILayout, context: bpy.types.Context, job: Job) -> None:
    icon = thumbnail.icon(job)
    if icon:
        layout.box().template_icon(icon_value=icon, scale=9.0)  # a square, whatever is in it
    if job.error:
        draw_error(layout, context, job.error)
    elif sentence := _sentence(job):
        draw_sentence(layout, context, sentence)
    _draw_buttons(layout, job)


def _sentence(job: Job) -> str:
    """What there is to say beyond what the list says; or ""."""
    if job.state == "asleep":
        return "The backend is off. Continue starts it, and finds out how far this is."
    if job.state != "done":
        return ""
    if job.imported in bpy.data.collections:
        return f"Imported as {job.imported}"
    if job.package:
        return f"Finished: {job.package}"
    return "Finished; its scene is on the computer that asked for it."


def _draw_buttons(layout: bpy.types.UILayout, job: Job) -> None:
    """What can be done with it as it stands."""
    row = layout.row(align=True)
    if job.active:
        stop = row.row(align=True)
        stop.enabled = not job.cancelling
        stop.operator(CYCLORAMA_OT_cancel.bl_idname, icon="CANCEL").job = job.name
    elif job.package:
        again = "Import Again" if job.imported in bpy.data.collections else "Import"
        row.operator(CYCLORAMA_OT_import_job.bl_idname, text=again, icon="IMPORT").job = job.name
    elif job.state != "done":
        verb = "Continue" if job.state == "asleep" else "Retry"
        row.operator(CYCLORAMA_OT_retry_job.bl_idname, text=verb, icon="FILE_REFRESH").job = job.name
    row.operator(CYCLORAMA_OT_load_settings.bl_idname, icon="PROPERTIES").job = job.name
    if not job.active:
        row.operator(CYCLORAMA_OT_forget_job.bl_idname, text="", icon="TRASH").job = job.name


class CYCLORAMA_PT_job_figures(bpy.types.Panel):
    """What a finished job took."""

    bl_label = "Time and Memory"
    bl_parent_id = "CYCLORAMA_PT_jobs"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Cyclorama"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the selected job is done."""
        job = selected(context)
        return job is not None and bool(job.seconds)

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        job = selected(context)
        assert job is not None
        column = self.layout.column(align=True)
        for stage, seconds in job.seconds.items():
            _draw_figure(column, stage_name(stage), _duration(seconds))
        _draw_figure(column, "Together", _duration(sum(job.seconds.values())))
        if job.peak_bytes:
            _draw_figure(column, "Memory", f"at most {job.peak_bytes / 1e9:.1f} GB")


def _draw_figure(layout: bpy.types.UILayout, name: str, value: str) -> None:
    line = layout.split(factor=0.4)
    left = line.row()
    left.alignment = "RIGHT"
    left.label(text=name)
    line.label(text=value)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


_CLASSES = (JobRow, JobRows, CYCLORAMA_UL_jobs, CYCLORAMA_PT_jobs, CYCLORAMA_PT_job_figures)


def register() -> None:
    """Show the panel."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.WindowManager.cyclorama_jobs = bpy.props.PointerProperty(type=JobRows, options={"SKIP_SAVE"})
    link.listen(mirror)
    link.listen(thumbnail.redraw_sidebars)


def unregister() -> None:
    """Take it away."""
    link.unlisten(thumbnail.redraw_sidebars)
    link.unlisten(mirror)
    del bpy.types.WindowManager.cyclorama_jobs
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
