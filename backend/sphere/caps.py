"""The polar caps: tangent views over the poles, which take over where an equirectangular image is stretched too far.

At 62° of latitude it is stretched more than twofold, which neither a perspective model nor its autoencoder knows. There
it has more pixels than a tangent view of the same fineness, so that nothing is lost.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Float32

from .equirectangular import direction, latitudes, longitudes
from .icosphere import VIEW_FOV
from .views import look

POLES: Float[np.ndarray, "2 3 3"] = np.stack([look(0.0, np.pi / 2), look(0.0, -np.pi / 2)])
"""``R_scene_from_view`` of the views that look at the zenith and at the nadir."""

_FROM, _TO = np.deg2rad(54.0), np.deg2rad(62.0)
"""Between these latitudes the caps take over."""

END_OF_WINDOWS = _TO
"""Beyond this latitude, radians, only the caps count."""


def cap_share(height: int) -> Float[np.ndarray, " height"]:
    """How much the caps count in each row of an equirectangular image, 0..1."""
    part = np.clip((np.abs(latitudes(height)) - _FROM) / (_TO - _FROM), 0, 1)
    return part * part * (3 - 2 * part)


def cap_rows(height: int, pole: int) -> slice:
    """The rows in which the cap over the zenith (0) or the nadir (1) counts at all."""
    rows = int((latitudes(height) > _FROM).sum())
    return slice(0, rows) if pole == 0 else slice(height - rows, height)


def places_in_cap(height: int, pole: int, size: int) -> tuple[Float[np.ndarray, "rows width"], ...]:
    """Column and row, in pixel-centre units of a cap of ``size``², of each pixel in ``cap_rows``."""
    latitude = latitudes(height)[cap_rows(height, pole)]
    towards = direction(longitudes(2 * height)[None, :], latitude[:, None]).astype(np.float64)
    x, y, z = np.moveaxis(towards @ POLES[pole].astype(np.float64), -1, 0)
    focal = size / 2 / np.tan(VIEW_FOV / 2)
    return x / z * focal + (size - 1) / 2, y / z * focal + (size - 1) / 2


def lay_cap(image: Float32[np.ndarray, "height width 3"], cap: Float32[np.ndarray, "size size 3"], pole: int) -> None:
    """Lay a picture of a cap over an equirectangular picture, blended into it; in place."""
    height = len(image)
    column, row = places_in_cap(height, pole, len(cap))
    seen = cv2.remap(
        cap, column.astype(np.float32), row.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    rows = cap_rows(height, pole)
    image[rows] += cap_share(height)[rows, None, None].astype(np.float32) * (seen - image[rows])
