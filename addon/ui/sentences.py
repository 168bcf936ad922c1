"""Sentences in a panel, whose labels do not wrap by themselves; and times in words."""

from __future__ import annotations

import re
import textwrap

import bpy

from ...bridge.errors import CycloramaError
from .. import preferences

_CHARACTER = 6.2
"""Width of a character of Blender's interface font, in pixels at scale 1."""

_MARGINS = 70


class _Lines(textwrap.TextWrapper):
    """Breaks after spaces, and inside paths after the name of a folder."""

    wordsep_simple_re = re.compile(r"(\s+)|(?<=[/\\])")


def draw_sentence(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str = "NONE") -> None:
    """As many labels as ``text`` needs lines in the region; the icon stands before the first."""
    scale = context.preferences.system.ui_scale
    width = int((context.region.width / scale - _MARGINS) / _CHARACTER)
    lines = layout.column(align=True)
    lines.scale_y = 0.8
    for line in _Lines(max(width, 12), break_on_hyphens=False).wrap(text):
        lines.label(text=line, icon=icon)
        icon = "BLANK1" if icon != "NONE" else icon


def draw_error(layout: bpy.types.UILayout, context: bpy.types.Context, error: CycloramaError) -> None:
    """What went wrong, and what to do next."""
    box = layout.box()
    draw_sentence(box, context, error.sentence, icon="ERROR")
    if error.hint:
        draw_sentence(box, context, error.hint, icon="BLANK1")
    if error.code.startswith("backend-python") and preferences.ADDON in context.preferences.addons:
        box.operator("preferences.addon_show", text="Open Preferences").module = preferences.ADDON


def time_left(seconds: float) -> str:
    """``"12 s left"``, ``"3 min left"``; "" while unknown."""
    if seconds < 0:
        return ""
    return f"{seconds:.0f} s left" if seconds < 100 else f"{seconds / 60:.0f} min left"


def duration(seconds: float) -> str:
    """``"15 s"``, ``"4 min"``, ``"3 h"``, ``"2 days"``: to two digits, as an estimate is no better."""
    for name, size, until in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 48)):
        if seconds < until * size:
            return f"{max(float(f'{seconds / size:.2g}'), 1):.0f} {name}"
    return f"{float(f'{seconds / 86400:.2g}'):.0f} days"


def gigabytes(size: float) -> str:
    """``"1.2 GB"``, of bytes."""
    return f"{size / 1e9:.1f} GB" if size < 1e10 else f"{size / 1e9:.0f} GB"
