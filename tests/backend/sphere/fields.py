"""Fields on the sphere that are known in closed form."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def waves(directions: np.ndarray, length: float, count: int = 30, seed: int = 1) -> Tensor:
    """Plane waves in all directions, ``length`` radians long, at unit vectors: (sample, 1, 1) float32."""
    random = np.random.default_rng(seed)
    total = np.zeros(directions.shape[:-1])
    for _ in range(count):
        along = random.normal(size=3)
        along *= 2 * np.pi / length / np.linalg.norm(along)
        total += np.cos(directions @ along + random.uniform(0, 2 * np.pi))
    return torch.from_numpy((total / np.sqrt(count / 2)).astype(np.float32)).reshape(-1, 1, 1)


def relative(got: Tensor, wanted: Tensor) -> float:
    """Root of the mean square error, over that of what was wanted."""
    return float((got - wanted).norm() / wanted.norm())
