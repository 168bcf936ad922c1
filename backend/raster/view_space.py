"""Gaussians as a camera has them before it: centre and axes in view space, and gradients back from there.

In double precision, one Gaussian at a time. A camera is 16 float64: R_view_from_scene by rows, position, focal, centre.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from jaxtyping import Float

from .kernels import kernel
from .splats import Cameras


def lens(cameras: Cameras, index: int) -> Float[np.ndarray, " 16"]:
    """One camera as the kernels read it."""
    R, *others = (
        getattr(cameras, name)[index].detach().double().numpy()
        for name in ("R_scene_from_view", "position", "focal", "centre")
    )
    return np.concatenate([R.T.ravel(), *others])


@kernel
def _rotation(quaternion):
    """Rotation matrix by rows, the unit quaternion and the length; a length of 0 turns nothing."""
    w, x, y, z = float(quaternion[0]), float(quaternion[1]), float(quaternion[2]), float(quaternion[3])
    length = sqrt(w * w + x * x + y * y + z * z)
    if length == 0:
        return (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 0.0), 0.0
    w, x, y, z = w / length, x / length, y / length, z / length
    rows = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return rows, (w, x, y, z), length


@kernel
def _turned(R, x, y, z):
    """R (x, y, z)."""
    return R[0] * x + R[1] * y + R[2] * z, R[3] * x + R[4] * y + R[5] * z, R[6] * x + R[7] * y + R[8] * z


@kernel
def _turned_back(R, x, y, z):
    """Rᵀ (x, y, z)."""
    return R[0] * x + R[3] * y + R[6] * z, R[1] * x + R[4] * y + R[7] * z, R[2] * x + R[5] * y + R[8] * z


@kernel
def mean_and_distance(lens, position):
    """The centre in view space, and how far it is."""
    x, y, z = position[0] - lens[9], position[1] - lens[10], position[2] - lens[11]
    return _turned(lens, x, y, z), sqrt(x * x + y * y + z * z)


@kernel
def axes_in_view(lens, quaternion, scale):
    """The three local axes in view space, one standard deviation long."""
    rotation, _, _ = _rotation(quaternion)
    a, b, c = float(scale[0]), float(scale[1]), float(scale[2])
    return (
        _turned(lens, rotation[0] * a, rotation[3] * a, rotation[6] * a),
        _turned(lens, rotation[1] * b, rotation[4] * b, rotation[7] * b),
        _turned(lens, rotation[2] * c, rotation[5] * c, rotation[8] * c),
    )


@kernel
def add_gradients(lens, position, quaternion, scale, v_mean, v_axes, v_distance, v_position, v_quaternion, v_scale):
    """Add to the gradients of position, quaternion and scale those that come through centre, axes and distance."""
    _, distance = mean_and_distance(lens, position)
    v_x, v_y, v_z = _turned_back(lens, v_mean[0], v_mean[1], v_mean[2])
    v_position[0] += v_x + v_distance * (position[0] - lens[9]) / distance
    v_position[1] += v_y + v_distance * (position[1] - lens[10]) / distance
    v_position[2] += v_z + v_distance * (position[2] - lens[11]) / distance
    rotation, unit, length = _rotation(quaternion)
    v_rows = np.empty(9)
    for axis in range(3):
        v_x, v_y, v_z = _turned_back(lens, v_axes[axis, 0], v_axes[axis, 1], v_axes[axis, 2])
        v_scale[axis] += rotation[axis] * v_x + rotation[3 + axis] * v_y + rotation[6 + axis] * v_z
        v_rows[axis], v_rows[3 + axis], v_rows[6 + axis] = v_x * scale[axis], v_y * scale[axis], v_z * scale[axis]
    v_w, v_x, v_y, v_z = _quaternion_gradient(v_rows, unit, length)
    v_quaternion[0] += v_w
    v_quaternion[1] += v_x
    v_quaternion[2] += v_y
    v_quaternion[3] += v_z


@kernel
def _quaternion_gradient(v_rows, unit, length):
    """From the rotation matrix's to the quaternion's; along the quaternion there is none."""
    if not length > 0:
        return 0.0, 0.0, 0.0, 0.0
    w, x, y, z = unit
    g00, g01, g02, g10, g11, g12, g20, g21, g22 = v_rows
    v_w = 2 * (z * (g10 - g01) + y * (g02 - g20) + x * (g21 - g12))
    v_x = 2 * (y * (g01 + g10) + z * (g02 + g20) + w * (g21 - g12) - 2 * x * (g11 + g22))
    v_y = 2 * (x * (g01 + g10) + z * (g12 + g21) + w * (g02 - g20) - 2 * y * (g00 + g22))
    v_z = 2 * (x * (g02 + g20) + y * (g12 + g21) + w * (g10 - g01) - 2 * z * (g00 + g11))
    along = w * v_w + x * v_x + y * v_y + z * v_z
    return (
        (v_w - w * along) / length,
        (v_x - x * along) / length,
        (v_y - y * along) / length,
        (v_z - z * along) / length,
    )
