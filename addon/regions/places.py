"""Places on the panorama: points of its image, as Blender counts them, and degrees on the sphere."""

from __future__ import annotations

from math import cos, radians, sin

from ...bridge.settings import Box, Stroke


def degrees_at(x: float, y: float, width: float = 1.0, height: float = 1.0) -> tuple[float, float]:
    """Longitude (right of the centre) and latitude (above the horizon), degrees, of a point in the image.

    ``x`` goes right and ``y`` up from the lower left corner, in a unit in which the image is ``width`` x ``height``: 1
    is the whole image, as the Image Editor counts; in pixels, pixel i's centre is i + 0.5. Nothing is wrapped: a point
    beside the image lies beyond ±180°.
    """
    return (x / width - 0.5) * 360.0, (y / height - 0.5) * 180.0


def image_at(longitude: float, latitude: float, width: float = 1.0, height: float = 1.0) -> tuple[float, float]:
    """The inverse of ``degrees_at``."""
    return (longitude / 360.0 + 0.5) * width, (latitude / 180.0 + 0.5) * height


def wrapped(longitude: float) -> float:
    """The same longitude from -180 up to, but not with, 180 degrees."""
    return (longitude + 180.0) % 360.0 - 180.0


def direction(longitude: float, latitude: float) -> tuple[float, float, float]:
    """Unit vector in scene space; degrees. The panorama's centre is +Y, what is right of it +X."""
    theta, phi = radians(longitude), radians(latitude)
    return cos(phi) * sin(theta), cos(phi) * cos(theta), sin(phi)


def box_between(first: tuple[float, float], second: tuple[float, float], around: bool = False) -> Box:
    """The box whose opposite corners are two places (longitude, latitude), not wrapped.

    Args:
        around: the other way round the sphere.
    """
    (left, right), (bottom, top) = (sorted(pair) for pair in zip(first, second, strict=True))
    width = min(right - left, 360.0)
    middle = (left + right) / 2
    if around:
        middle, width = middle + 180.0, 360.0 - width
    bottom, top = max(bottom, -90.0), min(top, 90.0)
    return Box(wrapped(middle), min(max((bottom + top) / 2, -90.0), 90.0), width, max(top - bottom, 0.0))


def stroke_between(start: tuple[float, float], tip: tuple[float, float], speed: float) -> Stroke:
    """The arrow between two places (longitude, latitude), not wrapped, of ``speed`` degrees per second."""
    bottom, top = (min(max(latitude, -90.0), 90.0) for latitude in (start[1], tip[1]))
    along = min(max(tip[0] - start[0], -180.0), 180.0)
    return Stroke(wrapped(start[0]), bottom, along, top - bottom, speed)
