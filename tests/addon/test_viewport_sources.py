"""What the add-on's own drawing in the viewport is given to draw, and when it draws in place of Blender."""

from types import SimpleNamespace

import bpy
import numpy as np
import pytest

import cyclorama
from cyclorama.addon.look import viewport
from cyclorama.addon.look.viewport import sources, who_draws
from cyclorama.addon.look.viewport.part import thinned
from cyclorama.addon.stage.importing import import_scene
from cyclorama.addon.stage.scene_object import root_of
from cyclorama.addon.stage.splats import show, splat_object
from cyclorama.bridge.gaussians import radiance_from_colour

from .packages import gaussians, point_colour, radiance, write_package


@pytest.fixture
def imported(addon, tmp_path):
    """A 4D scene; the objects with its splats."""
    import_scene(bpy.context, write_package(tmp_path / "a.cyclorama", static=30, moving=20), world=False)
    bpy.context.view_layer.update()
    return list(who_draws.drawn_objects(bpy.context.scene.objects))


@pytest.mark.parametrize(
    ("shading", "has_overlays", "needed"),
    [
        ("SOLID", True, False),
        ("SOLID", False, False),
        ("MATERIAL", True, False),
        ("MATERIAL", False, True),
        ("RENDERED", True, True),
        ("WIREFRAME", True, False),
    ],
)
def test_which_viewports_need_the_surfels(shading, has_overlays, needed):
    assert who_draws.needs_surfels(shading, has_overlays) == needed
    space = SimpleNamespace(shading=SimpleNamespace(type=shading), overlay=SimpleNamespace(show_overlays=has_overlays))
    solid = SimpleNamespace(shading=SimpleNamespace(type="SOLID"), overlay=SimpleNamespace(show_overlays=True))
    areas = [SimpleNamespace(type="VIEW_3D", spaces=SimpleNamespace(active=each)) for each in (solid, space)]
    window = SimpleNamespace(screen=SimpleNamespace(areas=[*areas, SimpleNamespace(type="OUTLINER")]))
    assert who_draws.needed_somewhere(SimpleNamespace(windows=[window])) == needed


def _faces(splats):
    evaluated = splats.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return len(evaluated.data.polygons), len(evaluated.data.vertices)


def test_while_we_draw_blender_shows_nothing_and_computes_no_surfel(imported):
    surfels = [_faces(splats) for splats in imported]
    assert all(faces > 0 for faces, _points in surfels)
    who_draws.show_surfels(False)
    assert [_faces(splats) for splats in imported] == [(0, 0), (0, 0)]
    assert all(not splats.modifiers[who_draws.MODIFIER].show_render for splats in imported)
    who_draws.show_surfels(True)
    assert [_faces(splats) for splats in imported] == surfels
    assert who_draws.GROUP not in bpy.data.node_groups


def test_hidden_splats_are_not_drawn(imported):
    static, moving = imported
    layer = bpy.context.view_layer
    assert sources.shown_in(layer, None) == set()  # Blender shows them
    who_draws.show_surfels(False)
    assert sources.shown_in(layer, None) == {sources.key_of(static), sources.key_of(moving)}
    static.hide_set(True)
    assert sources.shown_in(layer, None) == {sources.key_of(moving)}
    moving.users_collection[0].hide_viewport = True
    layer.update()
    assert sources.shown_in(layer, None) == set()


def test_a_saved_file_has_its_surfels(imported, tmp_path):
    who_draws.show_surfels(False)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    cyclorama.unregister()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    meshes = [thing for thing in bpy.data.objects if "Surfels" in thing.modifiers]
    try:
        assert len(meshes) == 2
        assert all(who_draws.MODIFIER not in mesh.modifiers for mesh in meshes)
    finally:
        cyclorama.register()


def test_what_is_drawn_is_what_the_scene_has(imported):
    static, moving = sources.parts_of(bpy.context.view_layer, most=10**6)
    assert (len(static.splats), len(moving.splats)) == (30, 20)
    assert (static.is_moving, moving.is_moving) == (False, True)
    assert (static.splats.position == gaussians(30, seed=100).position).all()
    again, _ = sources.parts_of(bpy.context.view_layer, most=10**6)
    assert again.splats is static.splats


def test_what_playback_changes_is_read_again_and_nothing_else(imported):
    static, moving = sources.parts_of(bpy.context.view_layer, most=10**6)
    other = gaussians(20, seed=7)
    show(imported[1].data, {"radiance:base": other.radiance})
    bpy.context.view_layer.update()
    static_then, moving_then = sources.parts_of(bpy.context.view_layer, most=10**6)
    assert (moving_then.splats.radiance == other.radiance).all()
    assert (moving_then.splats.position == moving.splats.position).all()
    assert static_then.splats is static.splats


def test_the_timeline_s_frame_is_what_is_drawn(imported):
    for frame in (3, 1, 2):
        bpy.context.scene.frame_set(frame)
        _static, moving = sources.parts_of(bpy.context.view_layer, most=10**6)
        assert moving.splats.radiance == pytest.approx(radiance(20, frame - 1), rel=1e-6)


@pytest.mark.parametrize("density", [0.2, 0.7])
def test_the_same_splats_are_left_out_as_of_the_surfels(imported, density):
    """By thinning, with and without floaters; the surfels keep their splats' order."""
    static = imported[0]
    look = root_of(static).cyclorama_look
    look.density = density
    for look.floater_opacity in (0.0, 0.4):
        bpy.context.view_layer.update()
        surfels = static.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        per_splat = len(surfels.vertices) // max(len({tuple(v) for v in _radiance_of(surfels)}), 1)
        (part,) = (
            part for part in sources.parts_of(bpy.context.view_layer, 10**6) if part.key == sources.key_of(static)
        )
        kept = part.splats.radiance[thinned(part.splats, part.density)]
        assert 0 < len(kept) < 30
        assert _radiance_of(surfels)[::per_splat, :3] == pytest.approx(kept[:, :3])


def _radiance_of(mesh):
    values = np.empty((len(mesh.vertices), 4), np.float32)
    mesh.attributes["radiance"].data.foreach_get("color", values.reshape(-1))
    return values


def test_points_are_drawn_too(addon, tmp_path):
    """In Solid they would be clay."""
    import_scene(bpy.context, write_package(tmp_path / "a.cyclorama", static=3, points=5), world=False)
    root = root_of(next(who_draws.drawn_objects(bpy.context.scene.objects)))
    root.cyclorama_look.floater_size = 0.01  # is not for points
    bpy.context.scene.frame_set(3)
    *_, points = sources.parts_of(bpy.context.view_layer, most=10**6)
    assert (points.are_points, points.is_moving) == (True, True)
    assert points.splats.position.tolist() == [[k, 5, 2] for k in range(5)]
    assert points.splats.scale[:, 0].tolist() == [0.5] * 5
    colours = [point_colour(k, 2) for k in range(5)]
    assert points.splats.radiance == pytest.approx(radiance_from_colour(np.array(colours), 1.0), rel=1e-5)
    who_draws.show_surfels(False)
    things = [thing for thing in bpy.context.scene.objects if thing.cyclorama.role == "POINTS"]
    assert [who_draws.are_hidden(thing) for thing in things] == [True]


def test_too_many_are_thinned_to_what_was_asked_for(imported):
    assert [part.density for part in sources.parts_of(bpy.context.view_layer, most=25)] == [0.5, 0.5]


def test_deleted_splats_are_forgotten(imported):
    sources.parts_of(bpy.context.view_layer, most=10**6)
    bpy.data.objects.remove(imported[0])
    assert len(sources.parts_of(bpy.context.view_layer, most=10**6)) == 1
    assert len(sources._read) == 1


def test_a_mesh_that_lost_its_attributes_draws_nothing(imported):
    imported[0].data.attributes.remove(imported[0].data.attributes["radiance"])
    assert len(sources.parts_of(bpy.context.view_layer, most=10**6)[0].splats) == 0


def test_drawing_without_a_gpu_says_so_once_and_never_raises(addon, capsys, monkeypatch):
    splats = splat_object("Splats", gaussians(5))
    splats.cyclorama.role = "STATIC"
    bpy.context.scene.collection.objects.link(splats)
    space = SimpleNamespace(shading=SimpleNamespace(type="SOLID"))
    context = SimpleNamespace(
        scene=bpy.context.scene,
        space_data=space,
        region_data=SimpleNamespace(),
        window_manager=SimpleNamespace(windows=[]),
    )
    monkeypatch.setattr(viewport.bpy, "context", context, raising=False)
    monkeypatch.setattr(viewport, "_do_soon", lambda *_: None)
    for _ in range(3):
        viewport._draw()
    assert capsys.readouterr().out.count("Cyclorama:") == 1
    assert viewport.trouble()
    bpy.context.scene.cyclorama_viewport.most = 5000  # the artist tries again
    assert not viewport.trouble()


def test_settings_are_saved_and_not_animated(addon):
    settings = bpy.context.scene.cyclorama_viewport
    assert settings.show
    assert not any(prop.is_animatable for prop in settings.bl_rna.properties if prop.identifier in ("show", "most"))


def test_nothing_is_left_after_switching_off(no_backend):
    cyclorama.register()
    cyclorama.unregister()
    assert viewport._handle is None
    assert not hasattr(bpy.types.Scene, "cyclorama_viewport")
    assert not sources._read
    draws = bpy.types.VIEW3D_PT_overlay._dyn_ui_initialize()
    assert not [draw for draw in draws if "cyclorama" in draw.__module__]
