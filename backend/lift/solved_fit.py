"""The fast fit: Gaussians stay where they were seeded, and their colours are solved for, so that the video is shown.

What stands still is found once, from all frames together; then each frame's moving colours with it held.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int

from ...bridge.gaussians import Gaussians, radiance_from_colour
from ..keepsake import Keepsake
from ..models.memory import Budget
from ..raster.splats import Splats
from ..sphere.panorama import PanoramaVideo
from .colours import Values, solved
from .compositing import Compositing, JointCompositing, RepeatedCompositing, SparseCompositing, compositing
from .cover import Cover, gathered, preview
from .flat import OPACITY
from .seed import Seeding
from .settings import FitSettings

_KEY_FRAMES = 4
"""Where surfaces move, what stands still is found from so many frames: it is seen past what moves in one of them."""

_SHARE_OF_BUDGET = 0.5
"""Of the memory that is left, what one frame's matrix may take."""

Colours = Float[np.ndarray, "n 3"]
Index = Int[np.ndarray, " n"]


class SolvedFit:
    """Lifts a panoramic video; used as ``DirectLift`` is.

    Attributes:
        static: the Gaussians that never change.
        moving_count: how many do.
        notes: for the artist, a sentence each.
    """

    def __init__(
        self,
        video: PanoramaVideo,
        seeding: Seeding,
        settings: FitSettings,
        budget: Budget,
        keepsake: Keepsake,
        report: Callable[[int, int], None] = lambda done, total: None,
        show: Callable[[np.ndarray], None] = lambda picture: None,
    ):
        """
        Args:
            keepsake: of this video, seeding and settings: what it holds is not computed again.
            report: hears of every step of the solver, in steps of the whole fit; may raise to stop.
            show: is given small pictures of what is reached.
        """
        self._video, self._seeding, self._settings = video, seeding, settings
        self._budget, self._keepsake, self._report, self._show = budget, keepsake, report, show
        self._still, self._moving = np.flatnonzero(~seeding.moves), np.flatnonzero(seeding.moves)
        self._cover = Cover.of(video.frames.shape[1])
        self._steps = (1 + len(video.frames) * bool(len(self._moving))) * settings.solver_iterations
        self._part: _Part | None = None
        self._done = 0
        self.moving_count = len(self._moving)
        self.notes: tuple[str, ...] = ()
        self._still_colours = self._kept_or("static", self._solve_still)
        self.static = self._gaussians(0, self._still, self._still_colours)

    def still_arrays(self) -> dict[str, np.ndarray]:
        """Of the moving Gaussians: the arrays that are the same in every frame (none if the distance changes)."""
        if self._seeding.reshaped or not self.moving_count:
            return {}
        arrays = self._gaussians(0, self._moving, self._seeding.colour(0, self._moving)).arrays()
        del arrays["radiance:base"]
        return arrays

    def frame(self, index: int) -> dict[str, np.ndarray]:
        """Of the moving Gaussians: the arrays that differ from frame to frame, as they are in frame ``index``."""
        colours = self._kept_or(f"frame{index:06d}", lambda: self._solve_frame(index))
        self._report((index + 2) * self._settings.solver_iterations, self._steps)
        if self._seeding.reshaped:
            return self._gaussians(index, self._moving, colours).arrays()
        return {"radiance:base": radiance_from_colour(colours, OPACITY)}

    def _kept_or(self, part: str, find: Callable[[], Colours]) -> Colours:
        kept = self._keepsake.part(part)
        if kept is not None:
            return kept["colours"].numpy()
        colours = find()
        self._keepsake.keep(part, {"colours": torch.from_numpy(colours)})
        return colours

    def _solve_still(self) -> Colours:
        """Colours of what stands still, from all frames: of their mean, or of key frames where surfaces move.

        Where only colours change, W is the same in all frames, and the least-squares solution of what they share is
        that of their mean picture.
        """
        frames = self._key_frames() if self._seeding.reshaped else [0]
        pictures = self._video.frames[frames] if self._seeding.reshaped else [_mean(self._video.frames)]
        maps = [self._compositing(frame) for frame in frames]
        joint = JointCompositing(maps, len(self._still), self.moving_count)
        target = np.concatenate([gathered(self._cover.pictures(picture)) for picture in pictures])
        start = [self._seeding.colour(0, self._still), *(self._seeding.colour(frame, self._moving) for frame in frames)]
        colours = self._solved(joint, target * joint.alpha[:, None], np.concatenate(start), 0)
        self._show_pictures(joint.pictures(colours)[: len(maps[0].alpha)])
        return colours[: len(self._still)]

    def _solve_frame(self, index: int) -> Colours:
        self._done = (1 + index) * self._settings.solver_iterations
        if self._part is None or self._seeding.reshaped:
            self._part = _Part.of(self._compositing(index), self._still_colours, self.moving_count)
        part = self._part
        seen = gathered(self._cover.pictures(self._video.frames[index]))
        target = (seen * part.whole_alpha[:, None] - part.by_still)[part.rays]
        start = self._seeding.colour(index, self._moving)
        colours = self._solved(part.of_moving, target, start, 1 + index, part.by_still[part.rays])
        picture = part.by_still.copy()
        picture[part.rays] += part.of_moving.pictures(colours)
        self._show_pictures(picture)
        return colours

    def _solved(
        self, maps: Compositing, target: Values, start: Colours, fits_before: int, besides: Values | float = 0.0
    ) -> Colours:
        self._done = fits_before * self._settings.solver_iterations - 1

        def before_each() -> None:
            self._done += 1
            self._tell()

        return solved(
            maps,
            target,
            start,
            hold=self._settings.hold,
            iterations=self._settings.solver_iterations,
            besides=besides,
            before_each=before_each,
        )

    def _tell(self) -> None:
        """How far it is; may raise to stop."""
        self._report(self._done, self._steps)

    def _key_frames(self) -> list[int]:
        count = len(self._video.frames)
        return sorted({round(at) for at in np.linspace(0, count - 1, min(_KEY_FRAMES, count))})

    def _compositing(self, frame: int) -> SparseCompositing | RepeatedCompositing:
        order = np.concatenate([self._still, self._moving])
        gaussians = self._gaussians(frame, order, np.zeros((len(order), 3), np.float32))
        available = max(round(self._budget.left() * _SHARE_OF_BUDGET), 0)
        device = torch.device("cpu") if self._settings.mode == "tents" else self._budget.device
        cameras = self._cover.cameras(device=device)
        return compositing(Splats.of(gaussians, device), cameras, self._settings.mode, available, self._tell)

    def _gaussians(self, frame: int, chosen: Index, colours: Colours) -> Gaussians:
        return Gaussians(*self._seeding.geometry(frame, chosen), radiance_from_colour(colours, OPACITY))

    def _show_pictures(self, values: Float[np.ndarray, "ray 3"]) -> None:
        size = self._cover.size
        self._show(preview(self._cover, values.reshape(6, size, size, 3)))


class _Part:
    """One frame's compositing, with what stands still done."""

    def __init__(self, by_still, whole_alpha, of_moving, rays):
        self.by_still, self.whole_alpha, self.of_moving, self.rays = by_still, whole_alpha, of_moving, rays

    @classmethod
    def of(cls, whole: SparseCompositing | RepeatedCompositing, still_colours: Colours, moving: int) -> _Part:
        count = len(still_colours)
        by_still = whole.pictures(np.concatenate([still_colours, np.zeros((moving, 3), np.float32)]))
        return cls(by_still, whole.alpha, *whole.of(np.arange(count, count + moving)))


def _mean(frames: Float[np.ndarray, "frame height width 3"]) -> Float[np.ndarray, "height width 3"]:
    return frames.mean(axis=0, dtype=np.float64).astype(np.float32)
