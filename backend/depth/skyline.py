"""Distance from a panorama's layout: level ground, walls that stand where they meet it, a ceiling, a far sky.

No network and no learned prior: a stage set. The ground is a plane at eye height below the viewer, each column's
upright things stand on it like a wall, a roof lies level above. A ray ends at whichever it meets first, so surfaces
join without gaps, and only steps from wall to wall and the skyline are sharp.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32

from ..sphere.equirectangular import latitudes
from ..sphere.periodic import label, resize
from ..sphere.skyline import Layout

NEAREST = 0.3  # of the eye height
LIMIT_POWER = 6  # of the soft limit to the far distance; the ground's error at a fifth of it is 1e-5
CEILING_RANGE = (0.6, 3.0)  # of the eye height, above the eye: 2.6 m to 6.4 m above the floor for a standing viewer
SMALLEST_OBJECT = 5e-5  # share of the pixels


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
    walls = _periodic_curve(eye_height / np.tan(-layout.contact.astype(np.float64)), 2 * height)
    ceiling = _ceiling_height(layout, eye_height, far_distance)
    with np.errstate(divide="ignore"):
        ground = np.where(latitude < 0, eye_height / np.sin(np.maximum(-latitude, 1e-9)), np.inf)
        roof = np.where(latitude > 0, ceiling / np.sin(np.maximum(latitude, 1e-9)), np.inf)
    nearest = np.minimum(np.minimum(ground, roof), walls / np.cos(latitude))
    distance = _softly_limited(nearest, far_distance)
    distance = np.where(_backdrop(layout.sky, height), far_distance, distance)
    return np.clip(distance, NEAREST * eye_height, far_distance).astype(np.float32)


def _backdrop(sky: Float32[np.ndarray, "rows columns"], height: int) -> Bool[np.ndarray, "height width"]:
    """Where a ray ends at the sky; loose fragments before it (a cable's pixels) would float as crumbs: they join it."""
    open_sky = resize(sky, height, 2 * height) > 0.5
    labels, count = label(~open_sky)
    crumbs = np.bincount(labels.ravel(), minlength=count + 1) < SMALLEST_OBJECT * open_sky.size
    crumbs[0] = True
    return crumbs[labels]


def _softly_limited(distance: Float[np.ndarray, "height width"], limit: float) -> Float[np.ndarray, "height width"]:
    """``distance`` where it is well below ``limit``, approaching ``limit`` without a crease."""
    return limit * np.power(np.power(limit / distance, LIMIT_POWER) + 1, -1 / LIMIT_POWER)


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
