"""Surfels as our node group draws them in Blender: slight hexagonal tents, met by each ray in the order it meets them.

Of surfels in one surface the rasterizers of papers put the one in front whose centre is nearer the camera's plane; a
ray tracer goes by where it meets them. Of a scene with texture their pictures differ by 31 to 39 dB, so colours that
are to be seen in Blender are solved for as Blender composites them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float
from numba import prange
from scipy import sparse

from .blending import rows_in_tile
from .kernels import kernel, parallel_kernel
from .tiles import TILE, Tiled

REACH: Final = 2.0
"""Standard deviations from a tent's middle to its sides (``addon/look/surfels.py``)."""

RISE: Final = 0.2
"""Height of its middle above its corners, in the smaller standard deviation (there, too)."""

_MOST: Final = 96
"""Tents that a ray may meet; those beyond, by their centres' depth, are left out: so many let no light through."""

_CLEAR: Final = np.float32(1e-4)
"""Transmittance at which a ray ends, as elsewhere."""

_HALF: Final = np.float32(0.5)
_ROOT: Final = np.float32(np.sqrt(0.75))
_f = np.float32

Shape = Float[np.ndarray, "n 3"]


def tent_shapes(
    position: Float[np.ndarray, "n 3"],
    rotation: Float[np.ndarray, "n 4"],
    scale: Float[np.ndarray, "n 3"],
    camera: Float[np.ndarray, " 3"],
) -> Shape:
    """Where the camera is, as each tent has it: x and y in standard deviations, and the tent's height in units of z."""
    w, x, y, z = (rotation / np.maximum(np.linalg.norm(rotation, axis=1, keepdims=True), 1e-20)).T
    to_camera = camera - position
    axes = (
        np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], axis=1),
        np.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], axis=1),
        np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=1),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.stack([np.einsum("nc,nc->n", axis, to_camera) for axis in axes], axis=1)
        smaller = np.minimum(scale[:, 0], scale[:, 1])
        shape = np.stack([seen[:, 0] / scale[:, 0], seen[:, 1] / scale[:, 1], RISE * smaller / seen[:, 2]], axis=1)
    return np.where(np.isfinite(shape), shape, 0).astype(np.float32)


def tent_weights(
    tiled: Tiled, z_depth: Float[np.ndarray, " n"], shapes: Shape, width: int, height: int, finer: int
) -> sparse.csr_array:
    """(height · width, n) float32: colour (premultiplied) = weights @ colours.

    Args:
        tiled: of a picture ``finer`` times as large each way; without a low pass.
        z_depth: of the centres, metres.
        width, height: of the picture wanted.
        finer: divides 16.
    """
    most = _most(tiled, width, height, finer)
    offsets = np.concatenate([[0], np.cumsum(most)])
    columns, shares = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.float32)
    depths = np.ascontiguousarray(z_depth[tiled.order], np.float32)
    counts, begins = _emit(
        tiled, depths, np.ascontiguousarray(shapes[tiled.order]), width, height, finer, offsets, columns, shares
    )
    starts = np.concatenate([[0], np.cumsum(counts)])
    dense = np.int32 if starts[-1] < 2**31 else np.int64
    ordered, weights = np.empty(starts[-1], dense), np.empty(starts[-1], np.float32)
    _gather(starts, begins, columns, shares, ordered, weights)
    return sparse.csr_array((weights, ordered, starts.astype(dense)), shape=(height * width, len(z_depth)))


@parallel_kernel
def _most(tiled, width, height, finer):
    """Of each tile: how many weights it can have at most."""
    across, cells = (width * finer + TILE - 1) // TILE, TILE // finer
    most = np.zeros(len(tiled.starts) - 1, np.int64)
    for place in prange(len(most)):
        x = place % across * TILE
        total = 0
        for at in range(tiled.starts[place], tiled.starts[place + 1]):
            i = tiled.entries[at]
            _x, y, first, end = rows_in_tile(tiled.box, i, place, across)
            left, right = max(tiled.box[i, 0], x), min(tiled.box[i, 1], x + TILE)
            rows = (end - 1 - y) // finer - (first - y) // finer + 1
            total += rows * min((right - 1 - x) // finer - (left - x) // finer + 1, cells)
        most[place] = min(total, cells * cells * finer * finer * _MOST)
    return most


@kernel
def _hexagon(u, v):
    """How far out of a hexagon's middle, in the distance of its sides."""
    u, v = abs(u), abs(v)
    return max(u * _ROOT + v * _HALF, v)


@kernel
def _meet(tiled, shapes, i, dx, dy):
    """Where a ray meets a tent, in standard deviations, and the share of the way that it comes nearer by its height."""
    packed = tiled.packed
    q = _f(1) + packed[i, 6] * dx + packed[i, 7] * dy
    if q <= _f(0):
        return _f(0), _f(0), _f(0), q, False
    p = (packed[i, 2] * dx + packed[i, 3] * dy) / q
    r = (packed[i, 4] * dx + packed[i, 5] * dy) / q
    nearer, u, v = _f(0), p, r
    for _ in range(3):  # towards the height that the tent has where the ray is at that height
        nearer = shapes[i, 2] * (_f(1) - _hexagon(u, v) / _f(REACH))
        u, v = p + (shapes[i, 0] - p) * nearer, r + (shapes[i, 1] - r) * nearer
    return u, v, nearer, q, _hexagon(u, v) <= _f(REACH)


@parallel_kernel
def _emit(tiled, depths, shapes, width, height, finer, offsets, columns, shares):
    """Each tile's weights, pixel after pixel; how many each pixel has, and where they begin."""
    across, cells = (width * finer + TILE - 1) // TILE, TILE // finer
    counts, begins = np.zeros(width * height, np.int64), np.zeros(width * height, np.int64)
    area = TILE * TILE
    for place in prange(len(tiled.starts) - 1):
        found = np.zeros(area, np.int64)
        which = np.empty((area, _MOST), np.int32)
        alphas, keys = np.empty((area, _MOST), np.float32), np.empty((area, _MOST), np.float32)
        for at in range(tiled.starts[place], tiled.starts[place + 1]):
            i = tiled.entries[at]
            x, y, first, end = rows_in_tile(tiled.box, i, place, across)
            left, right = max(tiled.box[i, 0], x), min(tiled.box[i, 1], x + TILE)
            for row in range(first, end):
                dy = _f(row) + _HALF - tiled.packed[i, 1]
                for column in range(left, right):
                    dx = _f(column) + _HALF - tiled.packed[i, 0]
                    u, v, nearer, q, is_met = _meet(tiled, shapes, i, dx, dy)
                    pixel = (row - y) * TILE + column - x
                    if is_met and found[pixel] < _MOST:
                        key = depths[i] / q * (_f(1) - nearer)
                        alpha = min(tiled.packed[i, 10] * np.exp(_f(-0.5) * (u * u + v * v)), _f(1))
                        _insert(which[pixel], alphas[pixel], keys[pixel], found[pixel], i, alpha, key)
                        found[pixel] += 1
        _write(
            place,
            across,
            cells,
            finer,
            width,
            height,
            tiled.order,
            found,
            which,
            alphas,
            offsets[place],
            columns,
            shares,
            counts,
            begins,
        )
    return counts, begins


@kernel
def _insert(which, alphas, keys, count, i, alpha, key):
    """Into a list that is sorted by ``keys``."""
    at = count
    while at > 0 and keys[at - 1] > key:
        which[at], alphas[at], keys[at] = which[at - 1], alphas[at - 1], keys[at - 1]
        at -= 1
    which[at], alphas[at], keys[at] = i, alpha, key


@kernel
def _write(
    place, across, cells, finer, width, height, order, found, which, alphas, to, columns, shares, counts, begins
):
    """Composite each ray of a tile, and put the means of ``finer``² of them behind one another."""
    each = _f(1) / _f(finer * finer)
    for cell in range(cells * cells):
        row, column = place // across * cells + cell // cells, place % across * cells + cell % cells
        if row >= height or column >= width:
            continue
        begin = to
        for ray in range(finer * finer):
            pixel = (cell // cells * finer + ray // finer) * TILE + cell % cells * finer + ray % finer
            clear = _f(1)
            for at in range(found[pixel]):
                share, number = clear * alphas[pixel, at] * each, order[which[pixel, at]]
                place_of = begin
                while place_of < to and columns[place_of] != number:
                    place_of += 1
                if place_of == to:
                    columns[to], shares[to] = number, _f(0)
                    to += 1
                shares[place_of] += share
                clear *= _f(1) - alphas[pixel, at]
                if clear < _CLEAR:
                    break
        counts[row * width + column], begins[row * width + column] = to - begin, begin


@parallel_kernel
def _gather(starts, begins, columns, shares, ordered, weights):
    for pixel in prange(len(begins)):
        for at in range(starts[pixel + 1] - starts[pixel]):
            ordered[starts[pixel] + at] = columns[begins[pixel] + at]
            weights[starts[pixel] + at] = shares[begins[pixel] + at]
