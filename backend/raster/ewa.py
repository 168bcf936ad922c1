"""3D Gaussians as spots: 3DGS eq. 5 (EWA) as gsplat 1.5.3 has it, and Mip-Splatting's eq. 9; gradients by hand.

The derivative of the projection is taken at the centre, moved into the picture widened by 15 % to each side, and 0.3
pixel² are added to the projected covariance. Exponents are |L d|² / 2 with the Cholesky factor L of its inverse:

    L = ( sqrt(yy / det)   -xy / sqrt(yy det) )
        (       0             1 / sqrt(yy)    )
"""

from __future__ import annotations

from math import isfinite, sqrt

import numpy as np

from .kernels import kernel
from .spots import NOWHERE, reach_of, write_box

_WIDENING = 0.3
"""Pixel², added to a projected covariance's diagonal. 3DGS's and gsplat's (``eps2d``)."""

_MARGIN = 0.3
"""Of half the picture's width, how far outside it the derivative may be taken. gsplat's."""


@kernel
def _slope_limits(lens, width, height):
    """x / z and y / z within which EWA takes the derivative."""
    fx, fy, cx, cy = lens[12], lens[13], lens[14], lens[15]
    across, along = _MARGIN * 0.5 * width / fx, _MARGIN * 0.5 * height / fy
    return -cx / fx - across, (width - cx) / fx + across, -cy / fy - along, (height - cy) / fy + along


@kernel
def _jacobian(lens, width, height, mean):
    """What takes view-space offsets to pixels: fx / z (1, 0, -slope), fy / z (0, 1, -slope); and if clamped."""
    left, right, top, bottom = _slope_limits(lens, width, height)
    slope_x, slope_y = mean[0] / mean[2], mean[1] / mean[2]
    inside_x, inside_y = left <= slope_x <= right, top <= slope_y <= bottom
    slope_x, slope_y = min(max(slope_x, left), right), min(max(slope_y, top), bottom)
    return lens[12] / mean[2], lens[13] / mean[2], slope_x, slope_y, inside_x, inside_y


@kernel
def _covariance(jacobian, axes):
    """Covariance in the picture, pixels²: xx, xy, yy; without the widening."""
    jx, jy, slope_x, slope_y, _, _ = jacobian
    xx = xy = yy = 0.0
    for ax, ay, az in axes:
        px, py = jx * (ax - slope_x * az), jy * (ay - slope_y * az)
        xx += px * px
        xy += px * py
        yy += py * py
    return xx, xy, yy


@kernel
def ewa_spot(i, lens, width, height, mean, axes, opacity, antialiased, spots):
    """Write the spot of Gaussian ``i``, if it can be seen."""
    xx, xy, yy = _covariance(_jacobian(lens, width, height, mean), axes)
    plain = xx * yy - xy * xy
    xx, yy = xx + _WIDENING, yy + _WIDENING
    determinant = xx * yy - xy * xy
    if not (determinant > 0 and isfinite(determinant)):
        return
    fade = sqrt(max(plain, 0.0) / determinant) if antialiased else 1.0
    reach = reach_of(opacity * fade)
    x, y = lens[12] * mean[0] / mean[2] + lens[14], lens[13] * mean[1] / mean[2] + lens[15]
    if not write_box(spots, i, x, y, reach * sqrt(xx), reach * sqrt(yy), width, height):
        return
    spots.centre[i, 0], spots.centre[i, 1] = x, y
    shape = spots.shape[i]
    shape[0], shape[1] = sqrt(yy / determinant), -xy / sqrt(yy * determinant)
    shape[2], shape[3] = 0.0, 1 / sqrt(yy)
    shape[4] = shape[5] = 0.0
    shape[6] = shape[7] = NOWHERE
    shape[8] = fade


@kernel
def ewa_gradient(lens, width, height, mean, axes, v_centre, v_shape, antialiased):
    """Gradients of the three axes and the centre in view space."""
    jacobian = _jacobian(lens, width, height, mean)
    jx, jy, slope_x, slope_y, inside_x, inside_y = jacobian
    xx, xy, yy = _covariance(jacobian, axes)
    plain = xx * yy - xy * xy
    wide_xx, wide_yy = xx + _WIDENING, yy + _WIDENING
    determinant = wide_xx * wide_yy - xy * xy
    p_x, p_y, r_y = sqrt(wide_yy / determinant), -xy / sqrt(wide_yy * determinant), 1 / sqrt(wide_yy)
    v_p_x, v_p_y, v_r_y = v_shape[0], v_shape[1], v_shape[3]
    v_determinant = -0.5 / determinant * (p_x * v_p_x + p_y * v_p_y)
    v_xx, v_xy = 0.0, -v_p_y / sqrt(wide_yy * determinant)
    v_yy = 0.5 / wide_yy * (p_x * v_p_x - p_y * v_p_y - r_y * v_r_y)
    if antialiased and plain > 0:
        fade = sqrt(plain / determinant)
        v_squared = v_shape[8] * 0.5 / (fade + 1e-6)  # gsplat's guard where the Gaussian is seen from its edge
        v_plain = v_squared / determinant
        v_determinant -= v_squared * plain / (determinant * determinant)
        v_xx += v_plain * yy
        v_yy += v_plain * xx
        v_xy -= 2 * xy * v_plain
    v_xx += v_determinant * wide_yy
    v_yy += v_determinant * wide_xx
    v_xy -= 2 * xy * v_determinant

    v_jx = v_jy = v_slope_x = v_slope_y = 0.0
    v_axes = np.empty((3, 3))
    for axis, (ax, ay, az) in enumerate(axes):
        along_x, along_y = ax - slope_x * az, ay - slope_y * az
        v_px = 2 * jx * along_x * v_xx + jy * along_y * v_xy
        v_py = 2 * jy * along_y * v_yy + jx * along_x * v_xy
        v_axes[axis, 0], v_axes[axis, 1] = jx * v_px, jy * v_py
        v_axes[axis, 2] = -jx * slope_x * v_px - jy * slope_y * v_py
        v_jx += v_px * along_x
        v_jy += v_py * along_y
        v_slope_x -= v_px * jx * az
        v_slope_y -= v_py * jy * az
    v_slope_x = v_slope_x * inside_x + lens[12] * v_centre[0]
    v_slope_y = v_slope_y * inside_y + lens[13] * v_centre[1]
    v_z = -(jx * v_jx + jy * v_jy + (mean[0] * v_slope_x + mean[1] * v_slope_y) / mean[2]) / mean[2]
    return v_axes, (v_slope_x / mean[2], v_slope_y / mean[2], v_z)
