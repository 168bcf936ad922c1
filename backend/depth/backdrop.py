"""The backdrop: a sky at a finite far distance, against which everything else ends without a halo."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from ..sphere import periodic
from .edges import broken_links

_LIMIT_POWER = 6  # of the soft limit to the far distance; the ground's error at a fifth of it is 1e-5
_SMALLEST_OBJECT = 5e-5  # share of the pixels
_HALO = np.radians(1.4)  # how far from the sky's border a distance may be a mixture: 4 pixels at 1024 x 512

_AS_GOOD_AS_FAR = (
    0.85  # of the far distance, which softly limited itself is 0.89: who says so at the border means the sky
)
_OPPOSITE = [1, 0, 3, 2]  # of east, west, north, south


def far_sky(
    distance: Float[np.ndarray, "height width"], sky: Float[np.ndarray, "rows columns"], far: float
) -> Float32[np.ndarray, "height width"]:
    """``distance`` with the sky at ``far``, and everything before it at its own distance up to its outline.

    Distances beyond ``far`` are brought below it without a crease. Where what is not sky runs out towards the sky's
    distance within 1.4° of it, it keeps the distance it has inside: no ring between a tree and the sky.

    Args:
        distance: along the ray, metres, above 0 (infinity counts as far).
        sky: how much of each pixel is sky, 0..1, of any size (``sphere.skyline.Layout.sky``, or a painted mask).
        far: of the sky, metres.
    """
    is_sky = backdrop(sky, len(distance))
    whole = np.where(is_sky, far, softly_limited(distance.astype(np.float64), far)).astype(np.float32)
    return _to_the_outline(whole, ~is_sky, far)


def backdrop(sky: Float[np.ndarray, "rows columns"], height: int) -> Bool[np.ndarray, "height width"]:
    """Where a ray ends at the sky; loose fragments before it (a cable's pixels) would float as crumbs: they join it."""
    open_sky = periodic.resize(np.asarray(sky, np.float32), height, 2 * height) > 0.5
    labels, count = periodic.label(~open_sky)
    crumbs = np.bincount(labels.ravel(), minlength=count + 1) < _SMALLEST_OBJECT * open_sky.size
    crumbs[0] = True
    return crumbs[labels]


def softly_limited(distance: Float[np.ndarray, "height width"], limit: float) -> Float[np.ndarray, "height width"]:
    """``distance`` where it is well below ``limit``, approaching ``limit`` without a crease."""
    return limit * np.power(np.power(limit / distance, _LIMIT_POWER) + 1, -1 / _LIMIT_POWER)


def _to_the_outline(
    distance: Float32[np.ndarray, "height width"], solid: Bool[np.ndarray, "height width"], far: float
) -> Float32[np.ndarray, "height width"]:
    """From inside out to the outline: what is on its way to the sky's distance, or there, joins its inner neighbour.

    On its way is a pixel between two broken links. So a far hill that shows above a wall stays a hill.
    """
    height, width = distance.shape
    reach = max(3, round(float(_HALO) / np.pi * height))
    inside = periodic.distance_inside(solid, reach + 1)
    row, column = np.nonzero(solid & (inside <= reach))
    here, around = row * width + column, _neighbours(row, column, height)
    east, north = broken_links(distance)
    broken = np.stack([east[row, column], east[row, column - 1], north[row, column], north[row + 1, column]])
    flat, changed = distance.ravel().copy(), np.zeros(distance.size, bool)
    deeper = inside.ravel()[around] > inside.ravel()[here]
    leaving = broken[_OPPOSITE] | (flat[here] > _AS_GOOD_AS_FAR * far)
    for _ in range(reach):
        inner = np.where(deeper & leaving & (broken | changed[around]), flat[around], np.inf).min(axis=0)
        changed[here] |= inner < flat[here]
        flat[here] = np.minimum(flat[here], inner)
    return flat.reshape(distance.shape)


def _neighbours(row: np.ndarray, column: np.ndarray, height: int) -> Int[np.ndarray, "4 pixels"]:
    """Flat indices of the pixels to the east, west, north and south; across ±180° and over the poles."""
    width = 2 * height
    beside = [row * width + (column + step) % width for step in (1, -1)]
    over = [np.clip(row + step, 0, height - 1) for step in (-1, 1)]
    across = [over_row * width + np.where(over_row == row, (column + height) % width, column) for over_row in over]
    return np.stack(beside + across)
