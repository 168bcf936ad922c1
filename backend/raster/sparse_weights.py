"""How much of each Gaussian is in each pixel, as a sparse matrix: what blending is, if only the colours are unknown."""

from __future__ import annotations

import numpy as np
from numba import prange
from scipy import sparse

from .blending import CHECK, all_finished, row_weights, rows_in_tile
from .kernels import kernel, parallel_kernel
from .tiles import TILE, Tiled

_f = np.float32


def sparse_weights(tiled: Tiled, count: int, width: int, height: int, tilted: bool, finer: int) -> sparse.csr_array:
    """(height · width, count) float32: colour (premultiplied) = weights @ colours.

    Args:
        count: Gaussians, seen or not.
        width, height: of the picture wanted, whose pixels are the means of ``finer``² of those ``tiled`` is of.
        finer: divides 16.
    """
    counts = _emit(tiled, width, height, tilted, finer, np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, _f))
    starts = np.concatenate([[0], np.cumsum(counts)])
    columns, weights = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.float32)
    _emit(tiled, width, height, tilted, finer, starts, columns, weights)
    if starts[-1] < 2**31:
        starts = starts.astype(np.int32)
    return sparse.csr_array((weights, columns, starts), shape=(height * width, count))


@parallel_kernel
def _emit(tiled, width, height, tilted, finer, starts, columns, shares):
    """How many Gaussians each pixel has; and, if ``starts`` is not empty, which and how much, front to back."""
    across, cells = (width * finer + TILE - 1) // TILE, TILE // finer
    found = np.zeros(width * height, np.int64)
    for place in prange(len(tiled.starts) - 1):
        clear, weights = np.ones(2 * TILE * TILE, np.float32), np.empty(TILE, np.float32)
        means = np.zeros(cells * cells, np.float32)
        start = tiled.starts[place]
        for at in range(start, tiled.starts[place + 1]):
            i = tiled.entries[at]
            if (at - start) % CHECK == CHECK - 1 and all_finished(clear):
                break
            x, y, first, end = rows_in_tile(tiled.box, i, place, across)
            for row in range(first, end):
                base = np.uintp((row - y) * TILE)
                row_weights(tiled.packed, i, _f(x) + _f(0.5), _f(row) + _f(0.5), base, tilted, clear, weights)
                _add_means(weights, (row - y) // finer * cells, finer, means)
            for cell_y in range((first - y) // finer, (end - 1 - y) // finer + 1):
                for cell_x in range(cells):
                    share = means[cell_y * cells + cell_x]
                    means[cell_y * cells + cell_x] = 0
                    row, column = y // finer + cell_y, x // finer + cell_x
                    if share > 0 and row < height and column < width:
                        pixel = row * width + column
                        if len(starts):
                            to = starts[pixel] + found[pixel]
                            columns[to], shares[to] = tiled.order[i], share
                        found[pixel] += 1
    return found


@kernel
def _add_means(weights, cell, finer, means):
    share = _f(1) / _f(finer * finer)
    if finer == 1:
        for k in range(TILE):
            means[cell + k] += weights[k]
    else:
        for k in range(TILE):
            means[cell + k // finer] += share * weights[k]
