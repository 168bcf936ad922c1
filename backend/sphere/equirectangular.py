"""Equirectangular images: where each pixel looks, and sampling without a seam.

Scene space: +Z up, the image's centre looks along +Y, its right half towards +X. Longitude θ = (u - 1/2)·2π,
latitude φ = (1/2 - v)·π, direction = (cosφ·sinθ, cosφ·cosθ, sinφ); pixel centres at (i + 1/2).
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

_BORDER = 4
"""Pixels added around an image before sampling; the cubic kernel reaches 2."""


def longitudes(width: int) -> Float[np.ndarray, " width"]:
    """Longitude of each column's centre, radians in (-π, π), rising to the right."""
    return (np.arange(width) + 0.5) * (2 * np.pi / width) - np.pi


def latitudes(height: int) -> Float[np.ndarray, " height"]:
    """Latitude of each row's centre, radians in (-π/2, π/2), falling downwards."""
    return np.pi / 2 - (np.arange(height) + 0.5) * (np.pi / height)


def direction(longitude, latitude) -> Float[np.ndarray, "*shape 3"]:
    """Unit vectors towards longitudes and latitudes in radians (broadcast against each other)."""
    cos = np.cos(latitude)
    return np.stack(
        np.broadcast_arrays(cos * np.sin(longitude), cos * np.cos(longitude), np.sin(latitude)), axis=-1
    ).astype(np.float32)


def directions(height: int) -> Float[np.ndarray, "height width 3"]:
    """Unit vectors of all pixels of an image of ``height`` x ``2·height``."""
    return direction(longitudes(2 * height)[None, :], latitudes(height)[:, None])


def tangents(height: int) -> tuple[Float[np.ndarray, "height width 3"], Float[np.ndarray, "height width 3"]]:
    """Unit vectors to the east (towards the right) and to the north (upwards) at all pixels."""
    longitude, latitude = longitudes(2 * height)[None, :], latitudes(height)[:, None]
    east = direction(longitude + np.pi / 2, np.zeros_like(latitude))
    north = direction(longitude, latitude + np.pi / 2)
    return np.ascontiguousarray(np.broadcast_to(east, north.shape)), north


def pixels(directions: Float[np.ndarray, "*shape 3"], height: int) -> tuple[np.ndarray, np.ndarray]:
    """Column and row, float32 in pixel-centre units (0 is the first pixel's centre), of directions of any length."""
    x, y, z = directions[..., 0], directions[..., 1], directions[..., 2]
    column = np.arctan2(x, y) * (height / np.pi) + (height - 0.5)
    row = np.arctan2(-z, np.hypot(x, y)) * (height / np.pi) + (height / 2 - 0.5)
    return column.astype(np.float32), row.astype(np.float32)


def with_border(
    image: Float[np.ndarray, "height width *channels"], border: int = _BORDER, rows: int | None = None
) -> np.ndarray:
    """The image continued around ±180° by ``border`` columns and over the poles by ``rows`` (default: as many)."""
    rows = border if rows is None else rows
    height, width = image.shape[:2]
    row = np.arange(-rows, height + rows) % (2 * height)  # on along the meridian: down the image, up its other side
    beyond = row >= height
    tall = image[np.where(beyond, 2 * height - 1 - row, row)]
    tall[beyond] = np.roll(tall[beyond], width // 2, axis=1)
    return np.take(tall, np.arange(-border, width + border) % width, axis=1)


def sample(
    image: Float[np.ndarray, "height width *channels"],
    directions: Float[np.ndarray, "rows columns 3"],
    interpolation: int = cv2.INTER_CUBIC,
) -> Float[np.ndarray, "rows columns *channels"]:
    """What the panorama shows in the given directions; right across ±180° and the poles. float32, any colour space."""
    return sample_bordered(with_border(image), directions, image.shape[0], interpolation)


def sample_bordered(
    bordered: np.ndarray, directions: Float[np.ndarray, "rows columns 3"], height: int, interpolation: int
) -> np.ndarray:
    """``sample`` of an image that ``with_border`` has prepared (``height``: without the border)."""
    column, row = pixels(directions, height)
    return cv2.remap(
        bordered, column + _BORDER, row + _BORDER, interpolation=interpolation, borderMode=cv2.BORDER_REPLICATE
    )
