"""What Cycles makes of splats, against closed forms; all in scene-linear light."""

import math

import bpy
import numpy as np
import pytest

from cyclorama.addon.look.surfels import REACH, SIDES
from cyclorama.addon.stage.splats import splat_object
from cyclorama.bridge.gaussians import Gaussians, radiance_from_colour

from .packages import facing, render

SIZE = 64
FIELD = 8.0
"""Metres across the picture of the orthographic camera, which looks along +Y."""

WORLD = np.array([0.1, 0.35, 0.8])
TOWARDS_CAMERA = (0.0, -1.0, 0.0)


@pytest.fixture
def scene(addon):
    """A plain world, and a camera at (0, -10, 0) that looks along +Y."""
    scene = bpy.context.scene
    scene.world = _plain_world(WORLD)
    camera = bpy.data.cameras.new("Camera")
    camera.type, camera.ortho_scale = "ORTHO", FIELD
    scene.camera = bpy.data.objects.new("Camera", camera)
    scene.camera.location, scene.camera.rotation_euler = (0, -10, 0), (math.pi / 2, 0, 0)
    scene.collection.objects.link(scene.camera)
    return scene


def _plain_world(colour, strength=1.0):
    world = bpy.data.worlds.new("Plain")
    if world.node_tree is None:
        world.use_nodes = True
    assert world.node_tree
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (*colour, 1)
    background.inputs["Strength"].default_value = strength
    return world


def _add(scene, position, colour, opacity, scale=(1.0, 1.0, 0.05), normal=TOWARDS_CAMERA, name="Splats"):
    """Splats of one size and direction."""
    position = np.asarray(position, np.float32).reshape(-1, 3)
    count = len(position)
    radiance = radiance_from_colour(np.broadcast_to(colour, (count, 3)), opacity)
    splats = splat_object(
        name, Gaussians(position, facing(normal, count), np.tile(np.asarray(scale, np.float32), (count, 1)), radiance)
    )
    scene.collection.objects.link(splats)
    return splats


def _wall(shader):
    """A wall behind all splats, and its shader node."""
    bpy.ops.mesh.primitive_plane_add(size=30, location=(0, 2, 0), rotation=(math.pi / 2, 0, 0))
    material = bpy.data.materials.new("Wall")
    if material.node_tree is None:
        material.use_nodes = True
    tree = material.node_tree
    assert tree
    surface = tree.nodes.new(shader)
    tree.links.new(surface.outputs[0], tree.nodes["Material Output"].inputs["Surface"])
    bpy.context.object.data.materials.append(material)
    return surface


def _places():
    """World x and z (metres) of the pixels' centres."""
    x = (np.arange(SIZE) + 0.5) * (FIELD / SIZE) - FIELD / 2
    return np.meshgrid(x, -x)


def _gaussian(centre=(0.0, 0.0), scale=(1.0, 1.0)):
    """exp(-r²/2) in the picture, and where the cut hexagon certainly is and is not."""
    x, z = _places()
    squared = ((x - centre[0]) / scale[0]) ** 2 + ((z - centre[1]) / scale[1]) ** 2
    radius = np.sqrt(squared)
    return np.exp(-squared / 2)[..., None], radius < REACH - 0.05, radius > REACH / math.cos(math.pi / SIDES) + 0.05


def _pictured(scene, tmp_path):
    return render(scene, tmp_path / "picture.exr", SIZE, SIZE)[..., :3]


@pytest.mark.parametrize("colour", [(0.9, 0.4, 0.05), (0.0, 0.0, 0.0), (25.0, 3.0, 0.5)], ids=["dull", "black", "HDR"])
@pytest.mark.parametrize("opacity", [0.99, 0.3])
def test_a_splat_is_a_gaussian_over_what_is_behind_it(scene, tmp_path, colour, opacity):
    _add(scene, (0, 0, 0), colour, opacity)
    got = _pictured(scene, tmp_path)
    falloff, inside, outside = _gaussian()
    alpha = opacity * falloff
    wanted = alpha * np.array(colour) + (1 - alpha) * WORLD
    assert inside.sum() > 700
    assert got[inside] == pytest.approx(wanted[inside], rel=2e-3, abs=2e-3)
    assert got[outside] == pytest.approx(np.broadcast_to(WORLD, got.shape)[outside], abs=1e-5)


def test_a_long_splat_is_as_long_and_as_broad_as_its_scales(scene, tmp_path):
    colour, scale = np.array((0.9, 0.4, 0.05)), (1.4, 0.5)
    _add(scene, (0.5, 0, -0.3), colour, 0.9, scale=(*scale, 0.02), normal=TOWARDS_CAMERA)
    got = _pictured(scene, tmp_path)
    falloff, inside, _outside = _gaussian((0.5, -0.3), scale)
    wanted = 0.9 * falloff * colour + (1 - 0.9 * falloff) * WORLD
    assert got[inside] == pytest.approx(wanted[inside], abs=3e-3)


@pytest.mark.parametrize("red_is_nearer", [True, False])
@pytest.mark.parametrize("one_object", [True, False])
def test_the_nearer_of_two_splats_is_in_front(scene, tmp_path, red_is_nearer, one_object):
    red, blue = np.array((2.0, 0.1, 0.1)), np.array((0.05, 0.1, 1.5))
    opacity = 0.7
    places = [(-0.4, -1.0 if red_is_nearer else 1.0, 0), (0.4, 0.0, 0)]
    if one_object:
        splats = _add(scene, places, red, opacity)
        radiance = radiance_from_colour(np.array([red, blue]), opacity)
        splats.data.attributes["radiance"].data.foreach_set("color", radiance.ravel())
    else:
        _add(scene, places[0], red, opacity)
        _add(scene, places[1], blue, opacity)
    got = _pictured(scene, tmp_path)
    over_red, in_red, _ = _gaussian((-0.4, 0))
    over_blue, in_blue, _ = _gaussian((0.4, 0))
    layers = [(opacity * over_blue, blue), (opacity * over_red, red)]
    wanted = WORLD
    for alpha, colour in layers if red_is_nearer else reversed(layers):
        wanted = alpha * colour + (1 - alpha) * wanted
    both = in_red & in_blue
    assert both.sum() > 400
    assert got[both] == pytest.approx(wanted[both], rel=3e-3, abs=3e-3)


def test_forty_splats_one_behind_the_other_are_all_counted(scene, tmp_path):
    """Splats so faint that the world shines through all of them."""
    _add(scene, [(0, depth / 10, 0) for depth in range(40)], (1.0, 1.0, 1.0), 0.05)
    got = _pictured(scene, tmp_path)
    falloff, inside, _ = _gaussian()
    through = (1 - 0.05 * falloff) ** 40
    wanted = (1 - through) + through * WORLD
    assert got[inside] == pytest.approx(wanted[inside], abs=5e-3)


@pytest.mark.parametrize("kind", ["ground from above", "ground at a low angle", "wall"])
def test_a_surface_of_splats_has_no_holes(scene, tmp_path, kind):
    """Splats as the direct lift makes them: 0.7 of their spacing wide, in one plane, their tents towards the eye."""
    spacing, reach = 0.25, 40
    along = (np.arange(-reach, reach) + 0.5) * spacing
    a, b = (axis.ravel() for axis in np.meshgrid(along, along))
    zero = np.zeros_like(a)
    size = (0.7 * spacing, 0.7 * spacing, 0.01)
    camera = scene.camera
    camera.data.type, camera.data.lens_unit = "PERSP", "FOV"
    if kind == "wall":
        _add(scene, np.stack([a, zero, b], axis=1), (0.5, 0.5, 0.5), 0.99, size, TOWARDS_CAMERA)
        camera.location, camera.data.angle = (0.4, -3, 0.3), math.radians(60)
    else:
        _add(scene, np.stack([a, b, zero], axis=1), (0.5, 0.5, 0.5), 0.99, size, (0, 0, 1))
        steep = kind == "ground from above"
        camera.location = (0, -1, 3) if steep else (0, -9, 1.6)
        camera.rotation_euler = (math.radians(15 if steep else 68), 0, 0)
        camera.data.angle = math.radians(50 if steep else 30)
    scene.render.film_transparent = True
    alpha = render(scene, tmp_path / "picture.exr", SIZE, SIZE)[..., 3]
    assert alpha.min() >= 0.95


def test_splats_have_no_shadow_and_give_no_light(scene, tmp_path):
    """A blazing, opaque splat between a lamp and the wall behind it, out of the camera's sight."""
    _wall("ShaderNodeBsdfDiffuse")
    lamp = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    lamp.rotation_euler = (math.radians(60), 0, 0)
    scene.collection.objects.link(lamp)
    without = _pictured(scene, tmp_path)
    splats = _add(scene, (0, -1, 2), (500.0, 500.0, 500.0), 0.99, scale=(3.0, 3.0, 0.05))
    seen = _pictured(scene, tmp_path)
    assert seen.max() > 100
    splats.visible_camera = False
    assert _pictured(scene, tmp_path) == pytest.approx(without, abs=1e-4)
    splats.visible_shadow = splats.visible_diffuse = True  # that this test would notice
    assert np.abs(_pictured(scene, tmp_path) - without).max() > 0.1


def test_splats_are_seen_in_a_mirror(scene, tmp_path):
    """They light nothing, but the set reflects in glass and water."""
    mirror = _wall("ShaderNodeBsdfAnisotropic")
    mirror.inputs["Color"].default_value = (1, 1, 1, 1)
    mirror.inputs["Roughness"].default_value = 0
    _add(scene, (0, -20, 0), (4.0, 0.0, 0.0), 0.99, scale=(1, 1, 0.05), normal=(0, 1, 0))
    got = _pictured(scene, tmp_path)
    assert got[SIZE // 2, SIZE // 2] == pytest.approx(0.99 * np.array((4, 0, 0)) + 0.01 * WORLD, rel=0.02, abs=0.02)


def test_material_and_nodes_are_made_once_in_a_file(scene):
    for name in ("one", "two"):
        _add(scene, (0, 0, 0), (1, 1, 1), 0.5, name=name)
    assert len(bpy.data.materials) == 1
    assert len(bpy.data.node_groups) == 1
