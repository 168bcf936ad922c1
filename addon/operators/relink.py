"""Let a 4D scene show a package that lies elsewhere now, or another one."""

from __future__ import annotations

from pathlib import Path

import bpy

from ...bridge.errors import CycloramaError
from ..stage import playback
from ..stage.importing import reload
from ..stage.scene_object import current


class CYCLORAMA_OT_relink(bpy.types.Operator):
    """Choose the folder of this 4D scene anew; its place, time and look stay"""

    bl_idname = "cyclorama.relink"
    bl_label = "Relink"
    bl_options = {"REGISTER", "UNDO"}

    directory: bpy.props.StringProperty(name="Folder", subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a 4D scene, and it is this file's."""
        root = current(context)
        if root is None:
            cls.poll_message_set("Select a 4D scene")
        elif not root.is_editable:
            cls.poll_message_set("This 4D scene is linked from another file; press Make Playable first")
        return root is not None and root.is_editable

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask where."""
        root = current(context)
        self.directory = root.cyclorama.package if root is not None else ""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show it."""
        root = current(context)
        assert root
        try:
            reload(root, Path(bpy.path.abspath(self.directory)))
        except CycloramaError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        playback.show_frame(context.scene)
        self.report({"INFO"}, f"{root.name} shows {root.cyclorama.package}")
        return {"FINISHED"}
