"""Flat Gaussians as spots: 2DGS eqs. 7-11, as gsplat 1.5.3 has them; gradients by hand.

With the two axes times z projected relative to the centre, (u0, v0) and (u1, v1) in pixels, w0 and w1 along the optical
axis, and their cross product A = u0 v1 - u1 v0, the plane is met at

    (p, r) = z / A ( v1 -u1 ; -v0 u0 ) d / (1 + tilt · d),      tilt = (w1 v0 - w0 v1, u1 w0 - u0 w1) / A.

Other than in gsplat, what of a surfel's plane lies behind the camera is not seen; and one that reaches behind it at one
standard deviation has no middle in the picture, so no disc.
"""

from __future__ import annotations

from math import isfinite, sqrt

import numpy as np

from .kernels import kernel
from .spots import NOWHERE, reach_of, write_box

_EDGE_ON = 1e-12
"""Pixel²: a surfel whose outline covers less cannot be met by a ray. (gsplat: 0, and so up to rounding.)"""

_STRIP = 16.0
"""Pixels."""


@kernel
def _outline(lens, mean, axes):
    """u0, u1, v0, v1, w0, w1."""
    (ax, ay, az), (bx, by, bz), _ = axes
    slope_x, slope_y = mean[0] / mean[2], mean[1] / mean[2]
    fx, fy = lens[12], lens[13]
    return (
        fx * (ax - slope_x * az),
        fx * (bx - slope_x * bz),
        fy * (ay - slope_y * az),
        fy * (by - slope_y * bz),
        az,
        bz,
    )


@kernel
def _side(place, position, z, along_0, along_1, w0, w1, reach):
    """1 (-1): all of a surfel is right of (left of) the plane through the camera and a column or row; 0: neither."""
    aside = position - place
    spread = reach * sqrt((along_0 + aside * w0) ** 2 + (along_1 + aside * w1) ** 2)
    return 1 if z * aside > spread else (-1 if -z * aside > spread else 0)


@kernel
def _between(size, position, z, along_0, along_1, w0, w1, reach):
    """Between which columns (or rows) a surfel that reaches behind the camera is seen, to within strips."""
    spot = (position, z, along_0, along_1, w0, w1, reach)
    if _side(0.0, *spot) < 0 or _side(float(size), *spot) > 0:
        return 1.0, 0.0
    low, high = 0.0, float(size)
    while low + _STRIP < size and _side(low + _STRIP, *spot) > 0:
        low += _STRIP
    while high - _STRIP > low and _side(high - _STRIP, *spot) < 0:
        high -= _STRIP
    return low, high


@kernel
def surfel_spot(i, lens, width, height, mean, axes, opacity, low_pass, spots):
    """Write the spot of Gaussian ``i``, if it can be seen."""
    u0, u1, v0, v1, w0, w1 = _outline(lens, mean, axes)
    z = mean[2]
    area = u0 * v1 - u1 * v0
    reach = reach_of(opacity)
    if reach < 0 or not (abs(area) > _EDGE_ON * z * z and isfinite(area)):
        return
    x, y = lens[12] * mean[0] / z + lens[14], lens[13] * mean[1] / z + lens[15]
    left, right, top, bottom = 0.0, float(width), 0.0, float(height)
    squared = reach * reach
    bounded = squared * (w0 * w0 + w1 * w1) - z * z
    if bounded < 0:  # all that counts of it is in front of the camera
        mid_x, mid_y = squared * (u0 * w0 + u1 * w1) / bounded, squared * (v0 * w0 + v1 * w1) / bounded
        half_x = sqrt(max(mid_x * mid_x - squared * (u0 * u0 + u1 * u1) / bounded, 0.0))
        half_y = sqrt(max(mid_y * mid_y - squared * (v0 * v0 + v1 * v1) / bounded, 0.0))
        left, right = x + mid_x - half_x, x + mid_x + half_x
        top, bottom = y + mid_y - half_y, y + mid_y + half_y
    else:
        left, right = _between(width, x, z, u0, u1, w0, w1, reach)
        top, bottom = _between(height, y, z, v0, v1, w0, w1, reach)
    offset_x = offset_y = NOWHERE
    outlined = w0 * w0 + w1 * w1 - z * z
    if low_pass and outlined < 0:
        offset_x, offset_y = (u0 * w0 + u1 * w1) / outlined, (v0 * w0 + v1 * w1) / outlined
        disc = reach * sqrt(0.5)
        x_disc, y_disc = x + offset_x, y + offset_y
        if -disc < x_disc < width + disc and -disc < y_disc < height + disc:
            is_alone = right < left or bottom < top or right < 0 or left > width or bottom < 0 or top > height
            left = x_disc - disc if is_alone else min(left, x_disc - disc)
            right = x_disc + disc if is_alone else max(right, x_disc + disc)
            top = y_disc - disc if is_alone else min(top, y_disc - disc)
            bottom = y_disc + disc if is_alone else max(bottom, y_disc + disc)
    half_x, half_y = 0.5 * (right - left), 0.5 * (bottom - top)
    if not (
        isfinite(x) and isfinite(y) and write_box(spots, i, left + half_x, top + half_y, half_x, half_y, width, height)
    ):
        return
    spots.centre[i, 0], spots.centre[i, 1] = x, y
    shape = spots.shape[i]
    shape[0], shape[1] = z * v1 / area, -z * u1 / area
    shape[2], shape[3] = -z * v0 / area, z * u0 / area
    shape[4], shape[5] = (w1 * v0 - w0 * v1) / area, (u1 * w0 - u0 * w1) / area
    shape[6], shape[7] = offset_x, offset_y
    shape[8] = 1.0


@kernel
def surfel_gradient(lens, mean, axes, v_centre, v_shape, low_pass):
    """Gradients of the centre and the three axes in view space."""
    u0, u1, v0, v1, w0, w1 = _outline(lens, mean, axes)
    z = mean[2]
    area = u0 * v1 - u1 * v0
    v_p_x, v_p_y, v_r_x, v_r_y, v_tilt_x, v_tilt_y = (
        v_shape[0],
        v_shape[1],
        v_shape[2],
        v_shape[3],
        v_shape[4],
        v_shape[5],
    )
    along_p, along_r = v1 * v_p_x - u1 * v_p_y, u0 * v_r_y - v0 * v_r_x
    tilt_x, tilt_y = (w1 * v0 - w0 * v1) / area, (u1 * w0 - u0 * w1) / area
    v_area = -(z * (along_p + along_r) / area + tilt_x * v_tilt_x + tilt_y * v_tilt_y) / area
    v_z = (along_p + along_r) / area
    v_u0 = (z * v_r_y - w1 * v_tilt_y) / area + v1 * v_area
    v_u1 = (-z * v_p_y + w0 * v_tilt_y) / area - v0 * v_area
    v_v0 = (-z * v_r_x + w1 * v_tilt_x) / area - u1 * v_area
    v_v1 = (z * v_p_x - w0 * v_tilt_x) / area + u0 * v_area
    v_w0 = (-v1 * v_tilt_x + u1 * v_tilt_y) / area
    v_w1 = (v0 * v_tilt_x - u0 * v_tilt_y) / area
    outlined = w0 * w0 + w1 * w1 - z * z
    if low_pass and outlined < 0:
        v_x, v_y = v_shape[6] / outlined, v_shape[7] / outlined
        v_outlined = -(v_x * (u0 * w0 + u1 * w1) + v_y * (v0 * w0 + v1 * w1)) / outlined
        v_u0 += w0 * v_x
        v_u1 += w1 * v_x
        v_v0 += w0 * v_y
        v_v1 += w1 * v_y
        v_w0 += u0 * v_x + v0 * v_y + 2 * w0 * v_outlined
        v_w1 += u1 * v_x + v1 * v_y + 2 * w1 * v_outlined
        v_z -= 2 * z * v_outlined

    (_, _, az), (_, _, bz), _ = axes
    slope_x, slope_y, fx, fy = mean[0] / z, mean[1] / z, lens[12], lens[13]
    v_axes = np.zeros((3, 3))
    v_axes[0, 0], v_axes[0, 1], v_axes[0, 2] = fx * v_u0, fy * v_v0, v_w0 - fx * slope_x * v_u0 - fy * slope_y * v_v0
    v_axes[1, 0], v_axes[1, 1], v_axes[1, 2] = fx * v_u1, fy * v_v1, v_w1 - fx * slope_x * v_u1 - fy * slope_y * v_v1
    v_slope_x = fx * (v_centre[0] - az * v_u0 - bz * v_u1)
    v_slope_y = fy * (v_centre[1] - az * v_v0 - bz * v_v1)
    return v_axes, (v_slope_x / z, v_slope_y / z, v_z - (slope_x * v_slope_x + slope_y * v_slope_y) / z)
