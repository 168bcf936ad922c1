"""Spots blended front to back, tile by tile: the pictures, and the gradients of the spots.

A tile takes one spot after another, and of each the rows of pixels it reaches, a row at a time without a branch, so
that the compiler makes 16 pixels one instruction. Small spots so cost little, and large ones stay exact.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .kernels import kernel, parallel_kernel
from .spots import DENSEST, OPAQUE
from .tiles import TILE

_AREA = TILE * TILE
CHECK = 16
"""Spots after which a tile looks if all its pixels are finished."""

_f = np.float32
LAST = _f(5.6)
"""Exponent beyond which nothing is drawn; ln 255 = 5.54."""


@kernel
def falloff(exponent):
    """exp(-exponent) for 0 .. 5.6, to 1e-6 of its value: Taylor at an eighth of it, to the eighth power."""
    t = exponent * _f(1 / 8)
    e = _f(1) - t * (
        _f(1)
        - t
        * (_f(1 / 2) - t * (_f(1 / 6) - t * (_f(1 / 24) - t * (_f(1 / 120) - t * (_f(1 / 720) - t * _f(1 / 5040))))))
    )
    e *= e
    e *= e
    return e * e


def _row_weights_for(tilted: bool):
    """``row_weights`` of spots that are tilted and have a disc, or of those that are and have not.

    Two, for with a branch the compiler would take one pixel at a time.
    """

    @kernel
    def row_weights(packed, i, x0, y, base, clear, weights):
        across, down = x0 - packed[i, 0], y - packed[i, 1]
        p_x, r_x = packed[i, 2], packed[i, 4]
        p_0, r_0 = packed[i, 3] * down, packed[i, 5] * down
        opacity, cut = packed[i, 10], packed[i, 11]
        tilt_x, tilt_0 = packed[i, 6], _f(1) + packed[i, 7] * down
        beside, below = packed[i, 8], (down - packed[i, 9]) * (down - packed[i, 9])
        end = base + np.uintp(_AREA)
        for k in range(TILE):
            dx = across + _f(k)
            p, r = p_x * dx + p_0, r_x * dx + r_0
            if tilted:
                q = tilt_x * dx + tilt_0
                inverse = _f(1) / q
                p, r = p * inverse, r * inverse
                met = _f(0.5) * (p * p + r * r)
                met = met if q > _f(0) else _f(100)
                disc = (dx - beside) * (dx - beside) + below
                exponent = disc if disc < met else met
            else:
                exponent = _f(0.5) * (p * p + r * r)
            alpha = opacity * falloff(exponent if exponent < LAST else LAST)
            alpha = alpha if alpha < _f(DENSEST) else _f(DENSEST)
            alpha = alpha if exponent <= cut else _f(0)
            light = clear[base + np.uintp(k)]
            behind = light - light * alpha
            is_open = behind > _f(OPAQUE)
            weights[np.uintp(k)] = light * alpha if is_open else _f(0)
            clear[base + np.uintp(k)] = behind if is_open else _f(0)
            clear[end + np.uintp(k)] = behind if is_open else clear[end + np.uintp(k)]

    return row_weights


_tilted_row_weights, _flat_row_weights = _row_weights_for(True), _row_weights_for(False)


@kernel
def row_weights(packed, i, x0, y, base, tilted, clear, weights):
    """What share of a row's 16 pixels spot ``i`` makes, and what it leaves of the light behind it.

    Args:
        x0, y: centre of the row's first pixel.
        base: where the row starts in the tile; unsigned, else every index is tested for its sign.
        clear: (2 · 256,) transmittance while the pixel is open, else 0; and transmittance in the end. Is changed.
        weights: (16,) is filled.
    """
    if tilted:
        _tilted_row_weights(packed, i, x0, y, base, clear, weights)
    else:
        _flat_row_weights(packed, i, x0, y, base, clear, weights)


@kernel
def all_finished(clear):
    """Whether no pixel of the tile lets light through."""
    left = _f(0)
    for k in range(_AREA):
        left += clear[k]
    return left == _f(0)


@kernel
def rows_in_tile(box, i, place, across):
    """Of tile ``place``: its first column and row, and the first and end row that spot ``i`` reaches."""
    x, y = place % across * TILE, place // across * TILE
    return x, y, max(box[i, 2], y), min(box[i, 3], y + TILE)


@parallel_kernel
def blend(tiled, width, height, tilted, colour, alpha, distance):
    """Fill one camera's pictures: (height, width, 3) premultiplied, (height, width), and the distance premultiplied."""
    across = (width + TILE - 1) // TILE
    for place in prange(len(tiled.starts) - 1):
        clear, weights = np.ones(2 * _AREA, np.float32), np.empty(TILE, np.float32)
        sums = np.zeros(4 * _AREA, np.float32)
        start = tiled.starts[place]
        for at in range(start, tiled.starts[place + 1]):
            i = tiled.entries[at]
            if (at - start) % CHECK == CHECK - 1 and all_finished(clear):
                break
            red, green, blue, far = tiled.packed[i, 12], tiled.packed[i, 13], tiled.packed[i, 14], tiled.packed[i, 15]
            x, y, first, end = rows_in_tile(tiled.box, i, place, across)
            for row in range(first, end):
                base = np.uintp((row - y) * TILE)
                row_weights(tiled.packed, i, _f(x) + _f(0.5), _f(row) + _f(0.5), base, tilted, clear, weights)
                _add_row(sums, base, weights, red, green, blue, far)
        _write_tile(place % across * TILE, place // across * TILE, width, height, clear, sums, colour, alpha, distance)


@kernel
def _add_row(sums, base, weights, red, green, blue, far):
    for k in range(TILE):
        at, weight = base + np.uintp(k), weights[np.uintp(k)]
        sums[at] += weight * red
        sums[np.uintp(_AREA) + at] += weight * green
        sums[np.uintp(2 * _AREA) + at] += weight * blue
        sums[np.uintp(3 * _AREA) + at] += weight * far


@kernel
def _write_tile(x, y, width, height, clear, sums, colour, alpha, distance):
    for row in range(y, min(y + TILE, height)):
        for column in range(x, min(x + TILE, width)):
            k = (row - y) * TILE + column - x
            for channel in range(3):
                colour[row, column, channel] = sums[channel * _AREA + k]
            alpha[row, column] = _f(1) - clear[_AREA + k]
            distance[row, column] = sums[3 * _AREA + k]


@parallel_kernel
def cover(tiled, width, height, tilted, alpha):
    """Fill one camera's alpha alone."""
    across = (width + TILE - 1) // TILE
    for place in prange(len(tiled.starts) - 1):
        clear, weights = np.ones(2 * _AREA, np.float32), np.empty(TILE, np.float32)
        start = tiled.starts[place]
        for at in range(start, tiled.starts[place + 1]):
            i = tiled.entries[at]
            if (at - start) % CHECK == CHECK - 1 and all_finished(clear):
                break
            x, y, first, end = rows_in_tile(tiled.box, i, place, across)
            for row in range(first, end):
                base = np.uintp((row - y) * TILE)
                row_weights(tiled.packed, i, _f(x) + _f(0.5), _f(row) + _f(0.5), base, tilted, clear, weights)
        x, y = place % across * TILE, place // across * TILE
        for row in range(y, min(y + TILE, height)):
            for column in range(x, min(x + TILE, width)):
                alpha[row, column] = _f(1) - clear[_AREA + (row - y) * TILE + column - x]
