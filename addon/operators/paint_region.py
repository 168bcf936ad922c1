"""Paint the chosen region's mask with Blender's own brushes."""

from __future__ import annotations

import bpy

from ...bridge.errors import CycloramaError
from ..regions import editors, masks
from ..regions.listing import active_region, add_region


class CYCLORAMA_OT_paint_region(bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.paint_region"
    bl_label = "Paint"
    bl_description = (
        "Paint white what moves, with Blender's own brushes; hold Ctrl to paint it black again. "
        "The first time this makes the region's mask, which is saved in this file"
    )
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a panorama, and the chosen region is one that is painted."""
        if not editors.panorama_is_chosen(context.scene):
            cls.poll_message_set("Choose a panorama in the 3D View first, in the tab Cyclorama of the sidebar")
            return False
        if editors.editor_of(context) is None:
            cls.poll_message_set("Open the panorama in an Image Editor first")
            return False
        region = active_region(context.scene)
        cls.poll_message_set("The chosen region is a box; choose Painted as its kind, or add a region")
        return region is None or region.kind == "PAINTED"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show the mask to be painted; make it first, if there is none."""
        try:
            panorama = editors.open_panorama_image(context.scene)
        except CycloramaError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        region = active_region(context.scene) or add_region(context.scene, "PAINTED")
        if region.mask is None or not region.mask.size[0]:
            region.mask = masks.mask_image(region.name, masks.black(*panorama.size))
        editors.show(editors.editor_of(context), region.mask, editors.PAINT)
        _take_white(context.tool_settings)
        editors.redraw()
        return {"FINISHED"}


def _take_white(settings: bpy.types.ToolSettings) -> None:
    """White on the brush, black with Ctrl, whichever brush is taken."""
    paint = settings.image_paint
    unified = getattr(paint, "unified_paint_settings", None) or settings.unified_paint_settings  # before 5.0
    unified.use_unified_color = True
    unified.color, unified.secondary_color = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
