"""The menu of quality presets."""

from __future__ import annotations

import bpy
from bl_ui.utils import PresetPanel

from .. import quality
from ..operators.add_preset import CYCLORAMA_OT_add_preset
from ..properties import GenerateSettings


class CYCLORAMA_PT_presets(PresetPanel, bpy.types.Panel):
    """Draft, Preview, Final, and the artist's own"""

    bl_label = "Quality Presets"
    bl_space_type = "VIEW_3D"
    bl_region_type = "HEADER"  # a popover: it belongs to no tab
    preset_subdir = quality.SUBFOLDER
    preset_operator = "script.execute_preset"
    preset_add_operator = CYCLORAMA_OT_add_preset.bl_idname


def draw_presets(layout: bpy.types.UILayout, settings: GenerateSettings) -> None:
    """A row that shows the preset that is set, and opens the menu."""
    row = layout.split(factor=0.4)
    name = row.row()
    name.alignment = "RIGHT"
    name.label(text="Quality")
    row.popover(CYCLORAMA_PT_presets.__name__, text=quality.chosen(settings) or "Custom", icon="PRESET")


def register() -> None:
    """Make the menu known, and where its presets are."""
    quality.register()
    bpy.utils.register_class(CYCLORAMA_PT_presets)


def unregister() -> None:
    """Take both back."""
    bpy.utils.unregister_class(CYCLORAMA_PT_presets)
    quality.unregister()
