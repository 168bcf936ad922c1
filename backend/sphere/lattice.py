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
        width = 2 * self.height
        reach = width / self.counts[self.rows]  # pixels covered by one sample of the row
        start = (self.longitude + np.pi) * (width / (2 * np.pi)) - reach / 2
        first = np.floor(start + 1e-9).astype(np.int64)
        touched = np.ceil(start + reach - 1e-9).astype(np.int64) - first
        sample = np.repeat(np.arange(len(first)), touched)
        column = np.arange(len(sample)) - np.repeat(np.cumsum(touched) - touched - first, touched)
        overlap = np.minimum(column + 1, (start + reach)[sample]) - np.maximum(column, start[sample])
        pixel = self.rows[sample] * width + column % width
        weight = (overlap / reach[sample]).astype(np.float32)
        return sparse.csr_array((weight, (sample, pixel)), shape=(len(self.rows), self.height * width))
