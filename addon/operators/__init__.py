"""What the artist can do; one file per verb."""

from __future__ import annotations

import bpy

from .backend import CYCLORAMA_OT_start_backend, CYCLORAMA_OT_stop_backend
from .cancel import CYCLORAMA_OT_cancel
from .generate import CYCLORAMA_OT_generate
from .import_scene import CYCLORAMA_OT_import_scene
from .setup_render import CYCLORAMA_OT_setup_render

_CLASSES = (
    CYCLORAMA_OT_start_backend,
    CYCLORAMA_OT_stop_backend,
    CYCLORAMA_OT_generate,
    CYCLORAMA_OT_cancel,
    CYCLORAMA_OT_import_scene,
    CYCLORAMA_OT_setup_render,
)


def _in_import_menu(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    menu.layout.operator(CYCLORAMA_OT_import_scene.bl_idname, text="Cyclorama Scene (.cyclorama)")


def register() -> None:
    """Make them known to Blender, and put Import into the File menu."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.TOPBAR_MT_file_import.append(_in_import_menu)


def unregister() -> None:
    """Take them back."""
    bpy.types.TOPBAR_MT_file_import.remove(_in_import_menu)
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
