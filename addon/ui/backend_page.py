"""The add-on's page in the Preferences: where the backend runs, and what is installed."""

from __future__ import annotations

import bpy

from ...bridge import address
from ...bridge.address import Address
from ...bridge.errors import CycloramaError
from .. import link, preferences
from ..installation import session
from ..installation.installer.place import Stamp
from ..installation.installer.request import in_words
from ..installation.run import Plan, Run
from ..operators.backend import CYCLORAMA_OT_start_backend, CYCLORAMA_OT_stop_backend
from ..operators.cancel_installation import CYCLORAMA_OT_cancel_installation
from ..operators.install_backend import CYCLORAMA_OT_install_backend
from ..operators.open_log_folder import CYCLORAMA_OT_open_log_folder
from ..operators.prepare_installation import CYCLORAMA_OT_prepare_installation
from ..operators.remove_backend import CYCLORAMA_OT_remove_backend
from ..operators.repair_backend import CYCLORAMA_OT_repair_backend
from ..operators.show_log import CYCLORAMA_OT_show_log
from .sentences import draw_error, draw_sentence

ABOUT = {"cpu": (0.5, 1.8), "cuda": (3.0, 8.0)}
"""GB to download and on the disk, about: while the sizes are being looked up, or nobody tells them."""


def draw(page: bpy.types.AddonPreferences, context: bpy.types.Context) -> None:
    """Draw it."""
    layout = page.layout
    layout.use_property_split = True
    layout.use_property_decorate = False
    layout.row().prop(page, "location", expand=True)
    if preferences.location() == "HERE":
        _draw_here(layout, page, context)
    else:
        _draw_elsewhere(layout, page, context)
    _draw_advanced(layout, page)


def _draw_here(layout: bpy.types.UILayout, page: bpy.types.AddonPreferences, context: bpy.types.Context) -> None:
    by_hand = preferences.python_by_hand()
    if by_hand:
        draw_sentence(layout, context, f"The backend is that of {by_hand}.", icon="INFO")
    box = layout.box()
    state, run = session.state(), session.run()
    _draw_status(box, context, state)
    if session.waiting_for_backend():
        _draw_waiting(box)
    elif run and not run.ended:
        _draw_run(box, run)
    elif session.preparing():
        _draw_preparation(box, page, context)
    else:
        _draw_buttons(box, state)
        if run and run.note and not run.error:
            draw_sentence(box, context, f"{run.note}.", icon="INFO")
    error = session.error()
    if error:
        draw_error(layout, context, error)
    if state != "absent" or by_hand:
        _draw_running(layout, context)


def _draw_status(layout: bpy.types.UILayout, context: bpy.types.Context, state: session.State) -> None:
    """What is installed."""
    stamp = session.stamp() or Stamp()
    words, icon = {
        "absent": ("The backend is not installed", "RADIOBUT_OFF"),
        "unfinished": ("The backend is not installed completely", "ERROR"),
        "broken": ("The backend's Python is gone, with the Blender that it came from: repair it", "ERROR"),
        "outdated": (f"The backend is of version {stamp.version}: update it", "FILE_REFRESH"),
        "whole": (f"Backend {stamp.version} is installed", "CHECKMARK"),
    }[state]
    column = layout.column(align=True)
    draw_sentence(column, context, words, icon=icon)
    if stamp.version:
        facts = f"{stamp.runs_on}, torch {stamp.torch}, {in_words(stamp.disk_bytes)} on disk"
        draw_sentence(column, context, facts, icon="BLANK1")
    if state != "absent":
        draw_sentence(column, context, str(preferences.environment_folder()), icon="BLANK1")


def _draw_buttons(layout: bpy.types.UILayout, state: session.State) -> None:
    row = layout.row()
    install, repair = CYCLORAMA_OT_install_backend.bl_idname, CYCLORAMA_OT_repair_backend.bl_idname
    if state == "absent":
        row.operator(CYCLORAMA_OT_prepare_installation.bl_idname, icon="IMPORT")
        return
    if state == "unfinished":
        row.operator(install, text="Continue", icon="IMPORT")
    elif state == "outdated":
        row.operator(install, text="Update", icon="FILE_REFRESH")
    else:
        row.operator(repair, icon="TOOL_SETTINGS")
    row.operator(CYCLORAMA_OT_remove_backend.bl_idname, icon="TRASH")
    row.operator(CYCLORAMA_OT_show_log.bl_idname, icon="TEXT").which = "INSTALLATION"


def _draw_waiting(layout: bpy.types.UILayout) -> None:
    row = layout.row(align=True)
    row.progress(factor=0.0, text="Waiting for the backend to stop")
    row.operator(CYCLORAMA_OT_cancel_installation.bl_idname, text="", icon="CANCEL")


def _draw_run(layout: bpy.types.UILayout, run: Run) -> None:
    row = layout.row(align=True)
    row.scale_y = 1.3
    text = "Cancelling…" if run.cancelled else run.stage or "Starting…"
    if run.total_bytes and not run.cancelled:
        text += f"   {in_words(run.done_bytes)} of {in_words(run.total_bytes)}"
    row.progress(factor=max(run.fraction, 0.0), text=text)
    row.operator(CYCLORAMA_OT_cancel_installation.bl_idname, text="", icon="CANCEL")
    row.operator(CYCLORAMA_OT_show_log.bl_idname, text="", icon="TEXT").which = "INSTALLATION"
    if run.device:
        layout.label(text=f"For {run.device}", icon="BLANK1")


def _draw_preparation(layout: bpy.types.UILayout, page: bpy.types.AddonPreferences, context: bpy.types.Context) -> None:
    """What is about to be installed."""
    column = layout.column()
    column.prop(page, "install_folder", placeholder=str(address.backend_folder()))
    column.prop(page, "install_device")
    column.prop(page, "wheel_folder", placeholder="From the network")
    plan = session.plan()
    about = layout.column(align=True)
    for line in _plan_in_words(plan, preferences.install_device()):
        draw_sentence(about, context, line, icon="BLANK1")
    row = layout.row()
    row.scale_y = 1.3
    row.operator(CYCLORAMA_OT_install_backend.bl_idname, text="Download and Install", icon="IMPORT")
    row.operator(CYCLORAMA_OT_cancel_installation.bl_idname)


def _plan_in_words(plan: Plan | None, device: str) -> list[str]:
    free = session.free()
    room = f" {in_words(free)} are free." if free >= 0 else ""
    download, disk = ABOUT["cuda" if device == "CUDA" else "cpu"]
    if plan is None:
        looked = "" if session.preparation_ended() else "Looking up the exact size…"
        greater = f" (with CUDA {ABOUT['cuda'][0]:g} and {ABOUT['cuda'][1]:g} GB)" if device == "AUTO" else ""
        lines = [f"About {download:g} GB to download, {disk:g} GB on the disk{greater}.{room}", looked]
        return [line for line in lines if line]
    least = "At least " if plan.unknown else ""
    size = f"{least}{in_words(plan.download_bytes)} to download in {plan.packages} packages, about "
    size += f"{in_words(plan.install_bytes)} on the disk.{room}"
    largest = f"The largest: {plan.largest}." if plan.largest else ""
    note = f"{plan.note}." if plan.note else ""
    return [line for line in (f"For {plan.device}.", size, largest, note) if line]


def _draw_running(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Whether the backend runs; a button to change that; its log."""
    state = link.backend_state()
    row = layout.row()
    words = {"off": "Not running; it is started when it is needed", "starting": "Starting…"}
    row.label(
        text=words.get(state) or f"Running: {link.device() or '…'}",
        icon="RADIOBUT_ON" if state == "running" else "BLANK1",
    )
    if state == "off":
        row.operator(CYCLORAMA_OT_start_backend.bl_idname, text="Start")
    else:
        row.operator(CYCLORAMA_OT_stop_backend.bl_idname, text="Stop")
    row.operator(CYCLORAMA_OT_show_log.bl_idname, icon="TEXT").which = "BACKEND"
    row.operator(CYCLORAMA_OT_open_log_folder.bl_idname, text="", icon="FILE_FOLDER").which = "BACKEND"
    trouble = link.trouble()
    if trouble:
        draw_sentence(layout.box(), context, str(trouble), icon="ERROR")


def _draw_elsewhere(layout: bpy.types.UILayout, page: bpy.types.AddonPreferences, context: bpy.types.Context) -> None:
    box = layout.box()
    box.prop(page, "invitation")
    try:
        found = Address.from_invitation(preferences.invitation())
    except CycloramaError as error:
        if error.code != "invitation-not-set":
            draw_error(box, context, error)
        _draw_invite(box, context)
        return
    column = box.column(align=True)
    draw_sentence(column, context, f"Address: {found.endpoint.removeprefix('tcp://')}", icon="URL")
    draw_sentence(column, context, f"Invited as: {found.guest}", icon="USER")
    state = link.backend_state()
    row = box.row()
    words = {"off": "Not connected", "starting": "Connecting…"}
    row.label(text=words.get(state) or f"Connected: {link.device() or '…'}")
    if state == "off":
        row.operator(CYCLORAMA_OT_start_backend.bl_idname, text="Connect")
    trouble = link.trouble()
    if trouble:
        draw_sentence(box, context, str(trouble), icon="ERROR")


def _draw_invite(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What to type on the other computer."""
    column = layout.column(align=True)
    for line in (
        "On the other computer, with the backend installed, type:",
        "    cyclorama keys invite MY-NAME -o invitation.json --host NAME-OF-THAT-COMPUTER",
        "    cyclorama serve --listen 0.0.0.0",
        "Bring invitation.json to this computer, choose it here, and delete it there: whoever has it may come in.",
    ):
        draw_sentence(column, context, line) if not line.startswith(" ") else column.label(text=line)


def _draw_advanced(layout: bpy.types.UILayout, page: bpy.types.AddonPreferences) -> None:
    header, body = layout.panel("CYCLORAMA_PT_backend_advanced", default_closed=True)
    header.label(text="Advanced")
    if not body:
        return
    body.use_property_split = True
    column = body.column()
    if preferences.location() == "HERE":
        column.prop(page, "backend_python", placeholder="The installed one")
        if not session.preparing():
            column.prop(page, "install_folder", placeholder=str(address.backend_folder()))
            column.prop(page, "install_device")
            column.prop(page, "wheel_folder", placeholder="From the network")
    column.prop(page, "backend_folder", placeholder=str(address.backend_folder()))
