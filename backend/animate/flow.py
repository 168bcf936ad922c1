"""The flow field on the sphere: how fast, and in which direction, each pixel of a panorama moves.

A field is (height, 2·height, 3) float32: tangent vectors in scene space, radians of arc per second. Being vectors in
space and not in the image, they know no seam and no pole.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ...bridge.errors import CycloramaError
from ...bridge.settings import Stroke
from ..sphere.equirectangular import direction, directions, pixels
from ..sphere.periodic import blur, distance_inside

Field = Float[np.ndarray, "height width 3"]
Mask = Float[np.ndarray, "height width"]

_FEATHER_DEGREES = 1.5
"""Inside a region's edge the flow falls to zero over this width."""

_STROKE_REACH_DEGREES = 25.0
"""Between two strokes further apart than this, each keeps its own direction around it."""

_SKY_DEGREES_PER_SECOND = 1.2
_WATER_METRES_PER_SECOND = 0.22

_SOURCE_BRIGHTNESS = 8.0
"""A pixel so many times brighter than its region's median is a light source or its glare, and does not drift."""


def stroke_flow(mask: Mask, strokes: Sequence[Stroke]) -> Field:
    """The flow that direction strokes ask for inside ``mask`` (0..1), zero outside.

    Each stroke turns the sphere rigidly about the axis across its arrow; between strokes the axes are blended, by
    weights that fall off with the distance to each. A turning sphere neither opens nor closes anywhere.

    Raises:
        CycloramaError: a stroke has no length.
    """
    height = mask.shape[0]
    towards = directions(height)
    sharpness = 1 / (1 - np.cos(np.deg2rad(_STROKE_REACH_DEGREES)))
    turning = np.zeros_like(towards)
    weights = np.full(mask.shape, 1e-12, np.float32)
    for number, stroke in enumerate(strokes, 1):
        start, axis = _axis(stroke, number)
        weight = np.exp(sharpness * (towards @ start - 1))
        turning += weight[..., None] * axis
        weights += weight
    nearest = np.maximum(weights, 1e-12)[..., None]
    return np.cross(turning / nearest, towards) * soften(mask)[..., None]


def check_inside(mask: Mask, strokes: Sequence[Stroke]) -> None:
    """Raise ``CycloramaError`` "stroke-outside-mask" for the first stroke that starts where ``mask`` is black."""
    for number, stroke in enumerate(strokes, 1):
        column, row = pixels(direction(*np.deg2rad([stroke.longitude, stroke.latitude])), len(mask))
        row = np.clip(np.rint(row), 0, len(mask) - 1)
        if mask[int(row), int(np.rint(column)) % mask.shape[1]] <= 0:
            raise CycloramaError(
                "stroke-outside-mask",
                f"Stroke {number} starts at longitude {stroke.longitude:g}°, latitude {stroke.latitude:g}°, "
                "outside the region that moves.",
                "Start it inside, or paint a mask that covers it.",
            )


def drift(sky: Mask, water: Mask, image: Float[np.ndarray, "height width 3"], eye_height: float, seed: int) -> Field:
    """The gentle motion proposed where the artist drew no stroke.

    The sky turns about the zenith; water slides along its plane, ``eye_height`` metres below the eye, so its near
    parts move faster across the picture than the horizon. Light sources stand still. ``seed`` chooses directions.
    """
    random = np.random.default_rng(seed)
    towards = directions(len(sky))
    turn = np.deg2rad(_SKY_DEGREES_PER_SECOND) * random.choice((-1.0, 1.0))
    over = np.cross(np.array([0, 0, -turn], np.float32), towards) * (soften(sky) * steady(image, sky))[..., None]
    along = direction(_facing(water, towards) + np.pi + random.uniform(-0.6, 0.6), 0.0) * _WATER_METRES_PER_SECOND
    tangential = along - (towards @ along)[..., None] * towards
    slide = (
        tangential * (np.maximum(-towards[..., 2], 0) / eye_height * soften(water) * steady(image, water))[..., None]
    )
    return (over + slide).astype(np.float32)


def soften(mask: Mask) -> Mask:
    """``mask`` with edges that rise smoothly from zero inside it; zero stays exactly zero."""
    reach = _FEATHER_DEGREES * len(mask) / 180
    if mask.all():
        return mask.astype(np.float32)
    ramp = np.clip((distance_inside(mask > 0, int(np.ceil(reach)) + 1) - 0.5) / reach, 0, 1)
    return (mask * ramp * ramp * (3 - 2 * ramp)).astype(np.float32)


def _axis(stroke: Stroke, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vector to the stroke's start, and the axis it turns about times radians per second."""
    longitude, latitude = np.deg2rad([stroke.longitude, stroke.latitude])
    start = direction(longitude, latitude)
    east, north = direction(longitude + np.pi / 2, 0.0), direction(longitude, latitude + np.pi / 2)
    arrow = np.deg2rad(stroke.d_longitude) * np.cos(latitude) * east + np.deg2rad(stroke.d_latitude) * north
    length = np.linalg.norm(arrow)
    if length < 1e-6:
        raise CycloramaError(
            "stroke-no-length",
            f"Stroke {number} at longitude {stroke.longitude:g}°, latitude {stroke.latitude:g}° has no length.",
            "Draw it as an arrow from where it starts towards where it goes.",
        )
    return start, np.cross(start, arrow / length) * np.deg2rad(stroke.speed)


def _facing(mask: Mask, towards: np.ndarray) -> float:
    """Longitude, in radians, in which most of the region lies (0 when it lies everywhere or nowhere)."""
    x, y = (towards[..., :2] * mask[..., None]).sum(axis=(0, 1))
    return float(np.arctan2(x, y)) if np.hypot(x, y) > 0 else 0.0


def steady(image: Float[np.ndarray, "height width 3"], mask: Mask) -> Mask:
    """1 where the picture may drift, falling to 0 at light sources such as the sun."""
    if not mask.any():
        return np.ones_like(mask, np.float32)
    luminance = image @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    is_source = (luminance > _SOURCE_BRIGHTNESS * max(float(np.median(luminance[mask > 0])), 1e-6)).astype(np.float32)
    glare = blur(is_source, _FEATHER_DEGREES * len(mask) / 180)
    return np.clip(1 - 6 * glare, 0, 1)
