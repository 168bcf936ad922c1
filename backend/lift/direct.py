"""The direct lift: one flat Gaussian per sample of an equal-density lattice, laid on the surface that is seen there.

What never changes is one static set. Of what moves, place, orientation and size are stored once where the distance is
the same all the time (the surface stands still, the light on it moves), else per frame as the radiance always is.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from ...bridge.gaussians import Gaussians, radiance_from_colour
from ..depth.edges import link_slopes, steep_links
from ..sphere.equirectangular import with_border
from ..sphere.lattice import Lattice
from ..sphere.panorama import DepthVideo, PanoramaVideo
from ..sphere.periodic import dilate
from .flat import OPACITY, flat

_SIGMA = 0.7
"""Standard deviation in units of the samples' spacing: neighbours together cover 99 %, evenly to within 2 %."""


class DirectLift:
    """Lifts a panoramic video over its distance: one for all frames, or one for each.

    Attributes:
        static: the Gaussians that never change.
        moving_count: how many do.
        is_moving: (samples,) which samples of the lattice those are, in their order.
        notes: for the artist, a sentence each.
    """

    def __init__(self, video: PanoramaVideo, depth: DepthVideo):
        self._frames, self._depth = video.frames, depth
        self._lattice = Lattice(video.frames.shape[1])
        reshaped = _reshaped(depth)
        self._is_reshaped = bool(reshaped.any())
        moves = (video.moves | reshaped).ravel()
        self.is_moving = self._lattice.means @ moves.astype(np.float32) > 0
        position, rotation, scale = self._surfels(0, np.ones_like(self.is_moving))
        whole = Gaussians(position, rotation, scale, self._radiance(0, slice(None)))
        self.static, self._moving = whole[~self.is_moving], whole[self.is_moving]
        self.moving_count = len(self._moving)
        self.notes: tuple[str, ...] = ()

    def still_arrays(self) -> dict[str, np.ndarray]:
        """Of the moving Gaussians: the arrays that are the same in every frame (none if the distance changes)."""
        if self._is_reshaped:
            return {}
        arrays = self._moving.arrays()
        del arrays["radiance:base"]
        return arrays

    def frame(self, index: int) -> dict[str, np.ndarray]:
        """Of the moving Gaussians: the arrays that differ from frame to frame, as they are in frame ``index``."""
        radiance = self._radiance(index, self.is_moving)
        if not self._is_reshaped:
            return {"radiance:base": radiance}
        return Gaussians(*self._surfels(index, self.is_moving), radiance).arrays()

    def _surfels(self, frame: int, chosen: Bool[np.ndarray, " samples"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return surfels(_at(self._depth.distance, frame), _at(self._depth.edges, frame), self._lattice, chosen)

    def _radiance(self, frame: int, chosen) -> np.ndarray:
        colour = self._lattice.means[chosen] @ self._frames[frame].reshape(-1, 3)
        return radiance_from_colour(colour, OPACITY)


def _at(frames: np.ndarray, index: int) -> np.ndarray:
    return frames[index if len(frames) > 1 else 0]


def _reshaped(depth: DepthVideo) -> Bool[np.ndarray, "height width"]:
    """Pixels whose surface changes over time: their distance, or their links to the four around them."""
    changes = np.zeros(depth.distance.shape[1:], bool)
    for frames in (depth.distance, depth.edges):
        for frame in frames[1:]:
            changes |= frame != frames[0]
    return dilate(changes, 1)


def surfels(
    distance: Float[np.ndarray, "height width"],
    edges: Bool[np.ndarray, "height width"],
    lattice: Lattice,
    chosen: Bool[np.ndarray, " samples"] | None = None,
) -> tuple[Float[np.ndarray, "chosen 3"], Float[np.ndarray, "chosen 4"], Float[np.ndarray, "chosen 3"]]:
    """Position, rotation and scale of flat Gaussians that cover a surface given by its distance (metres) evenly.

    Each is the image of a round spot on the sphere, one lattice spacing wide, on the surface's tangent plane.

    Args:
        edges: see ``DepthVideo.edges``.
        chosen: samples of the lattice that are wanted; all of them by default.
    """
    slope_east, slope_north = slopes(distance, edges)
    chosen = np.ones(len(lattice.rows), bool) if chosen is None else chosen
    here, longitude, latitude = (of[chosen] for of in (lattice.nearest_pixels, lattice.longitude, lattice.latitude))
    spacing = np.full(len(here), lattice.spacing)
    slope = slope_east.ravel()[here], slope_north.ravel()[here]
    return flat(longitude, latitude, spacing, distance.ravel()[here], *slope, _SIGMA)


def slopes(
    distance: Float[np.ndarray, "height width"], edges: Bool[np.ndarray, "height width"]
) -> tuple[Float[np.ndarray, "height width"], Float[np.ndarray, "height width"]]:
    """d(log distance) per radian of arc, to the east and to the north.

    Of the differences to both sides the smaller counts. One that is steep and leads from edge to edge counts as none:
    so nothing is stretched from one surface to the next.
    """
    across, rise = link_slopes(distance)
    steep_across, steep_rise = steep_links((across, rise))
    whole = with_border(edges, 1)[:, 1:-1]
    across = np.where(steep_across & edges & np.roll(edges, -1, axis=1), 0, across)
    rise = np.where(steep_rise & whole[:-1] & whole[1:], 0, rise)
    east = _smaller(across, np.roll(across, 1, axis=1))
    return east.astype(np.float32), _smaller(rise[:-1], rise[1:]).astype(np.float32)


def _smaller(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.where(np.abs(one) < np.abs(other), one, other)
