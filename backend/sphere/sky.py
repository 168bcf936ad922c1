"""Finding the sky in a panorama by its smoothness, brightness and colour; no neural network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from . import periodic
from .equirectangular import latitudes

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)  # Rec.709

# Thresholds below are for the working size of ``skyline`` (512 rows), in natural-log units of the feature image.
SMOOTH_GRADIENT = 0.04  # per pixel: below it lie skies with thin clouds, above it every silhouette
SMALLEST_SKY = 0.003  # share of the sphere
SKY_EVIDENCE = 0.8  # e.g. 1.6 times brighter than the brighter ground, and 1.4 times as blue as red
CUT_BY_HORIZON = 0.3  # share of columns in which a region runs on below the horizon: a wall or window, not sky
CUT_AT_SEA = 0.6  # the same for a region that holds the zenith: haze over the sea joins both
CLIPPED = 0.98  # of the brightest pixel: an 8-bit sky that burnt out was brighter, by at least …
CLIPPED_EVIDENCE = 0.35
SMALLEST_GAP_PX = 60
GAP_CONTRAST = 0.8
THIN_CONTRAST = 0.05
SMALLEST_THIN_PX = 10
MOSTLY_ENCLOSED = 0.6  # share of a bright spot's rim that is sky
TOLERANCE = np.array([0.16, 0.16, 0.16], dtype=np.float32)  # tone, red/green, blue/green around the sky's own colour
LOWEST_SKY = np.radians(-0.5)

Features = Float32[np.ndarray, "height width 3"]
Mask = Bool[np.ndarray, "height width"]


@dataclass(frozen=True)
class Appearance:
    """What the parser looks at.

    features: (H, W, 3): tone (log of luminance, saturating at suns), log red/green, log blue/green.
    luminance: (H, W), scene-linear.
    exposure: the luminance of a middling pixel of the upper half.
    """

    features: Features
    luminance: Float32[np.ndarray, "height width"]
    exposure: float


def appearance(image: Float32[np.ndarray, "height width 3"]) -> Appearance:
    """Tone and colour of a scene-linear Rec.709 ``image`` (finite, ≥ 0), independent of its exposure."""
    luminance = image @ LUMINANCE
    upper = luminance[: len(luminance) // 2]
    weight = np.cos(latitudes(len(luminance))[: len(upper)])
    # The geometric mean of the upper half: a clipped or unclipped sun hardly moves it.
    exposure = float(np.exp(np.average(np.log(upper + 1e-6).mean(axis=1), weights=weight)))
    tone = tone_of(luminance, exposure)
    floor = 0.03 * exposure  # keeps the noise of dark pixels out of the ratios
    green = image[..., 1] + floor
    features = np.stack(
        [tone, np.log((image[..., 0] + floor) / green), np.log((image[..., 2] + floor) / green)], axis=-1
    )
    return Appearance(np.ascontiguousarray(features, dtype=np.float32), luminance, exposure)


def tone_of(luminance: Float32[np.ndarray, "height width"], exposure: float) -> Float32[np.ndarray, "height width"]:
    """Logarithm of ``luminance`` that levels out two stops around a hundredth of ``exposure`` and above it."""
    return np.log((luminance + np.float32(0.01 * exposure)) / (luminance + np.float32(exposure)))


def find_sky(look: Appearance) -> Mask:
    """Sky pixels, hard. All False when nothing above the horizon looks like one."""
    seeds = _smooth_skies(look)
    if not seeds.any():
        return seeds
    expected = _spread(look.features, periodic.erode(seeds, 2))
    sky = _of_that_colour(look.features, expected, seeds)
    sky = _with_enclosed_lights(sky, look.features[..., 0] - expected[..., 0])
    sky &= ~_thin_and_dark(sky, look.features[..., 0])
    return _without_specks(sky, look.features[..., 0])


def _horizon_row(height: int) -> int:
    return periodic.row_at(float(LOWEST_SKY), height)


def _smooth_skies(look: Appearance) -> Mask:
    """Regions without edges that are bright and blue enough for a sky and end above the horizon."""
    features = periodic.median(look.features, 5)  # takes out stars, wires and noise
    smooth = periodic.gradient(periodic.blur(features, 1.0)) < SMOOTH_GRADIENT
    smooth[_horizon_row(len(smooth)) :] = False
    labels, count = periodic.label(smooth)
    height, width = smooth.shape
    area = np.cos(latitudes(height)) * (np.pi / (2 * height * width))  # share of the sphere, per pixel
    areas = np.bincount(labels.ravel(), np.repeat(area, width), minlength=count + 1)
    below = look.luminance[periodic.row_at(np.radians(-5), height) : periodic.row_at(np.radians(-60), height)]
    bright_ground = np.percentile(below, 90) + 1e-9
    white = look.luminance >= CLIPPED * look.luminance.max()
    skies = np.zeros_like(smooth)
    for region in np.flatnonzero(areas > SMALLEST_SKY):
        if region == 0:
            continue
        inside = labels == region
        _, red, blue = np.median(features[inside], axis=0)
        brightness = np.log(np.median(look.luminance[inside]) / bright_ground + 1e-9)
        columns = inside.any(axis=0)
        cut = inside[_horizon_row(height) - 2].sum() / columns.sum()
        evidence = brightness + (blue - red) + CLIPPED_EVIDENCE * bool(np.median(white[inside]))
        if evidence > SKY_EVIDENCE and cut < (CUT_AT_SEA if inside[0].any() else CUT_BY_HORIZON):
            skies |= inside
    return skies


def _of_that_colour(features: Features, expected: Features, seeds: Mask) -> Mask:
    """Grow ``seeds`` to their true edges: pixels whose colour is the one ``expected`` of a sky there."""
    residual = features - expected
    residual[..., 0] = np.where(residual[..., 0] > 0, residual[..., 0] / 3, residual[..., 0])  # glow is still sky
    alike = np.square(residual / TOLERANCE).sum(axis=-1) < 9.0  # three tolerances
    alike |= seeds
    alike[_horizon_row(len(alike)) :] = False
    return alike


def _spread(features: Features, seeds: Mask) -> Features:
    """The seeds' colours carried outwards: a normalised blur, fine where seeds are near, wide where they are far."""
    weight = seeds.astype(np.float32)
    weighted = features * weight[..., None]
    total = np.full_like(features, 0.0)
    norm = np.full(seeds.shape, 1e-20, dtype=np.float32)
    shrink = 8
    height, width = seeds.shape[0] // shrink, seeds.shape[1] // shrink
    coarse_weight = periodic.resize(weight, height, width)
    coarse = periodic.resize(weighted, height, width)
    for sigma_px, trust in ((1.0, 1.0), (4.0, 1e-3), (16.0, 1e-6), (64.0, 1e-12)):
        total += trust * periodic.resize(periodic.blur(coarse, sigma_px), *seeds.shape)
        norm += np.float32(trust) * periodic.resize(periodic.blur(coarse_weight, sigma_px), *seeds.shape)
    return total / norm[..., None]


def _with_enclosed_lights(sky: Mask, brighter: Float32[np.ndarray, "height width"]) -> Mask:
    """Close spots that are ``brighter`` than the sky expected there and have sky around them: sun, moon, stars."""
    bright = ~sky & (brighter > 0)
    bright[_horizon_row(len(sky)) :] = False
    labels, count = periodic.label(bright)
    ring = periodic.dilate(bright, 1) & ~bright
    enclosed = _mean_per_label(sky, _nearest_labels(labels, ring), ring, count) > MOSTLY_ENCLOSED
    enclosed[0] = False
    return sky | enclosed[labels]


def _thin_and_dark(sky: Mask, tone: Float32[np.ndarray, "height width"]) -> Mask:
    """Masts, cranes, cables and twigs before the sky: darker than all that is within three pixels (a black hat)."""
    closed = -periodic.grey_dilate(-periodic.grey_dilate(tone, 3), 3)
    depth = closed - tone
    noise = float(np.median(depth[sky])) if sky.any() else 0.0
    labels, count = periodic.label(sky & (depth > THIN_CONTRAST + 14 * noise))
    true_width = np.repeat(np.cos(latitudes(len(sky))), sky.shape[1])  # near the zenith any dot is a long row
    long = np.bincount(labels.ravel(), true_width, minlength=count + 1) >= SMALLEST_THIN_PX
    long[0] = False
    return long[labels]


def _without_specks(sky: Mask, tone: Float32[np.ndarray, "height width"]) -> Mask:
    """Drop gaps too small to matter, and those not much brighter than what surrounds them (a sky seen in a window)."""
    labels, count = periodic.label(sky)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    ring = periodic.dilate(sky, 3) & ~sky
    around = _mean_per_label(tone, _nearest_labels(labels, ring), ring, count)
    within = _mean_per_label(tone, labels, sky, count)
    keep = (sizes >= SMALLEST_GAP_PX) & (within > around + GAP_CONTRAST)
    keep |= sizes > SMALLEST_SKY * sky.size
    keep[0] = False
    return keep[labels]


def _nearest_labels(labels: np.ndarray, ring: Mask) -> np.ndarray:
    """For pixels of ``ring``: the largest label within three pixels (a region's own, up to rare ties)."""
    spread = periodic.grey_dilate(labels.astype(np.float32), 3)
    return np.where(ring, spread, 0).astype(labels.dtype)


def _mean_per_label(values: np.ndarray, labels: np.ndarray, where: Mask, count: int) -> np.ndarray:
    picked = labels[where]
    total = np.bincount(picked, values[where], minlength=count + 1)
    return total / np.maximum(np.bincount(picked, minlength=count + 1), 1)
