"""The shaders that draw splats in the viewport: tents as renders have them, and their picture over Blender's."""

from __future__ import annotations

import gpu

from ....bridge.gaussians import SH_C0
from ..surfels import REACH, RISE

ROW = 1024
"""Splats in one row of a texture."""

PART_TEXELS = 15
"""RGBA texels that place one part: see ``Part.texels``."""

_SAMPLERS = (
    *("order", "parts", "part_of_row", "still_shape", "still_radiance", "moving_shape", "moving_radiance"),
    *("ordinary_depth", "planes"),
)

_SPLAT_VERTEX = f"""
void main()
{{
  int place = int(texelFetch(order, ivec2(gl_InstanceID % {ROW}, gl_InstanceID / {ROW}), 0).r);
  int row = place / {ROW};
  bool is_still = row < still_rows;
  ivec2 at = ivec2(place % {ROW}, is_still ? row : row - still_rows);
  ivec2 left = ivec2(2 * at.x, at.y), right = left + ivec2(1, 0);
  vec4 middle = is_still ? texelFetch(still_shape, left, 0) : texelFetch(moving_shape, left, 0);
  vec4 turn = is_still ? texelFetch(still_shape, right, 0) : texelFetch(moving_shape, right, 0);
  vec4 radiance = is_still ? texelFetch(still_radiance, at, 0) : texelFetch(moving_radiance, at, 0);
  int part = int(texelFetch(part_of_row, ivec2(0, row), 0).r);

  vec3 q = turn.xyz;
  float w = sqrt(max(1.0 - dot(q, q), 0.0));
  vec3 along = vec3(1.0 - 2.0 * (q.y * q.y + q.z * q.z), 2.0 * (q.x * q.y + w * q.z), 2.0 * (q.x * q.z - w * q.y));
  vec3 across = vec3(2.0 * (q.x * q.y - w * q.z), 1.0 - 2.0 * (q.x * q.x + q.z * q.z), 2.0 * (q.y * q.z + w * q.x));
  vec4 others = texelFetch(parts, ivec2(12, part), 0);
  vec3 sized = vec3(middle.w, turn.w, {RISE} * min(middle.w, turn.w));
  bool is_point = others.z != 0.0;
  if (is_point) {{
    along = texelFetch(parts, ivec2(13, part), 0).xyz;
    across = texelFetch(parts, ivec2(14, part), 0).xyz;
    sized = middle.w * sqrt(others.x) * vec3(1.0 / {REACH}, 1.0 / {REACH}, 0.0);
  }}
  vec3 up = cross(along, across);
  vec4 centre = vec4(middle.xyz, 1.0);
  vec3 out_of_middle = corner * sized;
  vec4 local = vec4(middle.xyz + out_of_middle.x * along + out_of_middle.y * across + out_of_middle.z * up, 1.0);

  mat4 clip_from_part, crop_from_part;
  for (int i = 0; i < 4; i++) {{
    clip_from_part[i] = texelFetch(parts, ivec2(i, part), 0);
    crop_from_part[i] = texelFetch(parts, ivec2(4 + i, part), 0);
  }}
  world.x = dot(texelFetch(parts, ivec2(8, part), 0), local);
  world.y = dot(texelFetch(parts, ivec2(9, part), 0), local);
  world.z = dot(texelFetch(parts, ivec2(10, part), 0), local);
  vec4 gain = texelFetch(parts, ivec2(11, part), 0);

  vec3 colour = 0.5 + {SH_C0} * radiance.rgb;
  float grey = dot(colour, vec3(0.2126, 0.7152, 0.0722));
  tone.rgb = max(mix(vec3(grey), colour, gain.w) * gain.rgb, vec3(0.0));
  tone.a = others.x == 1.0 ? radiance.a : 1.0 - pow(max(1.0 - radiance.a, 1e-6), others.x);
  tone.a = is_point ? OPAQUE_DISC : min(tone.a, 1.0);
  deviation = corner.xy;
  vec3 cropped = abs((crop_from_part * centre).xyz);
  bool is_inside = max(cropped.x, max(cropped.y, cropped.z)) <= 1.0;
  bool is_seen = (clip_from_part * centre).w > near && is_inside == (others.y == 0.0);
  gl_Position = is_seen ? clip_from_part * local : vec4(0.0, 0.0, 2.0, 1.0);
}}
"""
"""All corners of what is not seen fall together, outside the picture.

Between the corners the hardware interpolates ``deviation`` with perspective: that is exactly where the pixel's ray
meets the splat's tent, behind the camera's plane nothing of it being drawn.
"""

_SPLAT_FRAGMENT = """
void main()
{
  if (gl_FragCoord.z > texelFetch(ordinary_depth, ivec2(gl_FragCoord.xy) * depth_scale, 0).r) {
    discard;
  }
  for (int i = 0; i < plane_count; i++) {
    if (dot(texelFetch(planes, ivec2(i, 0), 0), vec4(world, 1.0)) < 0.0) {
      discard;
    }
  }
  float squared = dot(deviation, deviation);
  if (tone.a == OPAQUE_DISC && squared > REACH * REACH) {
    discard;
  }
  float alpha = tone.a == OPAQUE_DISC ? 1.0 : tone.a * exp(-0.5 * squared);
  float near_to = is_flat ? 1.0 - gl_FragCoord.z : min(near * gl_FragCoord.w, 1.0);
  FINISH
}
"""

_FIND = """
  if (alpha < 0.5) {
    discard;
  }
  gl_FragDepth = near_to;
"""

_BLEND = """
  vec4 colour = vec4(tone.rgb * alpha, alpha);
  float core = texelFetch(core_nearness, ivec2(gl_FragCoord.xy), 0).r;
  bool is_before = near_to > core * 1.0000002, is_behind = near_to < core * 0.9999998;
  behind_out = is_behind ? colour : vec4(0.0);
  core_out = is_before || is_behind ? vec4(0.0) : colour;
  before_out = is_before ? colour : vec4(0.0);
"""
"""What blends nothing changes nothing. The factors are for two drawings whose last bits differ."""

_OVER_VERTEX = """
void main()
{
  gl_Position = vec4(corner, 0.0, 1.0);
}
"""

_OVER_FRAGMENT = """
vec3 to_srgb(vec3 c)
{
  return mix(12.92 * c, 1.055 * pow(max(c, vec3(0.0031308)), vec3(1.0 / 2.4)) - 0.055, step(0.0031308, c));
}

vec3 to_linear(vec3 c)
{
  return mix(c / 12.92, pow((max(c, vec3(0.04045)) + 0.055) / 1.055, vec3(2.4)), step(0.04045, c));
}

float agx_curve(float light)
{
  float last = float(textureSize(curve, 0).x - 1);
  float at = clamp((log2(max(light, 1e-10)) - stops.x) / (stops.y - stops.x), 0.0, 1.0) * last;
  int low = int(min(floor(at), last - 1.0));
  float below = texelFetch(curve, ivec2(low, 0), 0).r, above = texelFetch(curve, ivec2(low + 1, 0), 0).r;
  return mix(below, above, at - float(low));
}

vec3 agx(vec3 c)
{
  c = mat3(0.6274, 0.0691, 0.0164, 0.3293, 0.9195, 0.0880, 0.0433, 0.0113, 0.8956) * c;
  c = mat3(0.856627153315983, 0.137318972929847, 0.11189821299995,
           0.0951212405381588, 0.761241990602591, 0.0767994186031903,
           0.0482516061458583, 0.101439036467562, 0.811302368396859) * c;
  c = vec3(agx_curve(c.r), agx_curve(c.g), agx_curve(c.b));
  c = mat3(1.1271005818144368, -0.1413297634984383, -0.1413297634984383,
           -0.110606643096603, 1.157823702216272, -0.110606643096603,
           -0.0164939387178346, -0.0164939387178343, 1.2519364065950405) * c;
  c = pow(max(c, vec3(0.0)), vec3(2.2));
  c = mat3(1.6605, -0.1246, -0.0182, -0.5876, 1.1329, -0.1006, -0.0728, -0.0083, 1.1187) * c;
  return to_srgb(clamp(c, 0.0, 1.0));
}

void main()
{
  ivec2 at = ivec2(gl_FragCoord.xy) - corner_of_region;
  vec4 splats = texelFetch(behind, at, 0), middle = texelFetch(core, at, 0), front = texelFetch(before, at, 0);
  splats = middle + (1.0 - middle.a) * splats;
  splats = front + (1.0 - front.a) * splats;
  vec3 seen = splats.rgb / max(splats.a, 1e-6) * exposure;
  vec3 shown = pow(is_agx ? agx(seen) : to_srgb(clamp(seen, 0.0, 1.0)), vec3(gamma));
  shown *= splats.a;
  colour_out = vec4(is_stored_as_srgb ? to_linear(shown) : shown, splats.a);
}
"""
"""Blender mixes what lies over the scene with it as it is displayed, from a buffer that is stored as sRGB: so it is the
displayed colour that is multiplied by the cover, and then handed on as if it were linear."""


def core_shader() -> gpu.types.GPUShader:
    """Splats, one instance each of a tent (x and y in standard deviations, height 0..1): nearness of the dense."""
    info = _splat_info()
    info.depth_write("ANY")
    info.fragment_source(_SPLAT_FRAGMENT.replace("FINISH", _FIND))
    return gpu.shader.create_from_info(info)


def splat_shader() -> gpu.types.GPUShader:
    """The same, premultiplied scene-linear: behind, at and before the cores, each in its own picture."""
    info = _splat_info()
    info.sampler(len(_SAMPLERS), "DEPTH_2D", "core_nearness")
    for slot, name in enumerate(("behind_out", "core_out", "before_out")):
        info.fragment_out(slot, "VEC4", name)
    info.fragment_source(_SPLAT_FRAGMENT.replace("FINISH", _BLEND))
    return gpu.shader.create_from_info(info)


def _splat_info() -> gpu.types.GPUShaderCreateInfo:
    info = gpu.types.GPUShaderCreateInfo()
    for slot, name in enumerate(_SAMPLERS):
        info.sampler(slot, "FLOAT_2D", name)
    for name in ("still_rows", "depth_scale", "plane_count"):
        info.push_constant("INT", name)
    info.push_constant("FLOAT", "near")
    info.push_constant("BOOL", "is_flat")
    info.define("OPAQUE_DISC", "2.0")
    info.define("REACH", f"{REACH:.6f}")
    info.vertex_in(0, "VEC3", "corner")
    between = gpu.types.GPUStageInterfaceInfo("cyclorama_splat")
    between.smooth("VEC2", "deviation")
    between.smooth("VEC3", "world")
    between.flat("VEC4", "tone")
    info.vertex_out(between)
    info.vertex_source(_SPLAT_VERTEX)
    return info


def over_shader() -> gpu.types.GPUShader:
    """Layers of splats (premultiplied scene-linear) over Blender's own picture, as displayed."""
    info = gpu.types.GPUShaderCreateInfo()
    for slot, name in enumerate(("behind", "core", "before", "curve")):
        info.sampler(slot, "FLOAT_2D", name)
    info.push_constant("IVEC2", "corner_of_region")
    info.push_constant("VEC2", "stops")
    info.push_constant("FLOAT", "exposure")
    info.push_constant("FLOAT", "gamma")
    info.push_constant("BOOL", "is_agx")
    info.push_constant("BOOL", "is_stored_as_srgb")
    info.vertex_in(0, "VEC2", "corner")
    info.fragment_out(0, "VEC4", "colour_out")
    info.vertex_source(_OVER_VERTEX)
    info.fragment_source(_OVER_FRAGMENT)
    return gpu.shader.create_from_info(info)
