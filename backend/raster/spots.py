"""A Gaussian as a spot in one picture: the numbers all three modes come down to, and how they are stored.

A pixel at d = pixel - centre meets the spot at the local coordinates

    (p, r) = L d / (1 + tilt · d),        weight = exp(-min((p² + r²) / 2, |d - offset|²)),

where 1 + tilt · d > 0. For "classic" and "antialiased" tilt = 0 and LᵀL is the inverse of the projected covariance
(3DGS eq. 5). For "surfels" it is the exact meeting of ray and plane: the cross product h_u × h_v of 2DGS eqs. 9-10,
written relative to the projected centre, where it does not cancel, is linear in d; z / (1 + tilt · d) is where the ray
meets the plane. The second term is 2DGS eq. 11, a disc one half-pixel wide below which no surfel shrinks; gsplat
centres it at the middle of the box around the surfel's outline, and so do we.
"""

from __future__ import annotations

from math import ceil, floor, isfinite, log, sqrt
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .kernels import kernel

NEAR: Final = 0.01
"""Metres along the optical axis; centres nearer than this are not drawn. gsplat's."""

FAINTEST: Final = 1 / 255
"""Opacity in a pixel below which a Gaussian leaves it alone. 3DGS's and gsplat's."""

DENSEST: Final = 0.999
"""Opacity in a pixel is cut off there. gsplat's (3DGS: 0.99)."""

OPAQUE: Final = 1e-4
"""A pixel is finished before its transmittance would fall to this. 3DGS's and gsplat's."""

NOWHERE: Final = 1e9
"""Pixels; an offset so far away that the disc is never met."""

SHAPE: Final = 9


class Spots(NamedTuple):
    """n spots in the picture of one camera. Rows of Gaussians that are not seen (an empty box) hold nothing.

    Attributes:
        centre: (n, 2) pixels, where the Gaussian's centre is seen.
        shape: (n, 9) L by rows, tilt, offset, and what the opacity is multiplied by ("antialiased"; else 1).
        distance: (n,) metres from the camera to the Gaussian's centre.
        z_depth: (n,) metres along the optical axis; spots are drawn in this order.
        box: (n, 4) int32, pixels that may be met: first and end column, first and end row; all 0 where not seen.
        radii: (n,) int32, pixels from the centre the spot reaches to; 0 where not seen.
    """

    centre: Float[np.ndarray, "n 2"]
    shape: Float[np.ndarray, "n 9"]
    distance: Float[np.ndarray, " n"]
    z_depth: Float[np.ndarray, " n"]
    box: Int[np.ndarray, "n 4"]
    radii: Int[np.ndarray, " n"]

    @classmethod
    def empty(cls, count: int) -> Spots:
        """Of ``count`` Gaussians, none seen."""
        return cls(
            centre=np.zeros((count, 2), np.float32),
            shape=np.zeros((count, SHAPE), np.float32),
            distance=np.zeros(count, np.float32),
            z_depth=np.zeros(count, np.float32),
            box=np.zeros((count, 4), np.int32),
            radii=np.zeros(count, np.int32),
        )


@kernel
def write_box(spots, i, x, y, reach_x, reach_y, width, height):
    """The pixels whose centres lie within reach; says whether there are any."""
    if not (isfinite(x) and isfinite(y) and reach_x >= 0 and reach_y >= 0):
        return False
    first_x = int(max(ceil(min(x - reach_x - 0.5, 1e9)), 0.0))
    first_y = int(max(ceil(min(y - reach_y - 0.5, 1e9)), 0.0))
    end_x = int(min(floor(max(x + reach_x - 0.5, -1e9)) + 1, float(width)))
    end_y = int(min(floor(max(y + reach_y - 0.5, -1e9)) + 1, float(height)))
    if first_x >= end_x or first_y >= end_y:
        return False
    box = spots.box[i]
    box[0], box[1], box[2], box[3] = first_x, end_x, first_y, end_y
    spots.radii[i] = ceil(min(max(reach_x, reach_y), 1e6)) if max(reach_x, reach_y) > 0 else 1
    return True


@kernel
def reach_of(opacity):
    """Standard deviations at which a spot is as faint as counts; negative: nowhere."""
    if not opacity >= FAINTEST:
        return -1.0
    return sqrt(max(2 * log(opacity / FAINTEST), 0.0))
