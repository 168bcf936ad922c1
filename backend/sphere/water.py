"""Finding open water in a panorama: a plain from the horizon to a shore, smooth, and unlike the ground underfoot."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy import ndimage

from . import periodic
from .boundaries import best_boundary, step_contrast
from .equirectangular import latitudes
from .sky import Appearance

# All for the working size of ``skyline`` (512 rows), in natural-log units of the feature image.
OPEN_LATITUDE = np.radians(2.5)  # sky down to here: nothing taller than a far shore stands in the way
FIRST_GUESS = np.radians(-7.0)  # water of the first round: down to here in every open column
UNDERFOOT = np.radians(-45.0)  # from here down it is ground in any case
LOWEST_SHORE = np.radians(-50.0)
NARROW_PX = 15  # towers, masts and islets of the far shore are bridged up to twice this width
SHORE_REACH_PX = 10
ROUNDS = 4

# Doubtful water is no water: a meadow that flows is worse than a lake that stands still.
LEAST_OPEN_COLUMNS = 0.10
LEAST_AREA = 0.01  # share of the sphere
LEAST_SHORE_CONTRAST = 0.4
MOST_STREAKS_ACROSS = 0.06  # mean tone difference of neighbours in a row; waves are drawn out along rows
LEAST_BLUENESS = -0.6  # log blue/red
LEAST_EVIDENCE = 2.0  # mean log ratio of the colour models
MOST_OVERLAP = 0.2  # of the colour histograms of water and ground

# Colour histogram: tone, log red/green, log blue/green.
LOWEST = np.array([-4.0, -0.9, -0.9])
HIGHEST = np.array([0.2, 0.9, 0.9])
BINS = np.array([20, 45, 45])

Mask = Bool[np.ndarray, "height width"]
Columns = Bool[np.ndarray, " width"]


def find_water(look: Appearance, sky: Mask) -> Mask:
    """Water pixels, hard. All False unless the evidence is strong."""
    height, width = sky.shape
    dry = np.zeros_like(sky)
    is_open = _bridged(sky[periodic.row_at(float(OPEN_LATITUDE), height)])
    if is_open.mean() < LEAST_OPEN_COLUMNS:
        return dry
    features = periodic.blur(periodic.median(look.features, 3), 2.0, 0.7)
    first, last = height // 2, periodic.row_at(float(LOWEST_SHORE), height)
    contrast = step_contrast(features, first, last, SHORE_REACH_PX)
    bins = _histogram_bins(features)
    seeds = ndimage.binary_erosion(np.tile(is_open, 3), iterations=6)[width : 2 * width]
    shore = np.where(seeds, periodic.row_at(float(FIRST_GUESS), height), first)
    evidence = np.zeros(sky.shape)
    overlap = 1.0
    for turn in range(ROUNDS):
        evidence, overlap = _colour_evidence(bins, shore, seeds, is_open, turn)
        shore = _shore(contrast, evidence[first:last], is_open) + first
    rows = np.arange(height)[:, None]
    water = (rows >= first) & (rows < shore)
    convincing = overlap < MOST_OVERLAP and _is_convincing(look, water, evidence, contrast, shore - first)
    return _without_foreground(water, look.features[..., 0]) if convincing else dry


def _bridged(is_open: Columns) -> Columns:
    width = len(is_open)
    return ndimage.binary_closing(np.tile(is_open, 3), iterations=NARROW_PX)[width : 2 * width]


def _histogram_bins(features: Float32[np.ndarray, "height width 3"]) -> Int[np.ndarray, "height width"]:
    index = ((features - LOWEST) / (HIGHEST - LOWEST) * BINS).astype(np.intp).clip(0, BINS - 1)
    return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(index, -1, 0)), tuple(BINS)))


def _colour_evidence(
    bins: Int[np.ndarray, "height width"], shore: Int[np.ndarray, " width"], seeds: Columns, is_open: Columns, turn: int
) -> tuple[Float[np.ndarray, "height width"], float]:
    """Log ratio of water's to ground's colour histogram per pixel, and how far the two histograms overlap.

    In the first round ground is what lies underfoot or in columns that are closed; later also all below the shore.
    """
    height = len(bins)
    rows = np.arange(height)[:, None]
    wet = (rows > height // 2) & (rows < shore) & seeds
    ground = (rows >= np.maximum(shore + 2, periodic.row_at(np.radians(-8), height))) & (
        (rows > periodic.row_at(float(UNDERFOOT), height)) | ~is_open | (turn > 0)
    )
    of_water, of_ground = _histogram(bins[wet]), _histogram(bins[ground])
    rare = 1e-5  # a colour seen in neither is evidence of neither
    ratio = np.log((of_water + rare) / (of_ground + rare)).clip(-3, 3)
    return ratio.ravel()[bins], float(np.minimum(of_water, of_ground).sum())


def _histogram(bins: Int[np.ndarray, " pixels"]) -> Float[np.ndarray, "tone red blue"]:
    counts = np.bincount(bins, minlength=int(BINS.prod())).reshape(BINS).astype(np.float64)
    counts = ndimage.gaussian_filter(counts, (1.5, 1.2, 1.2))
    return counts / max(counts.sum(), 1e-9)


def _shore(
    contrast: Float[np.ndarray, "rows width"], evidence: Float[np.ndarray, "rows width"], is_open: Columns
) -> Int[np.ndarray, " width"]:
    """Row at which the water of each column ends, 0 where it has none: an edge, with water's colours above it."""
    wet_above = np.concatenate([np.zeros_like(evidence[:1]), np.cumsum(evidence, axis=0)[:-1]])
    cost = -1.5 * contrast - 0.1 * wet_above
    cost[:, ~is_open] = 50.0
    cost[0] = 0.0
    return best_boundary(cost, 0.3, np.full(cost.shape[1], 6.0))


def _is_convincing(
    look: Appearance,
    water: Mask,
    evidence: Float[np.ndarray, "height width"],
    contrast: Float[np.ndarray, "rows width"],
    shore: Int[np.ndarray, " width"],
) -> bool:
    height, width = water.shape
    area = (water.sum(axis=1) * np.cos(latitudes(height))).sum() * np.pi / (2 * height * width)
    if area < LEAST_AREA:
        return False
    columns = np.flatnonzero(shore > 6)
    if len(columns) == 0 or contrast[shore[columns], columns].mean() < LEAST_SHORE_CONTRAST:
        return False
    tone = look.features[..., 0]
    _, red, blue = np.median(look.features[water], axis=0)
    return bool(
        np.abs(tone - np.roll(tone, 1, axis=1))[water].mean() < MOST_STREAKS_ACROSS
        and blue - red > LEAST_BLUENESS
        and evidence[water].mean() > LEAST_EVIDENCE
    )


def _without_foreground(water: Mask, tone: Float32[np.ndarray, "height width"]) -> Mask:
    """Cut out what stands before the water and is much darker: people, posts, moored boats."""
    weight = periodic.blur(water.astype(np.float32), 12.0) + 1e-6
    around = periodic.blur(np.where(water, tone, 0).astype(np.float32), 12.0) / weight
    dark = water & (tone < around - 0.9)
    return water & ~periodic.dilate(dark, 2)
