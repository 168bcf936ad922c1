"""What the artist can do; one file per verb."""

from __future__ import annotations

import bpy

from . import render_panorama
from .add_box import CYCLORAMA_OT_add_box
from .add_crop_box import CYCLORAMA_OT_add_crop_box
from .add_preset import CYCLORAMA_OT_add_preset
from .add_region import CYCLORAMA_OT_add_region
from .backend import CYCLORAMA_OT_start_backend, CYCLORAMA_OT_stop_backend
from .bake_scene import CYCLORAMA_OT_bake_scene, CYCLORAMA_OT_unbake_scene
from .cancel import CYCLORAMA_OT_cancel
from .cancel_installation import CYCLORAMA_OT_cancel_installation
from .draw_stroke import CYCLORAMA_OT_draw_stroke
from .duplicate_region import CYCLORAMA_OT_duplicate_region
from .fly_through import CYCLORAMA_OT_fly_through
from .forget_job import CYCLORAMA_OT_forget_job
from .generate import CYCLORAMA_OT_generate
from .import_job import CYCLORAMA_OT_import_job
from .import_scene import CYCLORAMA_OT_import_scene
from .install_backend import CYCLORAMA_OT_install_backend
from .load_settings import CYCLORAMA_OT_load_settings
from .look_through_panorama import CYCLORAMA_OT_look_through_panorama
from .make_playable import CYCLORAMA_OT_make_playable
from .move_region import CYCLORAMA_OT_move_region
from .open_log_folder import CYCLORAMA_OT_open_log_folder
from .open_panorama import CYCLORAMA_OT_open_panorama
from .pack_scenes import CYCLORAMA_OT_pack_scenes
from .paint_region import CYCLORAMA_OT_paint_region
from .prepare_installation import CYCLORAMA_OT_prepare_installation
from .preview_regions import CYCLORAMA_OT_preview_regions
from .prioritize_job import CYCLORAMA_OT_prioritize_job
from .randomise_seed import CYCLORAMA_OT_randomise_seed
from .relink import CYCLORAMA_OT_relink
from .remove_backend import CYCLORAMA_OT_remove_backend
from .remove_region import CYCLORAMA_OT_remove_region
from .remove_stroke import CYCLORAMA_OT_remove_stroke
from .render_panorama import CYCLORAMA_OT_render_panorama
from .repair_backend import CYCLORAMA_OT_repair_backend
from .retry_job import CYCLORAMA_OT_retry_job
from .select_scene import CYCLORAMA_OT_select_scene
from .setup_render import CYCLORAMA_OT_setup_render
from .setup_shadows import CYCLORAMA_OT_remove_shadows, CYCLORAMA_OT_setup_shadows
from .show_log import CYCLORAMA_OT_show_log
from .use_camera import CYCLORAMA_OT_use_camera
from .viewport_render import CYCLORAMA_OT_viewport_render

_CLASSES = (
    CYCLORAMA_OT_prepare_installation,
    CYCLORAMA_OT_install_backend,
    CYCLORAMA_OT_cancel_installation,
    CYCLORAMA_OT_repair_backend,
    CYCLORAMA_OT_remove_backend,
    CYCLORAMA_OT_show_log,
    CYCLORAMA_OT_open_log_folder,
    CYCLORAMA_OT_start_backend,
    CYCLORAMA_OT_stop_backend,
    CYCLORAMA_OT_render_panorama,
    CYCLORAMA_OT_add_preset,
    CYCLORAMA_OT_randomise_seed,
    CYCLORAMA_OT_generate,
    CYCLORAMA_OT_cancel,
    CYCLORAMA_OT_retry_job,
    CYCLORAMA_OT_prioritize_job,
    CYCLORAMA_OT_import_job,
    CYCLORAMA_OT_load_settings,
    CYCLORAMA_OT_forget_job,
    CYCLORAMA_OT_import_scene,
    CYCLORAMA_OT_select_scene,
    CYCLORAMA_OT_relink,
    CYCLORAMA_OT_make_playable,
    CYCLORAMA_OT_pack_scenes,
    CYCLORAMA_OT_bake_scene,
    CYCLORAMA_OT_unbake_scene,
    CYCLORAMA_OT_setup_render,
    CYCLORAMA_OT_add_crop_box,
    CYCLORAMA_OT_setup_shadows,
    CYCLORAMA_OT_remove_shadows,
    CYCLORAMA_OT_fly_through,
    CYCLORAMA_OT_use_camera,
    CYCLORAMA_OT_viewport_render,
    CYCLORAMA_OT_look_through_panorama,
    CYCLORAMA_OT_add_box,
    CYCLORAMA_OT_add_region,
    CYCLORAMA_OT_draw_stroke,
    CYCLORAMA_OT_duplicate_region,
    CYCLORAMA_OT_move_region,
    CYCLORAMA_OT_open_panorama,
    CYCLORAMA_OT_paint_region,
    CYCLORAMA_OT_preview_regions,
    CYCLORAMA_OT_remove_region,
    CYCLORAMA_OT_remove_stroke,
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
    render_panorama.unregister()
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
