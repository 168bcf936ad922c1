"""What stands where in a panorama: sky, water, ground, and upright things between their foot and the skyline.

A stand-in for a segmentation network, from smoothness, colour and contrast alone. Everything is found at one working
size, so that neither cost nor result depends on the size of the image, and carried to the image's own edges by a
guided filter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from . import periodic
from .boundaries import best_boundary, step_contrast
from .equirectangular import latitudes
from .sky import LUMINANCE, Appearance, appearance, find_sky, tone_of
from .water import find_water

WORKING_HEIGHT = 512
BRIGHTEST = 1e6  # luminance at which pixels are clipped; no display-referred meaning
HIGHEST_CONTACT_ROW = WORKING_HEIGHT // 2 + 2  # 0.7° below the horizon: 130 m away for a standing viewer
LOWEST_CONTACT = np.radians(-50.0)
CONTRAST_REACH_PX = 14
STEP_COST = 0.12  # per row that the contact climbs from one column to the next; a perfect edge is worth 1 per column
ROOFED = 0.7  # share of the zenith that is covered
OVERHEAD = np.radians(60.0)  # what is above this latitude is overhead
SOFT_EDGE = np.radians(1.5)  # width of the inner edge of proposed regions
SMALLEST_REGION = 0.002  # share of the pixels

Map = Float32[np.ndarray, "height width"]
Curve = Float32[np.ndarray, " width"]
Mask = Bool[np.ndarray, "height width"]


@dataclass(frozen=True)
class Layout:
    """The parts of a panorama.

    sky, water, ground, upright: (H, W), 0..1, shares of each pixel that sum to 1.
    skyline: (W,) latitude in radians at which upright things end: at the sky, or indoors at the ceiling.
    contact: (W,) latitude in radians, below 0, at which they meet the ground; -0.7° where the view is open.
    overhead: share of the directions above 60° that is covered by a roof or crowns, 0..1.
    has_sky: whether any sky was found.
    """

    sky: Map
    water: Map
    ground: Map
    upright: Map
    skyline: Curve
    contact: Curve
    overhead: float
    has_sky: bool

    @property
    def is_indoor(self) -> bool:
        """No sky, or a roof over the viewer."""
        return self.overhead > ROOFED


@dataclass(frozen=True)
class MovingRegions:
    """Where a panorama may move: (H, W) masks, 0..1, exactly 0 outside, rising to 1 within 1.5° of their edges."""

    sky: Map
    water: Map


def parse(image: Float32[np.ndarray, "height width 3"]) -> Layout:
    """Find the parts of a panorama.

    Args:
        image: equirectangular, width = 2 · height, scene-linear Rec.709. NaN counts as black.
    """
    height, width = image.shape[:2]
    working = periodic.resize(_finite(image), WORKING_HEIGHT, 2 * WORKING_HEIGHT)
    look = appearance(working)
    sky = find_sky(look)
    overhead = _overhead(sky)
    water = find_water(look, sky) if overhead < ROOFED else np.zeros_like(sky)  # a burnt-out yard is no lake
    contact = _contact(look, water, overhead)
    skyline = _skyline(look, sky, overhead)
    soft_sky, soft_water = _soft([sky, water], look, image)
    below = periodic.resize(_below(contact), height, width)
    ground = below * (1 - soft_water) * (1 - soft_sky)
    soft_water = soft_water * (1 - soft_sky)
    return Layout(
        sky=soft_sky,
        water=soft_water,
        ground=ground,
        upright=np.clip(1 - soft_sky - soft_water - ground, 0, 1),
        skyline=_resampled(skyline, width),
        contact=_resampled(contact, width),
        overhead=overhead,
        has_sky=bool(sky.any()),
    )


def propose(layout: Layout) -> MovingRegions:
    """What could move when the artist painted nothing: the sky and the water, less all that stands before them."""
    return MovingRegions(sky=_region(layout.sky), water=_region(layout.water))


def _region(share: Map) -> Map:
    inside = share > 0.9
    labels, count = periodic.label(inside)
    large = np.bincount(labels.ravel(), minlength=count + 1) > SMALLEST_REGION * share.size
    large[0] = False
    reach = max(2, round(float(SOFT_EDGE) / np.pi * len(share)))
    depth = periodic.distance_inside(large[labels], reach + 1)
    edge = np.clip((depth - 1) / reach, 0, 1)  # the outermost pixel holds some of its neighbour: it stays
    return (edge * edge * (3 - 2 * edge)).astype(np.float32)


def _finite(image: Float32[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "height width 3"]:
    clean = np.nan_to_num(image, nan=0.0, posinf=BRIGHTEST, neginf=0.0)
    return np.clip(clean, 0, BRIGHTEST, out=clean).astype(np.float32, copy=False)


def _overhead(sky: Mask) -> float:
    rows = periodic.row_at(float(OVERHEAD), len(sky))
    weight = np.cos(latitudes(len(sky))[:rows])
    return float(1 - np.average(sky[:rows].mean(axis=1), weights=weight))


def _row_latitude(row: np.ndarray) -> np.ndarray:
    """Latitude of the upper edge of a working row."""
    return (0.5 - row / WORKING_HEIGHT) * np.pi


def _contact(look: Appearance, water: Mask, overhead: float) -> Curve:
    """Where upright things meet the ground: the clearest edge, near the horizon outdoors, lower under a roof."""
    features = periodic.blur(periodic.median(look.features, 3), 3.0, 0.8)
    first, last = HIGHEST_CONTACT_ROW, periodic.row_at(float(LOWEST_CONTACT), WORKING_HEIGHT)
    contrast = step_contrast(features, first, last, CONTRAST_REACH_PX)
    below = -np.degrees(_row_latitude(np.arange(first, last)))[:, None]
    # Open country ends near the horizon; a room's walls end some 25° below it (3.4 m away for a standing viewer).
    outdoors, indoors = below / 14, np.abs(below - 25) / 60
    cost = -contrast + (1 - overhead) * outdoors + overhead * indoors
    open_water = water[first + 2]
    cost[:, open_water] = np.where(below > below[0], 50.0, 0.0)
    # A room's walls meet; only outdoors does one stand clear of another.
    row = best_boundary(cost, STEP_COST, _jump_cost(features) * (1 + 3 * overhead))
    return _even(_row_latitude(row + first), sigma_px=8.0 + 8.0 * overhead)


def _jump_cost(features: Float32[np.ndarray, "height width 3"]) -> Float[np.ndarray, " width"]:
    """Price of a step from one wall to another between columns: fair at a vertical edge near the horizon, else dear."""
    band = slice(periodic.row_at(np.radians(8), len(features)), periodic.row_at(np.radians(-4), len(features)))
    profile = features[band].mean(axis=0).astype(np.float64)
    left = np.mean([np.roll(profile, k, axis=0) for k in range(5)], axis=0)
    right = np.mean([np.roll(profile, -k, axis=0) for k in range(1, 6)], axis=0)
    difference = np.square(left - right).sum(axis=-1)
    return 24.0 - 18.0 * difference / (difference + 0.1)


_SAME_WALL = 0.3
"""Natural logarithm of the horizontal distance: steps beyond a factor of two stay."""


def _even(contact: Float[np.ndarray, " width"], sigma_px: float) -> Curve:
    """Smooth the contact as a wall's distance is felt, in its logarithm, but keep true steps from wall to wall."""
    log_distance = periodic.evened(-np.log(np.tan(-contact)), sigma_px, _SAME_WALL)
    return (-np.arctan(np.exp(-log_distance))).astype(np.float32)


def _skyline(look: Appearance, sky: Mask, overhead: float) -> Curve:
    """Lower edge of the sky per column, or under a roof the line where walls meet the ceiling."""
    if overhead > 0.5:
        return _ceiling_line(look)
    upper = sky[: WORKING_HEIGHT // 2 + 1].astype(np.float64)
    # Price of a boundary: what is no sky above it, and what is sky below it.
    wrong_above = np.concatenate([np.zeros_like(upper[:1]), np.cumsum(1 - upper, axis=0)[:-1]])
    wrong_below = upper[::-1].cumsum(axis=0)[::-1]
    row = best_boundary(wrong_above + wrong_below, 0.5, np.full(sky.shape[1], 20.0))
    return _row_latitude(row).astype(np.float32)


def _ceiling_line(look: Appearance) -> Curve:
    features = periodic.blur(periodic.median(look.features, 3), 3.0, 0.8)
    first = periodic.row_at(np.radians(70), WORKING_HEIGHT)
    last = periodic.row_at(np.radians(5), WORKING_HEIGHT)
    contrast = step_contrast(features, first, last, CONTRAST_REACH_PX)
    above = np.degrees(_row_latitude(np.arange(first, last)))[:, None]
    row = best_boundary(np.abs(above - 25) / 60 - contrast, STEP_COST, _jump_cost(features))
    return _row_latitude(row + first).astype(np.float32)


def _below(contact: Curve) -> Map:
    """Share of each working pixel that lies below the contact."""
    row = (0.5 - contact / np.pi) * WORKING_HEIGHT
    return np.clip(np.arange(WORKING_HEIGHT)[:, None] + 1 - row, 0, 1).astype(np.float32)


def _soft(masks: list[Mask], look: Appearance, image: Float32[np.ndarray, "height width 3"]) -> list[Map]:
    """Each mask at the size of ``image``, with the image's own edges (fast guided filter, He & Sun 2015)."""
    size = image.shape[:2]
    guide = tone_of(_finite(image) @ LUMINANCE, look.exposure)
    return [
        _guided(mask, look.features[..., 0], guide, size) if mask.any() else np.zeros(size, np.float32)
        for mask in masks
    ]


def _guided(mask: Mask, tone: Map, guide: Map, size: tuple[int, int]) -> Map:
    slope, offset = periodic.guided_coefficients(np.ascontiguousarray(tone), mask.astype(np.float32), 3, epsilon=0.01)
    soft = periodic.resize(slope, *size) * guide + periodic.resize(offset, *size)
    soft = np.clip((soft - 0.15) / 0.7, 0, 1)
    # The filter may move an edge by two pixels, no further.
    surely = periodic.resize(periodic.erode(mask, 2).astype(np.float32), *size)
    perhaps = periodic.resize(periodic.dilate(mask, 2).astype(np.float32), *size)
    thin_gaps = periodic.erode(periodic.dilate(mask, 2), 2) & ~mask  # the filter would close them
    soft = np.minimum(
        np.maximum(soft, surely), np.minimum(perhaps, 1 - periodic.resize(thin_gaps.astype(np.float32), *size))
    )
    return periodic.settle_poles(soft.astype(np.float32))


def _resampled(curve: Curve, width: int) -> Curve:
    """A curve over longitude, at the pixel centres of another width."""
    source = (np.arange(len(curve)) + 0.5) / len(curve)
    target = (np.arange(width) + 0.5) / width
    return np.interp(target, source, curve, period=1.0).astype(np.float32)
