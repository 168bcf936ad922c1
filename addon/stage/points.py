"""A point cloud as a mesh of bare vertices with radius and colour; geometry nodes make them points."""

from __future__ import annotations

import bpy
import numpy as np

from ...bridge.errors import CycloramaError
from ..look.points import COLOUR, point_group
from .splats import Arrays, pairs, set_attributes

ATTRIBUTES = {
    "position": ("position", "FLOAT_VECTOR", "vector"),
    "colour": (COLOUR, "FLOAT_COLOR", "color"),
    "radius": ("radius", "FLOAT", "value"),
}


def new_points(name: str, count: int, arrays: Arrays) -> bpy.types.Object:
    """A new object (not yet in a collection) that shows ``count`` points, by the names of ``POINT_COLUMNS``."""
    points = bpy.data.objects.new(name, point_mesh(name, count, arrays))
    modifier = points.modifiers.new("Points", "NODES")
    modifier.node_group = point_group()
    points.visible_diffuse = points.visible_shadow = False
    points.lock_rotation = points.lock_location = points.lock_scale = (True,) * 3
    return points


def point_mesh(name: str, count: int, arrays: Arrays) -> bpy.types.Mesh:
    """A new mesh of ``count`` bare vertices with the attributes of points. Raises ``CycloramaError``."""
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(count)
    try:
        show_points(mesh, arrays)
    except CycloramaError:
        bpy.data.meshes.remove(mesh)
        raise
    return mesh


def show_points(mesh: bpy.types.Mesh, arrays: Arrays) -> None:
    """Give the points of ``mesh`` new values. Raises ``CycloramaError``: they are of another number."""
    coloured = ((key, opaque(array) if key == "colour" else array) for key, array in pairs(arrays))
    set_attributes(mesh, coloured, ATTRIBUTES)


def opaque(colour: np.ndarray) -> np.ndarray:
    """(n, 3) colours -> (n, 4), as Blender wants them."""
    with_alpha = np.ones((len(colour), 4), np.float32)
    with_alpha[:, :3] = colour
    return with_alpha
