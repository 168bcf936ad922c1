"""Gradients of blended spots, by hand: from the pictures back to each spot's sixteen numbers.

Again from front to back, with the same decisions as ``blending``. With w the weight of a spot in a pixel, T the
transmittance before it, x = v_colour · colour + v_distance · distance what its light adds to the loss, and R what all
behind it and the transmittance in the end add,

    v_alpha = T x - R / (1 - alpha),        R = sum over those behind of w x - v_alpha_of_the_picture T_end,

and R is had by taking w x off the sum over all, which the finished picture gives. Each (tile, spot) has a line of its
own to write to; the lines of a spot are then summed in their order: no two threads ever add to one number.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .blending import CHECK, LAST, all_finished, falloff, row_weights, rows_in_tile
from .kernels import kernel, parallel_kernel, reordering_kernel
from .spots import DENSEST, OPAQUE
from .tiles import PACKED, TILE

_f, _u = np.float32, np.uintp
_AREA = _u(TILE * TILE)

# What is summed over a spot's pixels, 16 lanes each: v_P, v_P dx, v_P dy, the same of v_R and v_q, ...
_P, _P_X, _P_Y, _R, _R_X, _R_Y, _Q, _Q_X, _Q_Y, _DISC_X, _DISC_Y, _OPACITY, _RED, _GREEN, _BLUE, _FAR = (
    _u(16 * k) for k in range(16)
)


@parallel_kernel
def blend_back(tiled, width, height, tilted, colour, alpha, distance, v_colour, v_alpha, v_distance):
    """(e, 16) gradients of each entry's spot, by ``slots``; columns as those of ``Tiled.packed``.

    Args:
        colour, alpha, distance: what ``blend`` gave.
    """
    across = (width + TILE - 1) // TILE
    gradients, slots = np.empty((len(tiled.entries), PACKED), np.float32), tiled.slots
    for place in prange(len(tiled.starts) - 1):
        clear, lanes = np.ones(2 * TILE * TILE, np.float32), np.empty(16 * TILE, np.float32)
        x, y = place % across * TILE, place // across * TILE
        asked = _asked(x, y, width, height, colour, alpha, distance, v_colour, v_alpha, v_distance)
        start, is_finished = tiled.starts[place], False
        for at in range(start, tiled.starts[place + 1]):
            i, line = tiled.entries[at], gradients[slots[at]]
            if (at - start) % CHECK == CHECK - 1:
                is_finished = is_finished or all_finished(clear)
            if is_finished:
                line[:] = 0
                continue
            lanes[:] = 0
            _, _, first, end = rows_in_tile(tiled.box, i, place, across)
            for row in range(first, end):
                base = _u((row - y) * TILE)
                left, middle = _f(x) + _f(0.5), _f(row) + _f(0.5)
                if tilted:
                    _tilted_row_back(tiled.packed, i, left, middle, base, clear, asked, lanes)
                else:
                    _flat_row_back(tiled.packed, i, left, middle, base, clear, asked, lanes)
            _write_line(tiled.packed[i], lanes, line)
    return gradients


@kernel
def _asked(x, y, width, height, colour, alpha, distance, v_colour, v_alpha, v_distance):
    """(5 · 256,) for the tile's pixels: the gradients of red, green, blue and distance, and R before the first spot."""
    asked = np.zeros(5 * TILE * TILE, np.float32)
    for row in range(y, min(y + TILE, height)):
        for column in range(x, min(x + TILE, width)):
            k = _u((row - y) * TILE + column - x)
            rest = v_distance[row, column] * distance[row, column]
            for channel in range(3):
                asked[_u(channel) * _AREA + k] = v_colour[row, column, channel]
                rest += v_colour[row, column, channel] * colour[row, column, channel]
            asked[_u(3) * _AREA + k] = v_distance[row, column]
            asked[_u(4) * _AREA + k] = rest - v_alpha[row, column] * (_f(1) - alpha[row, column])
    return asked


def _row_back_for(tilted: bool):
    """The row's kernel for spots that are tilted and have a disc, or for those that are and have not.

    Two, for with a branch the compiler would take one pixel at a time.
    """

    @kernel
    def row_back(packed, i, x0, y, base, clear, asked, lanes):
        across, down = x0 - packed[i, 0], y - packed[i, 1]
        p_x, r_x = packed[i, 2], packed[i, 4]
        p_0, r_0 = packed[i, 3] * down, packed[i, 5] * down
        tilt_x, tilt_0 = packed[i, 6], _f(1) + packed[i, 7] * down
        beside, below = packed[i, 8], down - packed[i, 9]
        opacity, cut = packed[i, 10], packed[i, 11]
        red, green, blue, far = packed[i, 12], packed[i, 13], packed[i, 14], packed[i, 15]
        for k in range(TILE):
            lane, at = _u(k), base + _u(k)
            dx = across + _f(k)
            p, r = p_x * dx + p_0, r_x * dx + r_0
            inverse = _f(1)
            if tilted:
                q = tilt_x * dx + tilt_0
                inverse = _f(1) / q
                p, r = p * inverse, r * inverse
            met = _f(0.5) * (p * p + r * r)
            exponent = met
            aside = dx - beside
            if tilted:
                met = met if q > _f(0) else _f(100)
                disc = aside * aside + below * below
                exponent = disc if disc < met else met
            share = falloff(exponent if exponent < LAST else LAST)
            free = opacity * share
            alpha = free if free < _f(DENSEST) else _f(DENSEST)
            alpha = alpha if exponent <= cut else _f(0)
            light = clear[at]
            behind = light - light * alpha
            is_open = behind > _f(OPAQUE)
            clear[at] = behind if is_open else _f(0)
            weight = light * alpha if is_open else _f(0)
            v_red, v_green, v_blue = asked[at], asked[_AREA + at], asked[_u(2) * _AREA + at]
            v_far = asked[_u(3) * _AREA + at]
            x = v_red * red + v_green * green + v_blue * blue + v_far * far
            rest = asked[_u(4) * _AREA + at] - weight * x
            asked[_u(4) * _AREA + at] = rest
            v_free = light * x - rest / (_f(1) - alpha)
            v_free = v_free if (weight > _f(0)) & (free < _f(DENSEST)) else _f(0)
            lanes[_OPACITY + lane] += share * v_free
            lanes[_RED + lane] += weight * v_red
            lanes[_GREEN + lane] += weight * v_green
            lanes[_BLUE + lane] += weight * v_blue
            lanes[_FAR + lane] += weight * v_far
            v_exponent = -free * v_free
            v_met = v_exponent
            if tilted:
                is_disc = disc < met
                v_met = _f(0) if is_disc else v_exponent
                v_disc = v_exponent if is_disc else _f(0)
                lanes[_DISC_X + lane] += v_disc * aside
                lanes[_DISC_Y + lane] += v_disc * below
            v_p, v_r = v_met * p * inverse, v_met * r * inverse
            v_p = v_p if v_met != _f(0) else _f(0)  # where the plane is not met p and r may be infinite
            v_r = v_r if v_met != _f(0) else _f(0)
            lanes[_P + lane] += v_p
            lanes[_P_X + lane] += v_p * dx
            lanes[_P_Y + lane] += v_p * down
            lanes[_R + lane] += v_r
            lanes[_R_X + lane] += v_r * dx
            lanes[_R_Y + lane] += v_r * down
            if tilted:
                v_q = v_p * p + v_r * r
                v_q = v_q if v_met != _f(0) else _f(0)
                lanes[_Q + lane] -= v_q
                lanes[_Q_X + lane] -= v_q * dx
                lanes[_Q_Y + lane] -= v_q * down

    return row_back


_tilted_row_back, _flat_row_back = _row_back_for(True), _row_back_for(False)


@reordering_kernel
def _lane_sum(lanes, start):
    total = _f(0)
    for k in range(TILE):
        total += lanes[start + _u(k)]
    return total


@kernel
def _write_line(spot, lanes, line):
    """From the sums over pixels to the sixteen numbers."""
    v_p, v_r, v_q = _lane_sum(lanes, _P), _lane_sum(lanes, _R), _lane_sum(lanes, _Q)
    disc_x, disc_y = _f(2) * _lane_sum(lanes, _DISC_X), _f(2) * _lane_sum(lanes, _DISC_Y)
    line[0] = -(v_p * spot[2] + v_r * spot[4] + v_q * spot[6] + disc_x)
    line[1] = -(v_p * spot[3] + v_r * spot[5] + v_q * spot[7] + disc_y)
    line[2], line[3] = _lane_sum(lanes, _P_X), _lane_sum(lanes, _P_Y)
    line[4], line[5] = _lane_sum(lanes, _R_X), _lane_sum(lanes, _R_Y)
    line[6], line[7] = _lane_sum(lanes, _Q_X), _lane_sum(lanes, _Q_Y)
    line[8], line[9] = -disc_x, -disc_y
    line[10], line[11] = _lane_sum(lanes, _OPACITY), _f(0)
    line[12], line[13] = _lane_sum(lanes, _RED), _lane_sum(lanes, _GREEN)
    line[14], line[15] = _lane_sum(lanes, _BLUE), _lane_sum(lanes, _FAR)


@parallel_kernel
def colours_back(tiled, width, height, tilted, v_colour):
    """(e, 3) gradients of each entry's colour, by ``slots``: all there is to do when the geometry is fixed."""
    across = (width + TILE - 1) // TILE
    gradients, slots = np.empty((len(tiled.entries), 3), np.float32), tiled.slots
    for place in prange(len(tiled.starts) - 1):
        clear, weights = np.ones(2 * TILE * TILE, np.float32), np.empty(TILE, np.float32)
        lanes = np.empty(3 * TILE, np.float32)
        x, y = place % across * TILE, place // across * TILE
        asked = _asked_of_colour(x, y, width, height, v_colour)
        start, is_finished = tiled.starts[place], False
        for at in range(start, tiled.starts[place + 1]):
            i, line = tiled.entries[at], gradients[slots[at]]
            if (at - start) % CHECK == CHECK - 1:
                is_finished = is_finished or all_finished(clear)
            lanes[:] = 0
            if not is_finished:
                _, _, first, end = rows_in_tile(tiled.box, i, place, across)
                for row in range(first, end):
                    base = _u((row - y) * TILE)
                    row_weights(tiled.packed, i, _f(x) + _f(0.5), _f(row) + _f(0.5), base, tilted, clear, weights)
                    _add_colours(asked, base, weights, lanes)
            for channel in range(3):
                line[channel] = _lane_sum(lanes, _u(channel * TILE))
    return gradients


@kernel
def _asked_of_colour(x, y, width, height, v_colour):
    asked = np.zeros(3 * TILE * TILE, np.float32)
    for row in range(y, min(y + TILE, height)):
        for column in range(x, min(x + TILE, width)):
            for channel in range(3):
                asked[_u(channel) * _AREA + _u((row - y) * TILE + column - x)] = v_colour[row, column, channel]
    return asked


@kernel
def _add_colours(asked, base, weights, lanes):
    for k in range(TILE):
        lane, at, weight = _u(k), base + _u(k), weights[_u(k)]
        lanes[lane] += weight * asked[at]
        lanes[_u(TILE) + lane] += weight * asked[_AREA + at]
        lanes[_u(2 * TILE) + lane] += weight * asked[_u(2) * _AREA + at]


@parallel_kernel
def summed(gradients, slot_starts):
    """(m, k) sums over each spot's entries, in double precision and their order."""
    count, columns = len(slot_starts) - 1, gradients.shape[1]
    sums = np.empty((count, columns), np.float32)
    for at in prange(count):
        for column in range(columns):
            total = 0.0
            for slot in range(slot_starts[at], slot_starts[at + 1]):
                total += gradients[slot, column]
            sums[at, column] = total
    return sums
