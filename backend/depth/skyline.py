"""Distance from a panorama's layout: level ground, walls that stand where they meet it, a ceiling, a far sky.

No network and no learned prior: a stage set. The ground is a plane at eye height below the viewer, each column's
upright things stand on it like a wall, a roof lies level above. A ray ends at whichever it meets first, so surfaces
join without gaps, and only steps from wall to wall and the skyline are sharp. Where the foot of a wall is not seen, or
taken for something farther, the height to which it rises tells that it is near.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32
from scipy import ndimage

from ..sphere import periodic
from ..sphere.equirectangular import latitudes
from ..sphere.skyline import Layout
from .backdrop import backdrop, softly_limited

NEAREST = 0.3  # of the eye height
CEILING_RANGE = (0.6, 3.0)  # of the eye height, above the eye: 2.6 m to 6.4 m above the floor for a standing viewer
TALLEST = 7.5  # of the eye height: 12 m for a standing viewer, a house of three storeys or a grown tree
EVENED = np.radians(2.8)  # of longitude: standard deviation of the smoothing of walls that were told by their height
NARROW = np.radians(2.8)  # masts, cranes and pylons may be taller
SAME_WALL = 0.3  # natural log of the distance: steps beyond a factor of two stay
OPEN = 0.1  # of what is overhead: with less covered, what hangs free in the sky is no crown or roof but a cloud


def skyline_distance(
    layout: Layout, height: int, *, eye_height: float = 1.6, far_distance: float = 120.0
) -> Float32[np.ndarray, "height width"]:
    """Distance along each ray of an equirectangular image, metres, within [0.3 · eye_height, far_distance].

    Args:
        layout: parts of the panorama, of any size.
        height: rows of the result; its width is twice that.
        eye_height: of the viewer above the ground, metres.
        far_distance: of the sky, metres.
    """
    latitude = latitudes(height)[:, None]
    walls = _periodic_curve(_walls(layout, eye_height), 2 * height)
    ceiling = _ceiling_height(layout, eye_height, far_distance)
    with np.errstate(divide="ignore"):
        ground = np.where(latitude < 0, eye_height / np.sin(np.maximum(-latitude, 1e-9)), np.inf)
        roof = np.where(latitude > 0, ceiling / np.sin(np.maximum(latitude, 1e-9)), np.inf)
    nearest = np.minimum(np.minimum(ground, roof), walls / np.cos(latitude))
    distance = softly_limited(nearest, far_distance)
    distance = np.where(_beyond(layout, height), far_distance, distance)
    return np.clip(distance, NEAREST * eye_height, far_distance).astype(np.float32)


def _walls(layout: Layout, eye_height: float) -> Float[np.ndarray, " columns"]:
    """Horizontal distance of each column's upright things, metres: where they meet the ground, and none too tall."""
    standing = eye_height / np.tan(-layout.contact.astype(np.float64))
    columns = round(float(NARROW) * len(standing) / (2 * np.pi))
    skyline = ndimage.median_filter(layout.skyline, 2 * columns + 1, mode="wrap")
    rise = np.tan(np.clip(skyline, 1e-3, 1.5))
    ragged = np.log((TALLEST - 1) * eye_height / rise)  # crowns and gables are, the walls are not
    return np.minimum(standing, np.exp(periodic.evened(ragged, float(EVENED) * len(ragged) / (2 * np.pi), SAME_WALL)))


def _beyond(layout: Layout, height: int) -> Bool[np.ndarray, "height width"]:
    """Where a ray ends at the sky, or at a cloud in an open one: a wall reaches down to the horizon."""
    sky = backdrop(layout.sky, height)
    if layout.overhead > OPEN:
        return sky
    labels, _ = periodic.label(~sky)
    return sky | ~np.isin(labels, np.unique(labels[height // 2 :]))


def _ceiling_height(layout: Layout, eye_height: float, far_distance: float) -> float:
    """Height of what is overhead above the eye: where walls end indoors, far away under an open sky.

    Crowns that cover part of the sky lie in between, so that they neither touch the viewer nor fly off.
    """
    lowest, highest = (share * eye_height for share in CEILING_RANGE)
    wall_tops = np.tan(np.clip(layout.skyline, 0, 1.5)) * eye_height / np.tan(-layout.contact)
    ceiling = float(np.clip(np.median(wall_tops), lowest, highest))
    return float(ceiling**layout.overhead * far_distance ** (1 - layout.overhead))


def _periodic_curve(curve: Float[np.ndarray, " columns"], width: int) -> Float[np.ndarray, " width"]:
    source = (np.arange(len(curve)) + 0.5) / len(curve)
    return np.interp((np.arange(width) + 0.5) / width, source, curve, period=1.0)
