"""How long a scene will take and how much memory, before it is asked for: from what was measured, and from past jobs.

The table below holds what was measured on two CPU cores (docs/development/lifting.md, benchmarks/estimates.py). A stage
that was never measured, such as a video model on a GPU, is not known until a job of the same kind has been done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from .settings import BY_DESCENT, DEFAULT_FRAMES, WITHOUT_NETWORK, PanoramaTo4D

Basis = Literal["measured", "learned", "unknown"]

USUAL_WIDTH = 1024
"""A panorama of so many pixels around is one unit of size."""

LARGEST_AUTOMATIC_WIDTH = 2048
"""What a width of 0 takes of a larger panorama."""

_CORES = 2
"""Of the machine that the table was measured on."""

_SHARED = 0.6
"""Share of the work that more cores make faster; the rest runs on one."""

_GB = 1e9
_NEGLIGIBLE_SECONDS = 0.2
_FURTHEST_FACTOR = 20.0
_MODEL_FRAMES = 14
"""What a video model makes where no length is set, as far as can be told without it; only ratios of it matter."""

_STEP_DOWN = (4096, 3072, 2048, 1536, 1024, 768, 512)
"""Widths that are proposed when memory is short."""


@dataclass(frozen=True)
class Device:
    """What the backend computes on.

    Attributes:
        cores: of the CPU.
        cuda: whether there is an NVIDIA GPU beside it.
        memory_bytes: of the GPU, else of the machine; 0 while not known.
    """

    cores: int = _CORES
    cuda: bool = False
    memory_bytes: int = 0


@dataclass(frozen=True)
class Past:
    """A job that is done: what was asked for, and what it took.

    Attributes:
        width: pixels around the horizon that it worked on.
        seconds: by stage.
    """

    settings: PanoramaTo4D
    width: int
    seconds: Mapping[str, float]
    peak_bytes: int


@dataclass(frozen=True)
class Estimate:
    """What a scene will take.

    Attributes:
        seconds: of all stages that are known; together with ``unknown`` that is all there is.
        peak_bytes: of main memory; 0 while not known.
        basis: "measured" on another machine, "learned" from past jobs, or "unknown" where a stage is.
        unknown: the stages nobody has measured yet.
    """

    seconds: float
    peak_bytes: int
    basis: Basis
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Work:
    """What the costs depend on: the size in units of a 1024 x 512 panorama, and the number of frames."""

    size: float
    frames: int
    settings: PanoramaTo4D = field(repr=False)

    @classmethod
    def of(cls, settings: PanoramaTo4D, width: int) -> _Work:
        frames = settings.frames or (DEFAULT_FRAMES if settings.animator == "flow" else _MODEL_FRAMES)
        return cls((width / USUAL_WIDTH) ** 2, frames, settings)


_Cost = Callable[[_Work], float]

_SECONDS: dict[str, _Cost] = {
    "read": lambda work: 0.02 * work.size,
    "layout": lambda work: 0.5,
    "animate flow": lambda work: 0.12 * work.size * work.frames,
    "depth skyline": lambda work: 0.03 * work.size,
    "depth file": lambda work: 0.2 * work.size,
    "lift direct": lambda work: 0.1 + 0.025 * work.size * work.frames,
    "lift fast": lambda work: 2.5 + 5.5 * work.size + 0.33 * work.size * work.frames,
    "lift fast small": lambda work: 2.5 + 6.0 * work.size + 0.7 * work.size * work.frames,
    "look around direct": lambda work: 2.5 + 3.5 * work.size,
    "look around": lambda work: 1.2 + 10.3 * work.size**1.25,
    "write": lambda work: 0.03 * work.size * work.frames,
}
"""Seconds on two cores of what was measured, by the kind of each stage."""

_GIGABYTES: dict[str, _Cost] = {
    "direct": lambda work: 0.5 + 0.2 * work.size + 0.004 * work.size * work.frames,
    "fast": lambda work: 0.5 + 0.36 * work.size + 0.0066 * work.size * work.frames,
}
"""The same of memory, by the way to lift; of jobs without networks."""

_GROWS: dict[str, _Cost] = {
    "model": lambda work: 1.0,
    "check": lambda work: 1.0,
    "estimator": lambda work: 1.0,
    "animate": lambda work: work.size * work.frames * work.settings.steps,
    "depth": lambda work: work.size * (work.frames if work.settings.animator == "panoramic" else 1),
    "lift": lambda work: work.size * work.frames * max(work.settings.iterations, 1),
}
"""How a stage that was never measured grows, by its name; as size times frames where nothing else is said."""


def worked_width(settings: PanoramaTo4D, panorama_width: int) -> int:
    """Pixels around the horizon that a job works on: the set ones, but never more than the panorama has."""
    wanted = settings.width or LARGEST_AUTOMATIC_WIDTH
    return min(wanted, panorama_width) if panorama_width else wanted


def stage_kinds(settings: PanoramaTo4D) -> dict[str, str]:
    """The stages of *Panorama to 4D*, as the recipe reports them, each with what decides its cost beside the size."""
    flow = settings.animator == "flow"
    checkpoint = f"{settings.model} {settings.checkpoint} {settings.agreement}"
    network = f"{settings.estimator} {settings.estimator_checkpoint}"
    kinds = {"read": "read", "layout": "layout"}
    if flow:
        kinds["animate"] = "animate flow"
    else:
        kinds |= {stage: f"{stage} {checkpoint}" for stage in ("model", "animate", "decode", "finish")}
    if settings.estimator in WITHOUT_NETWORK:
        kinds["depth"] = f"depth {settings.estimator}"
    else:
        kinds |= {"estimator": f"estimator {network}", "depth": f"depth {network} {settings.align}"}
    small = " small" if settings.compression == "small" and settings.lift == "fast" else ""
    kinds["lift"] = f"lift {settings.lift}{small}{' by a model' if settings.inpainter else ''}"
    kinds["look around"] = "look around direct" if settings.lift == "direct" else "look around"
    kinds["write"] = "write"
    return kinds


def estimate(settings: PanoramaTo4D, panorama_width: int, device: Device, past: Iterable[Past] = ()) -> Estimate:
    """What a job will take.

    Args:
        panorama_width: pixels around the horizon of the file; 0 while not known.
        past: jobs of this backend; what they took beside what the table says is what this machine is like.
    """
    past = tuple(past)
    work = _Work.of(settings, worked_width(settings, panorama_width))
    kinds = stage_kinds(settings)
    shown = _slower_than_measured(past)
    slower = shown or 1 - _SHARED + _SHARED * _CORES / max(device.cores, 1)
    seconds, unknown = 0.0, []
    for stage, kind in kinds.items():
        own = _learned_stage(stage, kind, work, past)
        if own is not None:
            seconds += own
        elif kind in _SECONDS:
            seconds += _SECONDS[kind](work) * slower
        else:
            unknown.append(stage)
    basis: Basis = "unknown" if unknown else "learned" if shown else "measured"
    return Estimate(seconds, _peak_bytes(work, kinds, past), basis, tuple(unknown))


def width_that_fits(
    settings: PanoramaTo4D, panorama_width: int, device: Device, past: Iterable[Past] = ()
) -> int | None:
    """The largest usual width whose memory ``device`` has, where the asked one is too much.

    None: it is enough, or not known. 0: even the smallest is too much.
    """
    if device.cuda or not device.memory_bytes:  # a GPU's memory is not what the table is of
        return None
    past = tuple(past)
    asked = worked_width(settings, panorama_width)
    kinds = stage_kinds(settings)

    def fits(width: int) -> bool:
        return _peak_bytes(_Work.of(settings, width), kinds, past) <= device.memory_bytes

    if fits(asked):
        return None
    return next((width for width in _STEP_DOWN if width < asked and fits(width)), 0)


def _slower_than_measured(past: Sequence[Past]) -> float:
    """This machine's seconds over those of the table, as past jobs show it; 0 where they do not."""
    ratios = []
    for job in past:
        work = _Work.of(job.settings, job.width)
        for stage, kind in stage_kinds(job.settings).items():
            known = _SECONDS[kind](work) if kind in _SECONDS else 0.0
            if known > _NEGLIGIBLE_SECONDS and job.seconds.get(stage, 0.0) > 0:
                ratios.append(job.seconds[stage] / known)
    return min(max(median(ratios), 1 / _FURTHEST_FACTOR), _FURTHEST_FACTOR) if ratios else 0.0


def _learned_stage(stage: str, kind: str, work: _Work, past: Sequence[Past]) -> float | None:
    """Seconds of a stage as past jobs of the same kind took for it, at this size; None: there was none."""
    found = []
    grows = _SECONDS.get(kind) or _GROWS.get(stage, lambda work: work.size * work.frames)
    for job in past:
        if stage_kinds(job.settings).get(stage) == kind and stage in job.seconds:
            then = _Work.of(job.settings, job.width)
            found.append(job.seconds[stage] * grows(work) / max(grows(then), 1e-9))
    return median(found) if found else None


def _peak_bytes(work: _Work, kinds: Mapping[str, str], past: Sequence[Past]) -> int:
    """Of main memory; by the table where nothing but its ways are used, else as a past job of the same kind took."""
    table = _GIGABYTES.get(work.settings.lift) if all(kind in _SECONDS for kind in kinds.values()) else None
    grows = table or (lambda work: 1.0 + work.size * work.frames / DEFAULT_FRAMES)
    found = [
        job.peak_bytes * grows(work) / grows(_Work.of(job.settings, job.width))
        for job in past
        if job.peak_bytes and stage_kinds(job.settings) == kinds
    ]
    if found:
        return round(median(found))
    return round(table(work) * _GB) if table else 0


def wants_gpu(settings: PanoramaTo4D, device: Device) -> bool:
    """Whether the ways that are chosen were made for a GPU, and there is none: hours or days instead of minutes."""
    return not device.cuda and (settings.animator == "panoramic" or settings.lift in BY_DESCENT)
