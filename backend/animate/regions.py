"""Which parts of a panorama move, and how: the artist's regions as soft masks on the sphere.

Regions are layers: where they overlap, a later one lies on top of the earlier. So their masks add up to at most 1
everywhere, and to 1 less what stays still.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32

from ...bridge.errors import CycloramaError
from ...bridge.settings import Box, PanoramaTo4D, Region, Stroke
from ..sphere.equirectangular import latitudes, longitudes
from ..sphere.panorama import Panorama

Mask = Float32[np.ndarray, "height width"]
ReadMask = Callable[[Path, Panorama], Float[np.ndarray, "height width"]]

FEATHER_DEGREES = 1.5
"""A region's edge rises over this width, inside it."""


@dataclass(frozen=True)
class MotionRegion:
    """A part of the panorama, and how it moves.

    Attributes:
        mask: (height, 2·height) float32 in 0..1, soft-edged, less what later regions cover; exactly 0 outside.
        prompt: what shall move, and how; "" for nothing in particular.
        strength: of the motion; 1 is the usual.
        stroke: along which the flow goes here; None for none of its own.
    """

    mask: Mask
    prompt: str
    strength: float
    stroke: Stroke | None = None


def motion_regions(
    settings: PanoramaTo4D, panorama: Panorama, read_mask: ReadMask, proposed: Mask | None = None
) -> tuple[MotionRegion, ...]:
    """What moves: the regions of ``settings``; without them its mask; without it what is ``proposed``; else everything.

    Args:
        read_mask: reads a painted mask, in the size of ``panorama.image``; see ``sphere.pictures.read_mask``.
        proposed: soft-edged mask of what could move, as it is found in the picture.

    Raises:
        CycloramaError: ``region-empty``; what ``read_mask`` raises.
    """
    if settings.regions:
        return _layers(settings, panorama, read_mask)
    if settings.mask:
        mask = feathered(read_mask(Path(settings.mask), panorama))
    elif proposed is not None and proposed.any():
        mask = proposed
    else:
        mask = np.ones(panorama.image.shape[:2], np.float32)
    return (MotionRegion(mask, settings.prompt, settings.strength),)


def union(regions: Sequence[MotionRegion]) -> Mask:
    """All that moves, whichever way: the sum of the masks."""
    return reduce(np.add, (region.mask for region in regions)).clip(0, 1)


def _layers(settings: PanoramaTo4D, panorama: Panorama, read_mask: ReadMask) -> tuple[MotionRegion, ...]:
    """The regions from the lowest to the topmost; one that is covered all over is left out."""
    uncovered = np.ones(panorama.image.shape[:2], np.float32)
    layers = []
    for number, region in reversed(list(enumerate(settings.regions, 1))):
        mask = _region_mask(region, number, panorama, read_mask)
        if (mask * uncovered).any():
            prompt, strength = region.prompt or settings.prompt, region.strength * settings.strength
            layers.append(MotionRegion(mask * uncovered, prompt, strength, region.stroke))
        uncovered *= 1 - mask
    return tuple(reversed(layers))


def _region_mask(region: Region, number: int, panorama: Panorama, read_mask: ReadMask) -> Mask:
    if region.box is None:
        return feathered(read_mask(Path(region.mask), panorama))
    inside = inside_box(region.box, len(panorama.image))
    if not inside.any():
        raise CycloramaError(
            "region-empty",
            f"Region {number} at longitude {region.box.longitude:g}°, latitude {region.box.latitude:g}° is "
            f"{region.box.width:g}° wide and {region.box.height:g}° high and holds no pixel: nothing would move in it.",
            "Make the box larger.",
        )
    return feathered(inside.astype(np.float32))


def inside_box(box: Box, height: int) -> Bool[np.ndarray, "height width"]:
    """The pixels whose centres lie in ``box``; beyond a pole it goes on down the other side."""
    latitude = np.degrees(latitudes(height))[:, None]
    longitude = np.degrees(longitudes(2 * height))[None, :]

    def holds(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
        away = np.abs((longitude - box.longitude + 180) % 360 - 180)
        return (np.abs(latitude - box.latitude) <= box.height / 2) & (away <= box.width / 2)

    return (
        holds(latitude, longitude)
        | holds(180 - latitude, longitude + 180)  # the same direction, reached over the zenith
        | holds(-180 - latitude, longitude + 180)
    )


def feathered(mask: Float[np.ndarray, "height width"], degrees: float = FEATHER_DEGREES) -> Mask:
    """``mask`` with edges that rise smoothly from zero, over ``degrees`` of arc inside it; zero stays exactly zero.

    Over less in a mask that is nowhere as deep as that, so that its middle keeps its value.
    """
    reach = np.deg2rad(degrees)
    pixel = np.pi / len(mask)
    arc = arc_inside(mask > 0, reach + pixel)
    if arc.max() < reach:
        reach = max(float(arc.max()) / 2, pixel)
    ramp = np.clip((arc - np.minimum(arc, pixel) / 2) / reach, 0, 1)  # the edge lies between two pixels
    return (mask * ramp * ramp * (3 - 2 * ramp)).astype(np.float32)


def arc_inside(mask: Bool[np.ndarray, "height width"], reach: float) -> Mask:
    """Angle from each pixel of ``mask`` to the nearest outside it, up to ``reach`` (radians); 0 outside.

    Exact on the sphere, over the poles too: of a row the nearest pixel is the one nearest in longitude, so one look
    at every row in reach is enough. By haversines: sin²(d/2) = sin²(Δφ/2) + cosφ·cosφ'·sin²(Δθ/2).
    """
    height = len(mask)
    cosine = np.cos(latitudes(height)).astype(np.float32)[:, None]
    along_row = cosine * _haversine_along_rows(mask)
    nearest = np.full(mask.shape, np.sin(min(reach, np.pi) / 2) ** 2, np.float32)
    for rows in range(min(int(np.ceil(reach * height / np.pi)), height - 1) + 1):
        across = np.float32(np.sin(rows * np.pi / height / 2) ** 2)
        upper, lower = slice(0, height - rows), slice(rows, height)
        for here, there in ((upper, lower), (lower, upper)):
            np.minimum(nearest[here], across + cosine[here] * along_row[there], out=nearest[here])
    return 2 * np.arcsin(np.sqrt(nearest))


def _haversine_along_rows(mask: Bool[np.ndarray, "height width"]) -> Mask:
    """sin²(Δθ/2) of the longitude between each pixel and the nearest outside ``mask`` in its row; inf for none."""
    width = mask.shape[1]
    column = np.arange(3 * width, dtype=np.int32)  # thrice around, so that both neighbours of the middle one are found
    outside = np.tile(~mask, (1, 3))
    left = np.maximum.accumulate(np.where(outside, column, np.int32(-3 * width)), axis=1)[:, width:-width]
    right = np.minimum.accumulate(np.where(outside, column, np.int32(6 * width))[:, ::-1], axis=1)[:, ::-1][
        :, width:-width
    ]
    here = column[width:-width]
    columns = np.minimum(here - left, right - here)
    haversine = np.sin(np.minimum(columns, width // 2) * (np.pi / width)) ** 2
    return np.where(columns <= width // 2, haversine, np.inf).astype(np.float32)
