"""How far the camera may leave the origin before holes or stretched splats show, by direction, found by looking."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from ..raster.cpu import covered
from ..raster.rasterize import rasterize
from ..raster.splats import Splats
from .cover import Cover

LEAST_ALPHA = 0.98
"""A pixel that is covered less is a hole."""

_THIN, _LESS = 0.95, 0.005
"""Where even the origin shows pixels that are covered less than ``LEAST_ALPHA``, but all more than the first of these,
the cover is thin all over, and a hole is what is covered less by the second."""

STRETCHED = 4.0
"""A splat is stretched if it is seen so many times as long as from the origin, or as what a panorama's pixel became."""

_STRETCHED_SHARE = 0.005
"""Of a picture; fewer stretched pixels are not noticed."""

RADII_M = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
"""Metres at which it is looked."""

_SIGMA_OF_SPACING = 0.7

_REACH, _SOLID = 2.0, 0.5
"""Standard deviations to which a splat is a surface, and the opacity above which it is one."""


def _directions() -> Float[np.ndarray, "10 3"]:
    around = np.arange(8) * np.pi / 4
    level = np.stack([np.sin(around), np.cos(around), np.zeros(8)], axis=1)
    return np.concatenate([level, [[0, 0, 1], [0, 0, -1]]])


DIRECTIONS = _directions()
"""Eight along the ground from ahead (+Y) clockwise, up, and down."""


@dataclass(frozen=True)
class SafeRadii:
    """Metres, along each of ``DIRECTIONS``; up to the last of ``RADII_M``, 0 where even the first shows something."""

    metres: tuple[float, ...]

    @property
    def least(self) -> float:
        """In whatever direction the camera goes."""
        return min(self.metres)

    def table(self) -> tuple[tuple[float, float, float, float], ...]:
        """(x, y, z, metres) for each direction."""
        return tuple(
            (round(float(x), 4), round(float(y), 4), round(float(z), 4), metres)
            for (x, y, z), metres in zip(DIRECTIONS, self.metres, strict=True)
        )


def safe_radii(
    frames: list[Splats], height: int, report: Callable[[int, int], None] = lambda done, total: None
) -> SafeRadii:
    """Of a scene, from what its frames look like from beside the origin.

    The way ends a little before the first surface that it would lead through. Up to there the interval of radii in
    which trouble begins is halved; at each all six faces of a cube are looked at, as fine as the panorama was.

    Args:
        frames: the splats of some frames, on the CPU, whose rasterizer draws splats as small as they are; trouble in
            one of them counts.
        height: rows of the panorama that they were lifted from.
        report: hears of every look; may raise to stop.
    """
    cover = Cover.of(height)
    looks = int(np.ceil(np.log2(len(RADII_M) + 1)))
    total = len(DIRECTIONS) * looks
    report(0, total)
    at_origin = _least_alpha(frames, cover)
    hole = min(LEAST_ALPHA, at_origin - _LESS) if at_origin > _THIN else LEAST_ALPHA
    own = [_lengths(splats, np.zeros(3, np.float32), height).clamp(min=1) for splats in frames]
    found = []
    for number, direction in enumerate(DIRECTIONS):
        wall = min((_way_through(splats, direction) for splats in frames), default=np.inf)
        end = wall * (1 - 1 / STRETCHED)  # from there on its splats are
        good, bad = -1, bisect_left(RADII_M, end)  # indices; what lies between is not known
        look = 0
        while bad - good > 1:
            report(number * looks + look, total)
            look += 1
            middle = (good + bad) // 2
            place = (direction * RADII_M[middle]).astype(np.float32)
            if all(_is_sound(*each, place, cover, height, hole) for each in zip(frames, own, strict=True)):
                good = middle
            else:
                bad = middle
        found.append(RADII_M[good] if good >= 0 else 0.0)
    report(total, total)
    return SafeRadii(tuple(found))


def _way_through(splats: Splats, direction: Float[np.ndarray, " 3"]) -> float:
    """Metres from the origin to the first splat that a straight way crosses; infinity if there is none."""
    ahead = torch.from_numpy(direction.astype(np.float32)).to(splats.position)
    rotation = torch.nn.functional.normalize(splats.rotation, dim=1)
    axes = [_axis(rotation, axis) for axis in range(2)]
    normal = torch.linalg.cross(*axes)
    metres = (splats.position * normal).sum(1) / (normal @ ahead)
    off = metres[:, None] * ahead - splats.position
    across = sum(((off * axis).sum(1) / splats.scale[:, at]) ** 2 for at, axis in enumerate(axes))
    meets = (across < _REACH**2) & (metres > 1e-3) & (splats.opacity > _SOLID)  # not the one the viewer is in
    return float(metres[meets].min()) if bool(meets.any()) else np.inf


def _least_alpha(frames: list[Splats], cover: Cover) -> float:
    """Of any pixel, from the origin."""
    cameras = cover.cameras()
    return min(float(covered(splats, cameras, "surfels", low_pass=False).min()) for splats in frames)


def _is_sound(
    splats: Splats,
    own: Float[torch.Tensor, " n"],
    place: Float[np.ndarray, " 3"],
    cover: Cover,
    height: int,
    hole: float,
) -> bool:
    """Whether nothing is seen from ``place`` that should not be; face by face, until something is.

    Args:
        own: how long each splat looks from the origin, at least 1.
        hole: alpha below which a pixel is one.
    """
    marked = replace(splats, colour=(_lengths(splats, place, height) / own)[:, None].expand(-1, 3))
    cameras = cover.cameras(place)
    stretched = 0.0
    for face in range(len(cameras)):
        with torch.no_grad():
            rendered = rasterize(marked, cameras[[face]], "surfels", low_pass=False)
        if float(rendered.alpha.min()) < hole:
            return False
        stretched += float((rendered.colour[..., 0] > STRETCHED).float().mean()) / len(cameras)
    return stretched <= _STRETCHED_SHARE


def _lengths(splats: Splats, place: Float[np.ndarray, " 3"], height: int) -> torch.Tensor:
    """(n,) how long each looks from ``place``, in units of what a pixel of the panorama became."""
    from_place = splats.position - torch.from_numpy(place).to(splats.position)
    distance = torch.linalg.vector_norm(from_place, dim=1).clamp(min=1e-6)
    ray = from_place / distance[:, None]
    rotation = torch.nn.functional.normalize(splats.rotation, dim=1)
    longest = torch.zeros_like(distance)
    for axis in range(2):
        along = _axis(rotation, axis)
        across = torch.linalg.cross(along, ray).norm(dim=1)  # sine of the angle at which it is seen
        longest = torch.maximum(longest, splats.scale[:, axis] * across)
    return longest / distance / (_SIGMA_OF_SPACING * np.pi / height)


def _axis(rotation: torch.Tensor, axis: int) -> torch.Tensor:
    """A column of the rotation matrices of unit quaternions w, x, y, z."""
    w, x, y, z = rotation.unbind(1)
    if axis == 0:
        return torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], dim=1)
    return torch.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], dim=1)
