"""The few GPU programs that regions are drawn with, made when they are first needed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader

_tint: gpu.types.GPUShader | None = None

_TINT_VERTEX = """
void main()
{
  place = uv;
  gl_Position = projection * vec4(pos, 1.0);
}
"""

_TINT_FRAGMENT = """
vec3 linear_from_srgb(vec3 c)
{
  return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), greaterThan(c, vec3(0.04045)));
}

void main()
{
  vec3 painted = texture(mask, place).rgb;
  float cover = clamp((painted.r + painted.g + painted.b) / 3.0, 0.0, 1.0);
  fragColor = vec4(srgbTarget ? linear_from_srgb(colour.rgb) : colour.rgb, colour.a * cover);
}
"""


def tint_shader() -> gpu.types.GPUShader:
    """Lays ``colour`` where ``mask`` is white."""
    global _tint
    if _tint is None:
        description = gpu.types.GPUShaderCreateInfo()
        between = gpu.types.GPUStageInterfaceInfo("cyclorama_tint")
        between.smooth("VEC2", "place")
        description.push_constant("MAT4", "projection")
        description.push_constant("VEC4", "colour")
        description.push_constant("BOOL", "srgbTarget")  # Blender sets it: whether the screen turns linear into sRGB
        description.sampler(0, "FLOAT_2D", "mask")
        description.vertex_in(0, "VEC3", "pos")
        description.vertex_in(1, "VEC2", "uv")
        description.vertex_out(between)
        description.fragment_out(0, "VEC4", "fragColor")
        description.vertex_source(_TINT_VERTEX)
        description.fragment_source(_TINT_FRAGMENT)
        _tint = gpu.shader.create_from_info(description)
    return _tint


def forget() -> None:
    """Free them."""
    global _tint
    _tint = None


def texture_of(image: bpy.types.Image) -> gpu.types.GPUTexture | None:
    """The image on the GPU, shared with Blender, so that it is up to date; None for one that cannot be read."""
    try:
        return gpu.texture.from_image(image)
    except (RuntimeError, ValueError, ReferenceError):
        return None


def draw_image(image: bpy.types.Image, positions: np.ndarray, uv: np.ndarray, triangles: np.ndarray) -> None:
    """Draw a panorama as the Image Editor shows it, opaque. ``positions``: (n, 3), ``uv``: (n, 2)."""
    texture = texture_of(image)
    if texture is None:
        return
    shader = gpu.shader.from_builtin("IMAGE_SCENE_LINEAR_TO_REC709_SRGB")
    batch = batch_for_shader(shader, "TRIS", {"pos": positions, "texCoord": uv}, indices=triangles)
    shader.bind()
    shader.uniform_sampler("image", texture)
    batch.draw(shader)


def draw_tint(
    image: bpy.types.Image, colour: Sequence[float], positions: np.ndarray, uv: np.ndarray, triangles: np.ndarray
) -> None:
    """Lay ``colour`` where a mask is white."""
    texture = texture_of(image)
    if texture is None:
        return
    shader = tint_shader()
    batch = batch_for_shader(shader, "TRIS", {"pos": positions, "uv": uv}, indices=triangles)
    shader.bind()
    shader.uniform_float("projection", gpu.matrix.get_projection_matrix() @ gpu.matrix.get_model_view_matrix())
    shader.uniform_float("colour", colour)
    shader.uniform_sampler("mask", texture)
    batch.draw(shader)


def draw_plain(colour: Sequence[float], positions: np.ndarray, triangles: np.ndarray) -> None:
    """Lay ``colour`` all over."""
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    batch = batch_for_shader(shader, "TRIS", {"pos": positions}, indices=triangles)
    shader.bind()
    shader.uniform_float("color", colour)
    batch.draw(shader)


def draw_lines(
    lines: Sequence[Sequence[Sequence[float]]], colour: Sequence[float], width: float, viewport: tuple[int, int]
) -> None:
    """Draw lines of ``width`` pixels in a region of ``viewport`` pixels; each line a row of points."""
    pieces = [point for line in lines for pair in pairwise(line) for point in pair]
    points = [(*point, 0.0) if len(point) == 2 else tuple(point) for point in pieces]
    shader = gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
    batch = batch_for_shader(shader, "LINES", {"pos": points})
    shader.bind()
    shader.uniform_float("viewportSize", viewport)
    shader.uniform_float("lineWidth", width)
    shader.uniform_float("color", colour)
    batch.draw(shader)
