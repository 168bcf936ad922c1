"""Import a 4D scene that lies on disk."""

from __future__ import annotations

from pathlib import Path

import bpy

from ...bridge.errors import CycloramaError
from ..stage.importing import import_scene


class CYCLORAMA_OT_import_scene(bpy.types.Operator):
    """Import a 4D scene, a folder whose name ends in .cyclorama, into a collection of its own"""

    bl_idname = "cyclorama.import_scene"
    bl_label = "Import 4D Scene"
    bl_options = {"REGISTER", "UNDO"}

    directory: bpy.props.StringProperty(name="Folder", subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    world: bpy.props.BoolProperty(
        name="World Light", description="Let the panoramic video light the scene, in place of its world", default=True
    )
    camera: bpy.props.BoolProperty(
        name="Camera", description="Add a camera that stands where the panorama was taken", default=True
    )

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask which."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Import it."""
        folder = Path(bpy.path.abspath(self.directory))
        try:
            collection = import_scene(context, folder, world=self.world, camera=self.camera)
        except CycloramaError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"Imported {collection.name}")
        return {"FINISHED"}
