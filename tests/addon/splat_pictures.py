"""Splats before a camera that looks along +Y, and what closed forms say of their picture; all in scene-linear light."""

from __future__ import annotations

import math

import bpy
import numpy as np

from cyclorama.addon.look.surfels import REACH, SIDES
from cyclorama.addon.stage.splats import splat_object
from cyclorama.bridge.gaussians import Gaussians, radiance_from_colour

from .packages import facing, render

SIZE = 64
FIELD = 8.0
"""Metres across the picture of the orthographic camera, which looks along +Y."""

WORLD = np.array([0.1, 0.35, 0.8])
TOWARDS_CAMERA = (0.0, -1.0, 0.0)


def look_along_y(scene):
    """A plain world, and an orthographic camera at (0, -10, 0) that looks along +Y."""
    scene.world = plain_world(WORLD)
    camera = bpy.data.cameras.new("Camera")
    camera.type, camera.ortho_scale = "ORTHO", FIELD
    scene.camera = bpy.data.objects.new("Camera", camera)
    scene.camera.location, scene.camera.rotation_euler = (0, -10, 0), (math.pi / 2, 0, 0)
    scene.collection.objects.link(scene.camera)


def plain_world(colour, strength=1.0):
    """A world of one colour."""
    world = bpy.data.worlds.new("Plain")
    if world.node_tree is None:
        world.use_nodes = True
    assert world.node_tree
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (*colour, 1)
    background.inputs["Strength"].default_value = strength
    return world


def add_splats(scene, position, colour, opacity, scale=(1.0, 1.0, 0.05), normal=TOWARDS_CAMERA, name="Splats"):
    """Splats of one size and direction."""
    position = np.asarray(position, np.float32).reshape(-1, 3)
    count = len(position)
    radiance = radiance_from_colour(np.broadcast_to(colour, (count, 3)), opacity)
    splats = splat_object(
        name, Gaussians(position, facing(normal, count), np.tile(np.asarray(scale, np.float32), (count, 1)), radiance)
    )
    scene.collection.objects.link(splats)
    return splats


def wall(shader):
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


def places():
    """World x and z (metres) of the pixels' centres."""
    x = (np.arange(SIZE) + 0.5) * (FIELD / SIZE) - FIELD / 2
    return np.meshgrid(x, -x)


def gaussian(centre=(0.0, 0.0), scale=(1.0, 1.0)):
    """exp(-r²/2) in the picture, and where the cut hexagon certainly is and is not."""
    x, z = places()
    squared = ((x - centre[0]) / scale[0]) ** 2 + ((z - centre[1]) / scale[1]) ** 2
    radius = np.sqrt(squared)
    return np.exp(-squared / 2)[..., None], radius < REACH - 0.05, radius > REACH / math.cos(math.pi / SIDES) + 0.05


def pictured(scene, tmp_path):
    """(SIZE, SIZE, 3) as Cycles shows it."""
    return render(scene, tmp_path / "picture.exr", SIZE, SIZE)[..., :3]
