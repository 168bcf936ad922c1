"""The splats' material: emission through a Gaussian's fall-off, composited in scene-linear light."""

from __future__ import annotations

import bpy

from ...bridge.gaussians import SH_C0
from .grade import glow
from .nodes import add, arrange, empty_tree, maths, vector

MATERIAL = "Cyclorama Splats"

SORTED = "Cyclorama Splats, Sorted"
"""The same, but EEVEE blends the faces in their order: for faces that are sorted."""

_BUILT = "cyclorama_version"

_VERSION = 2


def splat_material(name: str = MATERIAL) -> bpy.types.Material:
    """The material (or ``SORTED``); made once in a file."""
    material = bpy.data.materials.get((name, None))
    if material is None:
        material = bpy.data.materials.new(name)
    if material.get(_BUILT) != _VERSION:
        _build(material, dithers=name != SORTED)
        material.surface_render_method = "BLENDED" if name == SORTED else "DITHERED"
    return material


def _build(material: bpy.types.Material, dithers: bool) -> None:
    material[_BUILT] = _VERSION
    tree = empty_tree(material)
    alpha, colour = _gaussian(tree)
    clear = add(tree, "ShaderNodeBsdfTransparent").outputs[0]
    lit = glow(tree, colour)
    for target, opacity in (("ALL", alpha), *((("EEVEE", _dithered(tree, alpha)),) if dithers else ())):
        mixed = add(tree, "ShaderNodeMixShader", {0: opacity, 1: clear, 2: lit})
        add(tree, "ShaderNodeOutputMaterial", {"Surface": mixed.outputs[0]}, target=target)
    arrange(tree)
    light_nothing(material)


def _dithered(tree: bpy.types.NodeTree, alpha: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """0 or 1 by chance, another for each splat and (as pixels are sampled at other places) each of EEVEE's samples.

    EEVEE's own dithering is alike for what is a pixel apart in space, so that splats in one surface have holes at the
    same pixels, and what is behind them shines through: alpha 25 dB in place of 31 with 16 samples.
    (benchmarks/eevee_against_raster.py)
    """
    place = add(tree, "ShaderNodeNewGeometry").outputs["Position"]
    noise = add(tree, "ShaderNodeTexWhiteNoise", {"Vector": place}, noise_dimensions="3D").outputs["Value"]
    return maths(tree, "LESS_THAN", noise, alpha)


def light_nothing(material: bpy.types.Material) -> None:
    """Tell Cycles that what glows is no lamp; else every splat is one."""
    if hasattr(material, "cycles"):  # Cycles can be switched off
        material.cycles.emission_sampling = "NONE"


def _gaussian(tree: bpy.types.NodeTree) -> tuple[bpy.types.NodeSocket, bpy.types.NodeSocket]:
    """Opacity · exp(-(u² + v²)/2), and 0.5 + SH_C0 · DC."""
    radiance = add(tree, "ShaderNodeAttribute", attribute_name="radiance")
    corner = add(tree, "ShaderNodeAttribute", attribute_name="splat_uv").outputs["Vector"]
    squared = vector(tree, "DOT_PRODUCT", corner, corner)
    falloff = maths(tree, "EXPONENT", maths(tree, "MULTIPLY", squared, -0.5))
    alpha = maths(tree, "MULTIPLY", falloff, radiance.outputs["Alpha"])
    colour = vector(tree, "MULTIPLY_ADD", radiance.outputs["Color"], (SH_C0,) * 3, (0.5,) * 3)
    return alpha, colour
