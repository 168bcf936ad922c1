"""What is being generated and what was: the list of jobs, and the one selected in it."""

from __future__ import annotations

import bpy

from .. import link
from ..link import Job
from ..operators.cancel import CYCLORAMA_OT_cancel
from ..operators.forget_job import CYCLORAMA_OT_forget_job
from ..operators.import_job import CYCLORAMA_OT_import_job
from ..operators.load_settings import CYCLORAMA_OT_load_settings
from ..operators.prioritize_job import CYCLORAMA_OT_prioritize_job
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


_listed: list[str] = []
"""Names of the jobs the rows stand for."""


class JobRow(bpy.types.PropertyGroup):
    """A line of the list: of the job that has its place in ``link.jobs``."""


class JobRows(bpy.types.PropertyGroup):
    """All lines, newest first: Blender's lists show collections only."""

    items: bpy.props.CollectionProperty(type=JobRow)
    active: bpy.props.IntProperty(name="Job", description="The job that is shown below the list", options={"SKIP_SAVE"})


def mirror() -> None:
    """Make as many rows as there are jobs; the same job stays selected, or the one just asked for."""
    global _listed
    rows = bpy.context.window_manager.cyclorama_jobs
    names = [job.name for job in link.jobs()]
    if names == _listed and len(rows.items) == len(names):
        return
    chosen = _listed[rows.active] if rows.active < len(_listed) else ""
    asked = link.current_job()
    if asked and asked.name not in _listed:
        chosen = asked.name
    while len(rows.items) > len(names):
        rows.items.remove(len(rows.items) - 1)
    while len(rows.items) < len(names):
        rows.items.add()
    rows.active = names.index(chosen) if chosen in names else max(min(rows.active, len(names) - 1), 0)
    _listed = names


def selected(context: bpy.types.Context) -> Job | None:
    """The job that is shown below the list."""
    return _job_in(context.window_manager.cyclorama_jobs.active)


def _job_in(row: int) -> Job | None:
    return link.job_called(_listed[row]) if row < len(_listed) else None


def shown_first() -> Job | None:
    """Of those that are being worked on, the one to show where there is room for one."""
    active = link.active_jobs()
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


def queue_text(place: int) -> str:
    """``"Next in the queue"``, ``"2nd in the queue"``."""
    if place == 1:
        return "Next in the queue"
    ending = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{ending} in the queue"


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
        self, _context, layout, _data, _item, _icon, _active_data, _active_property, index=0, _flag=0
    ) -> None:
        """Draw a line."""
        job = _job_in(index)
        if job is None:
            return  # until the rows are mirrored again
        line = layout.split(factor=0.45, align=True)
        line.label(text=job.title, icon=_ICONS[job.state])
        if job.state in _MOVING and not job.cancelling:
            line.progress(factor=job.fraction, text=progress_text(job).removesuffix(" left"))  # so that it fits
        else:
            place = link.place(job)
            line.label(text=queue_text(place) if place and not job.cancelling else progress_text(job))

    def filter_items(self, _context, _rows, _property) -> tuple[list[int], list[int]]:
        """Those whose title has what the artist looks for in it."""
        if not self.filter_name:
            return [], []
        titles = [job.title if (job := link.job_called(name)) else "" for name in _listed]
        wanted = self.filter_name.casefold()
        return [self.bitflag_filter_item if wanted in title.casefold() else 0 for title in titles], []


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
    for remark in _remarks_on(job):
        draw_sentence(layout, context, remark, icon="INFO")
    if job.refusal:
        draw_error(layout, context, job.refusal)
    if not job.locked:
        _draw_buttons(layout, job)


def _sentence(job: Job) -> str:
    """What there is to say beyond what the list says; or ""."""
    if job.locked:
        return "Somebody else's: its scene and its settings are not for you."
    if job.state == "asleep":
        return "The backend is off. Continue starts it, and finds out how far this is."
    if job.state != "done":
        return ""
    if job.imported in bpy.data.collections:
        return f"Imported as {job.imported}"
    if job.package:
        return f"Finished: {job.package}"
    return "Finished; its scene is on the computer that asked for it."


def _remarks_on(job: Job) -> list[str]:
    """What there is to know of it, and nothing to be done about."""
    remarks = [job.remark] if job.remark else []
    if job.reused:
        stages = " and ".join(filter(None, (", ".join(map(stage_name, job.reused[:-1])), stage_name(job.reused[-1]))))
        remarks.append(f"{stages} {'was' if len(job.reused) == 1 else 'were'} there already.")
    if job.state == "running" and job.device and job.device != link.device():
        remarks.append(f"On {job.device}.")
    return remarks


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
    if job.state == "waiting":
        _draw_order(row, job)
    if not job.active:
        row.operator(CYCLORAMA_OT_forget_job.bl_idname, text="", icon="TRASH").job = job.name


def _draw_order(row: bpy.types.UILayout, job: Job) -> None:
    """Before and after the others that wait, if there are any."""
    possible = {where: link.priority_for(job, where) is not None for where in ("FIRST", "LAST")}
    if not any(possible.values()):
        return
    for where, icon in (("FIRST", "TRIA_UP_BAR"), ("LAST", "TRIA_DOWN_BAR")):
        button = row.row(align=True)
        button.enabled = possible[where]
        move = button.operator(CYCLORAMA_OT_prioritize_job.bl_idname, text="", icon=icon)
        move.job, move.where = job.name, where


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
    _listed.clear()
    link.unlisten(thumbnail.redraw_sidebars)
    link.unlisten(mirror)
    del bpy.types.WindowManager.cyclorama_jobs
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
