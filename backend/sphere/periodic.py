"""Filters and connected regions on equirectangular images: periodic in longitude, so nothing shows at ±180°.

Every function here commutes with a turn of the panorama by whole columns.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy import ndimage

from .equirectangular import with_border

Image = Float32[np.ndarray, "height width *channels"]
Map = Float32[np.ndarray, "height width"]


def row_at(latitude: float, height: int) -> int:
    """First row whose pixel centre lies at or below ``latitude`` (radians)."""
    return int(np.clip(np.ceil((0.5 - latitude / np.pi) * height - 0.5), 0, height))


def _inner(padded: np.ndarray, margin: int) -> np.ndarray:
    return np.ascontiguousarray(padded[margin:-margin, margin:-margin])


def blur(image: Image, sigma_px: float, sigma_rows_px: float | None = None) -> Image:
    """Gaussian blur, ``sigma_px`` along a row and ``sigma_rows_px`` (default: the same) across rows."""
    sigma_rows_px = sigma_px if sigma_rows_px is None else sigma_rows_px
    margin = int(np.ceil(3 * max(sigma_px, sigma_rows_px))) + 1
    padded = with_border(image, margin)
    return _inner(cv2.GaussianBlur(padded, (0, 0), sigmaX=sigma_px, sigmaY=sigma_rows_px), margin)


def median(image: Image, size: int) -> Image:
    """Median of ``size`` × ``size`` pixels (3 or 5), each channel for itself: removes stars and thin wires."""
    return _inner(cv2.medianBlur(with_border(image, size), size), size)


def box(image: Image, radius: int) -> Image:
    """Mean over a square of ``2·radius + 1`` pixels."""
    margin = radius + 1
    return _inner(cv2.blur(with_border(image, margin), (2 * radius + 1, 2 * radius + 1)), margin)


def erode(mask: Bool[np.ndarray, "height width"], radius: int) -> Bool[np.ndarray, "height width"]:
    """Shrink ``mask`` by ``radius`` pixels; the poles are no edge."""
    return ~dilate(~mask, radius)


def dilate(mask: Bool[np.ndarray, "height width"], radius: int) -> Bool[np.ndarray, "height width"]:
    """Grow ``mask`` by a disc of ``radius`` pixels."""
    return grey_dilate(mask.astype(np.uint8), radius).astype(bool)


def grey_dilate(image: np.ndarray, radius: int) -> np.ndarray:
    """Largest value within a disc of ``radius`` pixels (8-bit or float32)."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    margin = radius + 1
    return _inner(cv2.dilate(with_border(image, margin), disc), margin)


def distance_inside(mask: Bool[np.ndarray, "height width"], reach: int) -> Map:
    """Pixels from each pixel of ``mask`` to the nearest outside it, up to ``reach``; 0 outside."""
    margin = reach + 2
    padded = with_border(mask.astype(np.uint8), margin)
    return np.minimum(_inner(cv2.distanceTransform(padded, cv2.DIST_L2, 5), margin), np.float32(reach))


def gradient(image: Image) -> Map:
    """Length of the gradient per pixel, over all channels together (Scharr)."""
    padded = with_border(image, 1)
    across = cv2.Scharr(padded, cv2.CV_32F, 1, 0, scale=1 / 32)
    down = cv2.Scharr(padded, cv2.CV_32F, 0, 1, scale=1 / 32)
    squared = across * across + down * down
    squared = squared.sum(axis=2) if squared.ndim == 3 else squared
    return _inner(np.sqrt(squared), 1)


def label(mask: Bool[np.ndarray, "height width"]) -> tuple[Int[np.ndarray, "height width"], int]:
    """Connected regions of ``mask``, across ±180° and over the poles too: labels from 1 on, and their number."""
    labels = np.empty(mask.shape, dtype=np.int32)
    count = int(ndimage.label(mask, output=labels))  # pyright: ignore[reportArgumentType]
    parent = np.arange(count + 1)

    def root(a: int) -> int:
        while parent[a] != a:
            a = parent[a]
        return a

    touching = np.stack([labels[:, 0], labels[:, -1]], axis=1)
    # All pixels of a polar row meet in one point.
    poles = [np.stack([row, np.full_like(row, row.max())], axis=1) for row in (labels[0], labels[-1])]
    for a, b in np.unique(np.concatenate([touching, *poles]), axis=0):
        if a and b:
            parent[root(a)] = root(b)
    roots = np.array([root(a) for a in range(count + 1)])
    kept, renamed = np.unique(roots, return_inverse=True)
    return renamed[labels], len(kept) - 1


def resize(image: Image, height: int, width: int) -> Image:
    """Resample to (height, width): areas are averaged when shrinking, linear interpolation when growing."""
    if image.shape[:2] == (height, width):
        return image
    if image.shape[1] >= width:
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    margin = 2
    scale_x = width / image.shape[1]
    matrix = np.array(
        [
            [1 / scale_x, 0, 0.5 / scale_x - 0.5 + margin],
            [0, image.shape[0] / height, 0.5 * image.shape[0] / height - 0.5],
        ]
    )
    return cv2.warpAffine(
        with_border(image, margin, 0),
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def settle_poles(image: Map, rows: int = 12) -> Map:
    """Blur along the ``rows`` next to each pole as far as one pixel reaches there, so that a pole has one value."""
    settled = image.copy()
    height, width = image.shape
    frequency = np.fft.rfftfreq(width)
    for distance in range(min(rows, height // 4)):
        reach_px = width / (2 * np.pi * (distance + 0.5))  # columns as far apart as a row is from the pole
        keep = np.exp(-2 * (np.pi * frequency * reach_px) ** 2) if distance else frequency == 0
        for row in (distance, height - 1 - distance):
            settled[row] = np.fft.irfft(np.fft.rfft(image[row]) * keep, width)
    return np.clip(settled, image.min(), image.max())


def evened(curve: Float[np.ndarray, " columns"], sigma_px: float, step: float) -> Float[np.ndarray, " columns"]:
    """A value of each column, smoothed over ``sigma_px`` columns but for steps much larger than ``step``.

    A bilateral filter (Tomasi and Manduchi, *Bilateral filtering for gray and color images*, 1998), applied four times.
    """
    reach = int(3 * sigma_px)
    offsets = np.arange(-reach, reach + 1)
    nearness = np.exp(-0.5 * (offsets / sigma_px) ** 2)[:, None]
    for _ in range(4):
        shifted = np.stack([np.roll(curve, offset) for offset in offsets])
        weight = nearness * np.exp(-0.5 * ((shifted - curve) / step) ** 2)
        curve = (weight * shifted).sum(axis=0) / weight.sum(axis=0)
    return curve


def guided_coefficients(guide: Map, target: Map, radius: int, epsilon: float) -> tuple[Map, Map]:
    """Slope and offset of the guided filter (He et al., *Guided Image Filtering*, eq. 5 and 6), averaged (eq. 8).

    ``slope · guide + offset`` is ``target`` with the edges of ``guide``.
    """
    mean_guide, mean_target = box(guide, radius), box(target, radius)
    covariance = box(guide * target, radius) - mean_guide * mean_target
    variance = box(guide * guide, radius) - mean_guide * mean_guide
    slope = covariance / (variance + np.float32(epsilon))
    return box(slope, radius), box(mean_target - slope * mean_guide, radius)
