"""White noise on the sphere, seen by tangent views and equirectangular images without losing its variance.

Interpolating noise lowers its variance and makes neighbours alike; a diffusion model takes both for a blurred picture.
So noise is drawn at points finer than any pixel, and a pixel's noise is the sum of those in it over the square root of
their number (after Chang et al., *How I Warped Your Noise*, ICLR 2024, section 3): variance 1, pixels of one image
independent, and views that overlap see the same noise.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from torch import Tensor

from .icosphere import icosphere

_FINER = 3
"""Points of noise along each side of a latent pixel."""


@dataclass(frozen=True)
class WhiteNoise:
    """Independent unit Gaussians at the points of a fine icosphere.

    Attributes:
        seed: chooses them.
        frequency: of the icosphere whose points are a latent pixel apart; the noise's own is finer.
    """

    seed: int
    frequency: int

    @property
    def points(self) -> Float[np.ndarray, "points 3"]:
        """Unit vectors to the points."""
        return _fine_points(self.frequency)

    def frame(self, frame: int, channels: int) -> Float[Tensor, "points channels"]:
        """The noise of one frame, the same whenever it is asked for; float32 on the CPU."""
        return torch.randn(len(self.points), channels, generator=self.generator(f"frame {frame}"))

    def generator(self, purpose: str) -> torch.Generator:
        """A generator of its own for each purpose."""
        return torch.Generator().manual_seed(zlib.crc32(f"{self.seed} {purpose}".encode()))  # torch looks at 32 bits


@lru_cache(maxsize=2)
def _fine_points(frequency: int) -> np.ndarray:
    return icosphere(_FINER * frequency)


@dataclass(frozen=True)
class Cells:
    """Which points of noise lie in which pixel.

    Attributes:
        point, cell: pairs that belong together.
        root: (cell,) square root of the points in each.
    """

    point: Int[Tensor, " pairs"]
    cell: Int[Tensor, " pairs"]
    root: Float[Tensor, " cells"]

    @classmethod
    def of(cls, point: np.ndarray, cell: np.ndarray, centres: np.ndarray, points: np.ndarray) -> Cells:
        """From the pairs; a cell without a point takes the one nearest to its centre."""
        count = np.bincount(cell, minlength=len(centres))
        empty = np.flatnonzero(count == 0)
        if len(empty):
            point = np.concatenate([point, KDTree(points).query(centres[empty])[1]])
            cell = np.concatenate([cell, empty])
        root = np.sqrt(np.maximum(count, 1)).astype(np.float32)
        return cls(torch.from_numpy(point), torch.from_numpy(cell), torch.from_numpy(root))

    def sums(self, noise: Float[Tensor, "points channels"]) -> Float[Tensor, "cells channels"]:
        """White noise of unit variance, one value a cell."""
        total = torch.zeros(len(self.root), noise.shape[1])
        return total.index_add_(0, self.cell, noise[self.point]) / self.root[:, None]


def cells_of_view(
    points: Float[np.ndarray, "points 3"], R_scene_from_view: Float[np.ndarray, "3 3"], size: int, fov: float
) -> Cells:
    """The points in each pixel of a square tangent view, row by row."""
    x, y, z = (points @ R_scene_from_view).T
    ahead = np.flatnonzero(z > 1e-3)
    focal = size / 2 / np.tan(fov / 2)
    column = np.floor(x[ahead] / z[ahead] * focal + size / 2).astype(np.int64)
    row = np.floor(y[ahead] / z[ahead] * focal + size / 2).astype(np.int64)
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    across, down = np.meshgrid(np.arange(size) + 0.5 - size / 2, np.arange(size) + 0.5 - size / 2)
    rays = np.stack([across / focal, down / focal, np.ones_like(across)], axis=-1).reshape(-1, 3)
    centres = rays / np.linalg.norm(rays, axis=1, keepdims=True) @ R_scene_from_view.T
    return Cells.of(ahead[inside], (row * size + column)[inside], centres, points)


@dataclass(frozen=True)
class EquirectangularCells:
    """The points in the pixels of an equirectangular image.

    Towards the poles its pixels are narrower than the points of noise are apart, so there several columns share one
    cell; each gets its part of the cell's noise, and independent noise that adds up to nothing in the cell besides.
    With it each pixel has variance 1 and neighbours are independent (Chang et al., eq. 6).
    """

    cells: Cells
    cell: Int[Tensor, " pixels"]
    columns: Float[Tensor, " pixels"]

    @classmethod
    def of(cls, points: Float[np.ndarray, "points 3"], height: int) -> EquirectangularCells:
        """The cells of an image of ``height`` x ``2·height`` pixels."""
        width = 2 * height
        latitude = np.pi / 2 - (np.arange(height) + 0.5) * (np.pi / height)
        wanted = np.ceil(np.log2(1 / np.cos(latitude)) - 1e-9)
        most = (width & -width).bit_length() - 1  # how often the width can be halved
        columns = 2 ** np.clip(wanted, 0, most).astype(np.int64)
        in_row = width // columns
        first = np.cumsum(in_row) - in_row
        row = np.clip((0.5 - np.arcsin(np.clip(points[:, 2], -1, 1)) / np.pi) * height, 0, height - 1).astype(np.int64)
        turn = np.arctan2(points[:, 0], points[:, 1]) / (2 * np.pi) + 0.5
        cell = first[row] + np.floor(turn * in_row[row]).astype(np.int64) % in_row[row]
        rows = np.repeat(np.arange(height), in_row)
        longitude = ((np.arange(in_row.sum()) - first[rows] + 0.5) / in_row[rows] - 0.5) * 2 * np.pi
        cos = np.cos(latitude)[rows]
        centres = np.stack([cos * np.sin(longitude), cos * np.cos(longitude), np.sin(latitude)[rows]], axis=1)
        cell_of_pixel = first[:, None] + np.arange(width) // columns[:, None]
        return cls(
            Cells.of(np.arange(len(points)), cell, centres, points),
            torch.from_numpy(cell_of_pixel.reshape(-1)),
            torch.from_numpy(np.repeat(columns, width).astype(np.float32)),
        )

    def noise(self, white: WhiteNoise, frame: int, channels: int) -> Float[Tensor, "pixels channels"]:
        """White noise of unit variance, one value a pixel, row by row."""
        shared = self.cells.sums(white.frame(frame, channels))
        own = torch.randn(len(self.cell), channels, generator=white.generator(f"columns {frame}"))
        total = torch.zeros_like(shared).index_add_(0, self.cell, own)
        columns = self.columns[:, None]
        own -= total[self.cell] / columns
        own *= columns > 1
        return shared[self.cell] / columns.sqrt() + own
