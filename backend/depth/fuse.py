"""One panoramic distance from the aligned views of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import distance_transform_edt

from ...bridge.errors import CycloramaError
from ..sphere.equirectangular import directions
from ..sphere.icosphere import VIEW_FOV, view_rotations
from .alignment import Alignment
from .overlaps import edge_trust
from .predictions import Predictions, clipped

_SMOOTH = 0.1
"""Relative difference of 1 / z up to which neighbouring pixels of a view lie on one surface: they are interpolated."""

_AGREES = 0.35
"""Logarithm by which a view differs from the most trusted ones' where it shows another surface, and no error."""

_FARTHEST = 1e-4
"""Of the median 1 / distance: nothing is farther."""


@dataclass(frozen=True)
class _Lookup:
    """Where one view's pixels are asked for.

    Attributes:
        pixel: (place,) of the panorama, row by row, that the view sees.
        slot: (place,) how many views before this one see that pixel.
        first: (place,) the view's pixel to the upper left.
        right, down: (place,) how far on towards the next column and row, 0 to 1.
        cosine: (place,) of the angle to the view's axis.
        trust: (place,)
    """

    pixel: Int[np.ndarray, " place"]
    slot: Int[np.ndarray, " place"]
    first: Int[np.ndarray, " place"]
    right: Float[np.ndarray, " place"]
    down: Float[np.ndarray, " place"]
    cosine: Float[np.ndarray, " place"]
    trust: Float[np.ndarray, " place"]


def fused_distance(
    predictions: Predictions, alignment: Alignment, frame: int, height: int
) -> Float[np.ndarray, "height width"]:
    """Distance along the ray, up to one factor, of the pixels of an equirectangular image; float32, finite.

    The weighted mean of the logarithms of what the aligned views say, each looked up between its pixels in 1 / z (which
    is linear on a plane) but never across a depth edge. Where views show different surfaces, because one looks just
    past an edge, the surface with more trust is taken and not a mean in between.
    """
    lookups, slots = _lookups(predictions.size, height)
    said = np.zeros((slots, 2 * height * height), np.float32)
    weight = np.zeros_like(said)
    for view, lookup in enumerate(lookups):
        corrected = alignment.corrected(predictions, frame, view)
        inverse = corrected if predictions.kind == "disparity" else 1 / np.where(corrected > 0, corrected, np.nan)
        inverse = np.where(clipped(predictions.values[frame, view], predictions.kind), 0, inverse)
        value, known = _between_pixels(inverse, lookup)
        said[lookup.slot, lookup.pixel] = value * lookup.cosine
        weight[lookup.slot, lookup.pixel] = lookup.trust * alignment.trust[frame, view] * known
    usual = _usual(said[(weight > 0) & (said > 0)])
    logarithm = np.log(np.maximum(said, _FARTHEST * usual))
    mean = _mean_of_one_surface(logarithm, weight)
    return _without_holes(np.exp(-mean).reshape(height, 2 * height), (weight.sum(axis=0) > 0).reshape(height, -1))


def _usual(positive: np.ndarray) -> float:
    if not len(positive):
        raise CycloramaError(
            "no-depth-seen", "The estimator puts everything infinitely far.", "Try another estimator, or the skyline."
        )
    return float(np.median(positive))


def _between_pixels(view: Float[np.ndarray, "row column"], lookup: _Lookup) -> tuple[np.ndarray, np.ndarray]:
    """Values at the places, and which are known: bilinear among the pixels that are like the nearest one."""
    size = len(view)
    flat = view.ravel()
    corners = [flat[lookup.first + step] for step in (0, 1, size, size + 1)]
    shares = [
        (1 - lookup.right) * (1 - lookup.down),
        lookup.right * (1 - lookup.down),
        (1 - lookup.right) * lookup.down,
        lookup.right * lookup.down,
    ]
    nearest = np.where(
        lookup.down < 0.5,
        np.where(lookup.right < 0.5, corners[0], corners[1]),
        np.where(lookup.right < 0.5, corners[2], corners[3]),
    )
    total = np.zeros_like(nearest)
    value = np.zeros_like(nearest)
    for corner, share in zip(corners, shares, strict=True):
        like = np.abs(corner - nearest) <= _SMOOTH * np.abs(nearest)  # never true of NaN
        total += share * like
        value += np.where(like, share * corner, 0)
    known = total > 0
    return np.where(known, value / np.where(known, total, 1), 0), known


def _mean_of_one_surface(
    said: Float[np.ndarray, "slot pixel"], weight: Float[np.ndarray, "slot pixel"]
) -> Float[np.ndarray, " pixel"]:
    """Weighted mean over the views; where they differ widely, of those around the weighted median."""
    total = np.maximum(weight.sum(axis=0), 1e-30)
    mean = (weight * said).sum(axis=0) / total
    widest = np.where(weight > 0, np.abs(said - mean), 0).max(axis=0)
    torn = np.flatnonzero(widest > _AGREES / 2)
    if len(torn):
        mean[torn] = _around_median(said[:, torn], weight[:, torn])
    return mean


def _around_median(said: np.ndarray, weight: np.ndarray) -> np.ndarray:
    order = np.argsort(np.where(weight > 0, said, np.inf), axis=0)
    sorted_said = np.take_along_axis(said, order, axis=0)
    rising = np.cumsum(np.take_along_axis(weight, order, axis=0), axis=0)
    middle = (rising < 0.5 * rising[-1]).sum(axis=0).clip(0, len(said) - 1)
    median = np.take_along_axis(sorted_said, middle[None], axis=0)
    near = weight * np.clip(1 - ((said - median) / _AGREES) ** 2, 0, None) ** 2  # Tukey's biweight
    total = near.sum(axis=0)
    return np.where(total > 0, (near * said).sum(axis=0) / np.maximum(total, 1e-30), median[0])


def _without_holes(distance: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """What no view knows, from its surroundings."""
    if seen.all():
        return distance
    width = distance.shape[1]
    around = np.concatenate([seen, seen, seen], axis=1)
    row, column = np.asarray(distance_transform_edt(~around, return_distances=False, return_indices=True))
    place = np.s_[:, width : 2 * width]
    return distance[row[place], column[place] % width]


@lru_cache(maxsize=2)
def _lookups(size: int, height: int) -> tuple[list[_Lookup], int]:
    """For each view where its pixels are asked for, and the most views that see one pixel."""
    towards = directions(height).reshape(-1, 3)
    edge = np.float32(np.tan(VIEW_FOV / 2))
    seen_before = np.zeros(len(towards), np.int8)
    found = []
    for rotation in view_rotations():
        x, y, z = (towards @ rotation).T
        pixel = np.flatnonzero((z > 0) & (np.abs(x) < edge * z) & (np.abs(y) < edge * z))
        x, y, z = x[pixel], y[pixel], z[pixel]
        across, along = x / (z * edge), y / (z * edge)
        column, row = ((place + 1) * (size / 2) - 0.5 for place in (across, along))
        left, top = (np.clip(np.floor(place), 0, size - 2).astype(np.int32) for place in (column, row))
        found.append(
            _Lookup(
                pixel=pixel,
                slot=seen_before[pixel],
                first=top * size + left,
                right=np.clip(column - left, 0, 1).astype(np.float32),
                down=np.clip(row - top, 0, 1).astype(np.float32),
                cosine=z,
                trust=edge_trust(across, along).astype(np.float32),
            )
        )
        seen_before[pixel] += 1
    return found, int(seen_before.max())
