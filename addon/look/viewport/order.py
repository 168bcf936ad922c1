"""From the farthest splat to the nearest: the order in which they are blended."""

from __future__ import annotations

import numpy as np


def depths(positions: list[np.ndarray], world_from_part: list[np.ndarray], toward: np.ndarray) -> list[np.ndarray]:
    """Of each part's splats: how far along ``toward`` (3,), a unit vector in world space; float32.

    Of a perspective view this sorts as z_depth does, as the reference rasterizer sorts; where the eye is does not
    matter.
    """
    found = []
    for position, world in zip(positions, world_from_part, strict=True):
        along = (toward @ world[:3, :3]).astype(np.float32)
        found.append(position @ along + np.float32(toward @ world[:3, 3]))
    return found


def far_to_near(depth: np.ndarray) -> np.ndarray:
    """(n,) indices of float32 depths, farthest first; equal ones by their number.

    By two passes of numpy's radix sort over 16 bits each: quick on every processor (1 M in some 20 ms).
    """
    bits = np.ascontiguousarray(depth, np.float32).view(np.uint32)
    negative = (bits >> np.uint32(31)).astype(bool)
    falling = np.where(negative, bits, bits ^ np.uint32(0x7FFFFFFF))
    by_low = np.argsort(falling.astype(np.uint16), kind="stable")
    return by_low[np.argsort((falling >> np.uint32(16)).astype(np.uint16)[by_low], kind="stable")]
