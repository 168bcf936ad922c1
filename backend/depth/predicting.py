"""What an estimator says of all the views of a panoramic video, as many at once as the memory allows."""

from __future__ import annotations

import gc
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from ...bridge.errors import CycloramaError
from ..models.memory import Budget, is_out_of_memory, shots_at_once
from ..sphere.colour import srgb_from_linear
from ..sphere.icosphere import VIEW_FOV, view_rotations
from ..sphere.sampling import tangent_views
from .estimators import ViewEstimator
from .predictions import Predictions

Report = Callable[[int, int], None]
"""Told how many of how many pictures are done; may raise to stop."""

SAME = 0.25 / 255
"""Pictures whose sRGB values differ by no more are the same to a network: a quarter of a step of 8 bits. Anti-aliasing
spreads a change by less than that along a panorama's rows, far away from it."""

USUAL_MEDIANS = (0.004, 0.7)
"""Luminances that half of a well exposed panorama's pixels exceed: from a night's to those of snow in the sun."""

MIDDLE_GREY = 0.18

_MOST_AT_ONCE = {"cuda": 40, "cpu": 4}
"""On a CPU more at once are no faster, and a job that is stopped has to wait for them."""

_VIEWS_BYTES = 128 << 20
"""Pictures are made so many bytes at a time; each time the panorama is made ready anew."""

_PANORAMAS = 8
"""Copies of a frame that are in memory while views of it are made: bordered, filtered, with second differences."""

_TAKEN_PER_TENSORS = {"cuda": 1.0, "cpu": 1.3}
"""Memory per byte of tensors that the network makes: on a CPU convolutions copy their input into an order of their own
(1.25 was measured with Depth Anything V2 Small, four views at once)."""

_GB = 1e9


def predict(
    frames: Float[np.ndarray, "frame height width 3"],
    estimator: ViewEstimator,
    budget: Budget,
    report: Report = lambda done, total: None,
    kept_size: int = 0,
) -> Predictions:
    """The estimator's answer for the 20 tangent views of every frame.

    A view that stays the same (within ``SAME``) keeps the answer it had, to the bit: what stands still does not
    flicker. The networks have learned from photographs, so they are shown sRGB, clipped to 0..1, at one exposure for
    the whole video (``exposure_for``).

    Args:
        frames: equirectangular, scene-linear Rec.709, width = 2·height.
        estimator: gives its device's memory back at the end.
        budget: decides how many views are computed at once, which changes nothing but speed.
        report: is called before each batch; may raise to stop.
        kept_size: rows and columns of each view's answer to keep, by picking the nearest of its pixels (a mean would
            invent surfaces at depth edges); 0 or more than the estimator gives: all.

    Returns:
        NaN where the network gave no finite number, or metres that are not positive.

    Raises:
        CycloramaError: "memory-too-small", "out-of-memory", "estimates-not-finite".
    """
    kept_size = min(kept_size or estimator.size, estimator.size)
    values = np.full((len(frames), len(view_rotations()), kept_size, kept_size), np.nan, np.float32)
    try:
        batches = _Batches(estimator, values, _at_once(estimator, frames, budget), report)
        repeated = _predict_what_changes(frames, estimator, batches)
        batches.finish()
    finally:
        estimator.release()
    for frame, view, first in repeated:
        values[frame, view] = values[first, view]
    values[~np.isfinite(values)] = np.nan
    if estimator.kind == "metric":
        values[values <= 0] = np.nan
    if np.isnan(values).all():
        raise CycloramaError(
            "estimates-not-finite",
            f"The depth estimator {estimator.name} gave no usable number for any view.",
            "Choose another estimator; if it did work before, its checkpoint is damaged.",
        )
    return Predictions(values, estimator.kind)


def exposure_for(frames: Float[np.ndarray, "frame height width 3"]) -> float:
    """What scene-linear values are multiplied by before a network sees them, one for the whole video.

    1 as long as the median luminance is within ``USUAL_MEDIANS``; else what brings it to ``MIDDLE_GREY``: an HDR
    panorama may be in any unit, and a network shown all black or all white would still answer something.
    """
    some = frames[:: max(1, len(frames) // 4), ::4, ::4]
    median = float(np.median(some @ np.array([0.2126, 0.7152, 0.0722], np.float32)))
    darkest, brightest = USUAL_MEDIANS
    return 1.0 if median <= 0 or darkest <= median <= brightest else MIDDLE_GREY / median


def _predict_what_changes(
    frames: Float[np.ndarray, "frame height width 3"], estimator: ViewEstimator, batches: _Batches
) -> list[tuple[int, int, int]]:
    """Gives pictures to ``batches``. Returns frame and view of those left out, and the frame whose answer is theirs."""
    rotations = torch.from_numpy(view_rotations())
    each = max(1, _VIEWS_BYTES // _picture_bytes(estimator))
    exposure = exposure_for(frames)
    shown: list[tuple[int, Tensor] | None] = [None] * len(rotations)
    repeated: list[tuple[int, int, int]] = []
    for number, frame in enumerate(frames):
        if number and np.array_equal(frame, frames[number - 1]):
            repeated += [(number, view, known[0]) for view, known in enumerate(shown) if known]
            batches.skip(len(rotations))
            continue
        srgb = torch.from_numpy(srgb_from_linear(frame * exposure)).permute(2, 0, 1).to(estimator.device)
        for views in torch.arange(len(rotations)).split(each):
            pictures = tangent_views(srgb, rotations[views], estimator.size, estimator.size, VIEW_FOV).clamp_(0, 1)
            for view, picture in zip(views.tolist(), pictures, strict=True):
                known = shown[view]
                if known and (picture - known[1]).abs().max() <= SAME:
                    repeated.append((number, view, known[0]))
                    batches.skip(1)
                    continue
                picture = picture.clone()  # else it would keep all of them in memory
                shown[view] = (number, picture) if len(frames) > 1 else None
                batches.add(number, view, picture)
    return repeated


class _Batches:
    """Collects pictures and has them estimated, so many at once.

    Args:
        values: (frame, view, row, column), where the answers are put.
    """

    def __init__(
        self,
        estimator: ViewEstimator,
        values: Float[np.ndarray, "frame view row column"],
        at_once: int,
        report: Report,
    ):
        self._estimator, self._values, self._at_once, self._report = estimator, values, at_once, report
        self._waiting: list[tuple[int, int, Tensor]] = []
        self._done, self._total = 0, values.shape[0] * values.shape[1]

    def add(self, frame: int, view: int, picture: Float[Tensor, "3 row column"]) -> None:
        self._waiting.append((frame, view, picture))
        if len(self._waiting) >= self._at_once:
            self.finish()

    def skip(self, pictures: int) -> None:
        """So many need no answer."""
        self._done += pictures
        self._report(self._done, self._total)

    def finish(self) -> None:
        """Nothing is left waiting after it."""
        while self._waiting:
            self._report(self._done, self._total)
            batch = self._waiting[: self._at_once]
            answers = self._estimate([picture for _, _, picture in batch])
            if answers is None:
                self._at_once = len(batch) // 2
                gc.collect()  # what the failed call had made
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            for (frame, view, _), answer in zip(batch, answers, strict=True):
                self._values[frame, view] = answer
            self._waiting = self._waiting[len(batch) :]
            self._done += len(batch)
        self._report(self._done, self._total)

    def _estimate(
        self, pictures: list[Float[Tensor, "3 row column"]]
    ) -> Float[np.ndarray, "picture row column"] | None:
        """None: there is not enough memory for so many, but perhaps for fewer."""
        try:
            answers = self._estimator.estimate(torch.stack(pictures))
            return interpolate(answers[:, None], self._values.shape[-2:], mode="nearest-exact")[:, 0].cpu().numpy()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(pictures) == 1:
                raise CycloramaError(
                    "out-of-memory",
                    f"There is not enough memory to estimate depth with {self._estimator.name}.",
                    "Close other programs that use it, or choose a smaller estimator.",
                ) from error
            return None


def _at_once(estimator: ViewEstimator, frames: Float[np.ndarray, "frame height width 3"], budget: Budget) -> int:
    """How many pictures fit into the budget together, beside the panorama and the views that are kept to compare.

    Raises ``CycloramaError`` ("memory-too-small").
    """
    views = len(view_rotations()) * _picture_bytes(estimator) * (2 if len(frames) > 1 else 1)
    own = _PANORAMAS * frames[0].nbytes + min(views, _VIEWS_BYTES + views // 2)
    left = budget.left() - own

    def needed(pictures: int) -> int:
        of_network = _TAKEN_PER_TENSORS[budget.device.type] * estimator.estimate_bytes(pictures)
        return int(of_network) + pictures * 2 * _picture_bytes(estimator)

    found = shots_at_once(needed, left, _MOST_AT_ONCE[budget.device.type])
    if found:
        return found
    raise CycloramaError(
        "memory-too-small",
        f"Estimating depth in views of {estimator.size} x {estimator.size} pixels with {estimator.name} takes at least "
        f"{(budget.bytes - left + needed(1)) / _GB:.1f} GB of memory; {budget.bytes / _GB:.1f} GB may be used.",
        "Raise the memory, or choose a smaller estimator.",
    )


def _picture_bytes(estimator: ViewEstimator) -> int:
    return 3 * estimator.size**2 * 4
