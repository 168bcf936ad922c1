"""The papers' fit: what stands still is fitted once, to all frames; each frame's moving Gaussians start from the last.

4K4DGen and TiP4GEN fit every frame whole. Here only what the video's motion touches is fitted again.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...bridge.gaussians import COLUMNS, Gaussians, joined
from ..keepsake import Keepsake
from ..models.memory import Budget
from ..raster.splats import Splats
from ..sphere.panorama import DepthVideo, PanoramaVideo
from ..sphere.periodic import dilate
from ..sphere.sampling import sample
from .aims import Aims
from .behind import nearest
from .densify import Densification, Densifier
from .descent import Descent, Networks, Outcome
from .optimiser import Parameters
from .seed import Seeding
from .settings import FitSettings

_BORDER_PX = 3
"""Around what moves, to which moving Gaussians are fitted too: they reach into it."""

_SAME_SURFACE = 0.1
"""A Gaussian within this share of a frame's distance lies on what is seen there, and follows it."""

_BYTES_A_PIXEL = 1500
"""Of a view, while its losses are computed and go backwards, a network's own not counted."""

_BYTES_A_GAUSSIAN = 600
"""Values, gradients and moments of both, with the rasterizer's copies."""

_MOST_TILES = 8

_NOTE = "note"
"""What was to be said of a kept part lies beside it, under this name and a number."""


class DescendedFit:
    """Lifts a panoramic video; used as ``DirectLift`` is. Frames are to be asked for in their order.

    Attributes:
        static: the Gaussians that never change.
        moving_count: how many do.
        notes: for the artist, a sentence each; grows as frames are fitted.
    """

    def __init__(
        self,
        video: PanoramaVideo,
        depth: DepthVideo,
        seeding: Seeding,
        settings: FitSettings,
        networks: Networks,
        budget: Budget,
        keepsake: Keepsake,
        *,
        most: int = 0,
        seed: int = 0,
        report: Callable[[int, int], None] = lambda done, total: None,
        show: Callable[[np.ndarray], None] = lambda picture: None,
    ):
        """
        Args:
            keepsake: of this video, depth, seeding and settings: what it holds is not fitted again.
            most: Gaussians that densification may reach, static and moving; 0: twice those seeded.
            report: hears of every iteration of the whole fit; may raise to stop.
            show: is given small pictures of what is reached.
        """
        self._video, self._depth, self._seeding, self._settings = video, depth, seeding, settings
        self._networks, self._budget, self._keepsake = networks, budget, keepsake
        self._seed, self._report, self._show = seed, report, show
        self._device = budget.device
        self._moves = _moving(seeding, video.frames.shape[1])
        self._reached = dilate(self._moves, _BORDER_PX)
        self._most = most or 2 * len(seeding.moves)
        self._seeded = int(np.count_nonzero(seeding.moves))
        self._total = (1 + len(video.frames) * bool(self._seeded)) * settings.iterations
        self.notes: tuple[str, ...] = ()
        self.static = self._kept_or("static", self._fit_still)
        self._at, self._last = 0, self._first()
        self.moving_count = len(self._last)

    def still_arrays(self) -> dict[str, np.ndarray]:
        """None: all of a moving Gaussian changes."""
        return {}

    def frame(self, index: int) -> dict[str, np.ndarray]:
        """Of the moving Gaussians: the arrays that differ from frame to frame, as they are in frame ``index``."""
        if index < self._at:
            self._at, self._last = 0, self._first()
        for frame in range(self._at + 1, index + 1):
            self._last = self._kept_or(f"frame{frame:06d}", lambda frame=frame: self._fit_next(frame))
            self._at = frame
        return self._last.arrays()

    def _first(self) -> Gaussians:
        return self._kept_or("frame000000", self._fit_first) if self._seeded else _nothing()

    def _fit_still(self) -> Gaussians:
        """Against all frames, drawn by chance; where something moves, nothing is asked of it.

        Right up to there: Gaussians of which nothing is asked would stay as transparent as densification makes all. The
        second layer stays as it was seeded: from the origin nothing is seen of it.
        """
        moves, hidden = self._seeding.moves, self._seeding.hidden
        fitted = ~moves & ~hidden
        if not fitted.any():
            return self._seeding.gaussians(0)[~moves]
        parameters = self._parameters(Splats.of(self._seeding.gaussians(0)[fitted], self._device))
        frames = range(len(self._video.frames)) if self._seeded else [0]
        aims = dict.fromkeys(frames, self._aims(0, ~self._moves))  # what stands still looks the same in all of them
        others: dict[int, Splats] = {}

        def at(frame: int) -> Splats:
            if frame not in others:
                others[frame] = Splats.of(self._seeding.gaussians(frame)[~fitted], self._device)
            return others[frame]

        most = self._most - int(np.count_nonzero(~fitted))
        densifier = Densifier(self._densification(), parameters, max(most, len(parameters)))
        self._descend(parameters, aims, 0, densifier=densifier, fixed=None if fitted.all() else at)
        parameters.fixed = parameters.fixed[:0]
        return joined(parameters.splats().gaussians(), self._seeding.gaussians(0)[hidden & ~moves])

    def _fit_first(self) -> Gaussians:
        moving = Splats.of(self._seeding.gaussians(0)[self._seeding.moves], self._device)
        parameters = self._parameters(moving, behind=self.static)
        densifier = Densifier(self._densification(), parameters, max(self._most, len(parameters)))
        self._descend(parameters, {0: self._aims(0, self._reached)}, 1, densifier=densifier)
        return _free(parameters)

    def _fit_next(self, frame: int) -> Gaussians:
        """From the last frame's, moved to where the surfaces are now (4K4DGen eq. 6 holds it to the last frame)."""
        last = Splats.of(self._last, self._device)
        still = Splats.of(self.static, self._device)
        parameters = self._parameters(self._moved(last, frame), behind=self.static)
        previous = Splats(*(torch.cat(pair) for pair in zip(_tensors(still), _tensors(last), strict=True)))
        self._descend(parameters, {frame: self._aims(frame, self._reached)}, 1 + frame, previous=previous)
        return _free(parameters)

    def _moved(self, splats: Splats, frame: int) -> Splats:
        """Along their rays, by what the distance of the surface that they lie on has changed; sizes go with it."""
        if len(self._depth.distance) == 1:
            return splats
        maps = torch.from_numpy(self._depth.distance[frame - 1 : frame + 1]).to(self._device)
        before, now = sample(maps, splats.position[None], "nearest")[:, 0]
        own = torch.linalg.vector_norm(splats.position, dim=1)
        ratio = torch.where((own / before - 1).abs() < _SAME_SURFACE, now / before, 1.0)[:, None]
        return Splats(splats.position * ratio, splats.rotation, splats.scale * ratio, splats.opacity, splats.colour)

    def _descend(self, parameters: Parameters, aims: dict[int, Aims], fits_before: int, **more) -> Outcome:
        before = fits_before * self._settings.iterations
        descent = Descent(
            parameters,
            aims,
            self._settings,
            self._networks,
            iterations=self._settings.iterations,
            seed=self._seed + fits_before,
            tiles=self._tiles(len(parameters)),
            **more,
        )
        outcome = descent.run(lambda iteration: self._report(before + iteration, self._total), self._show)
        if outcome.exploded:
            what = "what stands still" if fits_before == 0 else f"frame {fits_before}"
            self.notes += (
                f"The fit of {what} was stopped after {outcome.iterations} of {self._settings.iterations} iterations, "
                "because its loss grew beyond all bounds; its last good state was kept.",
            )
        return outcome

    def _tiles(self, gaussians: int) -> int:
        """Squares along each side of a view that make one iteration fit into the budget."""
        size = self._settings.size or self._video.frames.shape[2] // 4
        left = max(self._budget.left() - gaussians * _BYTES_A_GAUSSIAN, 1)
        return min(max(math.ceil(math.sqrt(size**2 * _BYTES_A_PIXEL / left)), 1), _MOST_TILES)

    def _parameters(self, free: Splats, behind: Gaussians | None = None) -> Parameters:
        """Those that are fitted, in front of or behind others that stay as they are."""
        settings = self._settings
        if behind is None:
            return Parameters(free, steps=settings.iterations, rates=settings.rates, limits=settings.limits)
        still = Splats.of(behind, self._device)
        both = Splats(*(torch.cat(pair) for pair in zip(_tensors(still), _tensors(free), strict=True)))
        changes = torch.arange(len(both), device=self._device) >= len(still)
        return Parameters(both, changes, steps=settings.iterations, rates=settings.rates, limits=settings.limits)

    def _densification(self) -> Densification:
        return self._settings.densification

    def _aims(self, frame: int, counts: Bool[np.ndarray, "height width"]) -> Aims:
        return Aims(self._video, self._depth, frame, counts, self._settings, self._device)

    def _kept_or(self, part: str, fit: Callable[[], Gaussians]) -> Gaussians:
        kept = self._keepsake.part(part)
        if kept is not None and set(COLUMNS) <= set(kept):
            notes = [bytes(tensor.tolist()).decode() for name, tensor in kept.items() if name.startswith(_NOTE)]
            self.notes += tuple(note for note in notes if note not in self.notes)
            return Gaussians.from_arrays({name: kept[name].numpy() for name in COLUMNS})
        said_before = len(self.notes)
        gaussians = fit()
        tensors = {name: torch.from_numpy(array) for name, array in gaussians.arrays().items()}
        for number, note in enumerate(self.notes[said_before:]):
            tensors[f"{_NOTE}{number}"] = torch.tensor(list(note.encode()), dtype=torch.uint8)
        self._keepsake.keep(part, tensors)
        return gaussians


def _moving(seeding: Seeding, height: int) -> Bool[np.ndarray, "height width"]:
    """Pixels that moving Gaussians stand for. Not all that the video calls moving: much of it may never change."""
    moves = np.zeros((height, 2 * height), bool)
    if not seeding.moves.any():
        return moves
    moves[nearest(seeding.longitude[seeding.moves], seeding.latitude[seeding.moves], height)] = True
    spacing_px = float(seeding.spacing[seeding.moves].max()) * height / math.pi
    return dilate(moves, math.ceil(spacing_px / 2))


def _free(parameters: Parameters) -> Gaussians:
    return parameters.splats()[len(parameters.fixed) :].gaussians()


def _tensors(splats: Splats) -> tuple[Float[Tensor, "n *columns"], ...]:
    return splats.position, splats.rotation, splats.scale, splats.opacity, splats.colour


def _nothing() -> Gaussians:
    return Gaussians(*(np.zeros((0, columns), np.float32) for columns in COLUMNS.values()))
