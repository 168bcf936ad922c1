"""The panorama's motion: the step of the recipe in which either animator makes a panoramic video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...bridge.scene import Model
from ...bridge.settings import DEFAULT_FPS, DEFAULT_FRAMES, PanoramaTo4D
from ..animate.advection import animate
from ..animate.flow import Field, drift, steady, stroke_flow
from ..animate.regions import MotionRegion, motion_regions, union
from ..sphere.panorama import Panorama, PanoramaVideo
from ..sphere.pictures import read_mask
from ..sphere.skyline import MovingRegions
from .licences import licence_notes
from .progress import Report, Show

if TYPE_CHECKING:
    from ..animate.denoisers.protocol import Denoiser


@dataclass(frozen=True)
class Motion:
    """A panoramic video, and what is to be said of it.

    Attributes:
        models: whose weights made it.
        loops: whether its last frame leads to its first.
        notes: for the artist, a sentence each.
        safe: to be called when the video is kept elsewhere: what would let its making go on is then removed.
    """

    video: PanoramaVideo
    loops: bool
    models: tuple[Model, ...] = ()
    notes: tuple[str, ...] = ()
    safe: Callable[[], None] = lambda: None


def flow_motion(panorama: Panorama, proposed: MovingRegions, settings: PanoramaTo4D, report: Report) -> Motion:
    """By a flow on the sphere: strokes, or a gentle drift. It loops, and needs no model."""
    frames = settings.frames or DEFAULT_FRAMES
    flow = _flow(panorama, proposed, settings)
    steps = 2 * frames
    video = animate(panorama, flow, frames, settings.fps or DEFAULT_FPS, lambda step: report("animate", step, steps))
    unread = settings.prompt or any(region.prompt for region in settings.regions)
    notes = ("The flow animator reads no prompt; the panoramic one does, with a video model that does.",)
    return Motion(video, loops=True, notes=notes if unread else ())


def _flow(panorama: Panorama, proposed: MovingRegions, settings: PanoramaTo4D) -> Field:
    """The flow of the strokes inside the regions or the mask; what is not given is proposed."""
    strength = np.float32(settings.strength)
    if settings.regions:
        regions = motion_regions(settings, panorama, read_mask)
        mask = union(regions)
        weighted = sum(region.mask * np.float32(region.strength) for region in regions)
        strength = (weighted / np.maximum(mask, 1e-6))[..., None]
    else:
        mask = read_mask(Path(settings.mask), panorama) if settings.mask else None
    if settings.strokes and mask is None:
        region = (proposed.sky + proposed.water).clip(0, 1)
        flow = stroke_flow(region, settings.strokes) * steady(panorama.image, region)[..., None]
    elif mask is not None and settings.strokes:
        flow = stroke_flow(mask, settings.strokes)
    else:
        water = proposed.water if mask is None else proposed.water * mask
        sky = proposed.sky if mask is None else mask - water  # what is painted and no water drifts like a sky
        flow = drift(sky, water, panorama.image, settings.eye_height, settings.seed)
    return flow * strength


def model_motion(
    panorama: Panorama, proposed: MovingRegions, settings: PanoramaTo4D, report: Report, show: Show
) -> Motion:
    """By a video diffusion model in views that agree on the sphere (4K4DGen, section 3.3)."""
    import torch  # only here: the flow needs none of it, and it takes seconds to load

    from ..animate.denoisers.loading import load
    from ..animate.panoramic import Making, animate
    from ..animate.panoramic_denoiser import Schedule
    from ..models.memory import Budget

    regions = motion_regions(settings, panorama, read_mask, (proposed.sky + proposed.water).clip(0, 1))
    report("model", 0, 1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = load(settings.model, settings.checkpoint, device, lambda done, total: report("model", done, total + 1))
    report("model", 1, 1)
    schedule = Schedule(settings.steps, min(settings.spherical_steps, settings.steps), settings.agreement)
    making = Making(
        settings.frames or model.default_frames,
        settings.fps or model.default_fps,
        settings.seed,
        schedule,
        Budget.of(round(settings.memory * 1e9), device),
    )
    video, safe = animate(panorama, regions, model, making, report, show)
    used = (Model(id=model.name, licence=model.licence),)
    return Motion(video, False, used, tuple(_notes(regions, settings, model, panorama.image.shape[1])), safe)


def _notes(regions: tuple[MotionRegion, ...], settings: PanoramaTo4D, model: Denoiser, width: int) -> Iterator[str]:
    """What was asked for and the model cannot do."""
    from ..animate.panoramic import working_width

    yield from licence_notes((Model(id=model.name, licence=model.licence),))
    if any(region.prompt for region in regions) and not model.takes_prompt:
        yield f"{model.name} reads no prompt: what was written there had no effect."
    if any(region.strength != 1 for region in regions) and not model.takes_strength:
        yield f"{model.name} knows no motion strength: say in the prompt how much shall move."
    if (worked_on := working_width(width, model)) != width:
        yield f"What moves was animated at {worked_on} pixels around, the next smaller width that suits {model.name}."
    if settings.strokes:
        yield "Strokes lead the flow animator only; the video model did not see them."
