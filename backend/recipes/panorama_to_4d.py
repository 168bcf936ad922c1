"""Panorama to 4D: 4K4DGen's way, with or without its models.

read -> depth (skyline) -> animate (flow on the sphere, or a video model: ``motion.py``) -> lift (direct) -> package.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from ...bridge.scene import PREVIEW, Generator, SceneInfo, frame_name
from ...bridge.scene_writer import SceneWriter
from ...bridge.settings import PanoramaTo4D
from .. import __version__
from ..depth.skyline import skyline_distance
from ..lift.direct import DirectLift
from ..sphere.panorama import DepthVideo, Panorama, PanoramaVideo
from ..sphere.pictures import read_panorama, write_exr, write_preview
from ..sphere.skyline import parse, propose
from .motion import flow_motion, model_motion
from .progress import Report, Show, silent, unseen

_FLOW_STAGES = {"read": 0.02, "depth": 0.12, "animate": 0.50, "lift": 0.19, "write": 0.17}
"""Measured at 1024 x 512, 24 frames."""

_MODEL_STAGES = {
    "read": 0.01,
    "depth": 0.01,
    "model": 0.02,
    "animate": 0.85,
    "decode": 0.08,
    "finish": 0.01,
    "lift": 0.01,
    "write": 0.01,
}


def stages(settings: PanoramaTo4D) -> dict[str, float]:
    """The recipe's stages in their order, each with its usual share of the time."""
    return _MODEL_STAGES if settings.animator == "panoramic" else _FLOW_STAGES


def panorama_to_4d(
    panorama_path: Path,
    output: Path,
    settings: PanoramaTo4D,
    report: Report = silent,
    *,
    overwrite: bool = False,
    show: Show = unseen,
) -> SceneInfo:
    """Make the package ``output`` of a panorama file.

    Args:
        report: hears of every step; raises ``Cancelled`` to stop. Nothing of the package is left behind then; a video
            model goes on where it was stopped when the same is asked for again.
        show: is given small pictures of what a video model is making.

    Raises:
        CycloramaError: bad input, or ``output`` cannot be written.
    """
    with SceneWriter(output, overwrite) as writer:
        report("read", 0, 1)
        panorama = read_panorama(panorama_path, settings.width, lambda done, rows: report("read", done, rows + 1))
        report("read", 1, 1)

        report("depth", 0, 2)
        layout = parse(panorama.image)
        report("depth", 1, 2)
        height = len(panorama.image)
        distance = skyline_distance(layout, height, eye_height=settings.eye_height, far_distance=settings.far_distance)
        depth = DepthVideo(distance[None])
        report("depth", 2, 2)

        if settings.animator == "panoramic":
            motion = model_motion(panorama, propose(layout), settings, report, show)
        else:
            motion = flow_motion(panorama, propose(layout), settings, report)
        video = motion.video

        report("lift", 0, 1)
        lift = DirectLift(video, depth)
        report("lift", 1, 1)

        _write(writer, lift, video, depth, report)
        info = writer.finish(
            generator=Generator("cyclorama", __version__, "panorama_to_4d", dataclasses.asdict(settings)),
            seed=settings.seed,
            models=motion.models,
            frame_rate=video.frame_rate,
            frame_count=len(video.frames),
            loops=motion.loops,
            notes=(*_notes(panorama), *motion.notes),
        )
    motion.safe()
    return info


def _write(writer: SceneWriter, lift: DirectLift, video: PanoramaVideo, depth: DepthVideo, report: Report) -> None:
    frames = len(video.frames)
    report("write", 0, frames)
    writer.static(lift.lifted.static)
    still_there = lift.lifted.moving.arrays()
    del still_there["radiance:base"]
    if len(lift.lifted.moving):
        writer.moving(still_there)
    writer.file(frame_name(0, "depth", ".exr"), lambda path: write_exr(path, depth.distance[0], half=False))
    writer.file(PREVIEW, lambda path: write_preview(path, video.frames[0]))
    for index, image in enumerate(video.frames):
        if len(lift.lifted.moving):
            writer.frame(index, {"radiance:base": lift.radiance(index)})
        if index == 0 or video.moves.any():
            writer.file(frame_name(index, "video", ".exr"), lambda path, image=image: write_exr(path, image, half=True))
        report("write", index + 1, frames)


def _notes(panorama: Panorama) -> Iterator[str]:
    height, width = panorama.image.shape[:2]
    if width < panorama.file_width:
        yield (
            f"The panorama's {panorama.file_width} x {panorama.file_height} pixels were reduced to {width} x {height}: "
            f"one Gaussian per {360 / width:.2f}° (set the width to change it)."
        )
