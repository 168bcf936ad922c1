"""Fields on the sphere that are known in closed form."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cyclorama.backend.sphere.charts import Charts
from cyclorama.backend.sphere.icosphere import VIEW_FOV, view_rotations
from cyclorama.backend.sphere.operators import from_plane


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


def apart(charts: Charts, views: Tensor) -> float:
    """How far neighbouring views are apart in the same direction, over the spread of all values.

    Each view is looked up, between its own pixels, where the next one's pixels are.
    """
    side = charts.size[0]
    focal, middle = side / 2 / np.tan(VIEW_FOV / 2), (side - 1) / 2
    differences = []
    for view in range(charts.count):
        other = (view + 1) % charts.count
        x, y, z = (charts.rays(other).reshape(-1, 3) @ view_rotations()[view]).T
        column, row = x / z * focal + middle, y / z * focal + middle
        seen = (z > 0) & (np.abs(column - middle) < side / 2 - 1) & (np.abs(row - middle) < side / 2 - 1)
        if seen.any():
            here = from_plane(side, column[seen], row[seen])(views[view].permute(2, 3, 0, 1).flatten(0, 1))
            there = views[other].permute(2, 3, 0, 1).flatten(0, 1)[torch.from_numpy(seen)]
            differences.append((here - there).flatten())
    return float(torch.cat(differences).square().mean().sqrt() / views.std())
