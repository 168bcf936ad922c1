"""Where tangent views overlap: directions on the sphere, and what each view that sees them says there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Float, Float32, Int32
from scipy.sparse import csr_array

from ..sphere.charts import smooth
from ..sphere.icosphere import VIEW_FOV, frequency_for, icosphere, view_rotations

_FEATHER = 0.5
"""From this far inside a view's edge (share of its half width) it counts less and less."""

_LEAST_TRUST = 1e-3


@dataclass(frozen=True)
class Overlaps:
    """All pairs of a direction and a view that sees it, view by view.

    Attributes:
        size: rows and columns of a view.
        directions: (sample, 3) unit vectors, as far apart as the views' pixels.
        sample, view: (pair,) which direction and which view.
        x, y: (pair,) place in the view, from -1 to 1, right and down.
        cosine: (pair,) of the angle to the view's axis: z-depth / distance.
        trust: (pair,) falls from 1 in the view's middle to next to nothing at its edge.
    """

    size: int
    directions: Float[np.ndarray, "sample 3"]
    sample: Int32[np.ndarray, " pair"]
    view: Int32[np.ndarray, " pair"]
    x: Float32[np.ndarray, " pair"]
    y: Float32[np.ndarray, " pair"]
    cosine: Float32[np.ndarray, " pair"]
    trust: Float32[np.ndarray, " pair"]

    @cached_property
    def views(self) -> list[slice]:
        """The pairs of each view."""
        ends = np.searchsorted(self.view, np.arange(self.view[-1] + 2))
        return [slice(first, last) for first, last in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]

    def hats(self, nodes: int) -> csr_array:
        """(pair, view x nodes²) ``between_nodes``, all views together."""
        index, weight = _hats(self.x, self.y, nodes)
        index += (self.view * np.int32(nodes * nodes))[:, None]
        return _rows(index, weight, (int(self.view[-1]) + 1) * nodes * nodes)

    @cached_property
    def sums(self) -> csr_array:
        """(sample, pair) that adds up what is said of each direction."""
        pairs = len(self.sample)
        return csr_array(
            (np.ones(pairs, np.float32), (self.sample, np.arange(pairs, dtype=np.int32))),
            shape=(len(self.directions), pairs),
        )


def between_nodes(x: Float[np.ndarray, " place"], y: Float[np.ndarray, " place"], nodes: int) -> csr_array:
    """(place, nodes²) bilinear interpolation of ``nodes`` x ``nodes`` values spread over a view, row by row.

    Each node lies in the middle of its share of the view; beyond the outermost ones values stay as they are. With as
    many nodes as pixels these are the pixels. ``x`` and ``y`` go from -1 to 1, right and down.
    """
    return _rows(*_hats(x, y, nodes), nodes * nodes)


def _hats(x: np.ndarray, y: np.ndarray, nodes: int) -> tuple[Int32[np.ndarray, "place 4"], np.ndarray]:
    left, across = _before(x, nodes)
    top, down = _before(y, nodes)
    step, below = (1, nodes) if nodes > 1 else (0, 0)
    first = top * nodes + left
    index = np.stack([first, first + step, first + below, first + below + step], 1)
    weight = np.stack([(1 - across) * (1 - down), across * (1 - down), (1 - across) * down, across * down], 1)
    return index, weight.astype(np.float32)


def _before(place: np.ndarray, nodes: int) -> tuple[Int32[np.ndarray, " place"], Float[np.ndarray, " place"]]:
    """The node before each place, and how far on the way to the next one it is, 0 to 1."""
    place = (place + 1) * (nodes / 2) - 0.5
    first = np.clip(np.floor(place), 0, max(nodes - 2, 0)).astype(np.int32)
    return first, np.clip(place - first, 0, 1) if nodes > 1 else np.zeros_like(place)


def _rows(index: np.ndarray, weight: np.ndarray, columns: int) -> csr_array:
    """Four entries a row; indices stay 32 bits wide, which halves what a product has to read."""
    starts = np.arange(len(index) + 1, dtype=np.int32) * 4
    return csr_array((weight.ravel(), index.astype(np.int32, copy=False).ravel(), starts), shape=(len(index), columns))


@lru_cache(maxsize=4)
def overlaps(size: int) -> Overlaps:
    """The overlaps of the 20 views, ``size`` pixels wide."""
    directions = icosphere(frequency_for(float(VIEW_FOV) / size))
    edge = np.tan(VIEW_FOV / 2)
    parts = []
    for view, rotation in enumerate(view_rotations()):
        forward = directions @ rotation[:, 2].astype(np.float64)
        near = np.flatnonzero(forward > 1 / np.sqrt(1 + 2 * edge**2))  # as far out as a view's corners
        towards = directions[near] @ rotation.astype(np.float64)
        x, y, z = towards.T
        sees = np.abs(towards[:, :2]).max(axis=1) < edge * z
        x, y, z = (part[sees] for part in (x / (z * edge), y / (z * edge), z))
        parts.append((near[sees], np.full(len(z), view), x, y, z, edge_trust(x, y)))
    sample, view, x, y, cosine, trust = (np.concatenate(part) for part in zip(*parts, strict=True))
    which = (part.astype(np.int32) for part in (sample, view))
    where = (part.astype(np.float32) for part in (x, y, cosine, trust))
    return Overlaps(size, directions, *which, *where)


def edge_trust(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Trust in places of a view (-1 to 1): less towards its edge, where the network sees half of its surroundings."""
    ramps = (smooth((1 - np.abs(place)) / _FEATHER) for place in (x, y))
    return np.maximum(np.minimum(*ramps), _LEAST_TRUST)
