"""Splats as a mesh of bare vertices with the package's attributes, drawn by geometry nodes; or as Blender's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import bpy
import numpy as np

from ...bridge.errors import CycloramaError
from ...bridge.gaussians import Gaussians
from ..look import native
from ..look.surfels import surfel_group

RADIANCE = "radiance"
"""Attribute with DC coefficients and opacity. (Blender 5.3's own splats call it ``radiance:base``.)"""

ATTRIBUTES = {
    "position": ("position", "FLOAT_VECTOR", "vector"),
    "rotation": ("rotation", "QUATERNION", "value"),
    "scale": ("scale", "FLOAT_VECTOR", "vector"),
    "radiance:base": (RADIANCE, "FLOAT_COLOR", "color"),
}
"""Array of the package -> attribute of the mesh, its type, and the name of its values in Python."""

Arrays = Mapping[str, np.ndarray] | Iterable[tuple[str, np.ndarray]]
"""By the names of ``COLUMNS``; from an iterable they are taken one after the other, so that only one takes room."""


def splat_object(name: str, gaussians: Gaussians) -> bpy.types.Object:
    """A new object (not yet in a collection) that shows the Gaussians."""
    return new_splats(name, len(gaussians), gaussians.arrays())


def new_splats(name: str, count: int, arrays: Arrays) -> bpy.types.Object:
    """A new object (not yet in a collection) with ``count`` splats of these values."""
    splats = bpy.data.objects.new(name, splat_mesh(name, count, arrays))
    modifier = splats.modifiers.new("Surfels", "NODES")
    modifier.node_group = surfel_group()
    _belongs_to_a_set(splats)
    return splats


def new_native_splats(name: str, data: bpy.types.PointCloud) -> bpy.types.Object:
    """A new object (not yet in a collection) whose splats Blender draws itself (5.3 and later)."""
    splats = bpy.data.objects.new(name, data)
    modifier = splats.modifiers.new("Splats", "NODES")
    modifier.node_group = native.native_group()
    _belongs_to_a_set(splats)
    return splats


def _belongs_to_a_set(splats: bpy.types.Object) -> None:
    # The world lights the set; splats that did too would light it twice.
    splats.visible_diffuse = splats.visible_shadow = False
    splats.lock_rotation = splats.lock_location = splats.lock_scale = (True,) * 3


def splat_mesh(name: str, count: int, arrays: Arrays) -> bpy.types.Mesh:
    """A new mesh of ``count`` bare vertices with the attributes of splats. Raises ``CycloramaError`` as ``show``."""
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(count)
    try:
        show(mesh, arrays)
    except CycloramaError:
        bpy.data.meshes.remove(mesh)
        raise
    return mesh


def show(splats: bpy.types.Mesh | bpy.types.PointCloud, arrays: Arrays) -> None:
    """Give splats (a mesh, or Blender's own) new values; attributes that a mesh lacks are made.

    Raises:
        CycloramaError: the arrays are of another number of splats, or cannot be read.
    """
    if is_native(splats):
        native.show(splats, arrays)
    else:
        set_attributes(splats, arrays, ATTRIBUTES)


def is_native(values: bpy.types.ID) -> bool:
    """Whether these are splats that Blender draws itself."""
    return isinstance(values, bpy.types.PointCloud)


def count(values: bpy.types.Mesh | bpy.types.PointCloud) -> int:
    """How many splats or points there are in an object's data."""
    return len(values.points if is_native(values) else values.vertices)


def remove(values: bpy.types.Mesh | bpy.types.PointCloud) -> None:
    """Take an object's data out of the file, and what still shows it."""
    (bpy.data.pointclouds if is_native(values) else bpy.data.meshes).remove(values)


def pairs(arrays: Arrays) -> Iterable[tuple[str, np.ndarray]]:
    """Name and values of each array."""
    return list(arrays.items()) if isinstance(arrays, Mapping) else arrays  # type: ignore[return-value]


def set_attributes(mesh: bpy.types.Mesh, arrays: Arrays, known: Mapping[str, tuple[str, str, str]]) -> None:
    """Values for the attributes of a mesh, one for each vertex; arrays that are not ``known`` are left out.

    Args:
        known: array's name -> attribute's name, its type, and the name of its values in Python.
    """
    count = len(mesh.vertices)
    for key, array in pairs(arrays):
        if key not in known:
            continue
        if len(array) != count:
            raise CycloramaError("package-changed", f"{mesh.name} was made anew with other splats.", "Press Relink.")
        name, kind, values = known[key]
        attribute = mesh.attributes.get(name) or mesh.attributes.new(name, kind, "POINT")
        attribute.data.foreach_set(values, np.ascontiguousarray(array, np.float32).reshape(-1))
    mesh.update_tag()
