"""4K4DGen eq. 4 as linear least squares: which scales and shifts make the views of a video agree.

    minimise   mean_(pair, frame) |y - S|²                                                      λ_depth = 1
             + 0.1 · (mean |α_k - α_(k-1)|² + mean |α - 1|²)                                    λ_scale
             + 0.01 · (mean |β(right) - β|² + mean |β(below) - β|² + mean |β_k - β_(k-1)|²)     λ_shift

over α of each view i and frame k, β of each pixel of them, and S of each direction, where a view says

    y = (α · value + β) · cosineᵖ

of a direction that it sees, its pixels interpolated there. Where the paper leaves a choice: its norms are squared (as
in TiP4GEN eq. 6-8) and every term is a mean over its elements; ``α`` stands for the scale itself, the paper's
softplus(α), in all terms, so the problem is linear. The cosine to the view's axis makes values along it values along
the ray (p = 1 for 1 / distance, -1 for distance). It multiplies the shift too: an estimator's unknown shift is added to
its own value, before that becomes a distance; in the paper β is added after. α and β are measured where the middle
value of the whole video is 1.

The best S is the weighted mean of what views say of a direction. So it is eliminated exactly, and S costs nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32
from scipy.sparse import csr_array

from ...bridge.errors import CycloramaError
from .alignment import Alignment, cosine_power
from .overlaps import Overlaps, between_nodes, overlaps
from .preconditioning import SmoothFields, smooth_fields
from .predictions import Kind, Predictions

DEPTH, SCALE, SHIFT = 1.0, 0.1, 0.01
"""Weights of the terms of eq. 4 (4K4DGen, appendix C)."""

_GAINS = 4
"""Conjugate gradients are done when so many iterations together gain too little."""

_HARDLY = 1e-4
"""Trust in a view that cannot be aligned."""

_EVERY = 7
"""Of so many pairs one is enough to know how far views are apart."""

_DEVIATIONS_PER_MAD = 1.4826
"""Standard deviation of normal errors over their median size."""

Scales = Float32[np.ndarray, "view frame"]
Shifts = Float32[np.ndarray, "view pixel frame"]
Field = Float32[np.ndarray, "sample frame"]


class Corrections(NamedTuple):
    """α and β, or something that belongs to each of them (a gradient, a step)."""

    scale: Scales
    shift: Shifts


@dataclass(frozen=True)
class Unit:
    """What is done to all values of a video before they are aligned: (value - zero) / one."""

    zero: float
    one: float


def in_unit(
    predictions: Predictions,
) -> tuple[Unit, Float32[np.ndarray, "frame view row column"]]:
    """The unit of a video's values, and the values in it; NaN for whatever is not finite.

    Raises ``CycloramaError`` ("no-values") when nothing is.
    """
    values = predictions.values
    usable = np.isfinite(values)
    if not usable.any():
        raise CycloramaError(
            "no-values",
            "The estimator said nothing of any part of the panorama.",
            "Try another estimator.",
        )
    if not usable.all():
        values = np.where(usable, values, np.float32(np.nan))
    unit = unit_of(values)
    return unit, (values - np.float32(unit.zero)) / np.float32(unit.one)


def unit_of(values: Float32[np.ndarray, "frame view row column"]) -> Unit:
    """Brings the middle of all finite values to 1; where many are negative, the hundredth lowest to 0 first."""
    some = values.ravel()[:: max(1, values.size // 1_000_000)]
    some = some[~np.isnan(some)] if np.isfinite(some).any() else values[~np.isnan(values)]
    lowest, middle = np.quantile(some, [0.01, 0.5])
    zero = float(min(lowest, 0.0))
    return Unit(zero, float(middle - zero) or 1.0)


def least_squares(
    values: Float32[np.ndarray, "frame view row column"], kind: Kind, finest: int | None = None, trust: bool = False
) -> LeastSquares:
    """The problem for a video's values; NaN says nothing.

    Args:
        values: measured in a ``Unit``.
        kind: what they mean.
        finest: size of the views that these are a coarse version of.
        trust: whether views count less towards their edges, which they do not in the paper.
    """
    frames, views, size = values.shape[:3]
    seen = overlaps(size)
    laid_out = np.empty((views, size * size, frames), np.float32)
    for view in range(views):
        laid_out[view] = values[:, view].reshape(frames, -1).T
    unknown = np.isnan(laid_out)
    known = None
    if unknown.any():
        known = [_untouched(places, gaps) for places, gaps in zip(_interpolations(seen), unknown, strict=True)]
        laid_out[unknown] = 0
    return LeastSquares(seen, laid_out, cosine_power(kind), finest or size, known, trust)


def _untouched(places: csr_array, unknown: Bool[np.ndarray, "pixel frame"]) -> Bool[np.ndarray, "pair frame"]:
    return np.equal(places @ unknown.astype(np.float32), 0)


def _interpolations(seen: Overlaps) -> Iterator[csr_array]:
    return (between_nodes(seen.x[pairs], seen.y[pairs], seen.size) for pairs in seen.views)


@dataclass(frozen=True)
class LeastSquares:
    """The objective, its gradient and its solution. View by view, so that what is worked on stays in the cache.

    Attributes:
        overlaps: which views see which directions.
        values: (view, pixel, frame) measured in a ``Unit``; 0 where nothing is known.
        power: of the cosine.
        finest: size of views at which neighbours are one step apart.
        known: for each view (pair, frame) False where a pair says nothing; None if all say something.
        trust: whether views count less towards their edges.
    """

    overlaps: Overlaps
    values: Shifts
    power: int
    finest: int
    known: list[Bool[np.ndarray, "pair frame"]] | None = None
    trust: bool = False

    @property
    def says_something(self) -> Bool[np.ndarray, "view frame"]:
        """Whether anything is known of a view in a frame."""
        if self.known is None:
            return np.ones(self.start.scale.shape, bool)
        return np.stack([known.any(axis=0) for known in self.known])

    def alignment(self, unit: Unit, found: Corrections) -> Alignment:
        """Corrections as they are for the estimator's own values.

        A view that says nothing, or whose scale is not positive, is not corrected and hardly trusted.
        """
        usable = (self.says_something & (found.scale > 0)).T
        scale = np.where(usable, found.scale.T, np.float32(1)) / np.float32(unit.one)
        shift = np.moveaxis(self._grid(found.shift, 1), -1, 0) * usable[..., None, None]
        shift -= (scale * np.float32(unit.zero))[..., None, None]
        without = int((~usable).sum())
        notes = (
            (f"Of {usable.size} predicted views {without} say nothing that agrees with the others.",) if without else ()
        )
        trust = np.where(usable, np.float32(1), np.float32(_HARDLY))
        bend = np.zeros((*scale.shape, 1, 1), np.float32)
        return Alignment(scale, shift, bend, trust, self.disagreement(found), notes)

    def disagreement(self, at: Corrections) -> float:
        """Usual natural logarithm of the ratio of what views say to their mean, where they overlap."""
        fused, logs = self.panorama(at), []
        for view, sample in enumerate(self._samples):
            with np.errstate(invalid="ignore", divide="ignore"):
                log = np.log(self.said(view, at)[::_EVERY] / fused[sample[::_EVERY]])
            shared = self._weight(view)[::_EVERY] < 0.999 * self._total[sample[::_EVERY]]
            logs.append(log[np.isfinite(log) & shared])
        found = np.concatenate(logs)
        return _DEVIATIONS_PER_MAD * float(np.median(np.abs(found))) if len(found) else float("nan")

    @property
    def start(self) -> Corrections:
        """Scale 1, shift 0."""
        views, _, frames = self.values.shape
        return Corrections(np.ones((views, frames), np.float32), np.zeros_like(self.values))

    def said(self, view: int, at: Corrections) -> Float32[np.ndarray, "pair frame"]:
        """What a view says of the directions that it sees, corrected."""
        return self._looks[view] @ (at.scale[view] * self.values[view] + at.shift[view])

    def panorama(self, at: Corrections) -> Field:
        """The best S: the weighted mean of what the views say of each direction; 0 where none says anything."""
        total = np.zeros((len(self.overlaps.directions), self.values.shape[2]), np.float32)
        for view, sample in enumerate(self._samples):
            total[sample] += self._weight(view) * self.said(view, at)
        return np.divide(total, self._total, out=total, where=self._total > 0)

    def objective(self, at: Corrections) -> float:
        """What is minimised, for the best S."""
        fused = self.panorama(at)
        value = sum(float(np.vdot(self._weight(view) * away, away)) for view, away in enumerate(self._apart(at, fused)))
        chain, ridge, smooth, steady = map(float, self._penalties)
        value += chain * _squares(np.diff(at.scale, axis=1)) + ridge * _squares(at.scale - 1)
        for shift in at.shift:
            grid = self._grid(shift)
            value += smooth * (_squares(np.diff(grid, axis=0)) + _squares(np.diff(grid, axis=1)))
            value += steady * _squares(np.diff(shift, axis=1))
        return value

    def gradient(
        self, at: Corrections, panorama: Field | None = None, anchor: float = 1.0, regularised: bool = True
    ) -> tuple[Corrections, Field]:
        """Half the gradient, in the corrections and in S; S is the best one unless a ``panorama`` is given.

        With ``anchor`` (what scales are held to) 0 it is half the Hessian times ``at``; not ``regularised``, it is that
        of the first term alone.
        """
        fused = self.panorama(at) if panorama is None else panorama
        down = Corrections(np.empty_like(at.scale), np.empty_like(at.shift))
        pull = np.zeros_like(fused) if panorama is not None else fused[:0]
        chain, ridge, smooth, steady = self._penalties
        for view, away in enumerate(self._apart(at, fused)):
            away *= self._weight(view)
            if panorama is not None:
                pull[self._samples[view]] -= away
            heard = self._looks[view].T @ away
            down.scale[view] = np.einsum("pf,pf->f", self.values[view], heard)
            if regularised:
                _add_smoothness(self._grid(at.shift[view]), smooth, self._grid(heard))
                _add_chain(at.shift[view], steady, heard)
            down.shift[view] = heard
        if regularised:
            down.scale[:] += ridge * (at.scale - np.float32(anchor))
            _add_chain(at.scale, chain, down.scale)
        return down, pull

    def solved(
        self,
        start: Corrections,
        iterations: int,
        tolerance: float = 0.0,
        report: Callable[[int], None] = lambda iteration: None,
    ) -> Corrections:
        """The least objective by preconditioned conjugate gradients from ``start`` on; all frames side by side.

        It ends after so many ``iterations``, or earlier when a few of them have lowered the objective by less than
        ``tolerance``, as a share of it. ``report`` is called before each; what it raises goes through.
        """
        at = Corrections(start.scale.copy(), start.shift.copy())
        residual = self.gradient(at)[0]
        for part in residual:
            np.negative(part, out=part)
        step = self._preconditioned(residual, Corrections(*map(np.empty_like, residual)))
        slope, objective, gains = _dot(residual, step), self.objective(at), deque([np.inf], _GAINS)
        for iteration in range(iterations):
            if slope <= 0 or sum(gains) < tolerance * objective:
                break
            report(iteration)
            curved = self.gradient(step, anchor=0.0)[0]
            length = slope / _dot(step, curved)
            gains.append(length * slope)
            objective -= length * slope
            for a, s, r, c in _by_view(at, step, residual, curved):
                a += np.float32(length) * s
                r -= np.float32(length) * c
            towards = self._preconditioned(residual, curved)
            slope, before = _dot(residual, towards), slope
            for s, t in _by_view(step, towards):
                s *= np.float32(slope / before)
                s += t
        return at

    def _preconditioned(self, residual: Corrections, out: Corrections) -> Corrections:
        """The diagonal's answer, and that of smooth fields which all views follow, written into ``out``.

        A scale's part is that of a change which the view's shifts undo, so that the data do not see it.
        """
        fields, stiffness = self._fields, self._diagonal
        field = fields(residual.shift)
        for view, look in enumerate(fields.looks):
            values, heard = self.values[view], residual.shift[view]
            scale = residual.scale[view] - np.einsum("pf,pf->f", values, heard)
            out.scale[view] = scale / stiffness.scale[view]
            np.divide(heard, stiffness.shift[view], out=out.shift[view])
            out.shift[view] += look @ field
            out.shift[view] -= out.scale[view] * values
        return out

    @cached_property
    def _fields(self) -> SmoothFields:
        _, _, smooth, steady = map(float, self._penalties)
        return smooth_fields(self.overlaps.size, self.values.shape[2], self.power, smooth, steady)

    @cached_property
    def _samples(self) -> list[np.ndarray]:
        return [self.overlaps.sample[pairs] for pairs in self.overlaps.views]

    @cached_property
    def _looks(self) -> list[csr_array]:
        """For each view (pair, pixel): interpolation times cosineᵖ."""
        looks = list(_interpolations(self.overlaps))
        for look, pairs in zip(looks, self.overlaps.views, strict=True):
            look.data *= np.repeat(self.overlaps.cosine[pairs] ** self.power, 4)
        return looks

    def _weight(self, view: int) -> Float32[np.ndarray, "pair frame"]:
        """Of each pair, so that all together sum up to λ_depth; one column if it is the same in all frames."""
        return self._in_proportion(view) * self._unit_weight

    def _in_proportion(self, view: int) -> np.ndarray:
        pairs = self.overlaps.views[view]
        weight = self.overlaps.trust[pairs] if self.trust else np.ones(pairs.stop - pairs.start, np.float32)
        return weight[:, None] if self.known is None else weight[:, None] * self.known[view]

    @cached_property
    def _unit_weight(self) -> np.float32:
        views, _, frames = self.values.shape
        each = (self._in_proportion(view) for view in range(views))
        total = sum(float(weight.sum(dtype=np.float64)) * frames / weight.shape[1] for weight in each)
        return np.float32(DEPTH / max(total, 1.0))

    @cached_property
    def _total(self) -> Float32[np.ndarray, "sample frame"]:
        """Weight of all pairs of a direction."""
        columns = 1 if self.known is None else self.values.shape[2]
        total = np.zeros((len(self.overlaps.directions), columns), np.float32)
        for view, sample in enumerate(self._samples):
            total[sample] += self._weight(view)
        return total

    @cached_property
    def _penalties(self) -> tuple[np.float32, np.float32, np.float32, np.float32]:
        """Weights of single squares: scale from frame to frame, scale, shift to the neighbour, from frame to frame."""
        views, pixels, frames = self.values.shape
        size = self.overlaps.size
        each = (
            SCALE / (views * max(frames - 1, 1)),
            SCALE / (views * frames),
            SHIFT / (views * frames * size * max(size - 1, 1)) * (size / self.finest) ** 2,
            SHIFT / (views * pixels * max(frames - 1, 1)),
        )
        chain, ridge, smooth, steady = map(np.float32, each)
        return chain, ridge, smooth, steady

    def _apart(self, at: Corrections, fused: Field) -> Iterator[Float32[np.ndarray, "pair frame"]]:
        """What each view says less the panorama."""
        for view, sample in enumerate(self._samples):
            away = self.said(view, at)
            away -= fused[sample]
            yield away

    def _grid(self, pixels: np.ndarray, axis: int = 0) -> np.ndarray:
        """An array with the axis of a view's pixels as rows and columns."""
        size = self.overlaps.size
        return pixels.reshape(*pixels.shape[:axis], size, size, *pixels.shape[axis + 1 :])

    @cached_property
    def _diagonal(self) -> Corrections:
        """Of half the Hessian; where something is unknown, as if it were known, which serves as well."""
        chain, ridge, smooth, steady = self._penalties
        frames = self.values.shape[2]
        links = self._grid(np.zeros((self.values.shape[1], 1), np.float32))
        links[1:] += 1
        links[:-1] += 1
        links[:, 1:] += 1
        links[:, :-1] += 1
        between = smooth * links.reshape(-1, 1) + np.float32((frames > 1) * 2) * steady
        scale, shift = np.empty_like(self.start.scale), []
        for view, (look, sample) in enumerate(zip(self._looks, self._samples, strict=True)):
            weight = self._weight(view)
            left = (weight * (1 - weight / np.maximum(self._total[sample], 1e-30))).mean(axis=1, keepdims=True)
            shift.append(look.power(2).T @ left + between)
            grid = self._grid(self.values[view])
            varies = sum((np.diff(grid, axis=axis) ** 2).sum(axis=(0, 1)) for axis in (0, 1))
            scale[view] = smooth * varies + (frames > 1) * 2 * steady * (self.values[view] ** 2).sum(axis=0)
        return Corrections(scale + ridge + np.float32((frames > 1) * 2) * chain, np.stack(shift))


def _add_smoothness(grid: np.ndarray, weight: np.floating, to: np.ndarray) -> None:
    """Half the gradient of weight · Σ (difference of neighbours)² along the first two axes."""
    for down in (True, False):
        change = weight * (np.diff(grid, axis=0) if down else np.diff(grid, axis=1))
        after, before = (to[1:], to[:-1]) if down else (to[:, 1:], to[:, :-1])
        after += change
        before -= change


def _add_chain(values: np.ndarray, weight: np.floating, to: np.ndarray) -> None:
    """Half the gradient of weight · Σ (difference along the second axis)²."""
    change = weight * np.diff(values, axis=1)
    to[:, 1:] += change
    to[:, :-1] -= change


def _squares(values: np.ndarray) -> float:
    return float(np.vdot(values, values))


def _dot(one: Corrections, other: Corrections) -> float:
    return sum(float(np.vdot(*parts)) for parts in _by_view(one, other))


def _by_view(*corrections: Corrections) -> Iterator[tuple[np.ndarray, ...]]:
    """Scales, then the shifts of one view after the other: views of the arrays, to be changed in place."""
    yield tuple(part.scale for part in corrections)
    yield from zip(*(part.shift for part in corrections), strict=True)
