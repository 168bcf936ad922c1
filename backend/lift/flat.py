"""Flat Gaussians on surfaces: where they lie, how they are turned, and how large they are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from ..sphere.equirectangular import direction

OPACITY = 0.99
"""As in 3DGS, never quite 1."""

THICKNESS = 0.05
"""Of the smaller of a Gaussian's two extents."""

_DEEPEST = 0.2
"""Of a Gaussian's distance, for one standard deviation along the line of sight: so that none reaches back to the
viewer. Only level ground within a pixel or two of the horizon would be deeper."""


def flat(
    longitude: Float[np.ndarray, " n"],
    latitude: Float[np.ndarray, " n"],
    spacing: Float[np.ndarray, " n"],
    radius: Float[np.ndarray, " n"],
    slope_east: Float[np.ndarray, " n"],
    slope_north: Float[np.ndarray, " n"],
    sigma: float,
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 4"], Float[np.ndarray, "n 3"]]:
    """Position, rotation and scale of flat Gaussians, each the image of a round spot on the sphere, ``spacing`` wide,
    on the tangent plane of a surface ``radius`` metres away.

    Args:
        longitude, latitude, spacing: radians.
        slope_east, slope_north: d(log distance) per radian of arc.
        sigma: standard deviation, in units of the spacing.
    """
    out = direction(longitude, latitude)
    east, north = direction(longitude + np.pi / 2, 0.0), direction(longitude, latitude + np.pi / 2)
    step = (radius * sigma * spacing)[:, None]
    steepest = _DEEPEST / (sigma * spacing)
    slope_east, slope_north = (slope.clip(-steepest, steepest) for slope in (slope_east, slope_north))
    along_east, along_north = step * (east + slope_east[:, None] * out), step * (north + slope_north[:, None] * out)
    long, short = principal_axes(along_east, along_north)
    length, breadth = np.linalg.norm(long, axis=1), np.linalg.norm(short, axis=1)
    x, y = long / length[:, None], short / breadth[:, None]
    rotation = quaternion(np.stack([x, y, np.cross(x, y)], axis=-1)) if len(x) else np.empty((0, 4))
    scale = np.stack([length, breadth, THICKNESS * breadth], axis=-1)
    return (radius[:, None] * out).astype(np.float32), rotation.astype(np.float32), scale.astype(np.float32)


def principal_axes(
    a: Float[np.ndarray, "count 3"], b: Float[np.ndarray, "count 3"]
) -> tuple[Float[np.ndarray, "count 3"], Float[np.ndarray, "count 3"]]:
    """Long and short half-axis of the ellipses {cos t · a + sin t · b} (conjugate half-diameters a, b)."""
    aa, bb, ab = (a * a).sum(axis=1), (b * b).sum(axis=1), (a * b).sum(axis=1)
    t = 0.5 * np.arctan2(2 * ab, aa - bb)[:, None]
    return np.cos(t) * a + np.sin(t) * b, np.cos(t) * b - np.sin(t) * a


def quaternion(rotation: Float[np.ndarray, "count 3 3"]) -> Float[np.ndarray, "count 4"]:
    """Unit quaternions w, x, y, z of rotation matrices (columns: where the axes go)."""
    xyzw = Rotation.from_matrix(rotation).as_quat()
    return xyzw[:, [3, 0, 1, 2]]
