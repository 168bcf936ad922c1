"""Objects on the set: the proxy they stand on, and the shadows they throw on splats."""

import bpy
import numpy as np
import pytest

from cyclorama.addon.stage import proxy, shadow_layer
from cyclorama.addon.stage.collections import is_shown, layer_collections
from cyclorama.addon.stage.importing import import_scene
from cyclorama.addon.stage.scene_object import PROXY, is_root, parts
from cyclorama.bridge.gaussians import Gaussians, radiance_from_colour
from cyclorama.bridge.scene import Generator
from cyclorama.bridge.scene_writer import SceneWriter

from .packages import facing, set_up

EYE_M, SKY_M = 1.5, 60.0
FLOOR = 0.25
"""Radiance of the floor."""


def _distance(rows=64):
    """A flat floor below the eye under a dome."""
    latitude = (0.5 - (np.arange(rows) + 0.5) / rows) * np.pi
    down = np.maximum(-np.sin(latitude), 1e-6)
    return np.repeat(np.minimum(EYE_M / down, SKY_M)[:, None], 2 * rows, axis=1).astype(np.float32)


def _write_exr(path, values):
    height, width = values.shape
    image = bpy.data.images.new("depth", width, height, float_buffer=True, is_data=True)
    image.pixels.foreach_set(np.repeat(values[::-1, :, None], 4, axis=2).ravel())
    image.filepath_raw, image.file_format = str(path), "OPEN_EXR"
    image.save()
    bpy.data.images.remove(image)


@pytest.fixture
def package(addon, tmp_path):
    """A floor of splats, evenly bright, with its distances."""
    across = np.arange(-40, 41) * 0.2
    x, y = (axis.ravel() for axis in np.meshgrid(across, across))
    floor = Gaussians(
        position=np.stack([x, y, np.full_like(x, -EYE_M)], axis=1).astype(np.float32),
        rotation=facing((0, 0, 1), len(x)),
        scale=np.tile(np.array([0.2, 0.2, 0.001], np.float32), (len(x), 1)),
        radiance=radiance_from_colour(np.full((len(x), 3), FLOOR), np.full(len(x), 0.99)),
    )
    folder = tmp_path / "floor.cyclorama"
    with SceneWriter(folder) as writer:
        writer.static(floor)
        writer.file("depth/000000.exr", lambda path: _write_exr(path, _distance()))
        writer.finish(generator=Generator("test", "0", "none", {}), seed=0, frame_rate=24.0, frame_count=1, loops=True)
    return folder


@pytest.fixture
def scene(package):
    import_scene(bpy.context, package)
    scene = bpy.context.scene
    set_up(scene, package.parent / "shot.exr", 32, 32)
    bpy.ops.mesh.primitive_cube_add(size=0.6, location=(0, 3, -EYE_M + 0.3))
    bpy.ops.object.light_add(type="SUN", rotation=(0, np.radians(45), 0))
    bpy.context.object.data.energy, bpy.context.object.data.angle = 5.0, 0.0
    scene.camera.location, scene.camera.rotation_euler = (0, 3, 4), (0, 0, 0)
    scene.camera.data.lens, scene.camera.data.sensor_width = 36, 36  # 90 degrees would be 18: one of 5.5 m at the floor
    return scene


def _proxy(scene):
    return next(parts(next(filter(is_root, scene.objects)), PROXY))


def _shot(scene, tmp_path, name):
    scene.render.filepath = str(tmp_path / f"{name}.exr")
    scene.render.image_settings.file_format = "OPEN_EXR"
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    values = np.array(image.pixels[:]).reshape(32, 32, 4)[::-1, :, :3]
    bpy.data.images.remove(image)
    return values


def test_the_proxy_lies_where_the_set_is_and_looks_at_who_stands_in_it():
    places, faces = proxy.surface(_distance())
    quads = faces[(faces[:, 2] != faces[:, 3]) & (np.linalg.norm(places[faces], axis=2).max(axis=1) < 20)]
    corners = places[quads].astype(float)
    assert abs(corners[..., 2] + EYE_M).max() < 1e-4
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (normal[:, 2] > 0).all()


def test_the_proxy_has_no_sky_and_no_hole_below():
    places, faces = proxy.surface(_distance())
    assert places[np.unique(faces)][:, 2].max() < 0
    assert any((faces == len(places) - 1).any(axis=1)), "the nadir is closed"


def test_the_proxy_is_torn_between_a_thing_and_what_lies_behind():
    distance = np.full((16, 32), 10.0, np.float32)
    distance[:, 12:20] = 2.0
    places, faces = proxy.surface(distance)
    reach = np.linalg.norm(places[faces], axis=2)
    quads = faces[:, 2] != faces[:, 3]
    assert (reach[quads].max(axis=1) / reach[quads].min(axis=1)).max() < proxy.TORN


def test_a_proxy_is_never_in_the_picture(scene, tmp_path):
    assert _proxy(scene).name not in bpy.context.view_layer.objects
    with_it = _shot(scene, tmp_path, "with")
    bpy.data.objects.remove(_proxy(scene))
    assert np.array_equal(with_it, _shot(scene, tmp_path, "without"))


def test_an_object_throws_its_shadow_on_the_splats_and_nowhere_else(scene, tmp_path):
    scene.cycles.samples = 16
    plain = _shot(scene, tmp_path, "plain")
    assert bpy.ops.cyclorama.setup_shadows() == {"FINISHED"}
    shadowed = _shot(scene, tmp_path, "shadowed")
    darker = (shadowed / np.maximum(plain, 1e-6)).mean(axis=2)
    # The sun stands 45 degrees to the right (+X): a cube of 0.6 m shades the 0.6 m to its left.
    pixels_per_m = 32 / 5.5
    column = int(16 - 0.6 * pixels_per_m)
    assert darker[16, column] < 0.3, "the shadow"
    assert abs(darker[16, 26] - 1) < 0.1 and abs(darker[4, 8] - 1) < 0.1, "the sunny floor"
    assert abs(darker[16, 16] - 1) < 0.05, "the cube itself"


def test_shadows_can_be_taken_away_again(scene, tmp_path):
    plain = _shot(scene, tmp_path, "plain")
    bpy.ops.cyclorama.setup_shadows()
    assert not bpy.ops.cyclorama.setup_shadows.poll()
    assert bpy.ops.cyclorama.remove_shadows() == {"FINISHED"}
    assert [layer.name for layer in scene.view_layers if layer.name == shadow_layer.LAYER] == []
    assert np.array_equal(plain, _shot(scene, tmp_path, "again"))


def test_the_compositor_of_the_artist_is_kept(scene):
    bpy.ops.cyclorama.setup_shadows()
    tree = shadow_layer._compositor(scene)
    assert tree
    blur = tree.nodes.new("CompositorNodeBlur")
    bpy.ops.cyclorama.remove_shadows()
    bpy.ops.cyclorama.setup_shadows()
    assert blur.name in tree.nodes
    assert sum(node.bl_idname == "CompositorNodeRLayers" for node in tree.nodes) == 2


def test_without_a_proxy_there_is_nothing_to_set_up(addon):
    assert not bpy.ops.cyclorama.setup_shadows.poll()
    assert not bpy.ops.cyclorama.remove_shadows.poll()


def _duplicated(scene):
    """What Select Hierarchy and Duplicate make of the 4D scene, whose proxy cannot be selected."""
    root = next(filter(is_root, scene.objects))
    bpy.ops.object.select_all(action="DESELECT")
    for thing in [root, *root.children_recursive]:
        if thing.name in bpy.context.view_layer.objects:
            thing.select_set(True)
    bpy.context.view_layer.objects.active = root
    bpy.ops.object.duplicate()
    return next(thing for thing in scene.objects if is_root(thing) and thing != root)


def test_a_duplicated_scene_takes_shadows_too(scene):
    copy = _duplicated(scene)
    bpy.ops.cyclorama.setup_shadows()
    assert [part.data for part in parts(copy, PROXY)] == [_proxy(scene).data]


def test_a_scene_that_came_after_the_shadows_is_one_click_away_from_them(scene, package):
    bpy.ops.cyclorama.setup_shadows()
    assert not bpy.ops.cyclorama.setup_shadows.poll()
    import_scene(bpy.context, package)
    assert bpy.ops.cyclorama.setup_shadows.poll()
    bpy.ops.cyclorama.setup_shadows()
    assert not bpy.ops.cyclorama.setup_shadows.poll()


def test_nothing_falls_on_a_scene_that_was_deleted(scene):
    copy = _duplicated(scene)
    original = next(thing for thing in scene.objects if is_root(thing) and thing != copy)
    for thing in bpy.context.view_layer.objects:
        thing.select_set(thing in [original, *original.children_recursive])
    bpy.ops.object.delete()
    bpy.ops.cyclorama.setup_shadows()
    proxies = [thing for thing in scene.objects if thing.cyclorama.role == PROXY]
    assert [proxy.parent for proxy in proxies] == [copy]
    assert not bpy.ops.cyclorama.setup_shadows.poll(), "all is in step"


def _layer_collection(layer, name):
    return next(shown for shown in layer_collections(layer.layer_collection) if shown.collection.name == name)


def test_shadows_leave_the_splats_in_their_scene_s_collection(scene):
    bpy.ops.cyclorama.setup_shadows()
    root = next(filter(is_root, scene.objects))
    home = root.users_collection[0]
    assert set(parts(root)) <= set(home.all_objects)
    _layer_collection(scene.view_layers[0], home.name).exclude = True
    assert not is_shown(root, scene.view_layers[0])


def test_nothing_falls_on_a_scene_that_is_hidden(scene):
    bpy.ops.cyclorama.setup_shadows()
    root = next(filter(is_root, scene.objects))
    _layer_collection(scene.view_layers[0], root.users_collection[0].name).exclude = True
    assert bpy.ops.cyclorama.setup_shadows.poll(), "not in step any more"
    bpy.ops.cyclorama.setup_shadows()
    assert _proxy(scene).name not in scene.view_layers[shadow_layer.LAYER].objects
    assert not bpy.ops.cyclorama.setup_shadows.poll()


def test_splats_that_the_artist_put_among_other_things_are_set_apart(scene):
    root = next(filter(is_root, scene.objects))
    cube = bpy.data.objects["Cube"]
    part = next(parts(root, "STATIC"))
    part.users_collection[0].objects.link(cube)
    scene.collection.objects.unlink(cube)
    bpy.ops.cyclorama.setup_shadows()
    shadows = scene.view_layers[shadow_layer.LAYER]
    assert cube.name in shadows.objects and part.name not in shadows.objects
    assert {cube.name, part.name} <= set(scene.view_layers[0].objects.keys())


def test_an_object_s_edge_takes_only_its_share_of_the_shadow(scene, tmp_path):
    """A glowing cube: a pixel that shows a fifth of the floor beside it loses a fifth of its light at most."""
    glow = bpy.data.materials.new("glow")
    if glow.node_tree is None:
        glow.use_nodes = True
    glow.node_tree.nodes["Principled BSDF"].inputs["Emission Color"].default_value = (1, 1, 1, 1)
    glow.node_tree.nodes["Principled BSDF"].inputs["Emission Strength"].default_value = 4.0
    bpy.data.objects["Cube"].data.materials.append(glow)
    bpy.data.objects["Cube"].visible_diffuse = False
    scene.cycles.samples, scene.cycles.pixel_filter_type = 32, "BOX"
    scene.cycles.filter_width = 1.0
    plain = _shot(scene, tmp_path, "plain")[..., 0]
    bpy.ops.cyclorama.setup_shadows()
    shadowed = _shot(scene, tmp_path, "shadowed")[..., 0]
    floor = (plain.max() - plain) / (plain.max() - FLOOR)
    edge = (floor > 0.05) & (floor < 0.6)
    assert edge.any()
    assert (shadowed[edge] / plain[edge] > 1 - floor[edge] - 0.05).all()
