"""Boundaries that run once around a panorama: one row per column, found by contrast and dynamic programming."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Int

WEAK_CONTRAST = 0.15  # squared feature difference below which an edge counts for less and less


def step_contrast(
    features: Float32[np.ndarray, "height width channels"], first: int, last: int, reach: int
) -> Float[np.ndarray, "rows width"]:
    """How clearly a thing ends above each row from ``first`` up to (not including) ``last``: 0..1.

    Compares the mean of the ``reach`` rows above with that of the ``reach`` rows from this one on, against their
    variance (a change-point test per column).
    """
    window = features[first - reach : last + reach].astype(np.float64)
    window = window - window.mean(axis=(0, 1))  # keeps the differences of running sums exact
    rows = np.arange(reach, reach + last - first)
    sums = np.concatenate([np.zeros_like(window[:1]), np.cumsum(window, axis=0)])
    squares = np.concatenate([np.zeros_like(window[:1]), np.cumsum(window * window, axis=0)])

    def mean_and_variance(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = (sums[end] - sums[start]) / reach
        return mean, np.maximum((squares[end] - squares[start]) / reach - mean * mean, 0)

    above, spread_above = mean_and_variance(rows - reach, rows)
    below, spread_below = mean_and_variance(rows, rows + reach)
    difference = np.square(above - below).sum(axis=-1)
    return difference / (difference + (spread_above + spread_below).sum(axis=-1) + WEAK_CONTRAST)


def best_boundary(
    cost: Float[np.ndarray, "rows width"], step_cost: float, jump_cost: Float[np.ndarray, " width"]
) -> Int[np.ndarray, " width"]:
    """Row of a boundary for each column of least total cost, by dynamic programming around the circle.

    ``cost[r, c]`` is the price of row r in column c. Between columns c and c+1 (circular) a change of k rows costs
    ``min(k · step_cost, jump_cost[c])``. The circle is closed by a run over three periods of which the middle counts.
    """
    rows, width = cost.shape
    ramp = step_cost * np.arange(rows)
    columns = np.arange(3 * width) % width
    total = cost[:, columns[0]].astype(np.float64)
    history = np.empty((3 * width, rows))
    history[0] = total
    for i in range(1, 3 * width):
        total = _cheapest_move(total, ramp, float(jump_cost[columns[i - 1]])) + cost[:, columns[i]]
        total -= total.min()
        history[i] = total
    return _backtrack(history, step_cost, jump_cost, width)


def _cheapest_move(total: np.ndarray, ramp: np.ndarray, jump_cost: float) -> np.ndarray:
    """``min over j of total[j] + min(|i - j| · step, jump)`` for every i; ``ramp`` = i · step."""
    down = np.minimum.accumulate(total - ramp) + ramp
    up = np.minimum.accumulate((total + ramp)[::-1])[::-1] - ramp
    return np.minimum(np.minimum(down, up), total.min() + jump_cost)


def _backtrack(history: np.ndarray, step_cost: float, jump_cost: np.ndarray, width: int) -> np.ndarray:
    steps = np.arange(history.shape[1])
    row = int(history[-1].argmin())
    path = np.empty(3 * width, dtype=np.intp)
    path[-1] = row
    for i in range(3 * width - 2, -1, -1):
        move = np.minimum(np.abs(steps - row) * step_cost, jump_cost[i % width])
        row = int((history[i] + move).argmin())
        path[i] = row
    return path[width : 2 * width]
