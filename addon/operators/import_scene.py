"""Import a 4D scene that lies on disk."""

from __future__ import annotations

from pathlib import Path

import bpy

from ...bridge.errors import CycloramaError
from ..look import native
from ..stage.importing import import_scene
from ..stage.scene_object import is_root


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

    proxy: bpy.props.BoolProperty(
        name="Shadow Proxy",
        description="Add a hidden mesh of the set, on which objects' shadows can fall",
        default=True,
    )

    own_splats: bpy.props.BoolProperty(
        name="Blender's Own Splats",
        description="Let Blender draw the splats itself, in place of surfels by geometry nodes",
        default=True,
        options=set() if native.available() else {"HIDDEN"},
    )

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask which."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Import it."""
        folder = Path(bpy.path.abspath(self.directory))
        try:
            collection = import_scene(
                context,
                folder,
                world=self.world,
                camera=self.camera,
                proxy=self.proxy,
                own_splats=self.own_splats,
            )
        except CycloramaError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        _select(context, next(filter(is_root, collection.objects)))
        self.report({"INFO"}, f"Imported {collection.name}")
        return {"FINISHED"}


def _select(context: bpy.types.Context, root: bpy.types.Object) -> None:
    """As Blender's own importers do, so that what comes next is done to it."""
    if context.mode != "OBJECT" or root.name not in context.view_layer.objects:
        return
    for thing in context.selected_objects:
        thing.select_set(False)
    root.select_set(True)
    context.view_layer.objects.active = root
