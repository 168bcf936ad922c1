import threading

import bpy
import pytest

import cyclorama

OPERATORS = (
    "generate",
    "render_panorama",
    "randomise_seed",
    "cancel",
    "import_scene",
    "setup_render",
    "start_backend",
    "stop_backend",
)
JOB_OPERATORS = ("retry_job", "import_job", "load_settings", "forget_job")
LOOK_OPERATORS = ("add_crop_box",)
STAGE_OPERATORS = ("relink", "make_playable", "pack_scenes", "bake_scene", "unbake_scene")
PANELS = tuple(
    f"CYCLORAMA_PT_{name}"
    for name in (
        *("generate", "prompts", "motion", "video_model", "depth", "depth_advanced"),
        *("jobs", "job_figures"),
        *("scene", "scene_time", "scene_files"),
        *("gaussians", "gaussians_advanced", "output"),
        *("look", "crop", "floaters", "render"),
    )
)


def _traces() -> tuple:
    """Everything an add-on can leave behind."""
    handlers = [
        name
        for name in dir(bpy.app.handlers)
        if isinstance(functions := getattr(bpy.app.handlers, name), list)
        and any("cyclorama" in function.__module__ for function in functions)
    ]
    classes = [name for name in dir(bpy.types) if "CYCLORAMA" in name]
    draws = [f for f in bpy.types.TOPBAR_MT_file_import._dyn_ui_initialize() if "cyclorama" in f.__module__]
    threads = [thread.name for thread in threading.enumerate() if "cyclorama" in thread.name]
    on_types = [
        holder for holder in (bpy.types.Scene, bpy.types.Object, bpy.types.World) if hasattr(holder, "cyclorama")
    ]
    return handlers, classes, draws, threads, on_types


def test_the_addon_can_be_switched_on_and_off_twenty_times(no_backend):
    for _ in range(20):
        cyclorama.register()
        cyclorama.unregister()
    assert _traces() == ([], [], [], [], [])


def test_a_connection_does_not_outlive_the_addon(no_backend):
    from cyclorama.addon import link

    cyclorama.register()
    link.start_backend()
    link.drain()
    cyclorama.unregister()
    assert _traces() == ([], [], [], [], [])
    assert link.backend_state() == "off"


@pytest.mark.parametrize("name", (*OPERATORS, *JOB_OPERATORS, *LOOK_OPERATORS, *STAGE_OPERATORS))
def test_operators_are_known_and_explained(addon, name):
    operator = getattr(bpy.ops.cyclorama, name).get_rna_type()
    assert operator.name and operator.description
    assert not operator.description.endswith(".") and "\n" not in operator.description


@pytest.mark.parametrize("name", PANELS)
def test_panels_are_in_the_sidebar(addon, name):
    panel = getattr(bpy.types, name)
    assert (panel.bl_space_type, panel.bl_region_type, panel.bl_category) == ("VIEW_3D", "UI", "Cyclorama")


@pytest.mark.parametrize(("animator", "shown"), [("flow", False), ("panoramic", True)])
def test_the_video_model_is_shown_only_where_one_animates(addon, animator, shown):
    bpy.context.scene.cyclorama.animator = animator
    assert bpy.types.CYCLORAMA_PT_video_model.poll(bpy.context) == shown


def test_polls_with_nothing_generated_yet(addon):
    possible = {
        name
        for name in (*OPERATORS, *JOB_OPERATORS, *LOOK_OPERATORS, *STAGE_OPERATORS)
        if getattr(bpy.ops.cyclorama, name).poll()
    }
    assert possible == {"import_scene", "setup_render", "start_backend", "randomise_seed"}
