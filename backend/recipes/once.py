"""Each costly stage, but only where its result is not in the stage cache yet; else it is kept there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ...bridge.gaussians import Gaussians
from ...bridge.settings import PanoramaTo4D, Rig
from ..sphere.panorama import DepthVideo, PanoramaVideo
from ..sphere.skyline import Layout
from .geometry import Geometry, geometry
from .kept_results import (
    KeepingLift,
    digest_of_depth,
    digest_of_gaussians,
    digest_of_video,
    finish_lift,
    geometry_bytes,
    keep_geometry,
    keep_motion,
    keep_radii,
    lift_bytes,
    load_geometry,
    load_lift,
    load_motion,
    load_radii,
    motion_bytes,
)
from .lifting import Lifting, lifted, safe_radii
from .motion import Motion
from .progress import Report, Show
from .reuse import FIT, LOOK_AROUND, Reuse, Stage, depth_stage

if TYPE_CHECKING:
    from ..lift.safe_radius import SafeRadii

_RADII_BYTES = 1000


def motion_once(
    reuse: Reuse,
    stage: Stage,
    inputs: Sequence[str],
    steps: Sequence[str],
    make: Callable[[PanoramaTo4D], Motion],
    report: Report,
) -> Motion:
    """The motion that ``make`` makes of the settings.

    Args:
        inputs: digests of what it is made of.
        steps: the names under which ``make`` reports.
    """
    if (found := reuse.found(stage, inputs, steps, load_motion)) is not None:
        return found
    motion = make(reuse.settings_of(stage))
    with reuse.begin(stage, inputs, motion_bytes(motion.video)) as entry:
        if keep_motion(motion, entry, partial(report, steps[-1], 1, 1)):
            motion.safe()
    return motion


def geometry_once(
    reuse: Reuse,
    video: PanoramaVideo,
    layout: Layout,
    settings: PanoramaTo4D,
    report: Report,
    of_layout: str = "",
    rig: Rig = "still",
) -> Geometry:
    """See ``geometry``.

    Args:
        of_layout: digest of the picture in which the layout was found, if it is not the video's first.
    """
    stage = depth_stage(settings)
    inputs = (digest_of_video(video), of_layout, rig) if reuse.at_all else ()
    steps = ("estimator", "depth") if stage.networks else ("depth",)
    if (found := reuse.found(stage, inputs, steps, load_geometry)) is not None:
        return found
    found = geometry(video.frames, video.moves, reuse.settings_of(stage), report, rig=rig, layout=layout)
    with reuse.begin(stage, inputs, geometry_bytes(found.depth)) as entry:
        keep_geometry(found, entry, partial(report, "depth", 1, 1))
    return found


@contextmanager
def lifted_once(
    reuse: Reuse, video: PanoramaVideo, depth: DepthVideo, settings: PanoramaTo4D, report: Report, show: Show
) -> Iterator[Lifting]:
    """See ``lifted``. It is kept if all its frames were asked for when the context is left.

    The direct lift is not: it takes no longer than reading would.
    """
    if settings.lift == "direct" or not reuse.at_all:
        yield lifted(video, depth, settings, report, show)
        return
    inputs = (digest_of_video(video), digest_of_depth(depth))
    if (found := reuse.found(FIT, inputs, ("lift",), load_lift)) is not None:
        yield found
        return
    lifting = lifted(video, depth, reuse.settings_of(FIT), report, show)
    with reuse.begin(FIT, inputs, lift_bytes(lifting.lift, len(video.frames))) as entry:
        yield replace(lifting, lift=KeepingLift(lifting.lift, entry))
        if reuse.reads_declared(FIT) and finish_lift(lifting, entry):
            lifting.safe()


def safe_radii_once(reuse: Reuse, shown: list[Gaussians], height: int, report: Report) -> SafeRadii:
    """See ``safe_radii``."""
    if not reuse.at_all:
        return safe_radii(shown, height, report)
    inputs = (digest_of_gaussians(shown), str(height))
    if (found := reuse.found(LOOK_AROUND, inputs, ("look around",), load_radii)) is not None:
        return found
    radii = safe_radii(shown, height, report)
    with reuse.begin(LOOK_AROUND, inputs, _RADII_BYTES) as entry:
        keep_radii(radii, entry)
    return radii
