"""Points of a point cloud: geometry nodes give bare vertices a radius, and a material shows their colour."""

from __future__ import annotations

import bpy

from .filters import INPUTS, inside
from .grade import graded
from .material import light_nothing
from .nodes import (
    add,
    arrange,
    attribute,
    both,
    chance,
    declare,
    empty_tree,
    larger,
    local_group,
    maths,
    new_group,
    switch,
)

GROUP = "Cyclorama Points"
MATERIAL = "Cyclorama Points"

COLOUR = "point_colour"
"""Attribute with the scene-linear colour. (One called ``color`` renders black in Cycles.)"""

_VERSION = 1
_GRADED = "cyclorama_graded"

_TAKEN = ("Density", "Crop", "Crop Box", "Crop Outside")
"""Of the splats' filters those that mean something for points, which are opaque and of known size."""


def point_group() -> bpy.types.GeometryNodeTree:
    """The node group: vertices with ``radius`` and ``point_colour`` become points; made once in a file.

    Takes Density and the crop box as ``filter_group`` does; thinned points are larger by 1/sqrt(density), so that they
    cover as much.
    """
    tree = local_group(GROUP, _VERSION)
    return tree if tree is not None else _group()


def point_material() -> bpy.types.Material:
    """The material: emission of the points' own colour, graded; made once in a file."""
    material = bpy.data.materials.get((MATERIAL, None))
    if material is None:
        material = bpy.data.materials.new(MATERIAL)
    if _GRADED not in material:
        _build(material)
    return material


def _group() -> bpy.types.GeometryNodeTree:
    tree = new_group(GROUP, _VERSION)
    tree.is_modifier = True
    declare(tree, "Geometry", "Geometry")
    for name, kind, default in INPUTS:
        if name in _TAKEN:
            declare(tree, name, kind, default)
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    given = add(tree, "NodeGroupInput").outputs
    thin = both(tree, "AND", add(tree, "GeometryNodeIsViewport").outputs[0], larger(tree, 1.0, given["Density"]))
    index = add(tree, "GeometryNodeInputIndex").outputs[0]
    unwanted = larger(tree, chance(tree, 0.0, 1.0, seed=1), given["Density"])
    numbered = add(tree, "GeometryNodeSetID", {"Geometry": given["Geometry"], "ID": index}).outputs[0]
    mesh = switch(tree, "GEOMETRY", thin, given["Geometry"], _without(tree, numbered, unwanted))
    crop = both(tree, "XNOR", inside(tree, given["Crop Box"]), given["Crop Outside"])
    mesh = switch(tree, "GEOMETRY", given["Crop"], mesh, _without(tree, mesh, crop))
    larger_by = maths(tree, "INVERSE_SQRT", given["Density"])
    grown = switch(tree, "FLOAT", thin, 1.0, larger_by)
    radius = maths(tree, "MULTIPLY", attribute(tree, "radius", "FLOAT"), grown)
    points = add(tree, "GeometryNodeMeshToPoints", {"Mesh": mesh, "Radius": radius}).outputs[0]
    shaded = add(tree, "GeometryNodeSetMaterial", {"Geometry": points, "Material": point_material()})
    add(tree, "NodeGroupOutput", {0: shaded.outputs[0]})
    arrange(tree)
    return tree


def _without(tree: bpy.types.NodeTree, mesh, unwanted) -> bpy.types.NodeSocket:
    return add(tree, "GeometryNodeDeleteGeometry", {"Geometry": mesh, "Selection": unwanted}, domain="POINT").outputs[0]


def _build(material: bpy.types.Material) -> None:
    material[_GRADED] = True
    tree = empty_tree(material)
    colour = add(tree, "ShaderNodeAttribute", attribute_name=COLOUR).outputs["Color"]
    glow = add(tree, "ShaderNodeEmission", {"Color": graded(tree, colour)})
    add(tree, "ShaderNodeOutputMaterial", {"Surface": glow.outputs[0]})
    arrange(tree)
    light_nothing(material)
