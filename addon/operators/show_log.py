"""Read what the installer or the backend wrote down."""

from __future__ import annotations

from pathlib import Path

import bpy

from ...bridge.log_lines import readable_lines
from .. import preferences
from ..installation.installer.place import LOG
from ..link.process import OUTPUT_FILE

_MOST_BYTES = 400_000
"""So much of the end is shown: a text editor with more is slow."""


def log_file(which: str) -> Path:
    """Where the ``INSTALLATION``'s, the ``BACKEND``'s or its ``OUTPUT``'s log is, if there is one."""
    if which == "INSTALLATION":
        return preferences.environment_folder() / LOG
    return preferences.backend_folder() / (OUTPUT_FILE if which == "OUTPUT" else "backend.log")


class CYCLORAMA_OT_show_log(bpy.types.Operator):
    """Show the log in a text editor, in a window of its own"""

    bl_idname = "cyclorama.show_log"
    bl_label = "Show Log"

    which: bpy.props.EnumProperty(
        name="Log",
        items=(
            ("INSTALLATION", "Installation", "What was installed, and how"),
            ("BACKEND", "Backend", "What the backend did"),
            ("OUTPUT", "Backend's Output", "What the backend printed since it was started"),
        ),
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Load its end, and open a window unless there are none."""
        path = log_file(self.which)
        try:
            words = _end_of(path)
        except OSError as error:
            self.report({"ERROR"}, f"There is no log {path}: {error.strerror}")
            return {"CANCELLED"}
        if self.which == "BACKEND":
            words = readable_lines(words)
        text = _text(f"Cyclorama {path.name}", words)
        if not bpy.app.background:
            _show(context, text)
        return {"FINISHED"}


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - _MOST_BYTES, 0))
        return file.read().decode("utf-8", "replace").replace("\x00", "")


def _text(name: str, words: str) -> bpy.types.Text:
    text = bpy.data.texts.get(name) or bpy.data.texts.new(name)
    text.clear()
    text.write(words)
    text.use_fake_user = False  # it need not stay in the file
    return text


def _show(context: bpy.types.Context, text: bpy.types.Text) -> None:
    before = set(context.window_manager.windows)
    bpy.ops.wm.window_new()
    window = next(iter(set(context.window_manager.windows) - before), None)
    if window:
        area = window.screen.areas[0]
        area.ui_type = "TEXT_EDITOR"
        area.spaces.active.text = text
        area.spaces.active.top = max(len(text.lines) - 20, 0)
