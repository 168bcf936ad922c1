"""Lifting: the step of the recipe in which a panoramic video and its distance become Gaussians."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ...bridge.gaussians import Gaussians
from ...bridge.scene import Model
from ...bridge.settings import BY_DESCENT, UNREAD_BY_LIFT, WITHOUT_LOSS, PanoramaTo4D
from ..lift.direct import DirectLift
from ..sphere.panorama import DepthVideo, PanoramaVideo
from .licences import licence_notes
from .progress import Report, Show

if TYPE_CHECKING:
    from ..lift.safe_radius import SafeRadii


_OTHER_RENDERERS = (
    "The papers' ways fit Gaussians for renderers of Gaussians. Blender up to 5.2 draws flat splats, in another order, "
    "and shows them softer; the lift 'fast' is fitted for it."
)


class Lift(Protocol):
    """A lifted video; frames are asked for in their order.

    Attributes:
        static: the Gaussians that never change.
        moving_count: how many do.
        notes: for the artist, a sentence each; grows as frames are made.
    """

    static: Gaussians
    moving_count: int
    notes: tuple[str, ...]

    def still_arrays(self) -> Mapping[str, np.ndarray]:
        """Of the moving Gaussians: the arrays that are the same in every frame."""
        ...

    def frame(self, index: int) -> Mapping[str, np.ndarray]:
        """Of the moving Gaussians: the other arrays, as they are in frame ``index``."""
        ...


@dataclass(frozen=True)
class Lifting:
    """A lift that has begun, and what is to be said of it.

    Attributes:
        models: whose weights take part.
        said: more notes.
        safe: to be called when all of it is kept elsewhere: what would let the lift go on is then removed.
        before_frame: to be called before each frame is asked for, with its number; may raise to stop.
    """

    lift: Lift
    models: tuple[Model, ...] = ()
    said: tuple[str, ...] = ()
    safe: Callable[[], None] = field(default=lambda: None)
    before_frame: Callable[[int], None] = field(default=lambda index: None)

    def notes(self) -> Iterator[str]:
        """For the artist, a sentence each."""
        yield from self.lift.notes
        yield from self.said
        yield from licence_notes(self.models)


def lifts_with_networks(settings: PanoramaTo4D) -> bool:
    """Whether the lift may read a checkpoint."""
    asked = {"semantic_checkpoint", "perceptual_checkpoint"} - set(UNREAD_BY_LIFT[settings.lift])
    return bool(settings.inpainter) or any(getattr(settings, name) != WITHOUT_LOSS for name in asked)


def check_lift(settings: PanoramaTo4D, told: Callable[[int, int], None]) -> None:
    """Fetch and load the lift's networks once: what is wrong with one is said before hours of other work.

    Args:
        told: hears of the bytes that were fetched.

    Raises ``CycloramaError`` as ``lifted`` does for a network that cannot be had.
    """
    if not lifts_with_networks(settings):
        return
    import torch

    from ..lift.inpainting import inpainter

    cpu = torch.device("cpu")
    inpainter(settings.inpainter, cpu, told)
    _networks(settings, cpu, told)


def lifted(video: PanoramaVideo, depth: DepthVideo, settings: PanoramaTo4D, report: Report, show: Show) -> Lifting:
    """Begin to lift: what stands still is done, frames are when they are asked for (stage "lift", of which the last
    step is left to whoever asks for them).

    Raises ``CycloramaError``: distance and video do not go together, too few Gaussians, a network cannot be had.
    """
    report("lift", 0, 1)
    if settings.lift == "direct":
        frames = len(video.frames)
        return Lifting(DirectLift(video, depth), before_frame=lambda index: report("lift", 1 + index, 2 + frames))
    return _fitted(video, depth, settings, report, show)


def _fitted(video: PanoramaVideo, depth: DepthVideo, settings: PanoramaTo4D, report: Report, show: Show) -> Lifting:
    import torch  # only here: the direct lift needs none of it, and it takes seconds to load

    from ..lift.fit import fit, settings_of
    from ..lift.inpainting import DiffusionInpainter, inpainter
    from ..lift.seed import Seeding
    from ..models.computing import computing_device
    from ..models.memory import Budget

    device = computing_device()
    # Colours are solved for on the CPU, which alone knows how Blender draws splats.
    fits_on = device if settings.lift in BY_DESCENT else torch.device("cpu")
    budget = Budget.of(round(settings.memory * 1e9), fits_on)

    def fetched(_done: int, _total: int) -> None:  # one checkpoint after another: only so that it can be stopped
        report("lift", 0, 1)

    paints = inpainter(settings.inpainter, device, fetched)
    networks, models = _networks(settings, device, fetched)
    fingerprints = [loss.fingerprint for loss in (networks.semantic, networks.perceptual) if loss is not None]
    if isinstance(paints, DiffusionInpainter):
        models = (*models, Model(id=paints.name, licence=paints.licence))
        fingerprints.append(paints.fingerprint)
    report("lift", 0, 1)
    seeding = Seeding(video, depth, budget=settings.gaussians, inpaint=paints, before_each=lambda: report("lift", 0, 1))
    del paints  # a network's memory is wanted back
    densify = None if settings.densify == "usual" else settings.densify
    lift, safe = fit(
        video,
        depth,
        seeding,
        settings_of(settings.lift, settings.iterations, densify),  # pyright: ignore[reportArgumentType] (not "direct")
        networks,
        budget,
        most=settings.gaussians,
        seed=settings.seed,
        made_with=repr((settings.inpainter, settings.gaussians, fingerprints)),
        report=lambda done, total: report("lift", done, total + 1),
        show=show,
    )
    said = (_OTHER_RENDERERS,) if settings.lift in BY_DESCENT else ()
    return Lifting(lift, models, said, safe)


def _networks(settings: PanoramaTo4D, device, fetched: Callable[[int, int], None]):
    """Those that the losses ask, and their models."""
    from ..lift.descent import Networks
    from ..lift.fit import settings_of

    if settings.lift not in BY_DESCENT:
        return Networks(), ()
    weights = settings_of(settings.lift).weights
    semantic = perceptual = None
    if weights.semantic and settings.semantic_checkpoint != WITHOUT_LOSS:
        from ..lift.semantic import SemanticLoss

        semantic = SemanticLoss(device, checkpoint=settings.semantic_checkpoint, report=fetched)
    if weights.lpips and settings.perceptual_checkpoint != WITHOUT_LOSS:
        from ..lift.perceptual import PerceptualLoss

        perceptual = PerceptualLoss(device, settings.perceptual_checkpoint, report=fetched)
    models = tuple(Model(id=loss.name, licence=loss.licence) for loss in (semantic, perceptual) if loss is not None)
    return Networks(semantic, perceptual), models


def safe_radii(shown: Sequence[Gaussians], height: int, report: Report) -> SafeRadii:
    """How far the camera may leave the origin (stage "look around").

    Args:
        shown: the Gaussians of some frames.
        height: rows of the panorama they were lifted from.
    """

    from ..lift.safe_radius import safe_radii as looked_around
    from ..raster.splats import Splats

    report("look around", 0, 1)
    frames = [Splats.of(gaussians) for gaussians in shown]
    return looked_around(frames, height, lambda done, total: report("look around", done, total))
