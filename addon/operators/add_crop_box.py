"""Crop a 4D scene by a box, added with one click."""

from __future__ import annotations

import bpy

from ..stage.scene_object import current

_SIZE = 5.0
"""Metres from its middle to its sides."""


class CYCLORAMA_OT_add_crop_box(bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.add_crop_box"
    bl_label = "Add Crop Box"
    bl_description = "Add a box around the 4D scene's middle; move, turn and scale it: only what is inside is shown"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is one 4D scene to crop."""
        cls.poll_message_set("Select a 4D scene")
        root = current(context)
        if root is not None and not root.is_editable:
            cls.poll_message_set("The 4D scene is linked from another file: override or append it")
        return context.mode == "OBJECT" and root is not None and root.is_editable

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add it, and select it."""
        root = current(context)
        assert root is not None
        box = bpy.data.objects.new(f"{root.name} crop", None)
        box.empty_display_type, box.empty_display_size = "CUBE", 1.0
        box.parent, box.scale = root, (_SIZE,) * 3
        collection = next((held for held in root.users_collection if held in _shown(context)), context.collection)
        collection.objects.link(box)
        root.cyclorama_look.crop = box
        for thing in context.selected_objects:
            thing.select_set(False)
        context.view_layer.objects.active = box
        box.select_set(True)
        return {"FINISHED"}


def _shown(context: bpy.types.Context) -> set[bpy.types.Collection]:
    scene = context.scene
    return {scene.collection, *scene.collection.children_recursive}
