"""Which splats are shown: geometry nodes that thin, crop and clean a cloud of points.

All of it is off by default, and what is off is not computed.
"""

from __future__ import annotations

import bpy

from .nodes import add, arrange, attribute, both, chance, declare, larger, local_group, maths, new_group, switch, vector

GROUP = "Cyclorama Filter"

RADIANCE = "radiance"
"""Attribute of the splats with DC coefficients and opacity, where they are not Blender's own."""

_VERSION = 1

INPUTS = (
    ("Density", "Float", 1.0),
    ("Crop", "Bool", False),
    ("Crop Box", "Object", None),
    ("Crop Outside", "Bool", False),
    ("Faint", "Float", 0.0),
    ("Large", "Float", 0.0),
    ("Alone", "Float", 0.0),
)
"""Name, type and default of what a filter takes beside points."""


def filter_group(radiance: str = RADIANCE) -> bpy.types.GeometryNodeTree:
    """The node group for splats whose attribute ``radiance`` has that name; each made once in a file.

    It takes points with ``radiance`` and ``scale`` (other attributes are kept) and leaves some of them out:

    - Crop: those outside the box of an object that reaches from -1 to 1 in that object's own space (as Blender's cube
      and an empty cube do), however it is moved, turned and scaled; or, with *Crop Outside*, those inside.
    - Faint: those of less opacity.
    - Large: those whose largest standard deviation, seen from the origin (where the panorama was taken), is more than
      this angle in radians.
    - Alone: those with no other within so many of their own largest standard deviations.
    - Density: in the viewport alone, all but this share, chosen by a hash of their index; those that stay are of
      opacity 1 - (1 - o)^(1/density), which keeps the cover.
    """
    name = GROUP if radiance == RADIANCE else f"{GROUP} ({radiance})"
    tree = local_group(name, _VERSION)
    return tree if tree is not None else _build(name, radiance)


def _build(name: str, radiance: str) -> bpy.types.GeometryNodeTree:
    tree = new_group(name, _VERSION)
    declare(tree, "Geometry", "Geometry")
    for name, kind, default in INPUTS:
        declare(tree, name, kind, default)
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    given = add(tree, "NodeGroupInput").outputs
    size = _size(tree)
    thin = both(tree, "AND", add(tree, "GeometryNodeIsViewport").outputs[0], larger(tree, 1.0, given["Density"]))
    points = switch(tree, "GEOMETRY", thin, given["Geometry"], _numbered(tree, given["Geometry"]))
    crop = both(tree, "XNOR", inside(tree, given["Crop Box"]), given["Crop Outside"])
    points = _without(tree, points, crop, given["Crop"])
    points = _filtered(tree, points, given["Faint"], larger(tree, given["Faint"], _opacity(tree, radiance)))
    place = add(tree, "GeometryNodeInputPosition").outputs[0]
    angle = maths(tree, "ARCTAN2", size, vector(tree, "LENGTH", place))
    points = _filtered(tree, points, given["Large"], larger(tree, angle, given["Large"]))
    reach = maths(tree, "MULTIPLY", given["Alone"], size)
    points = _filtered(tree, points, given["Alone"], larger(tree, _to_the_nearest(tree), reach))
    thinned = switch(tree, "GEOMETRY", thin, points, _thinned(tree, points, given["Density"], radiance))
    add(tree, "NodeGroupOutput", {0: thinned})
    arrange(tree)
    return tree


def _size(tree: bpy.types.NodeTree) -> bpy.types.NodeSocket:
    sides = add(tree, "ShaderNodeSeparateXYZ", {0: attribute(tree, "scale", "FLOAT_VECTOR")}).outputs
    return maths(tree, "MAXIMUM", maths(tree, "MAXIMUM", sides["X"], sides["Y"]), sides["Z"])


def _opacity(tree: bpy.types.NodeTree, radiance: str) -> bpy.types.NodeSocket:
    return add(tree, "FunctionNodeSeparateColor", {0: attribute(tree, radiance, "FLOAT_COLOR")}).outputs["Alpha"]


def _without(tree: bpy.types.NodeTree, points, unwanted, when) -> bpy.types.NodeSocket:
    left = add(tree, "GeometryNodeDeleteGeometry", {"Geometry": points, "Selection": unwanted}, domain="POINT")
    return switch(tree, "GEOMETRY", when, points, left.outputs[0])


def _filtered(tree: bpy.types.NodeTree, points, limit, unwanted) -> bpy.types.NodeSocket:
    return _without(tree, points, unwanted, larger(tree, limit, 0.0))


def inside(tree: bpy.types.NodeTree, box: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """Whether a point is in the box of an object."""
    info = add(tree, "GeometryNodeObjectInfo", {"Object": box}, transform_space="RELATIVE").outputs
    back = add(tree, "FunctionNodeInvertMatrix", {0: info["Transform"]}).outputs[0]
    place = add(tree, "GeometryNodeInputPosition").outputs[0]
    there = add(tree, "FunctionNodeTransformPoint", {"Vector": place, "Transform": back}).outputs[0]
    sides = add(tree, "ShaderNodeSeparateXYZ", {0: vector(tree, "ABSOLUTE", there)}).outputs
    farthest = maths(tree, "MAXIMUM", maths(tree, "MAXIMUM", sides["X"], sides["Y"]), sides["Z"])
    return both(tree, "NOT", larger(tree, farthest, 1.0))


def _to_the_nearest(tree: bpy.types.NodeTree) -> bpy.types.NodeSocket:
    """Metres to the nearest other point."""
    nearest = add(tree, "GeometryNodeIndexOfNearest").outputs["Index"]
    place = add(tree, "GeometryNodeInputPosition").outputs[0]
    other = add(
        tree, "GeometryNodeFieldAtIndex", {"Value": place, "Index": nearest}, data_type="FLOAT_VECTOR", domain="POINT"
    ).outputs[0]
    return vector(tree, "DISTANCE", place, other)


def _numbered(tree: bpy.types.NodeTree, points) -> bpy.types.NodeSocket:
    """With the index as ``id``, so that the choice by chance stays the same when others are left out."""
    index = add(tree, "GeometryNodeInputIndex").outputs[0]
    return add(tree, "GeometryNodeSetID", {"Geometry": points, "ID": index}).outputs[0]


def _thinned(tree: bpy.types.NodeTree, points, density: bpy.types.NodeSocket, radiance: str) -> bpy.types.NodeSocket:
    kept = add(
        tree,
        "GeometryNodeDeleteGeometry",
        {"Geometry": points, "Selection": larger(tree, chance(tree, 0.0, 1.0, seed=1), density)},
        domain="POINT",
    ).outputs[0]
    colour = add(tree, "FunctionNodeSeparateColor", {0: attribute(tree, radiance, "FLOAT_COLOR")}).outputs
    clear = maths(tree, "POWER", maths(tree, "SUBTRACT", 1.0, colour["Alpha"]), maths(tree, "DIVIDE", 1.0, density))
    opacity = maths(tree, "SUBTRACT", 1.0, clear)
    thinned = add(
        tree,
        "FunctionNodeCombineColor",
        {"Red": colour["Red"], "Green": colour["Green"], "Blue": colour["Blue"], "Alpha": opacity},
    ).outputs[0]
    return add(
        tree,
        "GeometryNodeStoreNamedAttribute",
        {"Geometry": kept, "Name": radiance, "Value": thinned},
        data_type="FLOAT_COLOR",
        domain="POINT",
    ).outputs[0]


def pass_through(tree: bpy.types.NodeTree, given, radiance: str = RADIANCE) -> bpy.types.NodeSocket:
    """In another geometry node group with the same ``INPUTS`` (``given``): its points, filtered."""
    node = add(tree, "GeometryNodeGroup", node_tree=filter_group(radiance))
    for name in ("Geometry", *(name for name, _kind, _default in INPUTS)):
        tree.links.new(given[name], node.inputs[name])
    return node.outputs[0]
