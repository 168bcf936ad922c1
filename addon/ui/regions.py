"""The tab *Cyclorama* in the Image Editor's sidebar: which parts of the panorama move, and how."""

from __future__ import annotations

import bpy

from ..operators.add_box import CYCLORAMA_OT_add_box
from ..operators.add_region import CYCLORAMA_OT_add_region
from ..operators.draw_stroke import CYCLORAMA_OT_draw_stroke
from ..operators.duplicate_region import CYCLORAMA_OT_duplicate_region
from ..operators.move_region import CYCLORAMA_OT_move_region
from ..operators.open_panorama import CYCLORAMA_OT_open_panorama
from ..operators.paint_region import CYCLORAMA_OT_paint_region
from ..operators.preview_regions import CYCLORAMA_OT_preview_regions
from ..operators.remove_region import CYCLORAMA_OT_remove_region
from ..operators.remove_stroke import CYCLORAMA_OT_remove_stroke
from ..regions import editors
from ..regions.listing import active_region
from ..regions.settings import RegionSettings
from .sentences import draw_sentence


class _Panel:
    bl_space_type = "IMAGE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Cyclorama"


class CYCLORAMA_UL_regions(bpy.types.UIList):
    """Regions, each with its colour, name, arrow and eye."""

    def draw_item(self, _context, layout, _regions, region, _icon, _active, _property, _index=0, _flag=0) -> None:
        """Draw one."""
        row = layout.row(align=True)
        colour = row.row()
        colour.ui_units_x = 0.8
        colour.prop(region, "colour", text="")
        row.prop(region, "name", text="", emboss=False, icon="SELECT_SET" if region.kind == "BOX" else "BRUSH_DATA")
        if region.has_stroke:
            row.label(text="", icon="FORWARD")
        row.prop(region, "shown", text="", emboss=False, icon="HIDE_OFF" if region.shown else "HIDE_ON")


class CYCLORAMA_MT_regions(bpy.types.Menu):
    """What is seldom done to a region."""

    bl_label = "More"

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw it."""
        self.layout.operator(CYCLORAMA_OT_duplicate_region.bl_idname, icon="DUPLICATE")
        self.layout.operator(CYCLORAMA_OT_add_box.bl_idname, text="Draw Box Anew", icon="SELECT_SET").replace = True


class CYCLORAMA_PT_regions(_Panel, bpy.types.Panel):
    """The list, and what it is drawn on."""

    bl_label = "Regions"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout, scene = self.layout, context.scene
        if not editors.panorama_is_chosen(scene):
            draw_sentence(layout, context, "Choose a panorama in the 3D View, tab Cyclorama.", icon="INFO")
        _draw_modes(layout, context)
        regions = scene.cyclorama_regions
        row = layout.row()
        row.template_list("CYCLORAMA_UL_regions", "", regions, "items", regions, "active", rows=4)
        _draw_list_buttons(row.column(align=True))
        if not regions.items:
            draw_sentence(layout, context, "Without regions, sky and water are found and drift gently.")
        layout.operator(CYCLORAMA_OT_add_box.bl_idname, icon="SELECT_SET")


def _draw_modes(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Look or paint; which of them it is now stays pressed."""
    space = context.space_data
    painting = editors.region_painted_in(context.scene, space) is not None
    looking = not painting and space.image is not None and space.image == editors.panorama_image(context.scene)
    row = layout.row(align=True)
    row.operator(CYCLORAMA_OT_open_panorama.bl_idname, text="Panorama", icon="WORLD", depress=looking)
    row.operator(CYCLORAMA_OT_paint_region.bl_idname, text="Paint", icon="BRUSH_DATA", depress=painting)


def _draw_list_buttons(column: bpy.types.UILayout) -> None:
    column.operator(CYCLORAMA_OT_add_region.bl_idname, text="", icon="ADD").kind = "PAINTED"
    column.operator(CYCLORAMA_OT_remove_region.bl_idname, text="", icon="REMOVE")
    column.separator()
    column.menu("CYCLORAMA_MT_regions", text="", icon="DOWNARROW_HLT")
    column.separator()
    column.operator(CYCLORAMA_OT_move_region.bl_idname, text="", icon="TRIA_UP").direction = "UP"
    column.operator(CYCLORAMA_OT_move_region.bl_idname, text="", icon="TRIA_DOWN").direction = "DOWN"


class CYCLORAMA_PT_region(_Panel, bpy.types.Panel):
    """The chosen region."""

    bl_label = "Region"
    bl_parent_id = "CYCLORAMA_PT_regions"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether one is chosen."""
        return active_region(context.scene) is not None

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        region = active_region(context.scene)
        assert region is not None  # says poll
        layout.prop(region, "kind", expand=True)
        if region.kind == "BOX":
            _draw_numbers(layout, region, "box_longitude", "box_latitude", "box_width", "box_height")
        else:
            layout.prop(region, "mask", placeholder="Not painted yet")
        layout.prop(region, "prompt", placeholder="That of all")
        layout.prop(region, "strength")
        _draw_arrow(layout, region)


def _draw_arrow(layout: bpy.types.UILayout, region: RegionSettings) -> None:
    row = layout.row(align=True)
    text = "Draw Arrow Anew" if region.has_stroke else "Draw Arrow"
    row.operator(CYCLORAMA_OT_draw_stroke.bl_idname, text=text, icon="FORWARD")
    if region.has_stroke:
        row.operator(CYCLORAMA_OT_remove_stroke.bl_idname, text="", icon="X")
        layout.prop(region, "stroke_speed")


def _draw_numbers(layout: bpy.types.UILayout, region: RegionSettings, *names: str) -> None:
    column = layout.column(align=True)
    for name in names:
        column.prop(region, name)


class CYCLORAMA_PT_region_overlay(_Panel, bpy.types.Panel):
    """How regions are shown; it changes nothing that is generated."""

    bl_label = "Display"
    bl_parent_id = "CYCLORAMA_PT_regions"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        regions = context.scene.cyclorama_regions
        layout.prop(regions, "opacity")
        layout.operator(
            CYCLORAMA_OT_preview_regions.bl_idname,
            text="Hide Dome" if regions.show_dome else "Show on Dome in 3D View",
            icon="SPHERE",
            depress=regions.show_dome,
        )
        if regions.show_dome:
            layout.prop(regions, "dome_radius")


_CLASSES = (
    CYCLORAMA_UL_regions,
    CYCLORAMA_MT_regions,
    CYCLORAMA_PT_regions,
    CYCLORAMA_PT_region,
    CYCLORAMA_PT_region_overlay,
)


def register() -> None:
    """Show it."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Take it away."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
