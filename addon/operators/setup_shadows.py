"""Let the artist's objects throw shadows and reflections on a 4D scene, or no more."""

from __future__ import annotations

import bpy

from ..stage import shadow_layer


class CYCLORAMA_OT_setup_shadows(bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.setup_shadows"
    bl_label = "Set Up Shadows"
    bl_description = (
        "Let your objects throw shadows and reflections on the 4D scene: adds a view layer with its proxy, and "
        "multiplies the picture by what falls on it in the compositor. For Cycles"
    )
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a proxy, Cycles renders, and there is no such view layer yet."""
        scene = context.scene
        if not shadow_layer.can_be_set_up(scene):
            cls.poll_message_set("There is no 4D scene with a shadow proxy here")
            return False
        if scene.render.engine != "CYCLES":
            cls.poll_message_set("Only Cycles catches shadows: choose it as the render engine first")
            return False
        cls.poll_message_set("Shadows are set up already")
        return not shadow_layer.is_set_up(scene) or not shadow_layer.is_in_step(scene)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Set them up."""
        shadow_layer.set_up(context.scene)
        return {"FINISHED"}


class CYCLORAMA_OT_remove_shadows(bpy.types.Operator):
    """Take the view layer of the shadows and its compositor nodes away again"""

    bl_idname = "cyclorama.remove_shadows"
    bl_label = "Remove Shadows"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether they are set up."""
        cls.poll_message_set("Shadows are not set up")
        return shadow_layer.is_set_up(context.scene)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Take them down."""
        shadow_layer.take_down(context.scene)
        return {"FINISHED"}
