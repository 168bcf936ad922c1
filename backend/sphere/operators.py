"""Sparse linear operators that carry fields from one set of directions to another.

Built once per geometry, then applied to any number of channels and frames. Where the directions are scattered, a value
is that of the polynomial fitted to the nearest samples (moving least squares: Levin, *The approximation power of moving
least-squares*, 1998). With polynomials of degree 0 that is the weighted mean of 4K4DGen (appendix C); higher degrees
do not blur what the samples resolve. On regular grids it is Lagrange's interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from torch import Tensor

_ROWS_AT_ONCE = 16384
"""Fits solved together; bounds the memory of building an operator."""

_REGULARISATION = 1e-10
"""Of a fit, relative to its own size: keeps samples that lie on a line from blowing up."""

TAPS = 6
"""Samples along each side that an interpolation on a grid takes: polynomials of degree 5."""


@dataclass(frozen=True)
class SparseOperator:
    """Each row is a weighted sum of a few columns; the weights of a row add up to 1.

    Attributes:
        index: (row, neighbour) int32, which columns.
        weight: (row, neighbour) float32.
        columns: how many columns a field needs to have.
    """

    index: Int[Tensor, "row neighbour"]
    weight: Float[Tensor, "row neighbour"]
    columns: int

    def __call__(self, field: Float[Tensor, "column *features"]) -> Float[Tensor, "row *features"]:
        """The field where the operator leads, in its own type; differentiable in the field."""
        features = field.shape[1:]
        weight = self.weight.to(field.dtype)
        flat = field.reshape(self.columns, -1).contiguous()
        rows = torch.nn.functional.embedding_bag(self.index, flat, mode="sum", per_sample_weights=weight)
        return rows.reshape(-1, *features)

    def to(self, device: torch.device | str) -> SparseOperator:
        """The same operator on another device."""
        return SparseOperator(self.index.to(device), self.weight.to(device), self.columns)

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        return self.index.nbytes + self.weight.nbytes


def between_scattered(
    sources: Float[np.ndarray, "column 3"],
    targets: Float[np.ndarray, "row 3"],
    neighbours: int,
    degree: int,
    trust: Float[np.ndarray, " column"] | None = None,
) -> SparseOperator:
    """From samples at scattered directions to other directions, by moving least squares.

    Args:
        sources, targets: unit vectors.
        neighbours: samples taken for each target, the nearest ones.
        degree: of the polynomials, over the plane that touches the sphere at the target; fields that are such
            polynomials come out exactly. ``neighbours`` should be at least 1.5 times their number of coefficients.
        trust: how much each sample counts beside the others near it; positive.
    """
    neighbours = min(neighbours, len(sources))
    distance, index = map(np.asarray, KDTree(sources).query(targets, neighbours, workers=-1))
    weight = np.empty(index.shape, np.float32)
    for start in range(0, len(targets), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        weight[rows] = _fit(sources[index[rows]], targets[rows], distance[rows], degree, trust, index[rows])
    return SparseOperator(torch.from_numpy(index.astype(np.int32)), torch.from_numpy(weight), len(sources))


def _fit(near, targets, distance, degree, trust, index) -> np.ndarray:
    """Weights (row, neighbour) of the fitted polynomial's value at the target."""
    east, north = _tangents(targets)
    reach = distance[:, -1:]
    x = np.einsum("nkx,nx->nk", near, east) / reach
    y = np.einsum("nkx,nx->nk", near, north) / reach
    closeness = np.clip(1 - distance / reach, 0, 1) ** 4 * (4 * distance / reach + 1) + 1e-9  # Wendland's C2 function
    if trust is not None:
        closeness = closeness * trust[index]
    terms = np.stack([x**i * y ** (total - i) for total in range(degree + 1) for i in range(total + 1)], axis=-1)
    weighted = terms * closeness[..., None]
    normal = np.swapaxes(weighted, 1, 2) @ terms
    size = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    normal += _REGULARISATION * size * np.eye(terms.shape[-1])
    at_target = np.zeros((len(targets), terms.shape[-1], 1))
    at_target[:, 0] = 1  # at the target itself all other terms vanish
    weight = (weighted @ np.linalg.solve(normal, at_target))[..., 0]
    return weight / weight.sum(axis=1, keepdims=True)


def _tangents(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    aside = np.where(np.abs(directions[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    east = np.cross(aside, directions)
    east /= np.linalg.norm(east, axis=1, keepdims=True)
    return east, np.cross(directions, east)


def from_equirectangular(height: int, targets: Float[np.ndarray, "row 3"]) -> SparseOperator:
    """From the pixels of an equirectangular image (row by row) to directions; right across ±180° and the poles."""
    width = 2 * height
    column = (np.arctan2(targets[:, 0], targets[:, 1]) / (2 * np.pi) + 0.5) * width - 0.5
    row = (0.5 - np.arctan2(targets[:, 2], np.hypot(targets[:, 0], targets[:, 1])) / np.pi) * height - 0.5
    columns, column_weights = _lagrange(column)
    rows, row_weights = _lagrange(row)
    row_index = rows[:, :, None] % (2 * height)  # on along the meridian: down the image, up its other side
    beyond = row_index >= height
    row_index = np.where(beyond, 2 * height - 1 - row_index, row_index)
    column_index = (columns[:, None, :] + np.where(beyond, height, 0)) % width
    return _on_grid(row_index * width + column_index, row_weights, column_weights, height * width)


def from_plane(size: int, column: np.ndarray, row: np.ndarray) -> SparseOperator:
    """From the pixels of a square image (row by row) to places in it, in pixel-centre units, which must lie inside."""
    columns, column_weights = _lagrange(column, size)
    rows, row_weights = _lagrange(row, size)
    return _on_grid(rows[:, :, None] * size + columns[:, None, :], row_weights, column_weights, size * size)


def _on_grid(index: np.ndarray, row_weights: np.ndarray, column_weights: np.ndarray, columns: int) -> SparseOperator:
    weight = row_weights[:, :, None] * column_weights[:, None, :]
    weight = weight.reshape(len(weight), -1).astype(np.float32)
    return SparseOperator(
        torch.from_numpy(np.ascontiguousarray(index.reshape(len(weight), -1), np.int32)),
        torch.from_numpy(weight),
        columns,
    )


def _lagrange(place: np.ndarray, size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The samples around each place, and their weights; kept inside 0..``size`` - 1 where one is given."""
    first = np.floor(place).astype(np.int64) - (TAPS // 2 - 1)
    if size is not None:
        first = np.clip(first, 0, size - TAPS)
    taps = first[:, None] + np.arange(TAPS)
    weights = np.ones((len(place), TAPS))
    for one in range(TAPS):
        for other in range(TAPS):
            if other != one:
                weights[:, one] *= (place - taps[:, other]) / (one - other)
    return taps, weights / weights.sum(axis=1, keepdims=True)
