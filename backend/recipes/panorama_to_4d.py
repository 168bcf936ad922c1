"""Panorama to 4D, the embedded way: no weights, no GPU.

read -> animate (flow on the sphere) -> depth (skyline) -> lift (direct) -> package. The order and the hand-overs are
those of 4K4DGen; its models come in at the same places.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from ...bridge.scene import PREVIEW, Generator, SceneInfo, frame_name
from ...bridge.scene_writer import SceneWriter
from ...bridge.settings import PanoramaTo4D
from .. import __version__
from ..animate.advection import animate
from ..animate.flow import Field, Mask, drift, steady, stroke_flow
from ..depth.skyline import skyline_distance
from ..lift.direct import DirectLift
from ..sphere.panorama import DepthVideo, Panorama, PanoramaVideo
from ..sphere.pictures import read_mask, read_panorama, write_exr, write_preview
from ..sphere.skyline import Layout, parse, propose
from .progress import Report, silent

STAGES = {"read": 0.02, "depth": 0.12, "animate": 0.50, "lift": 0.19, "write": 0.17}
"""Stage -> its usual share of the time (measured at 1024 x 512, 24 frames)."""


def panorama_to_4d(
    panorama_path: Path,
    output: Path,
    settings: PanoramaTo4D,
    report: Report = silent,
    *,
    overwrite: bool = False,
) -> SceneInfo:
    """Make the package ``output`` of a panorama file.

    Args:
        report: hears of every step; raises ``Cancelled`` to stop. Nothing is left behind then.

    Raises:
        CycloramaError: bad input, or ``output`` cannot be written.
    """
    with SceneWriter(output, overwrite) as writer:
        report("read", 0, 1)
        panorama = read_panorama(panorama_path, settings.width, lambda done, rows: report("read", done, rows + 1))
        mask = read_mask(Path(settings.mask), panorama) if settings.mask else None
        report("read", 1, 1)

        report("depth", 0, 2)
        layout = parse(panorama.image)
        report("depth", 1, 2)
        height = len(panorama.image)
        distance = skyline_distance(layout, height, eye_height=settings.eye_height, far_distance=settings.far_distance)
        depth = DepthVideo(distance[None])
        report("depth", 2, 2)

        flow = _flow(panorama, layout, mask, settings)
        steps = 2 * settings.frames
        video = animate(panorama, flow, settings.frames, settings.fps, lambda step: report("animate", step, steps))

        report("lift", 0, 1)
        lift = DirectLift(video, depth)
        report("lift", 1, 1)

        _write(writer, lift, video, depth, report)
        return writer.finish(
            generator=Generator("cyclorama", __version__, "panorama_to_4d", dataclasses.asdict(settings)),
            seed=settings.seed,
            frame_rate=settings.fps,
            frame_count=settings.frames,
            loops=True,
            notes=tuple(_notes(panorama)),
        )


def _flow(panorama: Panorama, layout: Layout, mask: Mask | None, settings: PanoramaTo4D) -> Field:
    """The flow of the strokes inside the mask; what is not given is proposed."""
    proposed = propose(layout)
    if settings.strokes and mask is None:
        region = (proposed.sky + proposed.water).clip(0, 1)
        flow = stroke_flow(region, settings.strokes) * steady(panorama.image, region)[..., None]
    elif mask is not None and settings.strokes:
        flow = stroke_flow(mask, settings.strokes)
    else:
        water = proposed.water if mask is None else proposed.water * mask
        sky = proposed.sky if mask is None else mask - water  # what is painted and no water drifts like a sky
        flow = drift(sky, water, panorama.image, settings.eye_height, settings.seed)
    return flow * settings.strength


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
