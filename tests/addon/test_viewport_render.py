"""The viewport render with splats: what it would render, from where, and what it says where it cannot."""

from math import atan, radians
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from cyclorama.addon.look import viewport
from cyclorama.addon.look.viewport import who_draws
from cyclorama.addon.look.viewport.playblast import eye_of
from cyclorama.addon.operators import viewport_render
from cyclorama.addon.operators.viewport_render import CYCLORAMA_OT_viewport_render, file_of, frames_of
from cyclorama.bridge.errors import CycloramaError


@pytest.fixture
def scene(addon, tmp_path):
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end, scene.frame_step = 3, 9, 3
    scene.render.filepath = str(tmp_path / "shot_")
    return scene


def test_frames_are_the_scene_s_or_those_of_the_preview_range(scene):
    assert frames_of(scene) == [3, 6, 9]
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 5, 6
    assert frames_of(scene) == [5]


@pytest.mark.parametrize(
    ("output", "file_format", "wanted"),
    [
        ("shot_", "PNG", ("shot_0007.png", "PNG")),
        ("shot_##", "JPEG", ("shot_07.jpg", "JPEG")),
        ("shot_", "OPEN_EXR", ("shot_0007.png", "PNG")),
        ("shot_##.exr", "OPEN_EXR", ("shot_07_.png", "PNG")),
        ("shot_##", "OPEN_EXR", ("shot_07.png", "PNG")),
    ],
)
def test_pictures_are_written_where_renders_are(scene, tmp_path, output, file_format, wanted):
    scene.render.image_settings.file_format = file_format
    scene.render.filepath = str(tmp_path / output)
    path, written_as = file_of(scene, 7)
    assert (path.name, written_as) == wanted
    assert path.parent == tmp_path


def test_of_a_film_pictures_are_written(scene, tmp_path):
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "VIDEO"
    settings.file_format = "FFMPEG"
    scene.render.filepath = str(tmp_path / "shot.mp4")
    assert file_of(scene, 7) == (tmp_path / "shot_0007.png", "PNG")


def test_without_a_window_it_says_so(scene):
    assert not CYCLORAMA_OT_viewport_render.poll(bpy.context)
    with pytest.raises(RuntimeError, match="no viewport without a window"):
        bpy.ops.cyclorama.viewport_render()


def test_each_frame_is_rendered_at_its_time_and_written(scene, monkeypatch):
    seen = []

    def picture(context, width, height):
        seen.append((context.scene.frame_current, width, height))
        pixels = np.zeros((height, width, 4), np.uint8)
        pixels[0] = 255, 0, 0, 255  # the lowest row
        return pixels

    monkeypatch.setattr(viewport, "picture", picture)
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 32, 16, 50
    scene.frame_set(4)
    assert _run(scene) == {"FINISHED"}
    assert seen == [(frame, 16, 8) for frame in (3, 6, 9)]
    assert scene.frame_current == 4
    folder = Path(scene.render.filepath).parent
    assert sorted(path.name for path in folder.iterdir()) == [f"shot_000{frame}.png" for frame in (3, 6, 9)]
    image = bpy.data.images.load(str(folder / "shot_0006.png"))
    assert (tuple(image.size), image.channels) == ((16, 8), 4)
    rows = np.array(image.pixels[:]).reshape(8, 16, 4)
    assert rows[0, :, :3] == pytest.approx(np.tile((1, 0, 0), (16, 1)))
    assert not rows[1:, :, :3].any()
    assert viewport_render.RESULT not in bpy.data.images


def test_frames_that_are_there_are_kept_if_the_scene_says_so(scene, monkeypatch):
    monkeypatch.setattr(viewport, "picture", lambda _context, width, height: np.zeros((height, width, 4), np.uint8))
    scene.render.resolution_x = scene.render.resolution_y = 8
    scene.render.use_overwrite = False
    kept = Path(f"{scene.render.filepath}0006.png")
    kept.write_bytes(b"mine")
    assert _run(scene) == {"FINISHED"}
    assert kept.read_bytes() == b"mine"


def test_a_folder_that_cannot_be_is_an_error_and_the_frame_comes_back(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(viewport, "picture", lambda _context, width, height: np.zeros((height, width, 4), np.uint8))
    (tmp_path / "file").write_text("")
    scene.render.filepath = str(tmp_path / "file" / "shot_")
    scene.frame_set(4)
    reports: list[str] = []
    assert _run(scene, reports) == {"CANCELLED"}
    assert "could not be written" in reports[0]
    assert scene.frame_current == 4
    assert viewport_render.RESULT not in bpy.data.images


def test_what_a_gpu_cannot_is_a_sentence(scene, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(viewport.playblast, "picture", fail)
    space = SimpleNamespace(shading=SimpleNamespace(type="RENDERED"))
    windows = SimpleNamespace(windows=[])
    context = SimpleNamespace(scene=scene, view_layer=scene.view_layers[0], space_data=space, window_manager=windows)
    with pytest.raises(CycloramaError, match="out of memory"):
        viewport.picture(context, 8, 8)


def test_through_the_camera_it_is_the_camera_s_frame(scene):
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    scene.camera, camera.location, camera.data.angle = camera, (1, 2, 3), radians(60)
    camera.scale = (3, 3, 3)
    bpy.context.view_layer.update()
    view, projection = eye_of(_context(scene, "CAMERA"), 200, 100)
    assert np.array(view) == pytest.approx(np.array(Matrix.Translation((-1, -2, -3))))
    assert atan(1 / projection[0][0]) == pytest.approx(radians(30))
    assert projection[1][1] == pytest.approx(2 * projection[0][0])


def test_else_the_longer_sides_are_the_same(scene):
    """A viewport of 300 x 600, whose height spans a tangent of 1."""
    context = _context(scene, "PERSP", Matrix.Diagonal((2.0, 1.0, 1.0, 1.0)))
    _view, wide = eye_of(context, 200, 100)
    _view, tall = eye_of(context, 100, 200)
    assert (wide[0][0], wide[1][1]) == pytest.approx((1.0, 2.0))
    assert (tall[0][0], tall[1][1]) == pytest.approx((2.0, 1.0))


def test_blender_s_own_playblast_is_known(addon):
    def windows(*names):
        return SimpleNamespace(
            windows=[SimpleNamespace(modal_operators=[SimpleNamespace(bl_idname=name) for name in names])]
        )

    assert not who_draws.plays_into_files(windows())
    assert not who_draws.plays_into_files(windows("VIEW3D_OT_rotate"))
    assert who_draws.plays_into_files(windows("SCREEN_OT_animation_play", "RENDER_OT_opengl"))
    assert hasattr(bpy.types.Window.bl_rna.properties["modal_operators"], "fixed_type")


def _context(scene, perspective, projection=None):
    return SimpleNamespace(
        scene=scene,
        evaluated_depsgraph_get=bpy.context.evaluated_depsgraph_get,
        space_data=SimpleNamespace(use_local_camera=False, camera=None),
        region=SimpleNamespace(width=300, height=600),
        region_data=SimpleNamespace(
            view_perspective=perspective, view_matrix=Matrix(), window_matrix=projection or Matrix()
        ),
    )


def _run(scene, reports: list[str] | None = None):
    """The operator's work without a window."""
    kind, said = CYCLORAMA_OT_viewport_render, [] if reports is None else reports
    operator = SimpleNamespace(animation=True, report=lambda _kind, text: said.append(text))
    for name in ("_begin", "_render_one", "_finish", "_fail", "cancel"):
        setattr(operator, name, getattr(kind, name).__get__(operator))
    return kind.execute(operator, SimpleNamespace(scene=scene))
