"""Splats as Blender draws them: the tents that geometry nodes make of them."""

import math

import bpy
import numpy as np
import pytest

from cyclorama.addon.look.material import MATERIAL
from cyclorama.addon.look.surfels import JITTER, REACH, RISE, SIDES
from cyclorama.addon.stage.splats import splat_object
from cyclorama.bridge.gaussians import Gaussians
from cyclorama.bridge.scene import Scene

from .packages import attribute, facing, gaussians, radiance
from .stage import evaluated, moving


def test_each_splat_becomes_a_tent_of_triangles_that_knows_its_radiance(imported, package):
    for part, wanted in (("static", Scene(package).static()), ("moving", Scene(package).moving(0))):
        mesh = evaluated(bpy.data.objects[f"lake {part}"])
        assert len(mesh.vertices) == (SIDES + 1) * len(wanted)
        assert len(mesh.polygons) == SIDES * len(wanted)
        assert np.array_equal(attribute(mesh, "radiance"), np.repeat(wanted.radiance, SIDES + 1, axis=0))
        radius = np.linalg.norm(attribute(mesh, "splat_uv"), axis=1).reshape(-1, SIDES + 1)
        assert np.sort(radius, axis=1)[:, 0] == pytest.approx(0, abs=1e-6)
        assert np.sort(radius, axis=1)[:, 1:] == pytest.approx(REACH / math.cos(math.pi / SIDES), abs=1e-5)


def test_every_triangle_has_the_splats_material(imported):
    mesh = evaluated(moving())
    used = {mesh.materials[triangle.material_index].name for triangle in mesh.polygons}
    assert used == {MATERIAL}


def test_the_surfels_lie_where_the_gaussians_are(scene):
    """A corner's place is R·S·uv from the centre, but for the tent's slight rise along the normal."""
    wanted = gaussians(50)
    splats = splat_object("Splats", wanted)
    scene.collection.objects.link(splats)
    mesh = evaluated(splats)
    offset = attribute(mesh, "position").reshape(50, SIDES + 1, 3) - wanted.position[:, None]
    uv = attribute(mesh, "splat_uv").reshape(50, SIDES + 1, 3)
    R = _matrices(wanted.rotation)
    local = np.einsum("nji,nkj->nki", R, offset)
    assert local[..., :2] == pytest.approx(uv[..., :2] * wanted.scale[:, None, :2], abs=1e-5)
    smaller = wanted.scale[:, :2].min(axis=1)[:, None]
    rise = local[..., 2] / smaller
    is_middle = np.linalg.norm(uv, axis=-1) < 0.5
    assert rise[is_middle] == pytest.approx(RISE, abs=JITTER + 1e-3)
    assert rise[~is_middle] == pytest.approx(0, abs=JITTER + 1e-3)


def test_the_middle_of_a_tent_is_nearest_to_who_sees_its_front(scene):
    """A splat at 5 m on +Y whose normal looks back at the origin."""
    place, scale = np.array([[0, 5, 0], [0.3, 0.3, 0.01]], np.float32)[:, None]
    one = Gaussians(place, facing((0, -1, 0)), scale, radiance(1, 0))
    splats = splat_object("Splats", one)
    scene.collection.objects.link(splats)
    mesh = evaluated(splats)
    place = attribute(mesh, "position")
    middle = np.linalg.norm(attribute(mesh, "splat_uv"), axis=1) < 0.5
    assert (place[middle, 1] < place[~middle, 1].min() - 0.04).all()
    assert all(triangle.normal.y < -0.9 for triangle in mesh.polygons)


def test_a_scaled_scene_has_splats_as_much_larger(imported):
    before = evaluated(moving())
    root = bpy.data.objects["lake"]
    size = _tent_sizes(before, moving().matrix_world)
    root.scale = (2, 2, 2)
    bpy.context.view_layer.update()
    assert _tent_sizes(evaluated(moving()), moving().matrix_world) == pytest.approx(2 * size, rel=1e-4)


def _tent_sizes(mesh, matrix):
    """Edge lengths around the tents, in the world."""
    place = attribute(mesh, "position") @ np.array(matrix.to_3x3()).T
    corners = place.reshape(-1, SIDES + 1, 3)
    return np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)


def _matrices(quaternions):
    from mathutils import Quaternion

    return np.array([Quaternion(q).to_matrix() for q in quaternions])
