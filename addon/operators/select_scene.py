"""Select one of several 4D scenes."""

from __future__ import annotations

import bpy

from ..stage.scene_object import is_root, roots


class CYCLORAMA_OT_select_scene(bpy.types.Operator):
    """Select this 4D scene: its panels are shown then"""

    bl_idname = "cyclorama.select_scene"
    bl_label = "Select 4D Scene"
    bl_options = {"REGISTER", "UNDO"}

    name: bpy.props.StringProperty(name="Name", description="Of the 4D scene", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is one, and objects can be selected now."""
        if context.mode != "OBJECT":
            cls.poll_message_set("Only in Object Mode")
            return False
        cls.poll_message_set("Import a 4D scene first")
        return bool(roots(context.scene))

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Select it."""
        root = context.view_layer.objects.get(self.name)
        if not is_root(root):
            self.report({"ERROR"}, f"{self.name} is not in this view layer")
            return {"CANCELLED"}
        for thing in context.selected_objects:
            thing.select_set(False)
        root.select_set(True)
        context.view_layer.objects.active = root
        return {"FINISHED"}
