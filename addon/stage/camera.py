"""The camera that stands where the panorama was taken."""

from __future__ import annotations

from math import pi

import bpy


def origin_camera(name: str, far: float) -> bpy.types.Object:
    """A new camera at the origin, looking along +Y at the panorama's centre, seeing ``far`` metres."""
    camera = bpy.data.cameras.new(name)
    camera.lens = 24.0
    camera.clip_start = 0.05
    camera.clip_end = 2 * far
    holder = bpy.data.objects.new(name, camera)
    holder.rotation_euler = (pi / 2, 0.0, 0.0)
    return holder
