"""First Gaussians of a panoramic video: flat, on what is seen, dense where there is detail, with a layer behind edges.

All frames have the same Gaussians in the same order. What does not change is identical in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from ...bridge.errors import CycloramaError
from ...bridge.gaussians import Gaussians, radiance_from_colour
from ...bridge.settings import FEWEST_GAUSSIANS
from ..depth.edges import depth_edges
from ..sphere import periodic
from ..sphere.colour import srgb_from_linear
from ..sphere.equirectangular import latitudes, longitudes
from ..sphere.lattice import Lattice
from ..sphere.panorama import DepthVideo, PanoramaVideo
from . import behind
from .detail import AUTOMATIC, Samples, spread, uniform_height
from .direct import slopes
from .flat import OPACITY, flat
from .inpainting import Inpainter, OpenCVInpainter, painted_cells

SIGMA = 0.75
"""Standard deviation in units of the samples' spacing: neighbours together cover 98 % everywhere, also as Blender draws
them (cut at two standard deviations)."""

_HIDDEN_STEP = 1.5
"""Spacing of the second layer, in that of the panorama's lattice."""

_HIDDEN_SHARE = 0.3
"""Of a budget, for the second layer at most."""

_BRIGHTEST_HIDDEN = 1.0
"""Scene-linear: a lamp behind a wall would shine through the hundredth or two that the wall's Gaussians let pass."""

_STILL = 0.25 / 255
"""sRGB; what never changes by more is still."""

_STILL_PARALLAX = 0.1
"""Pixels of parallax at ``behind.REACH``; a surface that never changes by more is still."""

_ONE_SURFACE = np.radians(3.5)
"""Of parallax at ``behind.REACH``; pixels that are farther apart in depth lend each other no colour."""


@dataclass(frozen=True)
class _Surface:
    """Samples on a surface: distance (metres) and its slopes, d(log distance) per radian to the east and the north."""

    radius: Float[np.ndarray, " samples"]
    slope_east: Float[np.ndarray, " samples"]
    slope_north: Float[np.ndarray, " samples"]


class Seeding:
    """Gaussians of a panoramic video over its distance.

    Args:
        video: scene-linear Rec.709.
        depth: of the same size; one frame for all, or as many as the video has.
        budget: Gaussians at most, the second layer included; 0: at most a quarter more than a uniform lattice of the
            panorama's pixels has (width² / π), and the second layer.
        second_layer: whether the background goes on behind foreground edges.
        inpaint: paints the second layer.
        before_each: is called between its steps; may raise to stop.

    Attributes:
        longitude, latitude: (n,) radians, where each lies as the viewer at the origin sees it.
        spacing: (n,) radians of arc to its neighbours; its standard deviation is ``SIGMA`` of it, before it is tilted.
        hidden: (n,) of the second layer; all of these are still.
        moves: (n,) whether anything of it changes visibly over time: as motion fades out, so it ends, without a border.
        reshaped: whether places, orientations or sizes of some do.

    Raises ``CycloramaError``: "sizes-differ", "frames-differ", "distance-not-usable", "budget-too-small".
    """

    def __init__(
        self,
        video: PanoramaVideo,
        depth: DepthVideo,
        *,
        budget: int = 0,
        second_layer: bool = True,
        inpaint: Inpainter | None = None,
        before_each: Callable[[], None] = lambda: None,
    ):
        check(video, depth, budget)
        before_each()
        self._frames, self._depth = video.frames, depth
        self._outlines: tuple[int, behind.Background, np.ndarray] | None = None
        self._maps: tuple[int, tuple[np.ndarray, ...]] | None = None
        self._height = video.frames.shape[1]
        layer = _Hidden.of(video, depth, budget, inpaint or OpenCVInpainter()) if second_layer else _Hidden.none()
        before_each()
        samples = self._visible(budget - len(layer.radius) if budget else 0)
        before_each()
        self._set_places(samples, layer)
        reshaped = _reshaped(depth.distance)
        self._colours = self._weights(samples, reshaped)
        before_each()
        self._set_motion(video, reshaped)
        before_each()
        self._hidden = layer
        self._still_colour = self._frame_colour(0, np.arange(self._count))

    def _visible(self, budget: int) -> Samples:
        most = budget or int(AUTOMATIC * len(Lattice(self._height).rows))
        return spread(self._frames, self._depth.distance, uniform_height(most, self._height), most)

    def _set_places(self, samples: Samples, layer: _Hidden) -> None:
        parts = list(zip(samples.lattices, samples.chosen, strict=True)) + [
            (layer.lattice, cells) for cells in layer.cells
        ]
        self.longitude = np.concatenate([lattice.longitude[chosen] for lattice, chosen in parts]).astype(np.float32)
        self.latitude = np.concatenate([lattice.latitude[chosen] for lattice, chosen in parts]).astype(np.float32)
        self.spacing = np.concatenate([np.full(len(chosen), lattice.spacing, np.float32) for lattice, chosen in parts])
        self._count = len(samples)
        self.hidden = np.arange(len(self.longitude)) >= self._count

    def _weights(self, samples: Samples, reshaped: Bool[np.ndarray, "height width"]) -> sparse.csr_array:
        """(samples, pixels): times a flattened image each sample's mean of what it covers.

        Of that only what is as far as it is itself: next to a lamp a hundredth of its light would whiten a wall. But
        where distances change over time, all.
        """
        parts = zip(samples.lattices, samples.chosen, strict=True)
        means = [lattice.means_over(self._height, chosen) for lattice, chosen in parts]
        weights = sparse.csr_array(sparse.vstack(means, format="csr"))
        visible = slice(0, self._count)
        row, column = behind.nearest(self.longitude[visible], self.latitude[visible], self._height)
        sample, pixel = np.repeat(np.arange(self._count), np.diff(weights.indptr)), weights.indices
        own = (row * 2 * self._height + column)[sample]
        nearness = behind.REACH / self._depth.distance[0].ravel()
        same = (np.abs(nearness[pixel] - nearness[own]) < _ONE_SURFACE) | reshaped.ravel()[own]
        weights.data = np.where(same, weights.data, 0)
        total = np.bincount(sample, weights.data, self._count).astype(np.float32)
        weights.data /= np.where(total > 0, total, 1)[sample]
        weights.eliminate_zeros()
        return weights

    def _set_motion(self, video: PanoramaVideo, reshaped: Bool[np.ndarray, "height width"]) -> None:
        """Of the first layer by colours and distances of its samples; the second is still."""
        visible = slice(0, self._count)
        row, column = behind.nearest(self.longitude[visible], self.latitude[visible], self._height)
        moves = reshaped[row, column]
        self.reshaped = bool(moves.any())
        moves |= self._recoloured(video.moves)
        self.moves = np.zeros(len(self.hidden), bool)
        self.moves[visible] = moves
        self._reshapes = np.zeros(len(self.hidden), bool)
        self._reshapes[visible] = reshaped[row, column]

    def _recoloured(self, may_move: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, " visible"]:
        """Which samples' colour changes visibly in any frame."""
        moves = self._colours @ may_move.ravel().astype(np.float32) > 0
        chosen = np.flatnonzero(moves)
        weights = self._colours[chosen]
        first = srgb_from_linear(weights @ self._clean(0, 0).reshape(-1, 3))
        change = np.zeros(len(chosen), np.float32)
        for frame in range(1, len(self._frames)):
            now = srgb_from_linear(weights @ self._clean(frame, 0).reshape(-1, 3))
            change = np.maximum(change, np.abs(now - first).max(axis=1))
        moves[chosen] = change > _STILL
        return moves

    def geometry(self, frame: int, chosen: Any = slice(None)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position (m, 3) in metres, rotation (m, 4) and scale (m, 3) of those chosen (slice, mask, indices)."""
        number = np.arange(len(self.hidden))[chosen]
        surface = self._surface(frame, number)
        return flat(self.longitude[number], self.latitude[number], self.spacing[number], *surface, SIGMA)

    def colour(self, frame: int, chosen: Any = slice(None)) -> Float[np.ndarray, "m 3"]:
        """Scene-linear Rec.709 of the chosen Gaussians: the mean of the pixels that each stands for.

        Where a foreground shows through in pixels of the background next to it, these have the background's own colour.
        """
        number = np.arange(len(self.hidden))[chosen]
        visible = ~self.hidden[number]
        colour = np.empty((len(number), 3), np.float32)
        colour[~visible] = self._hidden.colour[number[~visible] - self._count]
        colour[visible] = self._still_colour[number[visible]]
        moving = self.moves[number]
        if frame and moving.any():
            colour[moving] = self._frame_colour(frame, number[moving])
        return colour

    def gaussians(self, frame: int) -> Gaussians:
        """All of them in that frame, of opacity ``OPACITY``."""
        return Gaussians(*self.geometry(frame), radiance_from_colour(self.colour(frame), OPACITY))

    def _frame_colour(self, frame: int, number: Int[np.ndarray, " m"]) -> Float[np.ndarray, "m 3"]:
        return self._colours[number] @ self._clean(frame, frame).reshape(-1, 3)

    def _clean(self, frame: int, depth_frame: int) -> Float[np.ndarray, "height width 3"]:
        """The frame without outlines of the foreground on the background, by the edges of a frame of the distance."""
        number = depth_frame if len(self._depth.distance) > 1 else 0
        if self._outlines is None or self._outlines[0] != number:
            background = behind.background_of(*self._depth_at(number))
            self._outlines = number, background, background.outlines(self._frames[number])
        return self._outlines[1].cleaned(self._frames[frame], self._outlines[2])

    def _depth_at(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        return self._depth.distance[frame], self._depth.edges[min(frame, len(self._depth.edges) - 1)]

    def _surface(self, frame: int, number: Int[np.ndarray, " m"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        surface = np.empty((3, len(number)), np.float32)
        hidden, reshapes = self.hidden[number], self._reshapes[number]
        layer, behind_it = self._hidden, number[hidden] - self._count
        surface[:, hidden] = np.stack([layer.radius, layer.slope_east, layer.slope_north])[:, behind_it]
        surface[:, ~hidden & ~reshapes] = self._seen(0, number[~hidden & ~reshapes])
        surface[:, reshapes] = self._seen(frame, number[reshapes])
        return surface[0], surface[1], surface[2]

    def _seen(self, frame: int, number: Int[np.ndarray, " m"]) -> np.ndarray:
        """Distance and slopes of the samples, from the plane of the pixel that each lies in."""
        if not len(number):
            return np.empty((3, 0), np.float32)
        distance, slope_east, slope_north = self._frame_maps(frame if len(self._depth.distance) > 1 else 0)
        longitude, latitude = self.longitude[number], self.latitude[number]
        row, column = behind.nearest(longitude, latitude, self._height)
        east, north = slope_east[row, column], slope_north[row, column]
        off_east = (longitude - longitudes(2 * self._height)[column]) * np.cos(latitude)
        off_north = latitude - latitudes(self._height)[row]
        nearer = np.clip(1 - east * off_east - north * off_north, 0.8, 1.25)
        return np.stack([distance[row, column] / nearer, east / nearer, north / nearer]).astype(np.float32)

    def _frame_maps(self, frame: int) -> tuple[np.ndarray, ...]:
        if self._maps is None or self._maps[0] != frame:
            distance, edges = self._depth_at(frame)
            self._maps = frame, (distance, *slopes(distance, edges))
        return self._maps[1]


def check(video: PanoramaVideo, depth: DepthVideo, budget: int = 0) -> None:
    """Raise ``CycloramaError`` for what cannot be seeded (see ``Seeding``)."""
    size, of_depth = video.frames.shape[1:3], depth.distance.shape[1:]
    if size != of_depth or depth.edges.shape[1:] != size:
        raise CycloramaError(
            "sizes-differ",
            f"The video has {size[1]} x {size[0]} pixels, its distance {of_depth[1]} x {of_depth[0]}.",
            "Estimate the distance of this video anew.",
        )
    if len(depth.distance) not in (1, len(video.frames)) or len(depth.edges) not in (1, len(depth.distance)):
        raise CycloramaError(
            "frames-differ",
            f"The video has {len(video.frames)} frames, its distance {len(depth.distance)}.",
            "Estimate the distance of this video anew.",
        )
    bad = ~(np.isfinite(depth.distance) & (depth.distance > 0))
    if bad.any():
        frame, row, column = np.argwhere(bad)[0]
        raise CycloramaError(
            "distance-not-usable",
            f"The distance is {depth.distance[frame, row, column]:g} m in {int(bad.sum())} pixels, the first in frame "
            f"{frame} at column {column}, row {row}; it has to be finite and above 0.",
            "Give the sky a finite distance, or estimate the distance anew.",
        )
    if budget and budget < FEWEST_GAUSSIANS:
        raise CycloramaError(
            "budget-too-small",
            f"A budget of {budget} Gaussians cannot cover a panorama.",
            f"Allow at least {FEWEST_GAUSSIANS}, better {len(Lattice(size[0]).rows)} for this one, or 0 for automatic.",
        )


@dataclass(frozen=True)
class _Hidden:
    """The second layer: its parts' cells of one lattice; of all parts together distance, slopes and colour."""

    lattice: Lattice
    cells: list[np.ndarray]
    radius: np.ndarray
    slope_east: np.ndarray
    slope_north: np.ndarray
    colour: np.ndarray

    @classmethod
    def none(cls) -> _Hidden:
        """No second layer."""
        nothing = np.zeros(0, np.float32)
        return cls(Lattice(2), [], nothing, nothing, nothing, np.zeros((0, 3), np.float32))

    @classmethod
    def of(cls, video: PanoramaVideo, depth: DepthVideo, budget: int, inpaint: Inpainter) -> _Hidden:
        """The second layer, coarser if it would take more than its share of the budget."""
        distance, edges, picture = _plate(video, depth)
        height = max(2, int(len(distance) / _HIDDEN_STEP))
        found = _parts(depth, distance, edges, picture, Lattice(height), inpaint)
        most = int(_HIDDEN_SHARE * budget)
        while budget and len(found.radius) > most and height > 2:
            height = max(2, int(height * min(0.95, np.sqrt(most / len(found.radius)))))
            found = _parts(depth, distance, edges, picture, Lattice(height), inpaint)
        return found


def _parts(depth: DepthVideo, distance, edges, picture, lattice: Lattice, inpaint: Inpainter) -> _Hidden:
    parts = []
    background = behind.background_of(distance, edges)
    picture = background.cleaned(picture)
    for number, layer in enumerate(behind.layers(background, distance, picture, lattice)):
        colour = np.minimum(layer.colour, _BRIGHTEST_HIDDEN)
        if not number:
            dimmed, guard_colour = _dimmed(picture), _dimmed(layer.guard_colour)
            painted = painted_cells(dimmed, lattice, layer.cells, layer.guard, guard_colour, inpaint)
            painted = np.minimum(painted, _dimmed(_BRIGHTEST_HIDDEN))
            colour = painted / (1 - painted)
        parts.append((layer.cells, layer.radius, layer.slope_east, layer.slope_north, colour))
    uncovered = _uncovered(depth.distance, distance, lattice)
    if len(uncovered):
        row, column = behind.nearest(lattice.longitude[uncovered], lattice.latitude[uncovered], len(distance))
        east, north = (part[row, column] for part in slopes(distance, edges))
        colour = lattice.means_over(len(distance), uncovered) @ np.minimum(picture, _BRIGHTEST_HIDDEN).reshape(-1, 3)
        parts.append((uncovered, distance[row, column] * 1.005, east, north, colour))
    if not parts:
        return _Hidden.none()
    cells, *values = zip(*parts, strict=True)
    return _Hidden(lattice, list(cells), *(np.concatenate(value).astype(np.float32) for value in values))


def _dimmed(colour):
    """Within 0..1: inpainters see eight bits, of which a lamp must leave some to the dark."""
    return colour / (1 + np.maximum(colour, 0))


def _uncovered(distances: np.ndarray, farthest: np.ndarray, lattice: Lattice) -> Int[np.ndarray, " cells"]:
    """Cells where something passes in front of what other frames show behind it."""
    nearness = np.max([1 / distance - 1 / farthest for distance in distances], axis=0)
    passes = behind.REACH * nearness > np.pi / len(farthest)
    passes = periodic.dilate(passes, 2) if passes.any() else passes
    return np.flatnonzero(passes[behind.nearest(lattice.longitude, lattice.latitude, len(farthest))])


def _plate(video: PanoramaVideo, depth: DepthVideo) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance, edges and picture without what passes: the farthest that is seen over time, and how it looks then."""
    picture = video.frames[0].copy()
    moves = video.moves.ravel()
    flat_frames = video.frames.reshape(len(video.frames), -1, 3)
    picture.reshape(-1, 3)[moves] = flat_frames[:, moves].mean(axis=0)
    if len(depth.distance) == 1:
        return depth.distance[0], depth.edges[0], picture
    farthest = depth.distance.max(axis=0)
    passes = (behind.REACH * (1 / depth.distance.min(axis=0) - 1 / farthest) > np.pi / len(farthest)).ravel()
    if not passes.any():
        return farthest, depth.edges[0], picture
    in_front = depth.distance.reshape(len(depth.distance), -1)[:, passes] < 0.95 * farthest.ravel()[passes]
    seen = np.where(in_front[..., None], np.nan, flat_frames[:, passes])
    picture.reshape(-1, 3)[passes] = np.nanmedian(seen, axis=0)
    return farthest, depth_edges(farthest), picture


def _reshaped(distance: Float[np.ndarray, "frame height width"]) -> Bool[np.ndarray, "height width"]:
    """Pixels whose surface moves visibly over time, or that touch one."""
    nearness = [behind.REACH * distance.shape[1] / np.pi / frame for frame in distance]
    changes = np.zeros(distance.shape[1:], bool)
    for frame in nearness[1:]:
        changes |= np.abs(frame - nearness[0]) > _STILL_PARALLAX
    return periodic.dilate(changes, 1) if changes.any() else changes
