"""Metres for distances that are known up to a factor: the ground lies at eye height below the viewer."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..sphere.equirectangular import latitudes

_BELOW = np.radians(-35.0)
"""From here down what is seen is taken for the ground, as a whole."""

_UNEVEN = 0.25
"""Usual deviation of the ground's height, relative; beyond it the ground is no good measure, and that is said."""


def factor_by_ground(distance: Float[np.ndarray, "height width"], eye_height: float) -> tuple[float, bool]:
    """What brings the distances to metres, and whether the ground is even enough to be sure.

    The median height of what lies more than 35° below the horizon is the ground's.
    """
    latitude = latitudes(len(distance))
    below = latitude < _BELOW
    heights = distance[below] * -np.sin(latitude[below])[:, None]
    weight = np.broadcast_to(np.cos(latitude[below])[:, None], heights.shape)
    ground = _weighted_median(heights.ravel(), weight.ravel())
    deviation = _weighted_median(np.abs(heights / ground - 1).ravel(), weight.ravel())
    return float(eye_height / ground), bool(deviation < _UNEVEN)


def _weighted_median(values: np.ndarray, weight: np.ndarray) -> float:
    order = np.argsort(values)
    rising = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(rising, rising[-1] / 2)]])
