"""Alignment by 4K4DGen eq. 4 with the paper's own optimiser: the twin that the linear solution is measured against."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .alignment import Alignment
from .least_squares import Corrections, LeastSquares, in_unit, least_squares
from .predictions import Predictions

_SOFTPLUS_OF_THIS_IS_ONE = math.log(math.e - 1)


def adam(
    predictions: Predictions,
    report: Callable[[int, int], None] = lambda done, iterations: None,
    iterations: int = 3000,
    free_iterations: int = 1500,
    learning_rate: float = 0.1,
) -> Alignment:
    """Scale for each view and frame, and shift for each of their pixels, by the optimisation of 4K4DGen, appendix C.

    S, α and β are optimised together; softplus(α) starts as 1, β as 0, S as what the views say in the mean.

    Args:
        report: called with iterations done and all before each; what it raises ends the work.
        iterations, free_iterations: in all, and without regularisers at first (appendix C).
        learning_rate: not given in the paper. Of 0.001, 0.003, 0.01, 0.03, 0.1 and 0.3 this had the least objective at
            the end, for disparity as for metric depth (``benchmarks/alignment_solvers.py --learning-rates``).

    Raises ``CycloramaError`` ("no-values") when no value is finite.
    """
    unit, values = in_unit(predictions)
    problem = least_squares(values, predictions.kind)
    found = optimised(problem, report, iterations, free_iterations, learning_rate)
    return problem.alignment(unit, found)


def optimised(
    problem: LeastSquares,
    report: Callable[[int, int], None],
    iterations: int,
    free_iterations: int,
    learning_rate: float,
    keep: Callable[[int, Corrections], None] = lambda done, found: None,
) -> Corrections:
    """Where Adam ends; ``keep`` is shown what it has after each iteration.

    Gradients are the ones that the linear solution uses, so that both pay the same for them; the scale's by the chain
    rule.
    """
    start = problem.start
    raw = torch.full(start.scale.shape, _SOFTPLUS_OF_THIS_IS_ONE)
    shift = torch.from_numpy(start.shift)
    panorama = torch.from_numpy(problem.panorama(start))
    optimiser = torch.optim.Adam([raw, shift, panorama], lr=learning_rate, fused=True)
    for iteration in range(iterations):
        report(iteration, iterations)
        at = _corrections(raw, shift)
        (to_scale, to_shift), pull = problem.gradient(at, panorama.numpy(), regularised=iteration >= free_iterations)
        raw.grad = 2 * torch.from_numpy(to_scale) * torch.sigmoid(raw)
        shift.grad = torch.from_numpy(to_shift).mul_(2)
        panorama.grad = torch.from_numpy(pull).mul_(2)
        optimiser.step()
        keep(iteration + 1, _corrections(raw, shift))
    report(iterations, iterations)
    return _corrections(raw, shift)


def _corrections(raw: Tensor, shift: Tensor) -> Corrections:
    return Corrections(torch.nn.functional.softplus(raw).numpy(), shift.numpy())
