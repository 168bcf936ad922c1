"""What the viewport draws: the splats or points of one object, where they are, and how they look."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


def _identity() -> np.ndarray:
    return np.eye(4)


@dataclass(frozen=True)
class Splats:
    """n splats in their object's space, all float32; names, units and colours are those of ``Gaussians``.

    Attributes:
        position: (n, 3).
        rotation: (n, 4) unit quaternion w, x, y, z.
        scale: (n, 3); the third is not read.
        radiance: (n, 4) DC coefficients and opacity.
        number: (n,) in their object, where some were left out; None: 0, 1, 2 ...
    """

    position: np.ndarray
    rotation: np.ndarray
    scale: np.ndarray
    radiance: np.ndarray
    number: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.position)


@dataclass(frozen=True)
class Part:
    """One object's splats, or points, as one view shows them.

    Attributes:
        key: names the object; never two in one picture.
        is_moving: its splats are new in many frames; kept apart from those that are not.
        splats: the same instance as long as they are the same.
        are_points: discs of one colour that face the eye; their first scale is their radius.
        world_from_part: (4, 4).
        exposure: stops.
        saturation: 0 is grey.
        tint: scene-linear, multiplied.
        density: share of the splats that is drawn, 0..1.
        crop_from_world: (4, 4) a centre is drawn if it lies in the cube from -1 to 1 of that space; None: all are.
        crops_outside: it is drawn if it does not.
    """

    key: Any
    splats: Splats
    is_moving: bool = False
    are_points: bool = False
    world_from_part: np.ndarray = field(default_factory=_identity)
    exposure: float = 0.0
    saturation: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    density: float = 1.0
    crop_from_world: np.ndarray | None = None
    crops_outside: bool = False

    def texels(self, view_from_world: np.ndarray, clip_from_view: np.ndarray) -> np.ndarray:
        """(15, 4) float32 as the shader reads them.

        Columns of the clip and the crop matrix; rows of the world matrix; gain and saturation; 1 / density, whether it
        is outside of the crop that they are kept, and whether they are points; what is right and up for the eye.
        """
        world = np.asarray(self.world_from_part, float)
        crop = np.zeros((4, 4)) if self.crop_from_world is None else self.crop_from_world @ world
        gain = np.asarray(self.tint) * 2.0**self.exposure
        facing = view_from_world[:2, :3] @ world[:3, :3]
        facing /= np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-20)
        last = [
            [*gain, self.saturation],
            [1 / self.density, self.crops_outside and self.crop_from_world is not None, self.are_points, 0],
            *np.pad(facing, ((0, 0), (0, 1))),
        ]
        clip = clip_from_view @ view_from_world @ world
        return np.concatenate([clip.T, crop.T, world[:3], last]).astype(np.float32)


def without_floaters(splats: Splats, faint: float, large: float) -> Splats:
    """Those of at least the opacity ``faint`` whose largest deviation, seen from the origin, is at most ``large``.

    As the surfels' node group leaves them out (``look.filters``). 0 leaves out none.

    Args:
        large: radians.
    """
    kept = splats.radiance[:, 3] >= faint
    if large:
        away = np.linalg.norm(splats.position, axis=1)
        kept &= np.arctan2(splats.scale.max(axis=1), away) <= large
    number = np.flatnonzero(kept).astype(np.uint32)
    return Splats(splats.position[kept], splats.rotation[kept], splats.scale[kept], splats.radiance[kept], number)


def thinned(splats: Splats, density: float) -> np.ndarray:
    """(n,) bool: which splats are drawn; the same ones at each call, and fewer are some of more.

    The same as the surfels' node group leaves (``look.filters``): a splat's number decides, by the node *Random Value*
    of seed 1. Its hash is Jenkins' ``lookup3`` of seed and number, over 2^32 - 1.
    """
    number = np.arange(len(splats), dtype=np.uint32) if splats.number is None else splats.number
    return _hashed(1, number).astype(np.float32) / np.float32(2**32 - 1) <= np.float32(density)


def _hashed(seed: int, number: np.ndarray) -> np.ndarray:
    """Bob Jenkins, lookup3.c (2006), public domain: ``final`` of two words."""
    begin = np.uint32((0xDEADBEEF + (2 << 2) + 13) & 0xFFFFFFFF)
    a, b, c = np.full_like(number, begin + np.uint32(seed)), number + begin, np.full_like(number, begin)
    for turn in ("cb14", "ac11", "ba25", "cb16", "ac4", "ba14", "cb24"):
        words = {"a": a, "b": b, "c": c}
        into, of, by = words[turn[0]], words[turn[1]], np.uint32(turn[2:])
        into ^= of
        into -= (of << by) | (of >> (np.uint32(32) - by))
    return c
