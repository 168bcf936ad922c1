"""Panorama to 4D: 4K4DGen's way, with or without its models.

read -> animate (flow on the sphere, or a video model: ``motion.py``) -> depth (a stage set, a file or a network:
``geometry.py``) -> lift (direct, or fitted: ``lifting.py``) -> look around (how far the camera may go) -> package.
Depth that does not need the video comes before it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...bridge.gaussians import Gaussians, joined
from ...bridge.scene import PREVIEW, Generator, SceneInfo, frame_name
from ...bridge.scene_writer import SceneWriter
from ...bridge.settings import WITHOUT_NETWORK, PanoramaTo4D
from .. import __version__
from ..disk_room import DiskRoom
from ..sphere.panorama import DepthVideo, Panorama, PanoramaVideo
from ..sphere.pictures import read_panorama, write_exr, write_preview
from ..sphere.skyline import Layout, parse, propose
from ..stage_cache import StageCache
from ..unfinished import unfinished_folder
from .geometry import check_estimator
from .kept_results import digest_of_panorama
from .licences import licence_notes
from .lifting import Lifting, check_lift, lifts_with_networks
from .motion import Motion, flow_motion, model_motion
from .once import geometry_once, lifted_once, motion_once, safe_radii_once
from .progress import Report, Show, silent, unseen
from .reuse import Reuse, motion_stage

_LOOK = {"read": 0.1, "layout": 0.5}
_ANIMATE = {"flow": {"animate": 2.6}, "panoramic": {"model": 2.5, "animate": 110.0, "decode": 10.0, "finish": 1.3}}
_WITHOUT_NETWORK = {"depth": 0.1}
_WITH_NETWORK = {"estimator": 1.0, "depth": 20.0}
_CHECK = {"check": 1.0}
_LIFT = {"direct": 1.0, "fast": 30.0, "4k4dgen": 2e5, "tip4gen": 1e6}
_LOOK_AROUND = {"direct": 5.0}
_LOOK_AROUND_USUALLY = 15.0
_WRITE = 0.9
"""Seconds at 1024 x 512, 24 frames, on two CPU cores; for networks a guess, since they and machines differ."""


def stages(settings: PanoramaTo4D) -> dict[str, float]:
    """The recipe's stages in their order, each with its usual share of the time."""
    motion = _ANIMATE[settings.animator]
    depth = _WITHOUT_NETWORK if settings.estimator in WITHOUT_NETWORK else _WITH_NETWORK
    look_around = _LOOK_AROUND.get(settings.lift, _LOOK_AROUND_USUALLY)
    end = {"lift": _LIFT[settings.lift], "look around": look_around, "write": _WRITE}
    check = _CHECK if _checks(settings) else {}
    seconds = _LOOK | check | (motion | depth if _estimates_video(settings) else depth | motion) | end
    return {stage: each / sum(seconds.values()) for stage, each in seconds.items()}


def panorama_to_4d(
    panorama_path: Path,
    output: Path,
    settings: PanoramaTo4D,
    report: Report = silent,
    *,
    overwrite: bool = False,
    show: Show = unseen,
    cache: StageCache | None = None,
) -> SceneInfo:
    """Make the package ``output`` of a panorama file.

    Args:
        report: hears of every step; raises ``Cancelled`` to stop. Nothing of the package is left behind then; a video
            model goes on where it was stopped when the same is asked for again.
        show: is given small pictures of what a video model is making.
        cache: what of other runs need not be done again, and where what is done is kept. The scene is the same without.

    Raises:
        CycloramaError: bad input, ``output`` cannot be written, or there is no room for it ("disk-full").
    """
    with SceneWriter(output, overwrite, settings.compression) as writer:
        report("read", 0, 1)
        panorama = read_panorama(panorama_path, settings.width, lambda done, rows: report("read", done, rows + 1))
        report("read", 1, 1)

        report("layout", 0, 1)
        layout = parse(panorama.image)
        report("layout", 1, 1)

        reuse, of_panorama = Reuse(cache, settings, report), digest_of_panorama(panorama)
        room = DiskRoom(output, settings, panorama.image.shape[1], cache, unfinished_folder())
        room.check_before()
        if _estimates_video(settings):
            motion = _motion(panorama, layout, settings, report, show, reuse, of_panorama)
            found = geometry_once(reuse, motion.video, layout, settings, report, of_panorama)
        else:
            found = geometry_once(reuse, _standing_still(panorama), layout, settings, report)
            motion = _motion(panorama, layout, settings, report, show, reuse, of_panorama)
        video = motion.video

        room.check_before_lift(video)
        with lifted_once(reuse, video, found.depth, settings, report, show) as lifting:
            shown = _write_gaussians(writer, lifting, len(video.frames), report)
        radii = safe_radii_once(reuse, shown, video.frames.shape[1], report)
        room.check_before_write(video)
        _write_pictures(writer, video, found.depth, report)
        info = writer.finish(
            generator=Generator("cyclorama", __version__, "panorama_to_4d", dataclasses.asdict(settings)),
            seed=settings.seed,
            models=(*motion.models, *found.models, *lifting.models),
            frame_rate=video.frame_rate,
            frame_count=len(video.frames),
            loops=motion.loops,
            safe_radius=radii.least,
            safe_radii=radii.table(),
            notes=(
                *_notes(panorama),
                *motion.notes,
                *found.notes,
                *licence_notes(found.models),
                *lifting.notes(),
            ),
        )
    motion.safe()
    lifting.safe()
    return info


def _estimates_video(settings: PanoramaTo4D) -> bool:
    """Whether every frame gets a distance of its own.

    A flow moves pictures over surfaces that stand still: one distance, that of the panorama, is truer to them, and it
    loops as they do.
    """
    return settings.animator == "panoramic" and settings.estimator not in WITHOUT_NETWORK


def _checks(settings: PanoramaTo4D) -> bool:
    """Whether there are networks that are asked only after a video model's hours."""
    return settings.animator == "panoramic" and (_estimates_video(settings) or lifts_with_networks(settings))


def _check(settings: PanoramaTo4D, report: Report) -> None:
    """Fetch and load all of them once: what is wrong with one is said now."""

    def told(done: int, total: int) -> None:
        report("check", done, total + 1)

    report("check", 0, 1)
    if _estimates_video(settings):
        check_estimator(settings, told)
    check_lift(settings, told)
    report("check", 1, 1)


def _standing_still(panorama: Panorama) -> PanoramaVideo:
    return PanoramaVideo(panorama.image[None], np.zeros(panorama.image.shape[:2], bool), 1.0)


def _motion(
    panorama: Panorama,
    layout: Layout,
    settings: PanoramaTo4D,
    report: Report,
    show: Show,
    reuse: Reuse,
    of_panorama: str,
) -> Motion:
    def make(asked: PanoramaTo4D) -> Motion:
        if _checks(settings):
            _check(settings, report)
        if settings.animator == "panoramic":
            return model_motion(panorama, propose(layout), asked, report, show)
        return flow_motion(panorama, propose(layout), asked, report)

    steps = [step for step in ("check", "model", "animate", "decode", "finish") if step in stages(settings)]
    return motion_once(reuse, motion_stage(settings), (of_panorama,), steps, make, report)


def _write_gaussians(writer: SceneWriter, lifting: Lifting, frames: int, report: Report) -> list[Gaussians]:
    """All frames' Gaussians; returns those of some frames whole, to look around in."""
    lift = lifting.lift
    writer.static(lift.static)
    if not lift.moving_count:
        report("lift", 1, 1)
        return [lift.static]
    still_there = dict(lift.still_arrays())
    if still_there:
        writer.moving(still_there)
    shown = []
    looked_at = {0} if still_there else {0, frames // 2}
    for index in range(frames):
        lifting.before_frame(index)
        changing = dict(lift.frame(index))
        writer.frame(index, changing)
        if index in looked_at:
            shown.append(joined(lift.static, Gaussians.from_arrays(still_there | changing)))
    report("lift", 1, 1)
    return shown


def _write_pictures(writer: SceneWriter, video: PanoramaVideo, depth: DepthVideo, report: Report) -> None:
    frames = len(video.frames)
    writer.file(PREVIEW, lambda path: write_preview(path, video.frames[0]))
    for index, image in enumerate(video.frames):
        report("write", index, frames)
        if index == 0 or video.moves.any():
            writer.file(frame_name(index, "video", ".exr"), lambda path, image=image: write_exr(path, image, half=True))
        if index < len(depth.distance):
            distance = depth.distance[index]
            name = frame_name(index, "depth", ".exr")
            writer.file(name, lambda path, distance=distance: write_exr(path, distance, half=False))
    report("write", frames, frames)


def _notes(panorama: Panorama) -> Iterator[str]:
    height, width = panorama.image.shape[:2]
    if width < panorama.file_width:
        yield (
            f"The panorama's {panorama.file_width} x {panorama.file_height} pixels were reduced to {width} x {height}: "
            f"one Gaussian per {360 / width:.2f}° (set the width to change it)."
        )
