"""Splats as a mesh of bare vertices with the package's attributes; geometry nodes draw them."""

from __future__ import annotations

from collections.abc import Mapping

import bpy
import numpy as np

from ...bridge.errors import CycloramaError
from ...bridge.gaussians import Gaussians
from ..look.surfels import surfel_group

RADIANCE = "radiance"
"""Attribute with DC coefficients and opacity. (Blender 5.3's own splats call it ``radiance:base``.)"""

_ATTRIBUTES = {
    "position": ("position", "FLOAT_VECTOR", "vector"),
    "rotation": ("rotation", "QUATERNION", "value"),
    "scale": ("scale", "FLOAT_VECTOR", "vector"),
    "radiance:base": (RADIANCE, "FLOAT_COLOR", "color"),
}
"""Array of the package -> attribute of the mesh, its type, and the name of its values in Python."""


def splat_object(name: str, gaussians: Gaussians) -> bpy.types.Object:
    """A new object (not yet in a collection) that shows the Gaussians."""
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(gaussians))
    for attribute, kind, _key in list(_ATTRIBUTES.values())[1:]:  # vertices come with their position
        mesh.attributes.new(attribute, kind, "POINT")
    show(mesh, gaussians.arrays())
    splats = bpy.data.objects.new(name, mesh)
    modifier = splats.modifiers.new("Surfels", "NODES")
    modifier.node_group = surfel_group()
    # The world lights the set; splats that did too would light it twice.
    splats.visible_diffuse = splats.visible_shadow = False
    splats.lock_rotation = splats.lock_location = splats.lock_scale = (True,) * 3
    return splats


def show(mesh: bpy.types.Mesh, arrays: Mapping[str, np.ndarray]) -> None:
    """Give the splats of ``mesh`` new values, by the names of ``COLUMNS``.

    Raises:
        CycloramaError: the arrays are of another number of splats, or the mesh is another file's.
    """
    if not mesh.is_editable:  # Blender would silently change nothing
        raise CycloramaError("mesh-linked", f"{mesh.name} is linked from another file.", "Append it, or make it local.")
    for name in _ATTRIBUTES.keys() & arrays.keys():
        attribute, _kind, key = _ATTRIBUTES[name]
        if len(arrays[name]) != len(mesh.vertices):
            raise CycloramaError(
                "package-changed", f"{mesh.name} was made anew with other splats.", "Import the 4D scene again."
            )
        mesh.attributes[attribute].data.foreach_set(key, np.ascontiguousarray(arrays[name], np.float32).ravel())
    mesh.update_tag()
