"""Bake a 4D scene into files that Blender plays without Cyclorama, and go back."""

from __future__ import annotations

import bpy

from ..stage import playback
from ..stage.baking import FOLDER, Bake, planned, put_in_place, unbake
from ..stage.scene_object import current
from .working import Steps, Working


class CYCLORAMA_OT_bake_scene(Working, bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.bake_scene"
    bl_label = "Bake"
    bl_description = (
        "Write the frames of the timeline as files that Blender plays by itself, "
        f"into the folder '{FOLDER}' beside this file: it then renders where there is no Cyclorama"
    )
    bl_options = {"REGISTER", "UNDO"}

    _bake: Bake

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a 4D scene of this file, and a place beside it."""
        root = current(context)
        if root is None:
            cls.poll_message_set("Select a 4D scene")
        elif not root.is_editable:
            cls.poll_message_set("This 4D scene is linked from another file; press Make Playable first")
        elif not bpy.data.filepath:
            cls.poll_message_set("Save the file first: the baked frames go beside it")
        return root is not None and root.is_editable and bool(bpy.data.filepath)

    def steps(self, context: bpy.types.Context) -> Steps:
        """Write the files."""
        self._bake = planned(current(context), context.scene)
        return self._bake.write()

    def finish(self, context: bpy.types.Context) -> str:
        """Play them."""
        put_in_place(self._bake)
        first, last = min(self._bake.shown), max(self._bake.shown)
        return f"{self._bake.root.name} is baked from frame {first} to {last}; save the file"


class CYCLORAMA_OT_unbake_scene(bpy.types.Operator):
    """Let Cyclorama play this 4D scene again; the baked files stay on disk"""

    bl_idname = "cyclorama.unbake_scene"
    bl_label = "Remove Bake"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether one is baked."""
        root = current(context)
        cls.poll_message_set("This 4D scene is not baked")
        return root is not None and root.is_editable and root.cyclorama.baked

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Go back."""
        unbake(current(context))
        playback.show_frame(context.scene)
        return {"FINISHED"}
