"""Spots into tiles of the picture, each tile's from front to back.

The order is that of the centres' z-depth, ties by index, whatever the number of threads.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import prange

from .kernels import parallel_kernel, serial_kernel
from .spots import FAINTEST, Spots

TILE: Final = 16
"""Pixels; a row of a tile is one AVX-512 register."""

_CHUNKS: Final = 16
"""Parts the spots are counted in; not the number of threads, so that these cannot change the order."""


# Columns of `Tiled.packed`.
X, Y, P_X, P_Y, R_X, R_Y, TILT_X, TILT_Y, OFFSET_X, OFFSET_Y, OPACITY, CUT, RED, GREEN, BLUE, DISTANCE = range(16)
PACKED: Final = 16


class Tiled(NamedTuple):
    """m seen spots by z-depth, and which of them each tile has to draw.

    Attributes:
        order: (m,) index of the Gaussian.
        packed: (m, 16) all a pixel needs to know of it, one cache line: centre, L, tilt, offset, opacity, the exponent
            at which it is too faint, colour, distance.
        box: (m, 4) as in ``Spots``.
        starts: (tiles + 1,) where each tile's part of ``entries`` starts.
        entries: (e,) spots (index into ``packed``), front to back within a tile.
        slots: (e,) a number for each entry under which those of one spot follow one another.
        slot_starts: (m + 1,) where those of each spot start.
    """

    order: Int[np.ndarray, " m"]
    packed: Float[np.ndarray, "m 16"]
    box: Int[np.ndarray, "m 4"]
    starts: Int[np.ndarray, " tiles_and_1"]
    entries: Int[np.ndarray, " e"]
    slots: Int[np.ndarray, " e"]
    slot_starts: Int[np.ndarray, " m_and_1"]


def tile(
    spots: Spots,
    opacity: Float[np.ndarray, " n"],
    colour: Float[np.ndarray, "n 3"],
    width: int,
    height: int,
) -> Tiled:
    """Sort the seen spots, if their colour is finite, into the tiles of a picture."""
    order = _by_depth(spots.z_depth, spots.radii, colour)
    packed, box = _packed(order, spots, opacity, colour)
    across, down = -(-width // TILE), -(-height // TILE)
    return Tiled(order, packed, box, *_distributed(box, across, down))


@serial_kernel
def _by_depth(z_depth, radii, colour):
    """Indices of the seen spots, nearest first: a radix sort of the bits of positive floats."""
    is_seen = np.zeros(len(radii), np.bool_)
    for i in range(len(radii)):
        is_seen[i] = radii[i] > 0 and np.isfinite(colour[i, 0] + colour[i, 1] + colour[i, 2])
    seen = np.count_nonzero(is_seen)
    indices, others = np.empty(seen, np.int32), np.empty(seen, np.int32)
    keys, other_keys = np.empty(seen, np.uint32), np.empty(seen, np.uint32)
    bits = z_depth.view(np.uint32)
    counts = np.zeros((3, 2048), np.int64)
    at = 0
    for i in range(len(radii)):
        if is_seen[i]:
            key = bits[i]
            indices[at], keys[at] = i, key
            counts[0, key & 2047] += 1
            counts[1, (key >> 11) & 2047] += 1
            counts[2, key >> 22] += 1
            at += 1
    for digit in range(3):
        start = 0
        for value in range(2048):
            count = counts[digit, value]
            counts[digit, value] = start
            start += count
        shift = np.uint32(11 * digit)
        for i in range(seen):
            value = (keys[i] >> shift) & np.uint32(2047)
            to = counts[digit, value]
            counts[digit, value] = to + 1
            others[to], other_keys[to] = indices[i], keys[i]
        indices, others = others, indices
        keys, other_keys = other_keys, keys
    return indices


@parallel_kernel
def _packed(order, spots, opacity, colour):
    count = len(order)
    packed, box = np.empty((count, PACKED), np.float32), np.empty((count, 4), np.int32)
    for at in prange(count):
        i, line = order[at], packed[at]
        line[0], line[1] = spots.centre[i, 0], spots.centre[i, 1]
        for k in range(8):
            line[2 + k] = spots.shape[i, k]
        solid = opacity[i] * spots.shape[i, 8]
        line[10], line[11] = solid, np.log(solid / np.float32(FAINTEST))
        line[12], line[13], line[14] = colour[i, 0], colour[i, 1], colour[i, 2]
        line[15] = spots.distance[i]
        for k in range(4):
            box[at, k] = spots.box[i, k]
    return packed, box


@parallel_kernel
def _distributed(box, across, down):
    """``starts``, ``entries``, ``slots`` and ``slot_starts``: a counting sort that keeps the order."""
    count, tiles = len(box), across * down
    chunk = (count + _CHUNKS - 1) // _CHUNKS
    counts = np.zeros((_CHUNKS, tiles), np.int64)
    slot_starts = np.zeros(count + 1, np.int64)
    for part in prange(_CHUNKS):
        for at in range(part * chunk, min((part + 1) * chunk, count)):
            first_x, end_x = box[at, 0] // TILE, (box[at, 1] - 1) // TILE + 1
            first_y, end_y = box[at, 2] // TILE, (box[at, 3] - 1) // TILE + 1
            slot_starts[at + 1] = (end_x - first_x) * (end_y - first_y)
            for y in range(first_y, end_y):
                for x in range(first_x, end_x):
                    counts[part, y * across + x] += 1
    for at in range(count):
        slot_starts[at + 1] += slot_starts[at]
    starts = np.zeros(tiles + 1, np.int64)
    total = 0
    for place in range(tiles):
        starts[place] = total
        for part in range(_CHUNKS):
            here = counts[part, place]
            counts[part, place] = total
            total += here
    starts[tiles] = total
    entries, slots = np.empty(total, np.int32), np.empty(total, np.int64)
    for part in prange(_CHUNKS):
        for at in range(part * chunk, min((part + 1) * chunk, count)):
            slot = slot_starts[at]
            first_x, end_x = box[at, 0] // TILE, (box[at, 1] - 1) // TILE + 1
            first_y, end_y = box[at, 2] // TILE, (box[at, 3] - 1) // TILE + 1
            for y in range(first_y, end_y):
                for x in range(first_x, end_x):
                    place = y * across + x
                    to = counts[part, place]
                    counts[part, place] = to + 1
                    entries[to], slots[to] = at, slot
                    slot += 1
    return starts, entries, slots, slot_starts
