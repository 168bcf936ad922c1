"""What a monocular estimator says of the tangent views of a panoramic video, in its own terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

Kind = Literal["disparity", "z-depth", "metric"]
"""What numbers mean, z being the depth along the view's axis.

- disparity: a / z + b, with a > 0 and b unknown and different in each view and frame (MiDaS, Depth Anything).
- z-depth: a · z + b likewise.
- metric: z in metres, up to a scale near 1.
"""


def clipped(values: np.ndarray, kind: Kind) -> Bool[np.ndarray, "*shape"]:
    """Where an estimator of disparity ends at 0 (its last layer is a ReLU): all that is farther than it can tell."""
    return (values == 0) if kind == "disparity" else np.zeros(values.shape, bool)


@dataclass(frozen=True)
class Predictions:
    """An estimator's answer for the 20 square views of ``icosphere.view_rotations``, ``icosphere.VIEW_FOV`` wide.

    Attributes:
        values: (frame, view, row, column) float32; NaN where it says nothing.
        kind: what the values mean.
    """

    values: Float[np.ndarray, "frame view row column"]
    kind: Kind

    @property
    def size(self) -> int:
        """Rows and columns of a view."""
        return self.values.shape[-1]
