"""A depth panorama of the artist's own: an estimator that has already answered."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ...bridge.errors import CycloramaError
from ...bridge.paths import checked_path
from ..sphere.pictures import read_pixels
from .metres import factor_by_ground

_EIGHT_BITS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"})

_UNLIKELY = 3.0
"""Times the eye height."""

_NEAREST = 1e-3
"""Metres, or of the eye height."""


def read_depth(
    path: Path, height: int, kind: str, *, eye_height: float, far: float
) -> tuple[Float[np.ndarray, "height width"], tuple[str, ...]]:
    """Distance along the ray, metres, ``height`` x ``2·height``; and what is to be said of it, a sentence each.

    Args:
        path: of a 2:1 EXR (or any float picture); its first channel counts. Of another size it is resized without
            mixing what lies before a depth edge with what lies behind.
        kind: "distance" in metres (above 0; infinity, and Blender's 1e10 for nothing, are the far distance), or
            "disparity": 1 / distance up to a factor, 0 for infinity; the ground at ``eye_height`` tells the factor.
        far: metres, for what is infinitely far.

    Raises:
        CycloramaError: missing, no picture, not 2:1, NaN, negative, or the same everywhere.
    """
    values = _values(path, kind)
    notes = []
    if values.shape[0] != height:
        notes.append(
            f"The depth file's {values.shape[1]} x {values.shape[0]} pixels were taken at {2 * height} x {height}."
        )
        values = _resized(values, height)
    if kind == "disparity":
        nearest = values[np.isfinite(values)].max()
        values = 1 / np.clip(values, nearest * 1e-6, nearest)
        factor, even = factor_by_ground(values, eye_height)
        values = values * factor
        if not even:
            notes.append("The ground in the depth file is uneven: check the scene's size, or the eye height.")
    distance = np.clip(values, _NEAREST, max(far, _NEAREST)).astype(np.float32)
    if np.ptp(distance) <= 1e-3 * distance.max():
        raise CycloramaError(
            "depth-file-constant",
            f"In the depth file {path} everything is {distance.max():g} m away once what is beyond the sky is cut off.",
            "Are its numbers metres? Else convert them, or choose a larger sky distance.",
        )
    if kind == "distance":
        ground = eye_height / factor_by_ground(distance, eye_height)[0]
        if not 1 / _UNLIKELY < ground / eye_height < _UNLIKELY:
            notes.append(
                f"In the depth file the ground lies {ground:.3g} m below the viewer, not {eye_height:g} m: "
                "check that its numbers are metres along the ray."
            )
    return distance, tuple(notes)


def _values(path: Path, kind: str) -> Float[np.ndarray, "rows columns"]:
    if not os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises for names too long)
        raise CycloramaError("depth-file-missing", f"There is no depth file {path}.", "Choose an EXR file.")
    try:
        pixels = read_pixels(checked_path(path))
    except OSError as error:
        raise CycloramaError("depth-file-unreadable", f"The depth file {error}.", "Choose an EXR file.") from error
    if path.suffix.lower() in _EIGHT_BITS or (pixels.shape[-1] >= 3 and np.ptp(pixels[..., :3], axis=-1).max() > 0):
        raise CycloramaError(
            "depth-file-is-a-picture",
            f"{path} is a picture, not distances: its numbers are colours.",
            "Choose an EXR of one channel, as a panoramic camera's depth pass is saved.",
        )
    values = pixels[..., 0].astype(np.float64)
    rows, columns = values.shape
    if abs(columns - 2 * rows) > 0.01 * columns or rows < 8:
        raise CycloramaError(
            "depth-file-not-2-to-1",
            f"The depth file {path} has {columns} x {rows} pixels; a depth panorama is twice as wide as high.",
            "Render it with the same panoramic camera as the panorama.",
        )
    wrong = ~(values > 0) if kind == "distance" else ~((values >= 0) & np.isfinite(values))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise CycloramaError(
            "depth-file-not-positive",
            f"The depth file {path} has a {kind} of {values[row, column]:g} at column {column}, row {row}.",
            "Distances are above 0, disparities not below. Repair it, or export it again.",
        )
    finite = values[np.isfinite(values)]
    if not len(finite) or (len(finite) == values.size and np.ptp(finite) <= 1e-6 * finite.max()):
        raise CycloramaError(
            "depth-file-constant",
            f"The depth file {path} has the same value everywhere.",
            "Was the right channel saved? Its first channel counts.",
        )
    return values


def _resized(values: Float[np.ndarray, "rows columns"], height: int) -> Float[np.ndarray, "height width"]:
    """The nearest value where pixels are mixed: the mean of two surfaces is on neither."""
    rows = ((np.arange(height) + 0.5) * (values.shape[0] / height)).astype(int)
    columns = ((np.arange(2 * height) + 0.5) * (values.shape[1] / (2 * height))).astype(int)
    return values[rows][:, columns]
