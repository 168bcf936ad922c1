"""Splats as surfels: geometry nodes that turn points with the package's attributes into flat hexagons.

For Blender versions without splats of their own. The hexagons carry ``splat_uv`` (position in units of the standard
deviation), from which the material takes the Gaussian's fall-off.
"""

from __future__ import annotations

from math import cos, pi

import bpy

from .filters import INPUTS, pass_through
from .material import splat_material
from .nodes import (
    add,
    arrange,
    attribute,
    both,
    chance,
    declare,
    local_group,
    maths,
    new_group,
    switch,
    vector,
    without,
)
from .sorting import PLACING, sorted_splats

GROUP = "Cyclorama Surfels"

SORTED_GROUP = "Cyclorama Surfels, Sorted"
"""The same with EEVEE's sorting. Another group, because whatever knows the camera is computed anew when that moves."""

_VERSION = 2

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

EEVEE = 0
"""What ``render.engine`` is for EEVEE when a driver reads it as a number (4.5.15 and 5.2.3: both 0; Cycles is 2)."""

UNKNOWN_ENGINE = -1


def surfel_group(sorts: bool = False) -> bpy.types.GeometryNodeTree:
    """The node group, with or without EEVEE's sorting; each made once in a file. Both take the same.

    Beside the inputs of ``filter_group``:

    - Engine: ``render.engine`` of the scene, as a driver reads it. For EEVEE's renders (not in the viewport, whose eye
      is not the camera) the faces are sorted.
    - Sorted: whether they are, in EEVEE.
    - Others: an object whose splats are sorted among these; it has *Yields* on, and draws none of its own then.
    - Hidden: whether an object that yields is hidden in renders.
    """
    name = SORTED_GROUP if sorts else GROUP
    tree = local_group(name, _VERSION)
    return tree if tree is not None else _build(name, sorts)


def _build(name: str, sorts: bool) -> bpy.types.GeometryNodeTree:
    tree = new_group(name, _VERSION)
    tree.is_modifier = True
    declare(tree, "Geometry", "Geometry")
    for name, kind, default in INPUTS:
        declare(tree, name, kind, default)
    declare(tree, "Engine", "Int", UNKNOWN_ENGINE)
    declare(tree, "Sorted", "Bool", True)
    declare(tree, "Others", "Object")
    declare(tree, "Yields", "Bool", False)
    declare(tree, "Hidden", "Bool", False)
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    given = add(tree, "NodeGroupInput").outputs
    points = pass_through(tree, given)
    faces = _tents(tree, points)
    if sorts:
        faces = switch(tree, "GEOMETRY", _is_sorted(tree, given), faces, _in_order(tree, points, given))
    add(tree, "NodeGroupOutput", {0: faces})
    arrange(tree)
    return tree


def _is_sorted(tree: bpy.types.NodeTree, given) -> bpy.types.NodeSocket:
    in_eevee = add(
        tree, "FunctionNodeCompare", {"A": given["Engine"], "B": EEVEE}, data_type="INT", operation="EQUAL"
    ).outputs[0]
    rendered = both(tree, "NOT", add(tree, "GeometryNodeIsViewport").outputs[0])
    return both(tree, "AND", both(tree, "AND", in_eevee, rendered), given["Sorted"])


def _tents(tree: bpy.types.NodeTree, mesh: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    points, rotation, scale = _placed(tree, mesh)
    tents = add(
        tree,
        "GeometryNodeInstanceOnPoints",
        {"Points": points, "Instance": _tent(tree), "Rotation": rotation, "Scale": scale},
    )
    bare = without(tree, tents.outputs[0], *PLACING)
    whole = add(tree, "GeometryNodeRealizeInstances", {"Geometry": bare})
    shaded = add(tree, "GeometryNodeSetMaterial", {"Geometry": whole.outputs[0], "Material": splat_material()})
    return shaded.outputs[0]


def _in_order(tree: bpy.types.NodeTree, mesh: bpy.types.NodeSocket, given) -> bpy.types.NodeSocket:
    """Own and others' splats, sorted; or, of an object that yields, bare points for the one that shows them."""
    others = add(tree, "GeometryNodeObjectInfo", {"Object": given["Others"]}, transform_space="RELATIVE").outputs
    together = tree.nodes.new("GeometryNodeJoinGeometry")
    for part in (mesh, others["Geometry"]):
        tree.links.new(part, together.inputs[0])
    points, rotation, scale = _placed(tree, together.outputs[0])
    faces = sorted_splats(tree, points, SIDES, REACH / cos(pi / SIDES), rotation, scale)
    nothing = add(tree, "GeometryNodeDeleteGeometry", {"Geometry": mesh}, domain="POINT").outputs[0]
    bare = switch(tree, "GEOMETRY", given["Hidden"], together.outputs[0], nothing)
    return switch(tree, "GEOMETRY", given["Yields"], faces, bare)


def _placed(tree: bpy.types.NodeTree, mesh: bpy.types.NodeSocket) -> tuple[bpy.types.NodeSocket, ...]:
    """Points where the splats are; their rotation, and their scale as tents."""
    rotation = attribute(tree, "rotation", "QUATERNION")
    sides = add(tree, "ShaderNodeSeparateXYZ", {0: attribute(tree, "scale", "FLOAT_VECTOR")}).outputs
    smaller = maths(tree, "MINIMUM", sides["X"], sides["Y"])
    height = maths(tree, "MULTIPLY", smaller, RISE)
    scale = add(tree, "ShaderNodeCombineXYZ", {"X": sides["X"], "Y": sides["Y"], "Z": height}).outputs[0]
    points = add(tree, "GeometryNodeMeshToPoints", {"Mesh": mesh}).outputs[0]
    moved = add(tree, "GeometryNodeSetPosition", {"Geometry": points, "Offset": _jitter(tree, rotation, smaller)})
    return moved.outputs[0], rotation, scale


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
    is_middle = maths(tree, "LESS_THAN", vector(tree, "LENGTH", place), 0.5)
    up = add(tree, "ShaderNodeCombineXYZ", {"Z": is_middle}).outputs[0]
    return add(tree, "GeometryNodeSetPosition", {"Geometry": marked, "Offset": up}).outputs[0]


def _jitter(tree: bpy.types.NodeTree, rotation: bpy.types.NodeSocket, smaller: bpy.types.NodeSocket):
    """A small step along the splat's normal, another for each, the same in every frame."""
    step = maths(tree, "MULTIPLY", chance(tree, -JITTER, JITTER), smaller)
    normal = add(tree, "ShaderNodeCombineXYZ", {"Z": step}).outputs[0]
    return add(tree, "FunctionNodeRotateVector", {"Vector": normal, "Rotation": rotation}).outputs[0]
