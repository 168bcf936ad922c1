"""Exposure, saturation and tint as shader nodes: the same for splats, points and the world light."""

from __future__ import annotations

import bpy

from .nodes import add, arrange, declare, local_group, new_group, vector

GROUP = "Cyclorama Grade"

_VERSION = 1

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Weights of linear red, green and blue (ITU-R BT.709, section 3)."""

ON_PARTS = "cyclorama_grade"
"""Custom property of an object with splats, driven by its 4D scene's root: gain - 1 (r, g, b) and saturation - 1.

The shader reads it as an object attribute: animating it costs the splats' geometry nothing. An object that lacks it
gives zeros, and so looks as generated.
"""

IS_GRADED = "cyclorama_is_graded"
"""Custom property of the same objects, driven likewise: 1 where that changes anything, else 0."""


def grade_group() -> bpy.types.ShaderNodeTree:
    """Colour, Gain, Saturation -> Colour; made once in a file.

    In scene-linear Rec.709: ``max(0, Y + saturation · (colour - Y)) · gain`` with ``Y = LUMINANCE · colour`` and
    ``gain = tint · 2^exposure``. So exposure +1 doubles, saturation 0 leaves luminance, and tint multiplies.
    """
    tree = local_group(GROUP, _VERSION)
    return tree if tree is not None else _build()


def _build() -> bpy.types.ShaderNodeTree:
    tree = new_group(GROUP, _VERSION, "ShaderNodeTree")
    declare(tree, "Color", "Color")
    declare(tree, "Gain", "Vector", (1.0, 1.0, 1.0))
    declare(tree, "Saturation", "Float", 1.0)
    tree.interface.new_socket("Color", in_out="OUTPUT", socket_type="NodeSocketColor")
    given = add(tree, "NodeGroupInput").outputs
    add(tree, "NodeGroupOutput", {0: formula(tree, given["Color"], given["Gain"], given["Saturation"])})
    arrange(tree)
    return tree


def formula(tree: bpy.types.NodeTree, colour, gain, saturation) -> bpy.types.NodeSocket:
    """What ``grade_group`` makes of its inputs, as nodes of a material or of geometry."""
    luminance = vector(tree, "DOT_PRODUCT", colour, LUMINANCE)
    chroma = vector(tree, "SUBTRACT", colour, luminance)
    mixed = vector(tree, "MULTIPLY_ADD", chroma, saturation, luminance)
    lit = vector(tree, "MAXIMUM", mixed, (0.0, 0.0, 0.0))
    return vector(tree, "MULTIPLY", lit, gain)


def graded(tree: bpy.types.NodeTree, colour: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """In a material: ``colour`` as the 4D scene of the object is graded."""
    look = add(tree, "ShaderNodeAttribute", attribute_name=ON_PARTS, attribute_type="OBJECT").outputs
    gain = vector(tree, "ADD", look["Color"], (1.0, 1.0, 1.0))
    saturation = add(tree, "ShaderNodeMath", {0: look["Alpha"], 1: 1.0}, operation="ADD").outputs[0]
    group = add(tree, "ShaderNodeGroup", node_tree=grade_group())
    for name, value in (("Color", colour), ("Gain", gain), ("Saturation", saturation)):
        tree.links.new(value, group.inputs[name])
    return group.outputs[0]


def glow(tree: bpy.types.NodeTree, colour: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """In a material: emission of ``colour`` graded.

    Of two shaders that are mixed Cycles computes only what is seen; so what is as generated costs it nothing. (Grading
    takes an eighth of its time.)
    """
    changed = add(tree, "ShaderNodeAttribute", attribute_name=IS_GRADED, attribute_type="OBJECT").outputs["Fac"]
    plain = add(tree, "ShaderNodeEmission", {"Color": colour}).outputs[0]
    other = add(tree, "ShaderNodeEmission", {"Color": graded(tree, colour)}).outputs[0]
    return add(tree, "ShaderNodeMixShader", {0: changed, 1: plain, 2: other}).outputs[0]
