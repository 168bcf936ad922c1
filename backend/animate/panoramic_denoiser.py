"""The panoramic denoiser Ψ of 4K4DGen (section 3.3): perspective views animate a panorama together.

    start  x = σ₀·noise, on the sphere
    step   each view is shown its part of x; the model predicts the clean view x̂ in each;
           the predictions are made to agree (eq. 3); x' = (σ'/σ) x + (1 - σ'/σ) x̂
    then   the same in windows of the equirectangular latents, which crop instead of interpolating

Beyond the paper, signal and noise travel apart. The step is linear, so x is its signal plus σ times the noise it
started with: only the signal, which is as smooth as the predictions are, is ever interpolated, and every view is shown
noise of exactly unit variance (``sphere/noise.py``). Where the windows take over, the noise's pixels change; its
coarser parts, which the signal has followed so far, stay. What no region covers has the still picture's latents as its
prediction, so at every noise level it is the still picture; and views in which nothing moves are not computed.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray
from torch import Tensor

from ...bridge.errors import CycloramaError
from ..models.memory import is_out_of_memory
from ..sphere.charts import Charts, Field, Images, SeparateViews, TangentViews, charts_of
from ..sphere.icosphere import VIEW_FOV, frequency_for
from ..sphere.noise import WhiteNoise
from ..sphere.windows import WholePanorama, Windows
from .denoisers.protocol import Conditions, Denoiser, Latents, Shot
from .local_prompts import joined, local_prompt
from .masks import mask_at, masks_in
from .regions import MotionRegion
from .tiles import encode_panorama, preview

Agreement = Literal["sphere", "views", "panorama"]
"""How the views are made to agree: 4K4DGen's way, and the two it is compared with (table 2)."""

_PREVIEWS = 8
"""Pictures shown on the way."""

_MOVES = 1 / 255
"""A view in which no mask exceeds this is still."""

_SOFTEST = 8.0
"""Where a mask is so many times less than white, the model's prediction counts as a whole."""


@dataclass(frozen=True)
class Schedule:
    """How many steps are taken, and where.

    Attributes:
        steps: denoising steps (4K4DGen, appendix C: 25).
        spherical_steps: so many of the first ones on the sphere (appendix C: 10), the others in windows.
        agreement: "sphere", or for comparison "views" (each for itself) or "panorama" (one wide picture).
    """

    steps: int = 25
    spherical_steps: int = 10
    agreement: Agreement = "sphere"

    def charts(self, step: int, height: int) -> Charts:
        """On which charts the step is taken; after the last step, the equirectangular latents."""
        if step >= self.steps:
            return charts_of(Windows, height)
        if self.agreement == "sphere":
            return charts_of(TangentViews if step < self.spherical_steps else Windows, height)
        return charts_of(SeparateViews if self.agreement == "views" else WholePanorama, height)


@dataclass(frozen=True)
class State:
    """Where a run is between two steps; all that has to be kept to go on later.

    Attributes:
        step: steps taken.
        signal: (sample, frame, channel) float32: x without its noise, at the samples of the next step's charts.
    """

    step: int
    signal: Field


Wanted = tuple[int, MotionRegion, Float[Tensor, "row column"]]
"""A chart, a region that moves in it, and how much the region counts at its pixels."""


@dataclass(frozen=True)
class Run:
    """One call of the model in each step: a chart, animated as one of the regions asks.

    Attributes:
        chart: its number.
        weight: (row, column) how much this run counts at each pixel; the runs of a chart add up to 1.
        conditions: what the model was told of it.
    """

    chart: int
    weight: Float[Tensor, "row column"]
    conditions: Conditions


@dataclass(frozen=True)
class Scenery:
    """What all steps on the same charts share.

    Attributes:
        runs: the calls of the model.
        noise: unit white noise in each chart.
        still: latents of the still picture, at the samples.
        resting: the same in the charts in which nothing moves, by their numbers.
        moving: (sample, 1, 1) 0..1, where something moves.
    """

    charts: Charts
    runs: Sequence[Run]
    noise: Images
    still: Field
    resting: Mapping[int, Latents]
    moving: Float[Tensor, "sample 1 1"]


class PanoramicDenoiser:
    """One panorama being animated.

    Args:
        model: the perspective video model Φ.
        picture: (3, height, width) float32 in -1..1, sRGB; ``height`` a multiple of 16 model latents.
        regions: what moves, and how; masks of the picture's size that together nowhere exceed 1.
        frames: of the video.
        fps: its rate, which some models want to know.
        seed: of all noise.
        at_once: runs of the model computed together; changes nothing but speed and memory.
        local_prompts: told to the views that look to the front, right, back and left, after their region's.
    """

    def __init__(
        self,
        model: Denoiser,
        picture: Float[Tensor, "3 height width"],
        regions: Sequence[MotionRegion],
        frames: int,
        fps: float,
        seed: int,
        schedule: Schedule,
        at_once: int = 1,
        local_prompts: Sequence[str] = ("",) * 4,
    ):
        self.model = model
        self.schedule = schedule
        self.levels = model.noise_levels(schedule.steps)
        self._picture = picture
        self._regions = _told_apart(regions, model)
        self._frames, self._fps = frames, fps
        self._latent_frames = model.latent_frames(frames)
        self._seed = seed
        self._at_once = at_once
        self._local_prompts = local_prompts if model.takes_prompt else ("",) * 4
        self._height = picture.shape[1] // model.scale
        side = self._height // 2
        self._noise = WhiteNoise(seed, frequency_for(VIEW_FOV / side))
        self._scenery: Scenery | None = None
        self._done = 0

    def calls(self, steps: int | None = None) -> int:
        """Views that the model predicts in so many first steps, or in a whole run."""
        steps = self.schedule.steps if steps is None else steps
        families = [self.schedule.charts(step, self._height) for step in range(steps)]
        return sum(families.count(charts) * len(self._wanted(charts)) for charts in dict.fromkeys(families))

    def start(self) -> State:
        """Nothing but noise."""
        samples = len(self.schedule.charts(0, self._height).samples)
        return State(0, torch.zeros(samples, self._latent_frames, self.model.channels))

    def accepts(self, state: State) -> bool:
        """Whether ``run`` can go on from a state; one of another version may be shaped otherwise."""
        samples = len(self.schedule.charts(state.step, self._height).samples)
        shape = (samples, self._latent_frames, self.model.channels)
        return state.step <= self.schedule.steps and state.signal.shape == shape and bool(state.signal.isfinite().all())

    def run(
        self,
        state: State | None = None,
        report: Callable[[int, int], None] = lambda done, total: None,
        keep: Callable[[State], None] = lambda state: None,
        show: Callable[[UInt8[ndarray, "height width 3"]], None] = lambda picture: None,
    ) -> Latents:
        """All steps, or those that are left after ``state``.

        Args:
            report: is called between any two calls of the model with how many are done; it may raise to stop.
            keep: is given the state after each step.
            show: is given a small picture of the prediction every few steps.

        Returns:
            Clean equirectangular latents, (frame, channel, height / scale, width / scale) float32.

        Raises:
            CycloramaError: ``latents-not-finite``, naming the step.
        """
        state = state or self.start()
        self._done, total = self.calls(state.step), self.calls()
        while state.step < self.schedule.steps:
            scenery = self.scenery(state.step, lambda: report(self._done, total))
            clean = self.agreed(scenery, self.predictions(scenery, state, lambda: report(self._done, total)))
            state = self._stepped(scenery, state, clean)
            keep(state)
            if state.step % max(self.schedule.steps // _PREVIEWS, 1) == 0 and state.step < self.schedule.steps:
                latents = _as_latents(scenery.charts.to_equirectangular(clean), self._height)
                show(preview(self.model, latents, len(latents) // 2))
        return _as_latents(state.signal, self._height)

    def predictions(self, scenery: Scenery, state: State, between: Callable[[], None] = lambda: None) -> Images:
        """The clean latents that the model predicts in each chart, before they are made to agree."""
        level = self.levels[state.step]
        signal = scenery.charts.project(state.signal)
        clean = torch.zeros_like(signal)
        for chart, latents in scenery.resting.items():
            clean[chart] = latents
        first = 0
        while first < len(scenery.runs):
            between()
            runs = scenery.runs[first : first + self._at_once]
            noisy = torch.stack([signal[run.chart] + level * scenery.noise[run.chart] for run in runs])
            predicted = self._predict(noisy, state.step, runs)
            if predicted is None:
                self._at_once = len(runs) // 2
                gc.collect()  # what the failed call had made
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            for run, latents in zip(runs, predicted, strict=True):
                clean[run.chart] += latents * run.weight
            first += len(runs)
            self._done += len(runs)
        between()
        return clean

    def agreed(self, scenery: Scenery, predictions: Images) -> Field:
        """The one field that the predictions agree on best; the still picture where nothing moves."""
        fused = scenery.charts.fuse(predictions)
        return scenery.still + scenery.moving * (fused - scenery.still)

    def _stepped(self, scenery: Scenery, state: State, clean: Field) -> State:
        """One Euler step of the signal; the noise needs none, its share is the new level."""
        ratio = self.levels[state.step + 1] / self.levels[state.step]
        signal = ratio * state.signal + (1 - ratio) * clean
        following = self.schedule.charts(state.step + 1, self._height)
        if following is not scenery.charts:
            signal = following.from_equirectangular(scenery.charts.to_equirectangular(signal))
        return State(state.step + 1, signal)

    def scenery(self, step: int, between: Callable[[], None] = lambda: None) -> Scenery:
        """What the step's charts show; made once for all steps on them."""
        charts = self.schedule.charts(step, self._height)
        if self._scenery is None or self._scenery.charts is not charts:
            self._scenery = None  # first give its memory back
            wanted = self._wanted(charts)
            active = {chart for chart, _, _ in wanted}
            needed = sorted(active.union(charts.perspectives))
            between()
            pictures = dict(zip(needed, charts.pictures(needed, self._picture).clamp(-1, 1), strict=True))
            still = self._still(charts, pictures, between)
            shown = charts.project(still) if len(active) < charts.count else []
            moving = mask_at(self._covered(), charts.samples, self._height)
            self._scenery = Scenery(
                charts,
                self._runs(charts, wanted, pictures, between),
                charts.noise(self._noise, self._latent_frames, self.model.channels),
                still,
                {chart: latents for chart, latents in enumerate(shown) if chart not in active},
                (moving * _SOFTEST).clamp(max=1)[:, None, None],  # the pixels are blended by the mask itself
            )
        return self._scenery

    def _runs(
        self, charts: Charts, wanted: Sequence[Wanted], pictures: Mapping[int, Tensor], between: Callable[[], None]
    ) -> list[Run]:
        """The model's runs, prepared; the still charts have none."""
        all_that_moves = masks_in(charts, self._covered())
        shots = []
        for number, (chart, region, _) in enumerate(wanted):
            seed = (self._seed * 1009 + number) % 2**31
            prompt = joined(region.prompt, local_prompt(charts.rays(chart), self._local_prompts))
            shots.append(Shot(pictures[chart], all_that_moves[chart], prompt, region.strength, seed))
        prepared = self.model.prepare(shots, self._frames, self._fps, between)
        return [Run(chart, weight, told) for (chart, _, weight), told in zip(wanted, prepared, strict=True)]

    def _wanted(self, charts: Charts) -> list[Wanted]:
        """Every chart with each region that moves in it, and how much that region counts at its pixels."""
        masks = [masks_in(charts, region.mask) for region in self._regions]
        wanted: list[Wanted] = []
        for chart in range(charts.count):
            present = [(region, mask[chart]) for region, mask in zip(self._regions, masks, strict=True)]
            present = [(region, mask + 1e-4) for region, mask in present if mask.max() > _MOVES]
            together = sum((mask for _, mask in present), torch.zeros(charts.size))
            wanted += [(chart, region, mask / together) for region, mask in present]
        return wanted

    def _covered(self) -> Float32[ndarray, "height width"]:
        return sum(region.mask for region in self._regions)  # pyright: ignore[reportReturnType]  (there is one at least)

    def _still(self, charts: Charts, pictures: Mapping[int, Tensor], between: Callable[[], None]) -> Field:
        """Latents of the still picture at the samples; every chart's part is encoded as that chart shows it."""
        if len(charts.perspectives) < charts.count:
            tiled = encode_panorama(self.model, self._picture, self._frames, lambda done, total: between())
            images = charts.project(charts.from_equirectangular(tiled.flatten(2).permute(2, 0, 1)))
        else:
            images = torch.empty(charts.count, self._latent_frames, self.model.channels, *charts.size)
        for chart in charts.perspectives:
            between()
            images[chart] = self.model.encode_still(pictures[chart], self._frames)
        self._check_finite(images, f"The model {self.model.name} encoded the panorama as values that are no numbers.")
        return charts.fuse(images)

    def _predict(self, noisy: Tensor, step: int, runs: Sequence[Run]) -> Tensor | None:
        """None: there is not enough memory for so many views, but perhaps for fewer."""
        try:
            predicted = self.model.predict(noisy, step, self.levels, [run.conditions for run in runs])
        except Exception as error:
            if not is_out_of_memory(error) or len(runs) == 1:
                raise
            return None
        self._check_finite(
            predicted,
            f"At step {step + 1} of {self.schedule.steps} the model {self.model.name} made values that are no numbers.",
        )
        return predicted

    def _check_finite(self, latents: Tensor, sentence: str) -> None:
        if not torch.isfinite(latents).all():
            hint = "Try another seed; if it happens again, the checkpoint is damaged."
            raise CycloramaError("latents-not-finite", sentence, hint)


def _told_apart(regions: Sequence[MotionRegion], model: Denoiser) -> tuple[MotionRegion, ...]:
    """The regions that are different to the model; those that are not are joined."""
    joined: dict[tuple[str, float], MotionRegion] = {}
    for region in regions:
        key = (region.prompt if model.takes_prompt else "", region.strength if model.takes_strength else 1.0)
        other = joined.get(key)
        joined[key] = MotionRegion(region.mask if other is None else region.mask + other.mask, *key)
    return tuple(joined.values())


def _as_latents(field: Field, height: int) -> Latents:
    return field.unflatten(0, (height, 2 * height)).permute(2, 3, 0, 1).contiguous()
