"""How dense Gaussians are where: fine where picture or distance has edges and texture, coarse where both are smooth.

The sphere is divided into the cells of a coarse lattice. Each is filled by one sample of its own, or by those of a
lattice twice or four times as fine that lie in it. What a cell costs is their number, what it brings is how much less
they blur the picture; refined are those that bring most for what they cost. None is coarser than the lattice in the
middle where that would show, unless a budget is too small for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ..sphere import periodic
from ..sphere.colour import srgb_from_linear
from ..sphere.lattice import Lattice

FINENESS = (1, 2, 4)
"""Samples along a coarse cell's side, by level."""

_FRAMES = 6
"""Frames, evenly spread, that are looked at."""

_LEAST_ERROR = (0.2 / 255) ** 2
"""Mean square in sRGB that nobody sees: it is not worth a sample."""

_UNSEEN = (0.5 / 255) ** 2
"""Mean square in sRGB, the worst nearby, up to which calm ground may be coarser than the lattice in the middle."""

_CALM = 1
"""Coarse cells around that must be as calm: borders between levels are not free."""

_WORTH = (1 / 255) ** 2 / (FINENESS[2] ** 2 - FINENESS[1] ** 2)
"""Mean square in sRGB of a cell that one sample more must bring: finer than the lattice in the middle is no end in
itself."""

_LEAST_WORTH = _LEAST_ERROR / FINENESS[-1] ** 2
"""The same where a budget is too small for the lattice in the middle."""

AUTOMATIC = 1.25
"""Samples at most without a budget, in those of the lattice of the panorama's pixels."""

_ASIDE = 0.3
"""Metres aside from where wrong distance shows as parallax."""

_CONTRAST_PER_PX = 0.03
"""What a pixel of parallax counts, in sRGB: that of a faint texture."""

_MOST_CONTRAST = 0.15
"""What any parallax counts at most."""

_OVERLAP = 0.6
"""Of a sample's step: so far a cell's samples may lie beside it, so that no gap opens between levels."""

_TURNS = 14

Map = Float[np.ndarray, "height width"]


@dataclass(frozen=True)
class Samples:
    """Where Gaussians lie: on each level's lattice those chosen.

    Attributes:
        lattices: of each level, coarse to fine.
        chosen: samples of each lattice.
    """

    lattices: tuple[Lattice, ...]
    chosen: tuple[Int[np.ndarray, " chosen"], ...]

    def __len__(self) -> int:
        return sum(len(chosen) for chosen in self.chosen)


def spread(
    frames: Float[np.ndarray, "frame height width 3"],
    distance: Float[np.ndarray, "frames height width"],
    height: int,
    budget: int,
) -> Samples:
    """At most ``budget`` samples of lattices of ``height``/2, ``height`` and 2·``height`` rows.

    Args:
        frames: scene-linear Rec.709.
        distance: metres, one frame or more.
        height: even; of the lattice in the middle.
    """
    lattices = tuple(Lattice(height // 2 * fineness) for fineness in FINENESS)
    errors, calm = _errors(frames, distance, lattices)
    cells = [_cells_of(lattice, lattices[0]) for lattice in lattices]
    coarsest = np.where(calm, 0, 1)
    if _count(_chosen(cells, coarsest)) <= budget:
        return Samples(lattices, _fitting(cells, errors, coarsest, _WORTH, budget))
    return Samples(lattices, _fitting(cells, errors, np.zeros_like(coarsest), _LEAST_WORTH, budget))


def _fitting(
    cells: list[np.ndarray], errors: Float[np.ndarray, "cell level"], coarsest: Int[np.ndarray, " cell"], low, budget
) -> tuple[Int[np.ndarray, " chosen"], ...]:
    """Of at most ``budget`` samples what brings most, at a price of ``low`` or more for each."""
    best, price, high = _chosen(cells, coarsest), low, 1.0
    for _ in range(_TURNS):
        found = _chosen(cells, np.maximum(_levels(errors, price), coarsest))
        if _count(found) > budget:
            low = price
        else:
            best, high = found, price
        if high <= low:
            break
        price = np.sqrt(low * high)
    return best


def _errors(
    frames: np.ndarray, distance: np.ndarray, lattices: tuple[Lattice, ...]
) -> tuple[Float[np.ndarray, "cell level"], Bool[np.ndarray, " cell"]]:
    """Mean square error of each coarse cell and level, in the worst frame, with what lies around the cell; and whether
    nobody sees it at the coarse level, nowhere in or around the cell."""
    height = frames.shape[1]
    blurs = [_blur_px(lattice, height) for lattice in lattices]
    worst = np.zeros((len(lattices), height, 2 * height), np.float32)
    for index in _spread_out(len(frames)):
        srgb = srgb_from_linear(frames[index])
        parallax = _ASIDE * height / np.pi / distance[index if len(distance) > 1 else 0]
        for level, blur in enumerate(blurs):
            of_colour = ((periodic.blur(srgb, blur) - srgb) ** 2).mean(axis=2)
            off = np.abs(periodic.blur(parallax, blur) - parallax) * _CONTRAST_PER_PX
            worst[level] = np.maximum(worst[level], of_colour + np.minimum(off, _MOST_CONTRAST) ** 2)
    around = max(1, round(height / lattices[0].height))
    over_cells = lattices[0].means_over(height, np.arange(len(lattices[0].rows)))
    seen = periodic.dilate(periodic.box(worst[0], 1) > _UNSEEN, _CALM * around)
    errors = np.stack([over_cells @ periodic.box(level, around).ravel() for level in worst], axis=1)
    return errors, np.asarray(over_cells @ seen.ravel().astype(np.float32)) == 0


def _spread_out(count: int) -> Int[np.ndarray, " frames"]:
    return np.unique(np.linspace(0, count - 1, min(count, _FRAMES)).round().astype(int))


def _blur_px(lattice: Lattice, height: int) -> float:
    """How a lattice blurs: by its Gaussians, and by the box whose mean each sample is, if that is more than a pixel."""
    step = height / lattice.height
    return float(np.sqrt((0.7 * step) ** 2 + max(step**2 - 1, 0) / 12))


def _levels(errors: Float[np.ndarray, "cell level"], price: float) -> Int[np.ndarray, " cell"]:
    """The level of each cell whose error plus ``price`` for each of its samples is the least."""
    costs = np.array([fineness**2 for fineness in FINENESS])
    seen = np.where(errors > _LEAST_ERROR, errors, 0)
    return np.asarray((seen + price * costs).argmin(axis=1))


def _cells_of(lattice: Lattice, coarse: Lattice) -> Int[np.ndarray, "places samples"]:
    """The coarse cells in which each sample lies, and those it lies beside."""
    own = coarse.cells(lattice.longitude, lattice.latitude)
    if lattice.height == coarse.height:
        return own[None]
    across, along = 2 * np.pi / lattice.counts[lattice.rows] * _OVERLAP, lattice.spacing * _OVERLAP
    beside = [coarse.cells(lattice.longitude + side * across, lattice.latitude) for side in (-1, 1)]
    over = [coarse.cells(lattice.longitude, lattice.latitude + side * along) for side in (-1, 1)]
    return np.stack([own, *beside, *over])


def _chosen(cells: list[np.ndarray], level: Int[np.ndarray, " cell"]) -> tuple[Int[np.ndarray, " chosen"], ...]:
    return tuple(np.flatnonzero((level[beside] == number).any(axis=0)) for number, beside in enumerate(cells))


def _count(chosen: tuple[np.ndarray, ...]) -> int:
    return sum(map(len, chosen))


def uniform_height(budget: int, tallest: int) -> int:
    """Rows (even, at most ``tallest``) of the lattice that has about ``budget`` samples."""
    return max(2, min(tallest, int(np.sqrt(budget * np.pi) / 2)) // 2 * 2)
