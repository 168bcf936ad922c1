"""From a panoramic video and its distance to Gaussians in one of the named ways; goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from .. import __version__
from ..digests import digest
from ..keepsake import Keepsake
from ..models.memory import Budget
from ..sphere.panorama import DepthVideo, PanoramaVideo
from .densify import Kind
from .descended_fit import DescendedFit
from .descent import Networks
from .seed import Seeding
from .settings import NAMED, FitSettings
from .solved_fit import SolvedFit

Name = Literal["fast", "4k4dgen", "tip4gen"]


def settings_of(name: Name, iterations: int = 0, densify: Kind | None = None) -> FitSettings:
    """One of the named settings, with another number of iterations or another way to densify.

    Densification comes at the same share of the fit as of the named one. A shorter one has no resets of the opacities:
    they need some hundred iterations to recover, however long the fit is.

    Args:
        iterations: of Adam; 0: as many as it has.
        densify: None: as it does.
    """
    named = NAMED[name]
    if not named.iterations:
        return named
    chosen = iterations or named.iterations
    share = chosen / named.iterations
    usual = named.densification
    often = {field: max(round(getattr(usual, field) * share), 1) for field in ("start", "stop", "every", "reset_every")}
    if share < 1:
        often["reset_every"] = chosen
    densification = replace(usual, kind=densify or usual.kind, **often)
    return replace(named, iterations=chosen, densification=densification)


def fit(
    video: PanoramaVideo,
    depth: DepthVideo,
    seeding: Seeding,
    settings: FitSettings,
    networks: Networks,
    budget: Budget,
    *,
    most: int = 0,
    seed: int = 0,
    made_with: str = "",
    report: Callable[[int, int], None] = lambda done, total: None,
    show: Callable[[np.ndarray], None] = lambda picture: None,
) -> tuple[SolvedFit | DescendedFit, Callable[[], None]]:
    """Fit what stands still; frames are fitted when they are asked for.

    Args:
        seeding: of this video and depth.
        most: Gaussians that densification may reach; 0: twice those seeded.
        made_with: what else the result depends on: how it was seeded, the networks' fingerprints.
        report: hears of every iteration, in iterations of the whole fit; may raise to stop.
        show: is given small pictures of what is reached.

    Returns:
        The lift, used as ``DirectLift`` is, and what to call when all of it is safe elsewhere: until then a second run
        goes on where this one ended.
    """
    words = repr((__version__, settings, most, seed, made_with, video.frame_rate))
    parts = (words, *(_bytes(array) for array in (video.frames, video.moves, depth.distance, depth.edges)))
    keepsake = Keepsake(f"fit-{digest(parts)}")
    if not settings.iterations:
        return SolvedFit(video, seeding, settings, budget, keepsake, report, show), keepsake.forget
    descended = DescendedFit(
        video,
        depth,
        seeding,
        settings,
        networks,
        budget,
        keepsake,
        most=most,
        seed=seed,
        report=report,
        show=show,
    )
    return descended, keepsake.forget


def _bytes(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).data.cast("B")
