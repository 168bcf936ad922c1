"""Render through the camera that stands where the panorama was taken."""

from __future__ import annotations

import bpy

from ...bridge.errors import CycloramaError
from ..stage.importing import add_camera
from ..stage.packages import opened, package_path
from ..stage.scene_object import CAMERA, current, parts


class CYCLORAMA_OT_use_camera(bpy.types.Operator):
    """Render through the 4D scene's own camera, which stands where the panorama was taken; it is added if it is gone"""

    bl_idname = "cyclorama.use_camera"
    bl_label = "Use Camera of 4D Scene"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a 4D scene whose camera is not the scene's already."""
        root = current(context)
        if root is None:
            cls.poll_message_set("Import a 4D scene, or select one")
            return False
        cls.poll_message_set("It is the scene's camera already")
        return context.scene.camera not in set(parts(root, CAMERA)) or context.scene.camera is None

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Use it."""
        root = current(context)
        assert root is not None
        camera = next(parts(root, CAMERA), None)
        if camera is None:
            try:
                info = opened(package_path(root)).info
            except CycloramaError as error:
                self.report({"ERROR"}, str(error))
                return {"CANCELLED"}
            camera = add_camera(context.scene, root, info)
        context.scene.camera = camera
        return {"FINISHED"}
