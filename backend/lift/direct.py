"""The direct lift: one flat Gaussian per sample of an equal-density lattice, laid on the surface that is seen there.

What never changes is one static set; of what moves, place, orientation and size are stored once and only the
radiance per frame (the surface stands still, the light on it moves).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from ...bridge.gaussians import Gaussians, radiance_from_colour
from ..sphere.equirectangular import direction, latitudes, with_border
from ..sphere.lattice import Lattice
from ..sphere.panorama import DepthVideo, PanoramaVideo

_SIGMA = 0.7
"""Standard deviation in units of the samples' spacing: neighbours together cover 99 %, evenly to within 2 %."""

_OPACITY = 0.99
"""As in 3DGS, never quite 1."""

_STEEPEST_WALL = 4.0
"""d(log distance) per radian; a wall seen at 76° from its normal. Of level ground more is believed, see ``slopes``."""

_THICKNESS = 0.05
"""Of the smaller of a Gaussian's two extents."""


@dataclass(frozen=True)
class Lifted:
    """A lifted video.

    Attributes:
        static: the Gaussians that never change.
        moving: the others, as they are in frame 0.
        is_moving: (samples,) which samples of the lattice those are, in their order.
    """

    static: Gaussians
    moving: Gaussians
    is_moving: Bool[np.ndarray, " samples"]


class DirectLift:
    """Lifts a panoramic video over its distance (one for all frames)."""

    def __init__(self, video: PanoramaVideo, depth: DepthVideo):
        self._frames = video.frames
        self._lattice = Lattice(video.frames.shape[1])
        self._is_moving = self._lattice.means @ video.moves.ravel().astype(np.float32) > 0
        position, rotation, scale = surfels(depth.distance[0], self._lattice)
        whole = Gaussians(position, rotation, scale, self._radiance(0, slice(None)))
        self.lifted = Lifted(whole[~self._is_moving], whole[self._is_moving], self._is_moving)

    def radiance(self, frame: int) -> Float[np.ndarray, "moving 4"]:
        """``radiance:base`` of the moving Gaussians in a frame."""
        return self._radiance(frame, self._is_moving)

    def _radiance(self, frame: int, chosen) -> np.ndarray:
        colour = self._lattice.means[chosen] @ self._frames[frame].reshape(-1, 3)
        return radiance_from_colour(colour, _OPACITY)


def surfels(
    distance: Float[np.ndarray, "height width"], lattice: Lattice
) -> tuple[Float[np.ndarray, "samples 3"], Float[np.ndarray, "samples 4"], Float[np.ndarray, "samples 3"]]:
    """Position, rotation and scale of flat Gaussians that cover a surface given by its distance (metres) evenly.

    Each is the image of a round spot on the sphere, one lattice spacing wide, on the surface's tangent plane.
    """
    slope_east, slope_north = slopes(distance)
    here = lattice.nearest_pixels
    radius = distance.ravel()[here][:, None]
    out = direction(lattice.longitude, lattice.latitude)
    east = direction(lattice.longitude + np.pi / 2, 0.0)
    north = direction(lattice.longitude, lattice.latitude + np.pi / 2)
    step = radius * np.float32(_SIGMA * lattice.spacing)
    along_east = step * (east + slope_east.ravel()[here][:, None] * out)
    along_north = step * (north + slope_north.ravel()[here][:, None] * out)
    long, short = principal_axes(along_east, along_north)
    length, breadth = np.linalg.norm(long, axis=1), np.linalg.norm(short, axis=1)
    x, y = long / length[:, None], short / breadth[:, None]
    rotation = quaternion(np.stack([x, y, np.cross(x, y)], axis=-1))
    scale = np.stack([length, breadth, _THICKNESS * breadth], axis=-1)
    return (radius * out).astype(np.float32), rotation.astype(np.float32), scale.astype(np.float32)


def slopes(
    distance: Float[np.ndarray, "height width"],
) -> tuple[Float[np.ndarray, "height width"], Float[np.ndarray, "height width"]]:
    """d(log distance) per radian of arc, to the east and to the north.

    Of the differences to both sides the smaller counts, and what is steeper than a wall, or level ground or ceiling at
    that latitude (cot φ), is an edge and counts as none: so nothing is stretched from one surface to the next.
    """
    height = len(distance)
    arc = np.pi / height
    depth = np.log(distance)
    across = np.diff(depth, axis=1, append=depth[:, :1]) / (arc * np.cos(latitudes(height)))[:, None]
    across = _without_edges(across, np.full((height, 1), _STEEPEST_WALL))
    whole = with_border(depth, 1)[:, 1:-1]
    rise = -np.diff(whole, axis=0) / arc
    between = np.pi / 2 - np.arange(height + 1) * arc
    grazing = 1.2 / np.tan(np.clip(np.abs(between) - arc / 2, arc / 2, None))
    rise = _without_edges(rise, np.maximum(grazing, _STEEPEST_WALL)[:, None])
    east = _smaller(across, np.roll(across, 1, axis=1))
    return east.astype(np.float32), _smaller(rise[:-1], rise[1:]).astype(np.float32)


def _without_edges(slope: np.ndarray, steepest: np.ndarray) -> np.ndarray:
    return np.where(np.abs(slope) > steepest, 0, slope)


def _smaller(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.where(np.abs(one) < np.abs(other), one, other)


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
