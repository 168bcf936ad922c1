"""The splats' material: emission through a Gaussian's fall-off, composited in scene-linear light."""

from __future__ import annotations

import bpy

from ...bridge.gaussians import SH_C0
from .nodes import add, arrange, empty_tree

MATERIAL = "Cyclorama Splats"


def splat_material() -> bpy.types.Material:
    """The material; made once in a file."""
    material = bpy.data.materials.get(MATERIAL)
    return material if material is not None else _build()


def _build() -> bpy.types.Material:
    material = bpy.data.materials.new(MATERIAL)
    tree = empty_tree(material)
    alpha, colour = _gaussian(tree)
    clear = add(tree, "ShaderNodeBsdfTransparent")
    glow = add(tree, "ShaderNodeEmission", {"Color": colour})
    mixed = add(tree, "ShaderNodeMixShader", {0: alpha, 1: clear.outputs[0], 2: glow.outputs[0]})
    add(tree, "ShaderNodeOutputMaterial", {"Surface": mixed.outputs[0]})
    arrange(tree)
    if hasattr(material, "cycles"):  # Cycles can be switched off
        material.cycles.emission_sampling = "NONE"  # else every splat is a lamp
    material.surface_render_method = "DITHERED"
    return material


def _gaussian(tree: bpy.types.NodeTree) -> tuple[bpy.types.NodeSocket, bpy.types.NodeSocket]:
    """Opacity · exp(-(u² + v²)/2), and 0.5 + SH_C0 · DC."""
    radiance = add(tree, "ShaderNodeAttribute", attribute_name="radiance")
    corner = add(tree, "ShaderNodeAttribute", attribute_name="splat_uv").outputs["Vector"]
    squared = add(tree, "ShaderNodeVectorMath", {0: corner, 1: corner}, operation="DOT_PRODUCT").outputs["Value"]
    half = add(tree, "ShaderNodeMath", {0: squared, 1: -0.5}, operation="MULTIPLY").outputs[0]
    falloff = add(tree, "ShaderNodeMath", {0: half}, operation="EXPONENT").outputs[0]
    alpha = add(tree, "ShaderNodeMath", {0: falloff, 1: radiance.outputs["Alpha"]}, operation="MULTIPLY").outputs[0]
    colour = add(
        tree,
        "ShaderNodeVectorMath",
        {0: radiance.outputs["Color"], 1: (SH_C0,) * 3, 2: (0.5,) * 3},
        operation="MULTIPLY_ADD",
    ).outputs[0]
    return alpha, colour
