"""Splats as Blender 5.3 draws them itself: a point cloud of type *3D Gaussian Splats*.

Names, types and values are those its own importers write (``io/common/intern/gsplat.cc``). It takes colours as sRGB
where ours are scene-linear, so they are encoded here. ``native_group`` is their controls of look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import bpy
import numpy as np

from ...bridge.errors import CycloramaError
from ...bridge.gaussians import SH_C0, Gaussians
from .filters import INPUTS, pass_through
from .grade import formula
from .nodes import add, arrange, attribute, declare, larger, local_group, maths, new_group, switch, vector

KIND = "GAUSSIAN_SPLAT"

GROUP = "Cyclorama Splats"

RADIANCE = "radiance:base"

_VERSION = 1

ATTRIBUTES = {
    "position": ("FLOAT_VECTOR", "vector"),
    "scale": ("FLOAT_VECTOR", "vector"),
    "rotation": ("QUATERNION", "value"),
    "radiance:base": ("FLOAT4", "vector"),
}
"""Attribute (named as the package's array) -> its type, and the name of its values in Python."""

FAINTEST = 1 / 255
"""Opacity below which a splat that never changes is left out: nobody sees it."""

SMALLEST = 1e-6
"""Metres; a splat's least standard deviation. EEVEE quantises against the range of all: none may be zero."""


def available() -> bool:
    """Whether this Blender draws splats itself."""
    return "type" in bpy.types.PointCloud.bl_rna.properties


def splat_data(name: str, gaussians: Gaussians, *, changes: bool = False) -> bpy.types.PointCloud:
    """A new point cloud of the Gaussians.

    Args:
        changes: whether ``show`` will give it new values; then all are kept, also those not seen at first.
    """
    if not changes:
        gaussians = gaussians[alive(gaussians)]
    points = bpy.data.pointclouds.new(name)
    points.resize(len(gaussians))
    for each, (kind, _key) in ATTRIBUTES.items():
        if each not in points.attributes:
            points.attributes.new(each, kind, "POINT")
    if available():
        become_splats(points)
    show(points, gaussians.arrays())
    return points


def become_splats(points: bpy.types.PointCloud) -> None:
    """Have Blender draw the points as splats."""
    points.type = KIND


def alive(gaussians: Gaussians) -> np.ndarray:
    """(n,) which of them can be seen at all."""
    return (gaussians.radiance[:, 3] >= FAINTEST) & (gaussians.scale.max(axis=1, initial=0.0) > SMALLEST)


def show(points: bpy.types.PointCloud, arrays: Mapping[str, np.ndarray] | Iterable[tuple[str, np.ndarray]]) -> None:
    """Give the splats new values, by the names of ``COLUMNS``; colours in scene-linear Rec.709, as in the package.

    Raises:
        CycloramaError: the arrays are of another number of splats, or the point cloud is another file's.
    """
    if not points.is_editable:
        raise CycloramaError(
            "mesh-linked", f"{points.name} is linked from another file.", "Append it, or make it local."
        )
    for name, values in arrays.items() if isinstance(arrays, Mapping) else arrays:
        if name not in ATTRIBUTES:
            continue
        if len(values) != len(points.points):
            raise CycloramaError(
                "package-changed", f"{points.name} was made anew with other splats.", "Import the 4D scene again."
            )
        if name == "radiance:base":
            values = srgb_radiance(values)
        elif name == "scale":
            values = np.maximum(values, SMALLEST)
        key = ATTRIBUTES[name][1]
        points.attributes[name].data.foreach_set(key, np.ascontiguousarray(values, np.float32).ravel())
    points.update_tag()


def srgb_radiance(radiance: np.ndarray) -> np.ndarray:
    """(n, 4) of scene-linear DC coefficients and opacity -> the same with DC coefficients of sRGB colour.

    The curve of IEC 61966-2-1, carried on beyond 1 for what is brighter than white.
    """
    linear = np.maximum(0.5 + SH_C0 * radiance[:, :3], 0.0)
    curved = 1.055 * np.power(np.maximum(linear, 0.0031308), 1 / 2.4) - 0.055
    encoded = np.empty_like(radiance, dtype=np.float32)
    encoded[:, :3] = (np.where(linear <= 0.0031308, 12.92 * linear, curved) - 0.5) / SH_C0
    encoded[:, 3] = radiance[:, 3]
    return encoded


def native_group() -> bpy.types.GeometryNodeTree:
    """The node group that filters and grades such splats; made once in a file.

    Beside the inputs of ``filter_group``: Gain and Saturation, as those of ``grade_group``. While they change nothing,
    nothing is computed, and Blender shows exactly what it was given.
    """
    tree = local_group(GROUP, _VERSION)
    return tree if tree is not None else _group()


def _group() -> bpy.types.GeometryNodeTree:
    tree = new_group(GROUP, _VERSION)
    tree.is_modifier = True
    declare(tree, "Geometry", "Geometry")
    for name, kind, default in INPUTS:
        declare(tree, name, kind, default)
    declare(tree, "Gain", "Vector", (1.0, 1.0, 1.0))
    declare(tree, "Saturation", "Float", 1.0)
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    given = add(tree, "NodeGroupInput").outputs
    points = pass_through(tree, given, RADIANCE)
    off = maths(tree, "ABSOLUTE", maths(tree, "SUBTRACT", given["Saturation"], 1.0))
    changed = maths(tree, "ADD", off, vector(tree, "DISTANCE", given["Gain"], (1.0, 1.0, 1.0)))
    graded = _graded(tree, points, given)
    add(tree, "NodeGroupOutput", {0: switch(tree, "GEOMETRY", larger(tree, changed, 1e-6), points, graded)})
    arrange(tree)
    return tree


def _graded(tree: bpy.types.NodeTree, points, given) -> bpy.types.NodeSocket:
    radiance = attribute(tree, RADIANCE, "FLOAT_COLOR")
    opacity = add(tree, "FunctionNodeSeparateColor", {0: radiance}).outputs["Alpha"]
    encoded = vector(tree, "MULTIPLY_ADD", radiance, (SH_C0,) * 3, (0.5,) * 3)
    bent = vector(tree, "MULTIPLY_ADD", _at_least(tree, encoded, 0.0), (1 / 1.055,) * 3, (0.055 / 1.055,) * 3)
    linear = _piecewise(tree, encoded, 0.04045, 1 / 12.92, vector(tree, "POWER", bent, (2.4,) * 3))
    colour = formula(tree, linear, given["Gain"], given["Saturation"])
    root = vector(tree, "POWER", _at_least(tree, colour, 0.0), (1 / 2.4,) * 3)
    bent = vector(tree, "MULTIPLY_ADD", root, (1.055,) * 3, (-0.055,) * 3)
    encoded = _piecewise(tree, colour, 0.0031308, 12.92, bent)
    sides = add(tree, "ShaderNodeSeparateXYZ", {0: encoded}).outputs
    channels = {
        name: maths(tree, "MULTIPLY_ADD", sides[side], 1 / SH_C0, -0.5 / SH_C0)
        for name, side in (("Red", "X"), ("Green", "Y"), ("Blue", "Z"))
    }
    value = add(tree, "FunctionNodeCombineColor", {**channels, "Alpha": opacity}).outputs[0]
    return add(
        tree,
        "GeometryNodeStoreNamedAttribute",
        {"Geometry": points, "Name": RADIANCE, "Value": value},
        data_type="FLOAT_COLOR",  # the node has no four plain numbers
        domain="POINT",
    ).outputs[0]


def _at_least(tree: bpy.types.NodeTree, value, least: float) -> bpy.types.NodeSocket:
    return vector(tree, "MAXIMUM", value, (least,) * 3)


def _piecewise(tree: bpy.types.NodeTree, value, end: float, slope: float, bent) -> bpy.types.NodeSocket:
    """Of a curve like sRGB's: ``slope`` · value up to ``end``, from there on what is ``bent``."""
    beyond = vector(tree, "SIGN", _at_least(tree, vector(tree, "SUBTRACT", value, (end,) * 3), 0.0))
    straight = vector(tree, "MULTIPLY", value, (slope,) * 3)
    return vector(tree, "MULTIPLY_ADD", beyond, vector(tree, "SUBTRACT", bent, straight), straight)
