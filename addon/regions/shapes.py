"""Boxes and arrows as what is drawn: in the image (0..1 to the right and up) and on the dome around the viewer."""

from __future__ import annotations

from math import ceil, floor

import numpy as np

from ...bridge.settings import Box, Stroke
from .places import direction, image_at

Rectangle = tuple[float, float, float, float]
"""Left, bottom, right and top in the image, 0..1."""

Point = tuple[float, float]

STEP_DEGREES = 4.0
"""Sheets and lines on the dome are bent at least so often."""


def rectangles(box: Box) -> list[Rectangle]:
    """The box in the image: in two pieces where it crosses ±180°; beyond a pole it goes on down the other side."""
    bottom, top = box.latitude - box.height / 2, box.latitude + box.height / 2
    bands = [(box.longitude, max(bottom, -90.0), min(top, 90.0))]
    if top > 90.0:
        bands.append((box.longitude + 180.0, 180.0 - top, 90.0))
    if bottom < -90.0:
        bands.append((box.longitude + 180.0, -90.0, -180.0 - bottom))
    found = []
    for longitude, lower, upper in bands:
        for left, right in _pieces(longitude - box.width / 2, box.width):
            found.append((left, image_at(0, lower)[1], right, image_at(0, upper)[1]))
    return found


def _pieces(start: float, width: float) -> list[tuple[float, float]]:
    """What lies between two meridians, as parts of the image's width."""
    if width >= 360.0:
        return [(0.0, 1.0)]
    left = image_at(start, 0)[0] % 1.0
    right = left + width / 360.0
    return [(left, right)] if right <= 1.0 else [(left, 1.0), (0.0, right - 1.0)]


def shafts(stroke: Stroke) -> list[tuple[Point, Point]]:
    """Start and tip of the arrow in the image; again one image further where it crosses ±180°."""
    start = image_at(stroke.longitude, stroke.latitude)
    tip = image_at(stroke.longitude + stroke.d_longitude, stroke.latitude + stroke.d_latitude)
    low, high = sorted((start[0], tip[0]))
    shifts = range(-floor(high), ceil(1 - low)) if high > low else (-floor(low),)
    return [((start[0] + shift, start[1]), (tip[0] + shift, tip[1])) for shift in shifts]


def head(start: Point, tip: Point, size: float) -> tuple[Point, Point]:
    """The two outer points of an arrow's head of ``size``, in the unit of ``start`` and ``tip``."""
    along = np.subtract(tip, start)
    length = max(float(np.hypot(*along)), 1e-9)
    back = along / length * min(size, 0.7 * length)
    aside = np.array([-back[1], back[0]]) * 0.55
    left, right = tip - back + aside, tip - back - aside
    return (float(left[0]), float(left[1])), (float(right[0]), float(right[1]))


def sheet(rectangle: Rectangle) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A part of the unit sphere about the viewer, seen from inside.

    Returns:
        (n, 3) positions in scene space, (n, 2) where each is in the image, (m, 3) triangles, counter-clockwise as seen
        from the origin.
    """
    left, bottom, right, top = rectangle
    columns = max(ceil((right - left) * 360.0 / STEP_DEGREES), 1)
    rows = max(ceil((top - bottom) * 180.0 / STEP_DEGREES), 1)
    u, v = np.meshgrid(np.linspace(left, right, columns + 1), np.linspace(bottom, top, rows + 1))
    theta, phi = (u - 0.5) * 2 * np.pi, (v - 0.5) * np.pi
    positions = np.stack([np.cos(phi) * np.sin(theta), np.cos(phi) * np.cos(theta), np.sin(phi)], axis=-1)
    corner = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).ravel()
    above = corner + columns + 1
    lower = np.stack([corner, corner + 1, above + 1], axis=-1)
    upper = np.stack([corner, above + 1, above], axis=-1)
    return (
        positions.reshape(-1, 3).astype(np.float32),
        np.stack([u, v], axis=-1).reshape(-1, 2).astype(np.float32),
        np.concatenate([lower, upper]).astype(np.int32),
    )


def arrow_on_dome(stroke: Stroke, size: float = 4.0) -> list[list[tuple[float, float, float]]]:
    """Three lines on the unit sphere: the shaft, and both sides of a head of ``size`` degrees."""
    start = (stroke.longitude, stroke.latitude)
    tip = (stroke.longitude + stroke.d_longitude, stroke.latitude + stroke.d_latitude)
    steps = max(ceil(max(abs(stroke.d_longitude), abs(stroke.d_latitude)) / STEP_DEGREES), 1)
    along = np.linspace(start, tip, steps + 1)
    shaft = [direction(float(longitude), float(latitude)) for longitude, latitude in along]
    narrowing = max(
        float(np.cos(np.radians(tip[1]))), 0.05
    )  # a degree of longitude is so much shorter than one of latitude
    sides = head((start[0] * narrowing, start[1]), (tip[0] * narrowing, tip[1]), size)
    left, right = (direction(x / narrowing, y) for x, y in sides)
    return [shaft, [left, shaft[-1]], [right, shaft[-1]]]
