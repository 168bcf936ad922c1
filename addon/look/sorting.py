"""Splats for EEVEE: faces in the order in which they must be blended, the farthest first.

EEVEE blends the faces of an object in their order. So each splat is cut into rings (the inner ones lie higher on its
tent, see ``surfels``), all rings of all splats are sorted as points by how far they are from the active camera, and
become faces only then. Without rings (whole splats sorted by their centres) neighbours in one surface smear over each
other's middles: 30 dB on a slanted facade, 34 with rings (benchmarks/eevee_against_raster.py).
"""

from __future__ import annotations

import bpy

from .material import SORTED, splat_material
from .nodes import add, attribute, maths, vector, without

EDGES = (0.0, 0.4, 1.0)
"""Where a splat is cut into rings, as shares of its reach. Three rings gain 0.0 dB over these two (384 pixels)."""

RINGS = len(EDGES) - 1

LIFT = 4.0
"""How much nearer than its splat's centre the innermost ring is sorted, in the splat's larger standard deviation.

Within a surface the order by rings must win over the order by distance, or a slant of the surface turns it round; the
distance of two surfaces that hide each other is larger than a few splats.
"""

PLACING = ("rotation", "scale")
"""Attributes that have done their work once there are faces. Carried on to every corner they cost 40 % of the time.

(benchmarks/surfels_per_frame.py)
"""

_RING = "splat_ring"


def sorted_splats(
    tree: bpy.types.NodeTree, points: bpy.types.NodeSocket, sides: int, reach: float, turned, sized
) -> bpy.types.NodeSocket:
    """Faces of the splats at ``points``, sorted for the active camera (for the object's origin where there is none).

    Args:
        tree: of geometry nodes; ``points`` have the splats' attributes.
        sides: of a splat.
        reach: standard deviations from a splat's centre to its corners.
        turned: rotation of each.
        sized: scale of each, of which z is the height of its tent.
    """
    copies = add(tree, "GeometryNodeDuplicateElements", {"Geometry": points, "Amount": RINGS}, domain="POINT").outputs
    marked = add(
        tree,
        "GeometryNodeStoreNamedAttribute",
        {"Geometry": copies["Geometry"], "Name": _RING, "Value": copies["Duplicate Index"]},
        data_type="INT",
        domain="POINT",
    ).outputs[0]
    ring = attribute(tree, _RING, "INT")
    ordered = add(
        tree,
        "GeometryNodeSortElements",
        {"Geometry": marked, "Sort Weight": _nearness(tree, ring)},
        domain="POINT",
    ).outputs[0]
    pieces = add(
        tree,
        "GeometryNodeInstanceOnPoints",
        {
            "Points": ordered,
            "Instance": _rings(tree, sides, reach),
            "Pick Instance": True,
            "Instance Index": ring,
            "Rotation": turned,
            "Scale": sized,
        },
    ).outputs[0]
    bare = without(tree, pieces, *PLACING, _RING)
    whole = add(tree, "GeometryNodeRealizeInstances", {"Geometry": bare}).outputs[0]
    return add(tree, "GeometryNodeSetMaterial", {"Geometry": whole, "Material": splat_material(SORTED)}).outputs[0]


def _nearness(tree: bpy.types.NodeTree, ring: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """What grows towards the camera: minus the distance, and the lift of inner rings."""
    camera = add(tree, "GeometryNodeInputActiveCamera").outputs[0]
    eye = add(tree, "GeometryNodeObjectInfo", {"Object": camera}, transform_space="RELATIVE").outputs["Location"]
    distance = vector(tree, "DISTANCE", add(tree, "GeometryNodeInputPosition").outputs[0], eye)
    sides = add(tree, "ShaderNodeSeparateXYZ", {0: attribute(tree, "scale", "FLOAT_VECTOR")}).outputs
    larger_side = maths(tree, "MAXIMUM", sides["X"], sides["Y"])
    lift = maths(tree, "MULTIPLY_ADD", ring, -LIFT / RINGS, LIFT)
    return maths(tree, "MULTIPLY_ADD", lift, larger_side, maths(tree, "MULTIPLY", distance, -1.0))


def _rings(tree: bpy.types.NodeTree, sides: int, reach: float) -> bpy.types.NodeSocket:
    """The pieces of a tent of height 1, from the middle outwards, as instances that know their ``splat_uv``."""
    together = tree.nodes.new("GeometryNodeJoinGeometry")
    place = add(tree, "GeometryNodeInputPosition").outputs[0]
    pieces = []
    for number in range(RINGS):
        inner, outer = reach * EDGES[number], reach * EDGES[number + 1]
        flat = _disc(tree, sides, outer) if number == 0 else _band(tree, sides, inner, outer)
        marked = add(
            tree,
            "GeometryNodeStoreNamedAttribute",
            {"Geometry": flat, "Name": "splat_uv", "Value": place},
            data_type="FLOAT_VECTOR",
            domain="POINT",
        ).outputs[0]
        height = maths(tree, "MULTIPLY_ADD", vector(tree, "LENGTH", place), -1 / reach, 1.0)
        up = add(tree, "ShaderNodeCombineXYZ", {"Z": height}).outputs[0]
        tent = add(tree, "GeometryNodeSetPosition", {"Geometry": marked, "Offset": up}).outputs[0]
        pieces.append(add(tree, "GeometryNodeGeometryToInstance", {0: tent}).outputs[0])
    for piece in reversed(pieces):  # a socket of many links numbers them from the last
        tree.links.new(piece, together.inputs[0])
    return together.outputs[0]


def _disc(tree: bpy.types.NodeTree, sides: int, radius: float) -> bpy.types.NodeSocket:
    circle = {"Vertices": sides, "Radius": radius}
    return add(tree, "GeometryNodeMeshCircle", circle, fill_type="TRIANGLE_FAN").outputs[0]


def _band(tree: bpy.types.NodeTree, sides: int, inner: float, outer: float) -> bpy.types.NodeSocket:
    hole = add(tree, "GeometryNodeMeshCircle", {"Vertices": sides, "Radius": inner}, fill_type="NONE").outputs[0]
    grown = add(tree, "GeometryNodeExtrudeMesh", {"Mesh": hole, "Offset Scale": 0.0}, mode="EDGES").outputs
    place = add(tree, "GeometryNodeInputPosition").outputs[0]
    scaled = add(tree, "ShaderNodeVectorMath", {0: place, "Scale": outer / inner}, operation="SCALE").outputs[0]
    return add(
        tree,
        "GeometryNodeSetPosition",
        {"Geometry": grown["Mesh"], "Selection": grown["Top"], "Position": scaled},
    ).outputs[0]
