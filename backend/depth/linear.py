"""Alignment by 4K4DGen eq. 4 as a sparse linear least-squares problem, solved from coarse to fine.

The problem is posed on small views first. Their solution, interpolated, is where views of twice the size start from:
only what is finer than before is left to find, and that takes conjugate gradients a few steps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from jaxtyping import Float32

from .alignment import Alignment
from .least_squares import Corrections, LeastSquares, Shifts, Unit, in_unit, least_squares
from .overlaps import between_nodes
from .predictions import Predictions

_COARSEST = 12
"""Views of fewer pixels than twice this are not made coarser."""


def linear(
    predictions: Predictions,
    report: Callable[[int, int], None] = lambda done, steps: None,
    trust: bool = False,
    iterations: int = 40,
    tolerance: float = 1e-5,
) -> Alignment:
    """Scale for each view and frame, and shift for each of their pixels, with the least objective of 4K4DGen eq. 4.

    Args:
        report: called with steps done and steps at most before each; what it raises ends the work.
        trust: whether views count less towards their edges; not in the paper.
        iterations: of conjugate gradients at most, for each size of views.
        tolerance: by what share a few iterations must lower the objective, or the finest views are done; ten times this
            for coarser ones.

    Raises ``CycloramaError`` ("no-values") when no value is finite.
    """
    unit, problem, found = solution(predictions, report, trust, iterations, tolerance)
    return problem.alignment(unit, found)


def solution(
    predictions: Predictions,
    report: Callable[[int, int], None] = lambda done, steps: None,
    trust: bool = False,
    iterations: int = 40,
    tolerance: float = 1e-5,
) -> tuple[Unit, LeastSquares, Corrections]:
    """What ``linear`` returns, but in the unit in which it was found, and the problem that it solves."""
    unit, values = in_unit(predictions)
    levels = [values]
    while levels[-1].shape[-1] >= 2 * _COARSEST:
        levels.append(_halved(levels[-1]))
    steps = [iterations] * len(levels)
    found, done = None, 0
    while True:
        level, at_most = levels.pop(), steps.pop()
        problem = least_squares(level, predictions.kind, predictions.size, trust)
        start = problem.start if found is None else Corrections(found.scale, _finer(found.shift, level.shape[-1]))
        told = partial(_told, report, done, done + at_most + sum(steps))
        found = problem.solved(start, at_most, tolerance if not levels else 10 * tolerance, told)
        done += at_most
        if not levels:
            report(done, done)
            return unit, problem, found


def _told(report: Callable[[int, int], None], before: int, steps: int, iteration: int) -> None:
    report(before + iteration, steps)


def _halved(values: Float32[np.ndarray, "frame view row column"]) -> Float32[np.ndarray, "frame view rows columns"]:
    """Means of about 2 x 2 pixels, of those that say something."""
    size = (values.shape[-1] + 1) // 2

    def shrunk(pictures: np.ndarray) -> np.ndarray:
        flat = pictures.reshape(-1, *pictures.shape[-2:])
        small = np.stack([cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA) for picture in flat])
        return small.reshape(*pictures.shape[:2], size, size)

    unknown = np.isnan(values)
    if not unknown.any():
        return shrunk(values)
    share = shrunk((~unknown).astype(np.float32))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(share > 0.25, shrunk(np.where(unknown, 0, values)) / share, np.float32(np.nan))


def _finer(shift: Shifts, size: int) -> Shifts:
    """The same at the pixels of larger views."""
    middles = ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1).astype(np.float32)
    x, y = (part.ravel() for part in np.meshgrid(middles, middles))
    spread = between_nodes(x, y, round(shift.shape[1] ** 0.5))
    return np.stack([spread @ of_view for of_view in shift])
