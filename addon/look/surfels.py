"""Splats as surfels: geometry nodes that turn points with the package's attributes into flat hexagons.

For Blender versions without splats of their own. The hexagons carry ``splat_uv`` (position in units of the standard
deviation), from which the material takes the Gaussian's fall-off.
"""

from __future__ import annotations

from math import cos, pi

import bpy

from .material import splat_material
from .nodes import add, arrange

GROUP = "Cyclorama Surfels"

SIDES = 6
REACH = 2.0
"""Standard deviations from the centre to a hexagon's sides. What is cut off is fainter than 14 % and lies under others.

Cycles' time goes by how many splats a ray meets: these take half that of squares of 2.6, for 0.3 % of the cover.
(benchmarks/splats_in_cycles.py)
"""

RISE = 0.2
"""Height of a hexagon's middle above its corners, in the splat's smaller standard deviation.

Of overlapping splats in one surface the one whose centre is nearest must be in front. Flat ones would be sorted by
chance (ragged edges; 3.6 dB less on a floor), and those in exactly one plane lose each other in Cycles, which steps
from one transparent face to the next by distance. A slight tent sorts them rightly at every pixel.
"""

JITTER = 0.005
"""Each splat lies off its surface by up to this, in the same units, so that two tents never coincide."""


def surfel_group() -> bpy.types.GeometryNodeTree:
    """The node group; made once in a file."""
    tree = bpy.data.node_groups.get(GROUP)
    return tree if tree is not None else _build()


def _build() -> bpy.types.GeometryNodeTree:
    tree = bpy.data.node_groups.new(GROUP, "GeometryNodeTree")
    tree.is_modifier = True
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    mesh = add(tree, "NodeGroupInput").outputs[0]
    rotation = _attribute(tree, "rotation", "QUATERNION")
    sides = add(tree, "ShaderNodeSeparateXYZ", {0: _attribute(tree, "scale", "FLOAT_VECTOR")}).outputs
    smaller = _math(tree, "MINIMUM", sides["X"], sides["Y"])
    scale = add(
        tree,
        "ShaderNodeCombineXYZ",
        {"X": sides["X"], "Y": sides["Y"], "Z": _math(tree, "MULTIPLY", smaller, RISE)},
    ).outputs[0]
    points = add(tree, "GeometryNodeMeshToPoints", {"Mesh": mesh}).outputs[0]
    points = add(tree, "GeometryNodeSetPosition", {"Geometry": points, "Offset": _jitter(tree, rotation, smaller)})
    tents = add(
        tree,
        "GeometryNodeInstanceOnPoints",
        {"Points": points.outputs[0], "Instance": _tent(tree), "Rotation": rotation, "Scale": scale},
    )
    whole = add(tree, "GeometryNodeRealizeInstances", {"Geometry": tents.outputs[0]})
    shaded = add(tree, "GeometryNodeSetMaterial", {"Geometry": whole.outputs[0], "Material": splat_material()})
    add(tree, "NodeGroupOutput", {0: shaded.outputs[0]})
    arrange(tree)
    return tree


def _attribute(tree: bpy.types.NodeTree, name: str, kind: str) -> bpy.types.NodeSocket:
    return add(tree, "GeometryNodeInputNamedAttribute", {"Name": name}, data_type=kind).outputs["Attribute"]


def _math(tree: bpy.types.NodeTree, operation: str, *values) -> bpy.types.NodeSocket:
    return add(tree, "ShaderNodeMath", dict(enumerate(values)), operation=operation).outputs[0]


def _tent(tree: bpy.types.NodeTree) -> bpy.types.NodeSocket:
    """Triangles around a middle of height 1, which remember where they are in standard deviations."""
    flat = add(
        tree,
        "GeometryNodeMeshCircle",
        {"Vertices": SIDES, "Radius": REACH / cos(pi / SIDES)},
        fill_type="TRIANGLE_FAN",
    ).outputs[0]
    place = add(tree, "GeometryNodeInputPosition").outputs[0]
    marked = add(
        tree,
        "GeometryNodeStoreNamedAttribute",
        {"Geometry": flat, "Name": "splat_uv", "Value": place},
        data_type="FLOAT_VECTOR",
        domain="POINT",
    ).outputs[0]
    radius = add(tree, "ShaderNodeVectorMath", {0: place}, operation="LENGTH").outputs["Value"]
    is_middle = _math(tree, "LESS_THAN", radius, 0.5)
    up = add(tree, "ShaderNodeCombineXYZ", {"Z": is_middle}).outputs[0]
    return add(tree, "GeometryNodeSetPosition", {"Geometry": marked, "Offset": up}).outputs[0]


def _jitter(tree: bpy.types.NodeTree, rotation: bpy.types.NodeSocket, smaller: bpy.types.NodeSocket):
    """A small step along the splat's normal, another for each, the same in every frame."""
    chance = add(tree, "FunctionNodeRandomValue", data_type="FLOAT")
    minimum, maximum = (socket for socket in chance.inputs if socket.enabled and socket.name in ("Min", "Max"))
    minimum.default_value, maximum.default_value = -JITTER, JITTER
    value = next(socket for socket in chance.outputs if socket.enabled)
    normal = add(tree, "ShaderNodeCombineXYZ", {"Z": _math(tree, "MULTIPLY", value, smaller)}).outputs[0]
    return add(tree, "FunctionNodeRotateVector", {"Vector": normal, "Rotation": rotation}).outputs[0]
