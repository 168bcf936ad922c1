"""Progress of what is being generated, in Blender's status bar."""

from __future__ import annotations

import bpy

from .. import link
from .jobs import progress_text, shown_first

_WIDTH = 14
"""Of the bar, in Blender's units of a button's height."""

_drawn = ""


def _draw(header: bpy.types.Header, _context: bpy.types.Context) -> None:
    job = shown_first()
    if job:
        row = header.layout.row()
        row.ui_units_x = _WIDTH
        row.progress(factor=job.fraction, text=_text(job))


def _text(job: link.Job) -> str:
    others = len(link.active_jobs()) - 1
    return f"{job.title}: {progress_text(job)}" + (f"  (+{others})" if others else "")


def redraw() -> None:
    """Draw the bar again if it shows something else now."""
    global _drawn
    job = shown_first()
    shown = f"{_text(job)} {job.fraction:.2f}" if job else ""
    if shown != _drawn:
        _drawn = shown
        bpy.msgbus.publish_rna(key=(bpy.types.Window, "view_layer"))  # it has no area in Python; to this it listens


def register() -> None:
    """Show it."""
    bpy.types.STATUSBAR_HT_header.append(_draw)
    link.listen(redraw)


def unregister() -> None:
    """Take it away."""
    global _drawn
    link.unlisten(redraw)
    bpy.types.STATUSBAR_HT_header.remove(_draw)
    _drawn = ""
