"""The ways to make the views of a frame agree, by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from ...bridge.errors import CycloramaError
from .alignment import Alignment
from .predictions import Predictions, clipped
from .robust import robust

Report = Callable[[int, int], None]
"""Told how many of how many steps are done; may raise to stop."""


def align(predictions: Predictions, method: str, report: Report = lambda done, total: None) -> Alignment:
    """Corrections that make the views agree.

    Args:
        method: "robust" (ours), "linear" (4K4DGen eq. 4, solved as the sparse linear least-squares problem that it is),
            "adam" (the same by the paper's own optimiser), "tip4gen" (TiP4GEN eq. 5-8), or "none": each view only
            brought to the same middle, to compare.

    Raises:
        CycloramaError: "views-disagree", "no-depth-seen", "no-values".
    """
    check_depth_is_seen(predictions)
    if method == "robust":
        return robust(predictions, report)
    if method == "linear":
        from .linear import linear  # these three load torch or take long; most never ask for them

        return linear(predictions, report)
    if method == "adam":
        from .adam import adam

        return adam(predictions, report)
    if method == "tip4gen":
        from .tip4gen import tip4gen

        return tip4gen(predictions, report)
    return unaligned(predictions)


def check_depth_is_seen(predictions: Predictions) -> None:
    """Raises ``CycloramaError``: "no-values" if the estimator says nothing, "no-depth-seen" if the same everywhere."""
    values = predictions.values[np.isfinite(predictions.values)]
    if not len(values):
        raise CycloramaError("no-values", "The estimator said nothing of any frame.", "Try another estimator.")
    if np.ptp(values) <= 1e-4 * np.abs(values).max():
        raise CycloramaError(
            "no-depth-seen",
            "The estimator gave one and the same depth everywhere.",
            "Is it a depth estimator? Try another one, or the skyline.",
        )


def unaligned(predictions: Predictions) -> Alignment:
    """Each view scaled so that its median is 1."""
    frames, views = predictions.values.shape[:2]
    values = np.where(clipped(predictions.values, predictions.kind), np.nan, predictions.values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of views that say nothing at all
        middle = np.nan_to_num(np.nanmedian(values.reshape(frames, views, -1), axis=2))
    nothing = np.zeros((frames, views, 1, 1), np.float32)
    scale = np.where(np.abs(middle) > 0, 1 / np.where(middle == 0, 1, middle), 1).astype(np.float32)
    return Alignment(np.abs(scale), nothing, nothing, np.ones_like(scale), float("nan"))
