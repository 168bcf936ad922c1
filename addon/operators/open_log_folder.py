"""Show the folder of a log in the system's file manager."""

from __future__ import annotations

import bpy

from .show_log import log_file


class CYCLORAMA_OT_open_log_folder(bpy.types.Operator):
    """Show the log's folder in the system's file manager"""

    bl_idname = "cyclorama.open_log_folder"
    bl_label = "Open Log Folder"

    which: bpy.props.StringProperty(name="Log", default="INSTALLATION", options={"HIDDEN"})

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Open it."""
        folder = log_file(self.which).parent
        if not folder.is_dir():
            self.report({"ERROR"}, f"There is no folder {folder} yet")
            return {"CANCELLED"}
        bpy.ops.wm.path_open(filepath=str(folder))
        return {"FINISHED"}
