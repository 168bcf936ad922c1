import bpy
import pytest

from cyclorama.addon import link

from .conftest import PANORAMA, drain_until


def test_generate_asks_for_a_panorama_first(addon):
    assert not bpy.ops.cyclorama.generate.poll()
    with pytest.raises(RuntimeError, match="Choose a panorama first"):
        bpy.ops.cyclorama.generate()


def test_generate_without_a_backend_says_what_to_set(addon):
    bpy.context.scene.cyclorama.panorama = str(PANORAMA)
    assert bpy.ops.cyclorama.generate() == {"FINISHED"}
    drain_until(lambda: link.current_job().ended)
    error = link.current_job().error
    assert error.code == "backend-python-not-set"
    assert "Preferences" in error.hint


def test_start_without_a_backend_says_what_to_set(addon):
    with pytest.raises(RuntimeError, match="Click Install… in Edit > Preferences"):
        bpy.ops.cyclorama.start_backend()


def test_a_backend_python_that_is_gone_is_named(addon, monkeypatch):
    monkeypatch.setenv("CYCLORAMA_BACKEND_PYTHON", "/gone/bin/python")
    with pytest.raises(RuntimeError, match="/gone/bin/python"):
        bpy.ops.cyclorama.start_backend()


def test_importing_what_is_no_scene_says_so_and_adds_nothing(addon, tmp_path):
    before = len(bpy.data.collections), len(bpy.data.objects)
    with pytest.raises(RuntimeError, match="is no Cyclorama scene"):
        bpy.ops.cyclorama.import_scene(directory=str(tmp_path))
    assert (len(bpy.data.collections), len(bpy.data.objects)) == before


def test_set_up_render_changes_the_scene_only_when_asked(addon):
    scene = bpy.context.scene
    assert scene.cycles.transparent_max_bounces == 8
    bpy.ops.cyclorama.setup_render()
    assert scene.render.engine == "CYCLES"
    assert (scene.cycles.transparent_max_bounces, scene.cycles.min_transparent_bounces) == (64, 16)
    assert scene.view_settings.view_transform == "Standard"
