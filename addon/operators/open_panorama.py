"""Show the panorama, with its regions over it, in an Image Editor."""

from __future__ import annotations

import bpy

from ...bridge.errors import CycloramaError
from ..regions import editors


class CYCLORAMA_OT_open_panorama(bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.open_panorama"
    bl_label = "Open Panorama"
    bl_description = "Show the panorama with its regions in an Image Editor; in a new window if none is open"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether a panorama is chosen."""
        cls.poll_message_set("Choose a panorama in the 3D View first, in the tab Cyclorama of the sidebar")
        return editors.panorama_is_chosen(context.scene)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show it."""
        try:
            image = editors.open_panorama_image(context.scene)
        except CycloramaError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        space = editors.editor_of(context)
        new = space is None
        space = space or _new_editor()
        if space is None:
            self.report({"ERROR"}, "Open an Image Editor first: no window can be opened here.")
            return {"CANCELLED"}
        editors.show(space, image, editors.VIEW)
        if new:  # it has its size only when it is drawn
            bpy.app.timers.register(_fit_new_editor, first_interval=0.1)
        editors.redraw()
        return {"FINISHED"}


def _new_editor() -> bpy.types.SpaceImageEditor | None:
    """An Image Editor in a window of its own; None where there are no windows."""
    if bpy.app.background:
        return None
    bpy.ops.wm.window_new()
    area = bpy.context.window_manager.windows[-1].screen.areas[0]
    area.type = "IMAGE_EDITOR"
    area.spaces.active.show_region_ui = True
    return area.spaces.active


def _fit_new_editor() -> None:
    space = editors.editor_of(bpy.context)
    if space is not None and space.image is not None:
        editors.set_view(space)
