"""Make a 4D scene that is linked from another file play in this one."""

from __future__ import annotations

import bpy

from ..stage import playback
from ..stage.linked import is_playable, make_playable
from ..stage.scene_object import current


class CYCLORAMA_OT_make_playable(bpy.types.Operator):
    """Override this linked 4D scene, so that its moving parts can be changed from frame to frame in this file"""

    bl_idname = "cyclorama.make_playable"
    bl_label = "Make Playable"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether one is linked."""
        root = current(context)
        cls.poll_message_set("This 4D scene plays already" if root else "Select a 4D scene")
        return root is not None and not is_playable(root)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Override it."""
        root = make_playable(context, current(context))
        playback.show_frame(context.scene)
        self.report({"INFO"}, f"{root.name} plays in this file")
        return {"FINISHED"}
