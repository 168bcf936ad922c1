"""A lattice of equal density per solid angle, and the sparse operator that samples panoramas on it.

An equirectangular image oversamples the poles: its rows all have as many pixels, though they are cos φ as long. Here
every row keeps its latitude but has cos φ times as many samples, so neighbours are about one equator pixel apart
everywhere. A sample's value is the exact mean of the pixels it covers (no aliasing towards the poles).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from .equirectangular import latitudes

_FEWEST = 3
"""Samples of the rows next to a pole."""


@dataclass(frozen=True)
class Lattice:
    """The lattice that belongs to images of ``height`` x ``2·height`` pixels."""

    height: int

    @cached_property
    def counts(self) -> Int[np.ndarray, " height"]:
        """Samples in each row."""
        return np.maximum(np.rint(2 * self.height * np.cos(latitudes(self.height))), _FEWEST).astype(np.int64)

    @cached_property
    def rows(self) -> Int[np.ndarray, " samples"]:
        """Row of each sample."""
        return np.repeat(np.arange(self.height), self.counts)

    @cached_property
    def longitude(self) -> Float[np.ndarray, " samples"]:
        """Longitude of each sample, radians."""
        within = np.arange(self.counts.sum()) - np.repeat(np.cumsum(self.counts) - self.counts, self.counts)
        return (within + 0.5) * (2 * np.pi / self.counts[self.rows]) - np.pi

    @cached_property
    def latitude(self) -> Float[np.ndarray, " samples"]:
        """Latitude of each sample, radians."""
        return latitudes(self.height)[self.rows]

    @cached_property
    def nearest_pixels(self) -> Int[np.ndarray, " samples"]:
        """Index into the flattened image of the pixel under each sample."""
        column = np.floor((self.longitude / (2 * np.pi) + 0.5) * (2 * self.height)).astype(np.int64)
        return self.rows * 2 * self.height + column

    @property
    def spacing(self) -> float:
        """Distance of neighbours, radians of arc."""
        return np.pi / self.height

    @cached_property
    def means(self) -> sparse.csr_array:
        """(samples, height·width) float32: times a flattened image it gives each sample's mean of what it covers."""
        return self.means_over(self.height, np.arange(len(self.rows)))

    def cells(self, longitude: Float[np.ndarray, " places"], latitude: Float[np.ndarray, " places"]) -> np.ndarray:
        """(places,) int: which sample's cell (its stretch of its row) each place lies in; any longitude, radians."""
        row = np.clip(np.floor((0.5 - latitude / np.pi) * self.height), 0, self.height - 1).astype(np.int64)
        count = self.counts[row]
        column = np.floor((longitude / (2 * np.pi) + 0.5) * count).astype(np.int64) % count
        return (np.cumsum(self.counts) - self.counts)[row] + column

    def means_over(self, height: int, samples: Int[np.ndarray, " chosen"]) -> sparse.csr_array:
        """(chosen, height·2·height) float32: as ``means``, of the chosen samples over images of any height."""
        width, row = 2 * height, self.rows[samples]
        reach = width / self.counts[row]
        left = (self.longitude[samples] + np.pi) * (width / (2 * np.pi)) - reach / 2
        sample, column, across = _overlaps(left, reach)
        tall = np.full(len(row), height / self.height)
        part, line, down = _overlaps(row * tall, tall)
        touched = np.bincount(sample, minlength=len(row))  # columns of each sample, repeated for each of its lines
        entry = _ranges((np.cumsum(touched) - touched)[part], touched[part])
        pixel = np.repeat(line, touched[part]) * width + column[entry] % width
        weight = (np.repeat(down, touched[part]) * across[entry]).astype(np.float32)
        owner = np.repeat(part, touched[part])
        return sparse.csr_array((weight, (owner, pixel)), shape=(len(row), height * width))


def _overlaps(start: np.ndarray, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit cells that intervals touch: which interval, which cell, and the share of the interval that lies in it."""
    first = np.floor(start + 1e-9).astype(np.int64)
    touched = np.ceil(start + reach - 1e-9).astype(np.int64) - first
    owner = np.repeat(np.arange(len(first)), touched)
    cell = _ranges(first, touched)
    overlap = np.minimum(cell + 1, (start + reach)[owner]) - np.maximum(cell, start[owner])
    return owner, cell, overlap / reach[owner]


def _ranges(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """first, first + 1 ... of each, one after the other."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - first, counts)
