"""Add and remove the artist's own quality presets."""

from __future__ import annotations

import bpy
from bl_operators.presets import AddPresetBase

from .. import quality


class CYCLORAMA_OT_add_preset(AddPresetBase, bpy.types.Operator):
    """Keep how scenes are made now as a preset, or remove one"""

    bl_idname = "cyclorama.add_preset"
    bl_label = "Add Quality Preset"

    preset_menu = "CYCLORAMA_PT_presets"
    preset_subdir = quality.SUBFOLDER
    preset_defines = ["settings = bpy.context.scene.cyclorama"]
    preset_values = [f"settings.{name}" for name in quality.VALUES]

    @staticmethod
    def post_cb(_context: bpy.types.Context, _filepath: str) -> None:
        """Blender calls it when a preset was added or removed."""
        quality.forget()
