"""Show the panorama with its regions around the origin of the 3D View."""

from __future__ import annotations

import bpy

from ...bridge.errors import CycloramaError
from ..regions import editors


class CYCLORAMA_OT_preview_regions(bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.preview_regions"
    bl_label = "Show on Dome"
    bl_description = (
        "Show the panorama with its regions around the origin of the 3D View, as the scene will surround you; "
        "it is drawn only, and nothing of it is rendered. Click again to hide it"
    )
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether a panorama is chosen, or the dome is there to be hidden."""
        cls.poll_message_set("Choose a panorama in the 3D View first, in the tab Cyclorama of the sidebar")
        return context.scene.cyclorama_regions.show_dome or editors.panorama_is_chosen(context.scene)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show it, or hide it."""
        regions = context.scene.cyclorama_regions
        if not regions.show_dome:
            try:
                editors.open_panorama_image(context.scene)
            except CycloramaError as error:
                self.report({"ERROR"}, str(error))
                return {"CANCELLED"}
        regions.show_dome = not regions.show_dome
        return {"FINISHED"}
