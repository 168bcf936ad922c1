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
from ..animate.flow import Field, Mask, check_inside, drift, steady, stroke_flow
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
    unread = settings.prompt or any(settings.local_prompts) or any(region.prompt for region in settings.regions)
    notes = ("The flow animator reads no prompt; the panoramic one does, with a video model that does.",)
    return Motion(video, loops=True, notes=notes if unread else ())


def _flow(panorama: Panorama, proposed: MovingRegions, settings: PanoramaTo4D) -> Field:
    """The flow of the strokes inside the regions or the mask; what is not given is proposed."""
    if settings.regions:
        return _flow_of_regions(panorama, proposed, settings)
    mask = read_mask(Path(settings.mask), panorama) if settings.mask else None
    if mask is None and settings.strokes:
        region = (proposed.sky + proposed.water).clip(0, 1)
        check_inside(region, settings.strokes)
        flow = stroke_flow(region, settings.strokes) * steady(panorama.image, region)[..., None]
    elif mask is None:
        flow = drift(proposed.sky, proposed.water, panorama.image, settings.eye_height, settings.seed)
    else:
        check_inside(mask, settings.strokes)
        flow = _flow_inside(mask, panorama, proposed, settings)
    return flow * np.float32(settings.strength)


def _flow_of_regions(panorama: Panorama, proposed: MovingRegions, settings: PanoramaTo4D) -> Field:
    """In each region that has a stroke, along it; in the others along the strokes of all, or a drift.

    A region's own stroke may start beside the region; one of all starts in some region.
    """
    regions = motion_regions(settings, panorama, read_mask)
    check_inside(union(regions), settings.strokes)
    flow = np.zeros((*panorama.image.shape[:2], 3), np.float32)
    for region in regions:
        if region.stroke:
            flow += stroke_flow(region.mask, (region.stroke,)) * np.float32(region.strength)
    others = [region for region in regions if not region.stroke]
    if others:
        mask = union(others)
        weighted = sum(region.mask * np.float32(region.strength) for region in others)
        flow += _flow_inside(mask, panorama, proposed, settings) * (weighted / np.maximum(mask, 1e-6))[..., None]
    return flow


def _flow_inside(mask: Mask, panorama: Panorama, proposed: MovingRegions, settings: PanoramaTo4D) -> Field:
    """Along the strokes of all inside ``mask``; without them a gentle drift."""
    if settings.strokes:
        return stroke_flow(mask, settings.strokes)
    water = proposed.water * mask
    sky = mask - water  # what is painted and no water drifts like a sky
    return drift(sky, water, panorama.image, settings.eye_height, settings.seed)


def model_motion(
    panorama: Panorama, proposed: MovingRegions, settings: PanoramaTo4D, report: Report, show: Show
) -> Motion:
    """By a video diffusion model in views that agree on the sphere (4K4DGen, section 3.3)."""
    from ..animate.denoisers.loading import load  # only here: the flow needs no torch, and it takes seconds to load
    from ..animate.panoramic import Making, animate
    from ..animate.panoramic_denoiser import Schedule
    from ..models.computing import computing_device
    from ..models.memory import Budget

    regions = motion_regions(settings, panorama, read_mask, (proposed.sky + proposed.water).clip(0, 1))
    report("model", 0, 1)
    device = computing_device()
    model = load(settings.model, settings.checkpoint, device, lambda done, total: report("model", done, total + 1))
    report("model", 1, 1)
    schedule = Schedule(settings.steps, min(settings.spherical_steps, settings.steps), settings.agreement)
    making = Making(
        settings.frames or model.default_frames,
        settings.fps or model.default_fps,
        settings.seed,
        schedule,
        Budget.of(round(settings.memory * 1e9), device),
        settings.local_prompts,
    )
    video, safe = animate(panorama, regions, model, making, report, show)
    used = (Model(id=model.name, licence=model.licence),)
    return Motion(video, False, used, tuple(_notes(regions, settings, model, panorama.image.shape[1])), safe)


def _notes(regions: tuple[MotionRegion, ...], settings: PanoramaTo4D, model: Denoiser, width: int) -> Iterator[str]:
    """What was asked for and the model cannot do."""
    from ..animate.panoramic import working_width

    yield from licence_notes((Model(id=model.name, licence=model.licence),))
    if (any(settings.local_prompts) or any(region.prompt for region in regions)) and not model.takes_prompt:
        yield f"{model.name} reads no prompt: what was written there had no effect."
    if any(region.strength != 1 for region in regions) and not model.takes_strength:
        yield f"{model.name} knows no motion strength: say in the prompt how much shall move."
    if (worked_on := working_width(width, model)) != width:
        yield f"What moves was animated at {worked_on} pixels around, the next smaller width that suits {model.name}."
    if settings.strokes:
        yield "Strokes lead the flow animator only; the video model did not see them."
