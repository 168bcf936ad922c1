"""Splats as Blender 5.3 wants them, by names, types and values; what draws them is Blender's and not tested."""

import bpy
import numpy as np
import pytest

from cyclorama.addon.look import native
from cyclorama.addon.stage import playback
from cyclorama.addon.stage.importing import import_scene
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.gaussians import SH_C0, Gaussians, radiance_from_colour
from cyclorama.bridge.scene import Scene

from .packages import gaussians, write_package
from .stage import save_and_reload

pytestmark = pytest.mark.skipif(
    "resize" not in bpy.types.PointCloud.bl_rna.functions, reason="Before Blender 5.1 Python cannot fill a point cloud"
)


def _values(points, name, key, columns):
    values = np.empty(len(points.points) * columns, np.float32)
    points.attributes[name].data.foreach_get(key, values)
    return values.reshape(-1, columns)


def test_only_a_blender_that_draws_splats_is_given_them(addon):
    assert native.available() == (bpy.app.version >= (5, 3))


def test_attributes_have_the_names_and_types_of_blenders_own_importers(addon):
    points = native.splat_data("lake", gaussians(7))
    kinds = {name: points.attributes[name].data_type for name in native.ATTRIBUTES}
    assert kinds == {
        "position": "FLOAT_VECTOR",
        "scale": "FLOAT_VECTOR",
        "rotation": "QUATERNION",
        "radiance:base": "FLOAT4",
    }
    assert {points.attributes[name].domain for name in kinds} == {"POINT"}


@pytest.mark.parametrize(
    "name, key, columns", [("position", "vector", 3), ("scale", "vector", 3), ("rotation", "value", 4)]
)
def test_places_and_shapes_are_the_packages(addon, name, key, columns):
    ours = gaussians(50)
    assert np.array_equal(_values(native.splat_data("lake", ours), name, key, columns), getattr(ours, name))


def test_linear_colours_are_encoded_as_srgb(addon):
    """Values from the sRGB standard's curve: 0.5 grey is 0.7354, a fifth is 0.4845; black and white stay."""
    linear = np.array([0.0, 0.002, 0.2, 0.5, 1.0])
    encoded = np.array([0.0, 0.02584, 0.48453, 0.73536, 1.0])
    radiance = radiance_from_colour(np.repeat(linear[:, None], 3, axis=1), 0.5)
    got = native.srgb_radiance(radiance)
    assert 0.5 + SH_C0 * got[:, 0] == pytest.approx(encoded, abs=1e-4)
    assert (got[:, 3] == 0.5).all()


def test_what_is_brighter_than_white_stays_brighter(addon):
    radiance = radiance_from_colour(np.array([[1.0, 4.0, 30.0]]), 1.0)
    red, green, blue = 0.5 + SH_C0 * native.srgb_radiance(radiance)[0, :3]
    assert red < green < blue


def _with_dead_ones():
    ours = gaussians(10)
    scale, radiance = ours.scale.copy(), ours.radiance.copy()
    scale[3], radiance[5, 3] = 0.0, 0.0
    return Gaussians(ours.position, ours.rotation, scale, radiance)


def test_dead_splats_are_left_out(addon):
    points = native.splat_data("lake", _with_dead_ones())
    assert len(points.points) == 8
    assert _values(points, "scale", "vector", 3).min() > 0


def test_of_splats_that_change_none_is_left_out_and_none_is_of_no_size(addon):
    points = native.splat_data("lake", _with_dead_ones(), changes=True)
    assert len(points.points) == 10
    assert _values(points, "scale", "vector", 3).min() > 0


def test_new_values_are_shown(addon):
    points = native.splat_data("lake", gaussians(6), changes=True)
    position = gaussians(6, seed=1).position
    native.show(points, {"position": position, "unknown": position})
    assert np.array_equal(_values(points, "position", "vector", 3), position)


def test_another_number_of_splats_is_refused(addon):
    points = native.splat_data("lake", gaussians(6))
    with pytest.raises(CycloramaError) as raised:
        native.show(points, gaussians(5).arrays())
    assert raised.value.code == "package-changed"


# In a scene. Blender 5.2 shows such splats as points, but all else goes the same way.


@pytest.fixture
def lake(scene, package, monkeypatch):
    """The root of a scene imported by a Blender that draws splats itself."""
    monkeypatch.setattr(native, "available", lambda: True)
    monkeypatch.setattr(native, "become_splats", lambda points: None)
    import_scene(bpy.context, package)
    return bpy.data.objects["lake"]


def _data(name="lake moving"):
    return bpy.data.objects[name].data


def _shows(package, index, name="lake moving"):
    wanted = native.srgb_radiance(Scene(package).moving(index).radiance)
    return np.array_equal(_values(_data(name), "radiance:base", "vector", 4), wanted)


def _evaluated(name="lake moving"):
    graph = bpy.context.evaluated_depsgraph_get()
    graph.update()
    return bpy.data.objects[name].evaluated_get(graph).data


def _linear(points):
    """(n, 4) scene-linear colour and opacity; whichever type of four numbers the nodes left."""
    attribute = points.attributes["radiance:base"]
    values = np.empty(len(points.points) * 4, np.float32)
    attribute.data.foreach_get("vector" if attribute.data_type == "FLOAT4" else "color", values)
    values = values.reshape(-1, 4)
    encoded = 0.5 + SH_C0 * values[:, :3]
    values[:, :3] = np.where(encoded <= 0.04045, encoded / 12.92, ((np.maximum(encoded, 0) + 0.055) / 1.055) ** 2.4)
    return values


def test_a_scene_of_blenders_own_splats_plays(lake, package, scene):
    assert _data().id_type == "POINTCLOUD" and _shows(package, 0)
    for frame in (4, 2, 5):
        scene.frame_set(frame)
        assert _shows(package, frame - 1)
    assert np.array_equal(_values(_data(), "position", "vector", 3), Scene(package).moving(0).position)


def test_it_plays_when_the_file_is_opened_again_and_after_undo(lake, package, tmp_path):
    save_and_reload(tmp_path / "film.blend")
    bpy.context.scene.frame_set(3)
    assert _shows(package, 2)
    bpy.ops.ed.undo_push(message="Frame")
    bpy.context.scene.frame_set(5)
    bpy.ops.ed.undo_push(message="Frame")
    bpy.ops.ed.undo()
    assert _shows(package, bpy.context.scene.frame_current - 1)


def test_relinking_keeps_its_kind_and_leaves_nothing_behind(lake, scene, tmp_path):
    other = write_package(tmp_path / "pond.cyclorama", static=7, moving=9, frames=3)
    bpy.context.view_layer.objects.active = lake
    assert bpy.ops.cyclorama.relink(directory=str(other)) == {"FINISHED"}
    scene.frame_set(2)
    assert _shows(other, 1)
    assert len(_data("lake static").points) == 7
    assert not [points for points in bpy.data.pointclouds if not points.users]
    assert playback.complaint(lake) == ""


def test_a_deleted_scene_leaves_nothing_that_fails(lake, scene, tmp_path):
    for thing in list(lake.users_collection[0].all_objects):
        bpy.data.objects.remove(thing)
    scene.frame_set(3)
    save_and_reload(tmp_path / "film.blend")
    bpy.context.scene.frame_set(2)
    assert not len(bpy.data.pointclouds)


def test_an_artist_may_have_surfels_all_the_same(lake, package):
    collection = import_scene(bpy.context, package, own_splats=False)
    assert {thing.type for thing in collection.all_objects if thing.cyclorama.role == "MOVING"} == {"MESH"}


def test_as_generated_blender_is_given_what_was_imported(lake):
    assert _evaluated().attributes["radiance:base"].data_type == "FLOAT4"


def test_colours_are_graded_by_the_same_formula(lake, package):
    look = lake.cyclorama_look
    look.exposure, look.saturation, look.tint = 1.0, 0.5, (1.0, 0.5, 0.25)
    radiance = Scene(package).moving(0).radiance
    colour = np.maximum(0.5 + SH_C0 * radiance[:, :3], 0)
    luminance = (colour @ (0.2126, 0.7152, 0.0722))[:, None]
    got = _linear(_evaluated())
    assert got[:, :3] == pytest.approx((luminance + colour) / 2 * 2 * (1.0, 0.5, 0.25), rel=1e-3, abs=1e-4)
    assert got[:, 3] == pytest.approx(radiance[:, 3], abs=1e-6)


def test_faint_splats_are_left_out_and_a_crop_box_cuts(lake, package, scene):
    opacity = Scene(package).moving(0).radiance[:, 3]
    limit = float(np.median(opacity))
    lake.cyclorama_look.floater_opacity = limit
    assert len(_evaluated().points) == (opacity >= limit).sum()
    lake.cyclorama_look.floater_opacity = 0.0
    box = bpy.data.objects.new("Box", None)
    box.location = (99, 0, 0)
    scene.collection.objects.link(box)
    lake.cyclorama_look.crop = box
    assert len(_evaluated().points) == 0


def test_density_thins_them(scene, tmp_path, monkeypatch, lake):
    import_scene(bpy.context, write_package(tmp_path / "sea.cyclorama", static=4000))
    root = bpy.data.objects["sea"]
    before = _linear(_evaluated("sea static"))[:, 3]
    root.cyclorama_look.density = 0.25
    after = _evaluated("sea static")
    assert 850 < len(after.points) < 1150
    assert _linear(after)[:, 3].mean() > before.mean()


def test_they_cannot_be_baked_and_that_is_said(lake, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    from cyclorama.addon.stage.baking import planned

    with pytest.raises(CycloramaError) as raised:
        planned(bpy.data.objects["lake"], bpy.context.scene)
    assert raised.value.code == "own-splats"
