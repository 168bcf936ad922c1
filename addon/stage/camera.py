"""The camera that stands where the panorama was taken, on a rig to move it by."""

from __future__ import annotations

from math import pi

import bpy

from .scene_object import CAMERA

RIG_SIZE_M = 0.15


def camera_rig(name: str, far: float) -> tuple[bpy.types.Object, bpy.types.Object]:
    """A new rig at the origin and the camera on it, looking along +Y at the panorama's centre.

    It sees far more than the ``far`` metres of the scene, so that nothing is cut off when the scene is scaled up.

    Keys on the rig move a shot as a whole, keys on the camera fly it.
    """
    lens = bpy.data.cameras.new(name)
    lens.lens = 24.0
    lens.clip_start = 0.05
    lens.clip_end = 20 * far
    camera = bpy.data.objects.new(name, lens)
    camera.rotation_euler = (pi / 2, 0.0, 0.0)
    camera.cyclorama.role = CAMERA
    rig = bpy.data.objects.new(f"{name} rig", None)
    rig.empty_display_type = "CIRCLE"
    rig.empty_display_size = RIG_SIZE_M
    camera.parent = rig
    return rig, camera
