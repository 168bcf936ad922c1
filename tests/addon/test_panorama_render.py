"""The scene is rendered as a panorama that follows our convention, and nothing of the artist's changes."""

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Vector

from cyclorama.addon import panorama_render
from cyclorama.addon.operators import render_panorama
from cyclorama.addon.panorama import panorama_file
from cyclorama.addon.stage.scene_object import SCENE, STATIC

from .packages import pixels


@pytest.fixture
def settings(addon, tmp_path):
    found = bpy.context.scene.cyclorama
    found.output_folder = str(tmp_path / "scenes")
    return found


COLOURS = {
    (0, 1, 0): (0.8, 0.0, 0.0),
    (1, 0, 0): (0.0, 0.7, 0.0),
    (0, -1, 0): (0.0, 0.0, 0.6),
    (-1, 0, 0): (0.5, 0.5, 0.0),
    (0, 0, 1): (0.0, 0.4, 0.4),
    (0, 0, -1): (0.3, 0.0, 0.3),
}
"""Of a glowing cube's walls, by where they stand."""

VIEWPOINT = (3.0, -2.0, 1.5)


def glowing_wall(towards, colour, distance=2.0) -> None:
    centre = np.add(VIEWPOINT, np.multiply(towards, distance))
    bpy.ops.mesh.primitive_plane_add(size=2 * distance, location=centre)
    wall = bpy.context.object
    wall.rotation_euler = Vector(towards).to_track_quat("Z", "Y").to_euler()
    material = bpy.data.materials.new("glow")
    if material.node_tree is None:  # before Blender 5
        material.use_nodes = True
    tree = material.node_tree
    assert tree
    tree.nodes.clear()
    emission = tree.nodes.new("ShaderNodeEmission")
    emission.inputs["Color"].default_value = (*colour, 1)
    tree.links.new(emission.outputs[0], tree.nodes.new("ShaderNodeOutputMaterial").inputs[0])
    wall.data.materials.append(material)


def stage(settings) -> bpy.types.Scene:
    """A cube of six colours around the viewpoint; the camera there looks somewhere else, and EEVEE would render."""
    scene = bpy.context.scene
    for towards, colour in COLOURS.items():
        glowing_wall(towards, colour)
    camera = bpy.data.objects.new("Shot", bpy.data.cameras.new("Shot"))
    camera.location, camera.rotation_euler = VIEWPOINT, (0.3, 0.9, 2.0)
    scene.collection.objects.link(camera)
    scene.camera = camera
    assert any(_takes(scene, name) for name in ("BLENDER_EEVEE_NEXT", "BLENDER_EEVEE"))
    assert scene.render.engine != "CYCLES"
    scene.render.resolution_x, scene.render.resolution_percentage = 1234, 37
    scene.render.use_border = scene.render.film_transparent = True
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.cycles.samples, scene.cycles.use_denoising = 77, False
    scene.view_settings.exposure = 2
    settings.panorama_source = "SCENE"
    settings.render_width, settings.render_samples = 64, 1
    bpy.context.view_layer.update()
    return scene


def _takes(scene, engine) -> bool:
    try:
        scene.render.engine = engine
    except TypeError:
        return False
    return True


def everything(thing, depth=0) -> dict:
    """All simple properties of ``thing`` and of what belongs to it, to the bit."""
    found = {}
    for name, prop in thing.bl_rna.properties.items():
        if name in ("rna_type", "session_uid", "is_evaluated", "is_embedded_data", "cyclorama", "use_nodes"):
            continue
        value: Any = getattr(thing, name, None)
        if prop.type == "POINTER":
            inside = value is not None and depth < 2 and not isinstance(value, bpy.types.ID)
            found[name] = everything(value, depth + 1) if inside else getattr(value, "name", None)
        elif prop.type == "COLLECTION":
            found[name] = [getattr(item, "name", None) for item in value]
        elif getattr(prop, "is_array", False):
            found[name] = tuple(value[:]) if prop.array_dimensions[1] == 0 else str(value)
        else:
            found[name] = value
    return found


def whole_file() -> dict:
    """What the artist has: every scene with its settings, every object, every data-block's name."""
    blocks = (
        bpy.data.scenes,
        bpy.data.objects,
        bpy.data.cameras,
        bpy.data.collections,
        bpy.data.worlds,
        bpy.data.actions,
    )
    return {
        "scenes": {scene.name: everything(scene) | {"cycles": everything(scene.cycles)} for scene in bpy.data.scenes},
        "objects": {thing.name: (everything(thing), thing.users) for thing in bpy.data.objects},
        "blocks": [[(block.name, block.users) for block in kind] for kind in blocks],
    }


def rendered(settings) -> np.ndarray:
    assert bpy.ops.cyclorama.render_panorama() == {"FINISHED"}
    return pixels(Path(settings.panorama_of_scene))


def test_the_rendered_panorama_looks_along_y_in_its_middle(settings, tmp_path):
    stage(settings)
    picture = rendered(settings)[..., :3]
    height, width = picture.shape[:2]
    assert (width, height) == (64, 32)
    seen = {
        (0, 1, 0): (height // 2, width // 2),
        (1, 0, 0): (height // 2, 3 * width // 4),
        (0, -1, 0): (height // 2, 1),
        (-1, 0, 0): (height // 2, width // 4),
        (0, 0, 1): (2, width // 2 + 3),
        (0, 0, -1): (height - 3, width // 2 + 3),
    }
    for towards, (row, column) in seen.items():
        np.testing.assert_allclose(picture[row, column], COLOURS[towards], atol=2e-3, err_msg=str(towards))


def test_rendering_the_panorama_changes_no_setting_and_leaves_nothing_behind(settings):
    stage(settings)
    before = whole_file()
    rendered(settings)
    assert whole_file() == before


def test_the_panorama_is_written_beside_the_scenes_and_becomes_the_panorama(settings, tmp_path):
    scene = stage(settings)
    rendered(settings)
    path = tmp_path / "scenes" / f"{scene.name} panorama.exr"
    assert settings.panorama_of_scene == str(path) and path.is_file()
    assert panorama_file(settings) == path
    assert tuple(settings.viewpoint) == pytest.approx(VIEWPOINT)
    rendered(settings)
    assert Path(settings.panorama_of_scene).name == f"{scene.name} panorama 2.exr", "a waiting job may need the first"


def test_it_is_rendered_from_the_cursor_too(settings):
    scene = stage(settings)
    scene.cursor.location = np.add(VIEWPOINT, (0, 1.9, 0))
    scene.camera = None
    settings.render_from = "CURSOR"
    picture = rendered(settings)[..., :3]
    front = np.isclose(picture, COLOURS[(0, 1, 0)], atol=2e-3).all(-1).mean()
    assert front > 0.4, "nearly touching the wall in front, it fills nearly half of all directions"


def test_without_a_camera_it_says_so(settings):
    stage(settings).camera = None
    assert not bpy.ops.cyclorama.render_panorama.poll()
    with pytest.raises(RuntimeError, match="no active camera"):
        bpy.ops.cyclorama.render_panorama()


def test_an_error_while_rendering_leaves_everything_as_it_was(settings, monkeypatch):
    scene = stage(settings)
    before = whole_file()
    with pytest.raises(ZeroDivisionError), panorama_render.prepared(scene, "ViewLayer", Path("/nowhere/p.exr")):
        assert len(bpy.data.scenes) == 2
        raise ZeroDivisionError
    assert whole_file() == before


def test_what_cannot_be_written_is_said_and_everything_is_as_it_was(settings, tmp_path):
    stage(settings)
    (tmp_path / "file").touch()
    settings.output_folder = str(tmp_path / "file" / "scenes")
    before = whole_file()
    with pytest.raises(RuntimeError, match="output folder"):
        bpy.ops.cyclorama.render_panorama()
    assert whole_file() == before


@pytest.fixture
def blocking_splats(settings) -> bpy.types.Object:
    """A part of a 4D scene that stands between the viewpoint and the wall in front."""
    scene = stage(settings)
    root = bpy.data.objects.new("Backdrop", None)
    scene.collection.objects.link(root)
    root.cyclorama.role = SCENE
    glowing_wall((0, 1, 0), (1.0, 1.0, 1.0), distance=1.0)
    part = bpy.context.object
    part.parent, part.cyclorama.role = root, STATIC
    bpy.context.view_layer.update()
    return part


@pytest.mark.parametrize(("left_out", "seen"), [(True, COLOURS[(0, 1, 0)]), (False, (1.0, 1.0, 1.0))])
def test_4d_scenes_are_left_out_if_wished(settings, blocking_splats, left_out, seen):
    settings.render_without_splats = left_out
    before = whole_file()
    picture = rendered(settings)[..., :3]
    np.testing.assert_allclose(picture[16, 32], seen, atol=2e-3)
    assert whole_file() == before


def test_a_copy_that_a_crash_left_is_swept_away(settings):
    scene = stage(settings)
    before = whole_file()
    panorama_render.prepare(scene, "ViewLayer", Path("/nowhere/p.exr"))
    assert len(bpy.data.scenes) == 2
    panorama_render.sweep()
    assert whole_file() == before


@pytest.fixture
def as_a_job(settings):
    """What happens around Blender's render job, with the timer turned by hand: headless there is none."""
    scene = stage(settings)
    before = whole_file()
    path = Path(settings.output_folder) / "job.exr"
    path.parent.mkdir()
    yield panorama_render.prepare(scene, "ViewLayer", path), before
    render_panorama._stop()


def _listening() -> list:
    handlers = (*bpy.app.handlers.render_complete, *bpy.app.handlers.render_cancel)
    return [handler for handler in handlers if handler is render_panorama._ended]


def test_a_render_job_that_completes_hands_over_its_picture(settings, as_a_job):
    render, before = as_a_job
    render_panorama._start(render)
    assert bpy.app.timers.is_registered(render_panorama._tidy), "the handler runs in another thread: it only tells"
    assert len(bpy.data.scenes) == 2
    bpy.app.timers.unregister(render_panorama._tidy)
    assert render_panorama._tidy() is None
    assert Path(settings.panorama_of_scene) == render.path
    assert whole_file() == before and not _listening()


def test_a_render_job_that_is_cancelled_leaves_everything_as_it_was(settings, as_a_job, monkeypatch):
    render, before = as_a_job
    monkeypatch.setattr(render_panorama, "_running", render)
    bpy.app.handlers.render_cancel.append(render_panorama._ended)
    render_panorama._ended(bpy.data.scenes["Scene"])
    assert not bpy.app.timers.is_registered(render_panorama._tidy), "another scene's render is no business of ours"
    render_panorama._ended(bpy.data.scenes[render.copy])
    bpy.app.timers.unregister(render_panorama._tidy)
    render_panorama._tidy()
    assert settings.panorama_of_scene == ""
    assert whole_file() == before and not _listening()


def test_switching_the_addon_off_meanwhile_leaves_nothing_behind(settings, as_a_job, monkeypatch):
    render, before = as_a_job
    monkeypatch.setattr(render_panorama, "_running", render)
    bpy.app.handlers.render_complete.append(render_panorama._ended)
    render_panorama.unregister()
    assert whole_file() == before and not _listening()
