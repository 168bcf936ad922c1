"""A preconditioner for what all views' shifts may do together: follow one smooth field on the sphere.

The data do not hold such shifts back, only the weak penalties do. To the diagonal, which knows the data alone, they are
invisible, and conjugate gradients take hundreds of steps to find them. So fields on equirectangular grids from fine to
coarse are added, each with its own diagonal (Bramble, Pasciak and Xu, *Parallel multilevel preconditioners*, 1990), and
over time in cosines, where the penalty on changes from frame to frame is diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from scipy.fft import dct, idct
from scipy.sparse import csr_array

from ..sphere.charts import view_rays
from ..sphere.equirectangular import directions, pixels
from ..sphere.icosphere import VIEW_FOV, view_rotations
from ..sphere.views import rays

_SQUARED_HAT = 4 / 9
"""Sum of a bilinear hat's squares over its sum."""

_SQUARED_SLOPE = 6.0
"""Sum of the squares of its slope over that of its own, in steps of the grid."""


_SEEN = 1e-3
"""Nodes that hardly any pixel looks at count as if so many of the usual number did."""


@dataclass(frozen=True)
class SmoothFields:
    """The sum over grids of fields, each divided by how strongly it is held.

    Attributes:
        looks: for each view (pixel, node): the finest grid's field as shifts of the view.
        finer: from each grid to the next finer one.
        held: for each grid (node, wave) half the second derivative of the penalties.
    """

    looks: list[csr_array]
    finer: list[csr_array]
    held: list[Float32[np.ndarray, "node wave"]]

    def __call__(self, residual: Float32[np.ndarray, "view pixel frame"]) -> Float32[np.ndarray, "node frame"]:
        """What the residual asks of the finest grid; ``looks`` turn it into shifts."""
        heard = sum(look.T @ of_view for look, of_view in zip(self.looks, residual, strict=True))
        levels = [dct(heard, axis=1, norm="ortho")]
        for finer in self.finer:
            levels.append(finer.T @ levels[-1])
        field = levels.pop() / self.held[-1]
        for finer, held in zip(self.finer[::-1], self.held[-2::-1], strict=True):
            field = finer @ field + levels.pop() / held
        return np.asarray(idct(field, axis=1, norm="ortho"), np.float32)


def smooth_fields(size: int, frames: int, power: int, smooth: float, steady: float) -> SmoothFields:
    """For 20 views of ``size`` pixels; ``power`` of the cosine; ``smooth`` and ``steady`` as penalties of squares."""
    height = max(4, round(np.pi / float(VIEW_FOV) * size / 2))
    along_ray = np.linalg.norm(rays(size, size, VIEW_FOV), axis=-1).ravel().astype(np.float32) ** power
    looks = []
    for rotation in view_rotations():
        look = _between_pixels(view_rays(rotation, size).reshape(-1, 3), height)
        look.data *= np.repeat(along_ray, 4)
        looks.append(look)
    over_time = steady * (2 - 2 * np.cos(np.pi * np.arange(frames) / frames)) if frames > 1 else np.zeros(1)
    mass = np.sum([look.T @ np.ones(look.shape[0], np.float32) for look in looks], axis=0)
    finer, held = [], []
    while True:
        step = np.pi / height / (float(VIEW_FOV) / size)  # in pixels of the views
        across = np.repeat(np.cos((0.5 - (np.arange(height) + 0.5) / height) * np.pi) ** -2, 2 * height)
        slope = smooth * _SQUARED_SLOPE / step**2 * (1 + across) / 2
        seen = np.maximum(mass, _SEEN * mass.max())[:, None]
        held.append((_SQUARED_HAT * seen * (slope[:, None] + over_time)).astype(np.float32))
        if height < 8:
            return SmoothFields(looks, finer, held)
        towards = directions(height).reshape(-1, 3).astype(np.float64)
        height = (height + 1) // 2
        finer.append(_between_pixels(towards, height))
        mass = finer[-1].T @ mass


def _between_pixels(towards: Float[np.ndarray, "place 3"], height: int) -> csr_array:
    """(place, pixel) bilinear lookup in equirectangular images; beyond the last row it stays the same."""
    column, row = pixels(towards, height)
    left = np.floor(column).astype(np.int64)
    top = np.clip(np.floor(row), 0, height - 2).astype(np.int64)
    across, down = column - left, np.clip(row - top, 0, 1)
    left, right, width = left % (2 * height), (left + 1) % (2 * height), 2 * height
    index = np.stack([top * width + left, top * width + right, (top + 1) * width + left, (top + 1) * width + right], 1)
    weight = np.stack([(1 - across) * (1 - down), across * (1 - down), (1 - across) * down, across * down], 1)
    starts = np.arange(len(index) + 1, dtype=np.int32) * 4
    entries = weight.astype(np.float32).ravel(), index.astype(np.int32).ravel(), starts
    return csr_array(entries, shape=(len(index), 2 * height * height))
