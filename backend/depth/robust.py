"""Robust alignment: each view's scale, shift and smooth bend, found together from what overlapping views say.

4K4DGen's eq. 4 asks the same of the views; three things differ, because real estimators need them.

- *What is compared are logarithms.* Distances span three orders of magnitude, and networks err by so much per cent. A
  difference of logarithms also cannot be made small by shrinking the scene.
- *The shift field bends the logarithm*: smooth, on a few nodes, held to zero as strongly as the views' own
  disagreement suggests. A network's smooth errors are then no reason to bend the scene by a wrong shift.
- *The derivatives are taken at what all views say together*, not at what each says (instrumental variables, as in
  errors-in-variables regression). At its own noisy values each view would drag the shift towards a flat scene.

Frames are independent of each other. Solved by Gauss-Newton steps over weights that are lowered for outliers (IRLS).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solve
from scipy.sparse import csr_array, diags_array, hstack, sparray

from ...bridge.errors import CycloramaError
from .alignment import Alignment, cosine_power
from .overlaps import Overlaps, overlaps
from .predictions import Predictions, clipped

SIZE = 64
"""Pixels of a view at which views are compared: noise is averaged, yet depth edges are left to tell the shift by."""

NODES = 8
"""Along each side of a view, of the bend: 10° apart."""

_LINEAR_STEPS, _LOG_STEPS = 5, 8
_MIXED = 0.05
"""Relative spread of the values within a pixel that halves its weight: across a depth edge a mean means nothing."""

_OUTLIER = 3.0
"""Of the usual disagreement; from there on a pair counts half and less (Cauchy)."""

_LEAST_DISAGREEMENT = 1e-3
_FAR = 2e-3
"""Of the median: below it, relative differences of 1 / z or z are not asked for."""

_WEAKEST_HOLD, _STRONGEST_HOLD = 1e-3, 1e2
_ALIKE = 0.02
"""Of the typical 1 / z or z: what adds to both before views are held against each other."""

_LARGEST_STEP = 0.5
"""Of the logarithm of a scale."""

_TOO_DIFFERENT = 0.2
"""Disagreement, natural logarithm, beyond which views do not show one scene."""

_TOO_BENT = 0.3
"""Standard deviation of the bends; what must be bent more than this to agree was never one scene."""

_TOO_MANY = 0.2
"""Of the views that contradict the others: then nobody knows who is right. Shuffled or random views have 25 % and more,
or are bent by more than ``_TOO_BENT``; views bent by ±10 % have none."""

_TOO_BENT_METRES = 0.15
"""The same for metric estimators: they have no shift that a bend could stand for."""

_FEWEST = 0.02
"""Share of a view that has to say something before it tells depth."""

_LEFT_OUT = 1e-4
"""Trust in a view that contradicts all others: it fills only what nobody else sees."""


@dataclass(frozen=True)
class _Frame:
    """What the views say of one frame, by pairs of a direction and a view.

    Attributes:
        value: the estimator's own numbers, 0 where there is none.
        spread: standard deviation of them within a pixel of ``SIZE``.
        cosine: of the angle to the view's axis, to the power that turns the kind's z into distance.
        trust: 0 where there is no value.
        low, middle, high: (view,) percentiles of the values.
        flat: (view,) whose value is the same everywhere, or clipped: it tells no depth.
    """

    value: Float[np.ndarray, " pair"]
    spread: Float[np.ndarray, " pair"]
    cosine: Float[np.ndarray, " pair"]
    trust: Float[np.ndarray, " pair"]
    low: Float[np.ndarray, " view"]
    middle: Float[np.ndarray, " view"]
    high: Float[np.ndarray, " view"]
    flat: Bool[np.ndarray, " view"]


@dataclass
class _Found:
    """What is known of a frame's views so far."""

    scale: Float[np.ndarray, " view"]
    shift: Float[np.ndarray, " view"]
    bend: Float[np.ndarray, " parameter"]
    disagreement: float = 0.0


def robust(predictions: Predictions, report=lambda done, total: None) -> Alignment:
    """Align the views of every frame.

    Args:
        report: told how many of how many frames are done; may raise to stop.

    Raises:
        CycloramaError: "no-depth-seen" (most views are constant), "views-disagree", "no-values"; all of them only if
            they hold for most frames, else such a frame takes its neighbour's corrections, and that is noted.
    """
    o = overlaps(SIZE)
    frames, views = predictions.values.shape[:2]
    solver = _Solver(o, has_shift=predictions.kind != "metric")
    trust = np.ones((frames, views), np.float32)
    solved: dict[int, _Found] = {}
    refusals: list[CycloramaError] = []
    for index in range(frames):
        report(index, frames)
        try:
            solved[index], trust[index] = _solved(solver, _measured(predictions, index, o), index)
        except CycloramaError as error:
            refusals.append(error)
            if 2 * len(refusals) > frames:
                raise refusals[0] from error
    report(frames, frames)
    found = [solved[min(solved, key=lambda known: abs(known - index))] for index in range(frames)]
    return Alignment(
        scale=np.stack([one.scale for one in found]).astype(np.float32),
        shift=np.stack([one.shift for one in found]).astype(np.float32)[:, :, None, None],
        bend=np.stack([one.bend for one in found]).astype(np.float32).reshape(frames, views, NODES, NODES),
        trust=trust,
        disagreement=float(np.median([one.disagreement for one in found])),
        notes=(*_notes(trust), *(f"{error.sentence} It takes its neighbour's corrections." for error in refusals)),
    )


def _solved(solver: _Solver, frame: _Frame, index: int) -> tuple[_Found, np.ndarray]:
    """The frame's alignment; views that contradict the others are found, left out, and the rest is solved again."""
    found = solver.run(frame)
    contrary = solver.contrary(frame, found) & ~frame.flat
    trust = np.where(contrary, _LEFT_OUT, 1.0)
    if contrary.any() and not contrary.all():
        weighted = replace(frame, trust=frame.trust * trust[solver.overlaps.view])
        found = solver.run(weighted)
    agreed = found.disagreement < _TOO_DIFFERENT and found.bend.std() < solver.too_bent
    if contrary.sum() > _TOO_MANY * (~frame.flat).sum() or not agreed:
        raise CycloramaError(
            "views-disagree",
            f"In frame {index + 1} the depths of views that overlap contradict each other: they show no common scene.",
            "Try another estimator, or the skyline.",
        )
    return found, np.where(frame.flat, 0.0, trust)


def _notes(trust: np.ndarray) -> tuple[str, ...]:
    left_out = np.unique(np.nonzero((trust > 0) & (trust < 1))[1])
    if not len(left_out):
        return ()
    numbers = ", ".join(str(view + 1) for view in left_out)
    return (f"What the estimator said of view {numbers} contradicts the views around it and was left out.",)


def _measured(predictions: Predictions, index: int, o: Overlaps) -> _Frame:
    values = predictions.values[index].astype(np.float64)
    known = np.isfinite(values)
    if known.mean() < 0.5:
        raise CycloramaError(
            "no-values", f"The estimator said nothing of most of frame {index + 1}.", "Try another estimator."
        )
    said = known & ~clipped(values, predictions.kind)
    low, middle, high = np.stack([_percentiles(view[of]) for view, of in zip(values, said, strict=True)], axis=1)
    extent, size = high - low, np.maximum(np.abs(high), np.abs(low))
    usual = float(np.median((extent / np.maximum(size, 1e-30))[extent > 0])) if (extent > 0).any() else 0.0
    flat = (extent <= max(1e-3 * usual, 1e-4) * size) | (said.mean(axis=(1, 2)) < _FEWEST)
    if flat.mean() > 0.5:
        raise CycloramaError(
            "no-depth-seen",
            f"The estimator gave most of frame {index + 1} one and the same depth.",
            "Is it a depth estimator? Try another one, or the skyline.",
        )
    filled = np.where(said, values, 0)
    cover, whole, mean, square = (
        np.stack([_reduced(view, o.size) for view in maps.astype(np.float64)])
        for maps in (said, said | ~known, filled, filled * filled)
    )
    mean, square = mean / np.maximum(cover, 1e-6), square / np.maximum(cover, 1e-6)
    usable = (cover > 0.5) & (whole > 0.99) & ~flat[:, None, None]
    hats = o.hats(o.size)
    return _Frame(
        value=hats @ mean.ravel(),
        spread=hats @ np.sqrt(np.maximum(square - mean * mean, 0)).ravel(),
        cosine=o.cosine ** cosine_power(predictions.kind),
        trust=o.trust * (hats @ usable.ravel().astype(np.float64) > 0.99),
        low=low,
        middle=middle,
        high=np.where(flat, low + np.median(extent[~flat]), high),
        flat=flat,
    )


def _percentiles(values: np.ndarray) -> np.ndarray:
    return np.percentile(values[:: max(len(values) // 4096, 1)], (1, 50, 99)) if len(values) else np.zeros(3)


def _reduced(view: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(view, (size, size), interpolation=cv2.INTER_AREA if len(view) >= size else cv2.INTER_LINEAR)


class _Solver:
    """Solves for one frame at a time; what depends on the views' places only is made once."""

    def __init__(self, o: Overlaps, *, has_shift: bool):
        self.overlaps = o
        self._has_shift = has_shift
        self.too_bent = _TOO_BENT if has_shift else _TOO_BENT_METRES
        self._views = int(o.view.max()) + 1
        self._one = csr_array(o.hats(1), dtype=np.float64)
        self._hats = csr_array(o.hats(NODES), dtype=np.float64)
        self._sums = csr_array(o.sums, dtype=np.float64)
        self._unbent = np.zeros(self._views * NODES * NODES)
        self._roughness = _laplacian(NODES, self._views)

    def run(self, frame: _Frame) -> _Found:
        found = self._by_steps_of_values(frame) if self._has_shift else self._metric_start()
        return self._by_steps_of_logarithms(frame, found)

    def contrary(self, frame: _Frame, found: _Found) -> Bool[np.ndarray, " view"]:
        """Views whose values fall where the others' rise, or that differ from them far more than is usual.

        What is far beyond the usual distance is as good as equal here.
        """
        z, _ = self._straight(frame, found)
        said = np.log(z) + self._hats @ found.bend
        panorama = self._panorama(said, frame.trust)[self.overlaps.sample]
        least = _ALIKE * self._typical(z, frame)
        difference = np.abs(np.log((np.exp(said) + least) / (np.exp(panorama) + least)))
        view = self.overlaps.view
        usual = np.array([_median(difference[(view == one) & (frame.trust > 0.1)]) for one in range(self._views)])
        limit = max(0.15, 6 * float(np.nanmedian(usual)))
        return (found.scale <= 0) | (usual > limit)

    def _typical(self, z: np.ndarray, frame: _Frame) -> float:
        """The median of 1 / distance or distance where views tell it; the sky, next to 0, aside."""
        z = np.abs(z[frame.trust > 0.1])
        return float(np.median(z[z >= 0.01 * np.percentile(z, 99)]))

    def _metric_start(self) -> _Found:
        nothing = np.zeros(self._views)
        return _Found(np.ones(self._views), nothing, self._unbent.copy())

    def _by_steps_of_values(self, frame: _Frame) -> _Found:
        """Scale and shift from differences of the values themselves, weighted once and for all by what each view says:
        from any start, to within what the bends cost."""
        view = self.overlaps.view
        extent = frame.high - frame.low
        usual = np.median(extent / np.maximum(np.abs(frame.high), 1e-30))
        scale = 1 / np.maximum(frame.middle - frame.low, 0.05 * usual * np.abs(frame.high) + 1e-30)
        shift = 0.05 - frame.low * scale
        for _ in range(_LINEAR_STEPS):
            said = (scale[view] * frame.value + shift[view]) * frame.cosine
            above = np.maximum(frame.value - frame.low[view], 0)
            size = np.abs(scale[view]) * (frame.cosine * above + 0.1 * extent[view]) + 1e-12
            difference = (said - self._panorama(said, frame.trust)[self.overlaps.sample]) / size
            weight = self._weight(frame.trust, difference) / size**2
            panorama = self._panorama(said, weight)[self.overlaps.sample]
            gauge = frame.trust / size
            gauge /= (gauge * panorama).sum()
            columns = _side_by_side(_rows(frame.value * frame.cosine) @ self._one, _rows(frame.cosine) @ self._one)
            hold = np.full(2 * self._views, 1e-9 * weight.sum() / self._views)
            hold[: self._views] *= np.abs(frame.middle) ** 2 + extent**2
            start = np.concatenate([scale, shift])
            solution = self._least_squares(columns, weight, 0 * said, np.diag(hold), hold * start, gauge, len(said))
            scale, shift = np.split(solution, 2)
        middle = self._typical(panorama, frame)
        return _Found(scale / middle, shift / middle, self._unbent.copy())

    def _by_steps_of_logarithms(self, frame: _Frame, found: _Found) -> _Found:
        view = self.overlaps.view
        instrument = None
        for step in range(_LOG_STEPS):
            z, known = self._straight(frame, found)
            said = np.log(z) + self._hats @ found.bend
            around = z if instrument is None else np.maximum(instrument, z)
            mixed = np.abs(found.scale[view]) * frame.cosine * frame.spread / around
            weight = frame.trust * known * (z / (z + _FAR * self._typical(z, frame))) ** 2 / (1 + (mixed / _MIXED) ** 2)
            difference = said - self._panorama(said, weight)[self.overlaps.sample]
            found.disagreement = _usual(difference[weight > 0])
            weight = self._weight(weight, difference)
            instrument = np.exp(self._panorama(said, weight))[self.overlaps.sample]
            level = found.shift[view] * frame.cosine / instrument
            hold = self._hold(found, step)
            columns = _side_by_side(
                _rows(1 - level) @ self._one, _rows(frame.cosine / instrument) @ self._one, self._hats
            )
            hold_scale, hold_shift = np.full(self._views, 1e-4), np.full(self._views, 1e-6 if self._has_shift else 1e9)
            kept = np.zeros((2 * self._views + len(found.bend),) * 2)
            kept[: 2 * self._views, : 2 * self._views] = np.diag(np.concatenate([hold_scale, hold_shift]))
            kept[2 * self._views :, 2 * self._views :] = hold * (np.eye(len(found.bend)) + self._roughness)
            solution = self._least_squares(columns, weight, np.log(z), kept)
            larger, shifted, found.bend = np.split(solution, [self._views, 2 * self._views])
            shorter = min(1.0, _LARGEST_STEP / max(np.abs(larger).max(), 1e-12))
            found.scale = found.scale * np.exp(larger * shorter)
            found.shift = found.shift + shifted * shorter * self._has_shift
            if not self._has_shift:
                found.scale = found.scale / np.exp(np.log(found.scale).mean())
        return found

    def _hold(self, found: _Found, step: int) -> float:
        """How strongly bends are held to zero: variance of the disagreement over variance of the bends themselves
        (empirical Bayes). Without bends in the data they vanish within a few steps."""
        if step == 0:
            return 0.01
        noise, size = max(found.disagreement, _LEAST_DISAGREEMENT), max(float(found.bend.std()), 2e-4)
        return float(np.clip((noise / size) ** 2, _WEAKEST_HOLD, _STRONGEST_HOLD))

    def _straight(self, frame: _Frame, found: _Found) -> tuple[np.ndarray, np.ndarray]:
        """Scaled and shifted values as 1 / distance or distance, kept positive; and where they were."""
        view = self.overlaps.view
        z = (found.scale[view] * frame.value + found.shift[view]) * frame.cosine
        least = 0.1 * _FAR * self._typical(z, frame)
        return np.maximum(z, least), z > least

    def _panorama(self, said: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return np.asarray(self._sums @ (weight * said)) / np.maximum(np.asarray(self._sums @ weight), 1e-30)

    def _weight(self, weight: np.ndarray, difference: np.ndarray) -> np.ndarray:
        usual = max(_usual(difference[weight > 0]), 3 * _LEAST_DISAGREEMENT)
        return weight / (1 + (difference / (_OUTLIER * usual)) ** 2)

    def _least_squares(
        self,
        columns: csr_array,
        weight: np.ndarray,
        offset: np.ndarray,
        kept: np.ndarray,
        pull: np.ndarray | float = 0.0,
        gauge: np.ndarray | None = None,
        stiffness: float = 0.0,
    ) -> np.ndarray:
        """θ that minimises Σ weight · (offset + columns θ - their panorama)² + θᵀ kept θ - 2 pull·θ, the panorama
        eliminated; with a ``gauge`` also + stiffness · (gauge·(offset + columns θ) - 1)²."""
        weighted = csr_array(_rows(weight) @ columns)
        total = np.maximum(self._sums @ weight, 1e-30)
        gathered = csr_array(self._sums @ weighted)
        matrix = (columns.T @ weighted - gathered.T @ (_rows(1 / total) @ gathered)).toarray() + kept
        right = pull - weighted.T @ offset + gathered.T @ ((self._sums @ (weight * offset)) / total)
        if gauge is not None:
            along = columns.T @ gauge
            matrix += stiffness * np.outer(along, along)
            right = right + stiffness * along * (1 - gauge @ offset)
        size = np.sqrt(np.maximum(np.diag(matrix), 1e-30))
        matrix /= np.outer(size, size)
        matrix[np.diag_indices(len(size))] += 1e-10
        return solve(matrix, right / size, assume_a="pos", overwrite_a=True, check_finite=False) / size


def _rows(factor: np.ndarray) -> Any:
    return csr_array(diags_array(factor))


def _side_by_side(*blocks: sparray) -> csr_array:
    return csr_array(hstack(blocks))


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _usual(difference: np.ndarray) -> float:
    """Standard deviation of differences, outliers aside."""
    return 1.4826 * float(np.median(np.abs(difference))) if len(difference) else float("inf")


def _laplacian(nodes: int, views: int) -> np.ndarray:
    """Matrix of Σ (difference of neighbouring nodes)², view by view."""
    chain = 2 * np.eye(nodes) - np.eye(nodes, k=1) - np.eye(nodes, k=-1)
    chain[0, 0] = chain[-1, -1] = 1
    one = np.kron(chain, np.eye(nodes)) + np.kron(np.eye(nodes), chain)
    return np.kron(np.eye(views), one)
