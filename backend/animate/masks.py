"""Masks of the panorama, as the charts and the samples of a field see them."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ..sphere.charts import Charts
from ..sphere.equirectangular import sample

_AT_ONCE = 1 << 14
"""Directions looked up together; OpenCV takes fewer than 32767."""


def masks_in(charts: Charts, mask: Float32[np.ndarray, "height width"]) -> Float[Tensor, "chart row column"]:
    """A mask of the panorama as each chart shows it, one value a latent."""
    latents = _reduced(mask, charts.height)
    seen = [sample(latents, charts.rays(chart), cv2.INTER_LINEAR) for chart in range(charts.count)]
    return torch.from_numpy(np.stack(seen)).clamp(0, 1)


def mask_at(
    mask: Float32[np.ndarray, "height width"], samples: Float[np.ndarray, "sample 3"], height: int
) -> Float[Tensor, " sample"]:
    """A mask of the panorama at directions, as fine as latents of ``height``."""
    latents = _reduced(mask, height)
    parts = [samples[first : first + _AT_ONCE] for first in range(0, len(samples), _AT_ONCE)]
    seen = [sample(latents, part[None], cv2.INTER_LINEAR)[0] for part in parts]
    return torch.from_numpy(np.concatenate(seen)).clamp(0, 1)


def _reduced(mask: np.ndarray, height: int) -> np.ndarray:
    return cv2.resize(mask, (2 * height, height), interpolation=cv2.INTER_AREA)
