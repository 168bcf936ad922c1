"""What Cycles makes of splats, against closed forms; all in scene-linear light."""

import math

import bpy
import numpy as np
import pytest

from cyclorama.bridge.gaussians import radiance_from_colour

from .packages import render
from .splat_pictures import (
    SIZE,
    TOWARDS_CAMERA,
    WORLD,
    add_splats,
    gaussian,
    look_along_y,
    pictured,
    wall,
)


@pytest.fixture
def scene(addon):
    look_along_y(bpy.context.scene)
    return bpy.context.scene


@pytest.mark.parametrize("colour", [(0.9, 0.4, 0.05), (0.0, 0.0, 0.0), (25.0, 3.0, 0.5)], ids=["dull", "black", "HDR"])
@pytest.mark.parametrize("opacity", [0.99, 0.3])
def test_a_splat_is_agaussian_over_what_is_behind_it(scene, tmp_path, colour, opacity):
    add_splats(scene, (0, 0, 0), colour, opacity)
    got = pictured(scene, tmp_path)
    falloff, inside, outside = gaussian()
    alpha = opacity * falloff
    wanted = alpha * np.array(colour) + (1 - alpha) * WORLD
    assert inside.sum() > 700
    assert got[inside] == pytest.approx(wanted[inside], rel=2e-3, abs=2e-3)
    assert got[outside] == pytest.approx(np.broadcast_to(WORLD, got.shape)[outside], abs=1e-5)


def test_a_long_splat_is_as_long_and_as_broad_as_its_scales(scene, tmp_path):
    colour, scale = np.array((0.9, 0.4, 0.05)), (1.4, 0.5)
    add_splats(scene, (0.5, 0, -0.3), colour, 0.9, scale=(*scale, 0.02), normal=TOWARDS_CAMERA)
    got = pictured(scene, tmp_path)
    falloff, inside, _outside = gaussian((0.5, -0.3), scale)
    wanted = 0.9 * falloff * colour + (1 - 0.9 * falloff) * WORLD
    assert got[inside] == pytest.approx(wanted[inside], abs=3e-3)


@pytest.mark.parametrize("red_is_nearer", [True, False])
@pytest.mark.parametrize("one_object", [True, False])
def test_the_nearer_of_two_splats_is_in_front(scene, tmp_path, red_is_nearer, one_object):
    red, blue = np.array((2.0, 0.1, 0.1)), np.array((0.05, 0.1, 1.5))
    opacity = 0.7
    places = [(-0.4, -1.0 if red_is_nearer else 1.0, 0), (0.4, 0.0, 0)]
    if one_object:
        splats = add_splats(scene, places, red, opacity)
        radiance = radiance_from_colour(np.array([red, blue]), opacity)
        splats.data.attributes["radiance"].data.foreach_set("color", radiance.ravel())
    else:
        add_splats(scene, places[0], red, opacity)
        add_splats(scene, places[1], blue, opacity)
    got = pictured(scene, tmp_path)
    over_red, in_red, _ = gaussian((-0.4, 0))
    over_blue, in_blue, _ = gaussian((0.4, 0))
    layers = [(opacity * over_blue, blue), (opacity * over_red, red)]
    wanted = WORLD
    for alpha, colour in layers if red_is_nearer else reversed(layers):
        wanted = alpha * colour + (1 - alpha) * wanted
    both = in_red & in_blue
    assert both.sum() > 400
    assert got[both] == pytest.approx(wanted[both], rel=3e-3, abs=3e-3)


def test_forty_splats_one_behind_the_other_are_all_counted(scene, tmp_path):
    """Splats so faint that the world shines through all of them."""
    add_splats(scene, [(0, depth / 10, 0) for depth in range(40)], (1.0, 1.0, 1.0), 0.05)
    got = pictured(scene, tmp_path)
    falloff, inside, _ = gaussian()
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
        add_splats(scene, np.stack([a, zero, b], axis=1), (0.5, 0.5, 0.5), 0.99, size, TOWARDS_CAMERA)
        camera.location, camera.data.angle = (0.4, -3, 0.3), math.radians(60)
    else:
        add_splats(scene, np.stack([a, b, zero], axis=1), (0.5, 0.5, 0.5), 0.99, size, (0, 0, 1))
        steep = kind == "ground from above"
        camera.location = (0, -1, 3) if steep else (0, -9, 1.6)
        camera.rotation_euler = (math.radians(15 if steep else 68), 0, 0)
        camera.data.angle = math.radians(50 if steep else 30)
    scene.render.film_transparent = True
    alpha = render(scene, tmp_path / "picture.exr", SIZE, SIZE)[..., 3]
    assert alpha.min() >= 0.95


def test_splats_have_no_shadow_and_give_no_light(scene, tmp_path):
    """A blazing, opaque splat between a lamp and the wall behind it, out of the camera's sight."""
    wall("ShaderNodeBsdfDiffuse")
    lamp = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    lamp.rotation_euler = (math.radians(60), 0, 0)
    scene.collection.objects.link(lamp)
    without = pictured(scene, tmp_path)
    splats = add_splats(scene, (0, -1, 2), (500.0, 500.0, 500.0), 0.99, scale=(3.0, 3.0, 0.05))
    seen = pictured(scene, tmp_path)
    assert seen.max() > 100
    splats.visible_camera = False
    assert pictured(scene, tmp_path) == pytest.approx(without, abs=1e-4)
    splats.visible_shadow = splats.visible_diffuse = True  # that this test would notice
    assert np.abs(pictured(scene, tmp_path) - without).max() > 0.1


def test_splats_are_seen_in_a_mirror(scene, tmp_path):
    """They light nothing, but the set reflects in glass and water."""
    mirror = wall("ShaderNodeBsdfAnisotropic")
    mirror.inputs["Color"].default_value = (1, 1, 1, 1)
    mirror.inputs["Roughness"].default_value = 0
    add_splats(scene, (0, -20, 0), (4.0, 0.0, 0.0), 0.99, scale=(1, 1, 0.05), normal=(0, 1, 0))
    got = pictured(scene, tmp_path)
    assert got[SIZE // 2, SIZE // 2] == pytest.approx(0.99 * np.array((4, 0, 0)) + 0.01 * WORLD, rel=0.02, abs=0.02)


@pytest.mark.parametrize("in_front", [True, False])
def test_an_opaque_object_hides_splats_and_is_hidden_by_them(scene, tmp_path, in_front):
    """A black card one metre before or behind a splat."""
    card = wall("ShaderNodeEmission")
    card.inputs["Strength"].default_value = 0.0
    bpy.context.object.location = (0, -1 if in_front else 1, 0)
    add_splats(scene, (0, 0, 0), (1.0, 1.0, 1.0), 0.9)
    got = pictured(scene, tmp_path)
    falloff, inside, _ = gaussian()
    wanted = np.zeros_like(falloff) if in_front else 0.9 * falloff
    assert got[inside] == pytest.approx(np.broadcast_to(wanted, got.shape)[inside], abs=3e-3)


def test_splats_are_seen_through_glass(scene, tmp_path):
    """A pane of index 1, which bends nothing, before a splat and the world."""
    without = add_splats(scene, (0, 1, 0), (3.0, 0.5, 0.1), 0.9)
    wanted = pictured(scene, tmp_path)
    pane = wall("ShaderNodeBsdfRefraction")
    bpy.context.object.location = (0.03, -2, 0.01)  # no pixel on the seam of its triangles
    pane.inputs["Color"].default_value = (0.5, 0.5, 0.5, 1)
    pane.inputs["Roughness"].default_value, pane.inputs["IOR"].default_value = 0.0, 1.0
    assert pictured(scene, tmp_path) == pytest.approx(wanted / 2, abs=5e-3)
    assert without.visible_transmission


def test_material_and_nodes_are_made_once_in_a_file(scene):
    for name in ("one", "two"):
        add_splats(scene, (0, 0, 0), (1, 1, 1), 0.5, name=name)
    names = [block.name for blocks in (bpy.data.materials, bpy.data.node_groups) for block in blocks]
    assert names and not [name for name in names if "." in name]
