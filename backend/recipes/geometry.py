"""The scene's geometry: the step of a recipe in which every direction of every frame gets a distance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from ...bridge.errors import CycloramaError
from ...bridge.scene import Model
from ...bridge.settings import PanoramaTo4D
from ..depth.backdrop import far_sky
from ..depth.edges import depth_edges, sharpened
from ..depth.metres import factor_by_ground
from ..depth.own_depth import read_depth
from ..depth.skyline import skyline_distance
from ..depth.temporal import aligned, scale_and_shift, steady
from ..sphere.panorama import DepthVideo
from ..sphere.periodic import erode
from ..sphere.skyline import Layout, parse
from .progress import Report

if TYPE_CHECKING:
    import torch

    from ..depth.alignment import Alignment
    from ..depth.cameras import Cameras
    from ..depth.predictions import Kind, Predictions
    from ..depth.reference import VideoGeometry

Frames = Float[np.ndarray, "frame height width 3"]
Distances = Float[np.ndarray, "frame height width"]

_ALIGNING, _FUSING = 2, 2
"""Steps of progress of a frame, beside its 20 pictures."""


_IDENTICAL_ON_PURPOSE = 0.1
"""Share of the pixels: where so many are the same in all frames to the bit, the video was made so. In a filmed one such
pixels are few, and what else stands still has to be found."""


_CLOSEST = 0.01
"""Metres; nobody stands that close to a wall."""

_BESIDE = 64
"""Of a panorama's rows: so far around what moves a network's answer follows it (3°)."""


@dataclass(frozen=True)
class Geometry:
    """Distances of a video, and what is to be said of them.

    Attributes:
        depth: one frame if the distance is the same all the time.
        models: whose weights made it.
        notes: for the artist, a sentence each.
        cameras: of each frame, where they were looked for; the distances of a frame are seen from its camera, whose
            axes are the first frame's if it only turns.
    """

    depth: DepthVideo
    models: tuple[Model, ...] = ()
    notes: tuple[str, ...] = ()
    cameras: Cameras | None = None


def geometry(
    frames: Frames,
    moves: Bool[np.ndarray, "height width"],
    settings: PanoramaTo4D,
    report: Report,
    *,
    rig: str = "still",
    layout: Layout | None = None,
) -> Geometry:
    """Distance along the ray for every frame of a panoramic video.

    Args:
        frames: scene-linear Rec.709.
        moves: outside it all frames are identical.
        report: hears the stages "estimator" (bytes of its weights fetched) and "depth".
        rig: "still" (the camera stands still), "moving", or "auto": it is found out.
        layout: of the first frame, if it is known already.

    Raises:
        CycloramaError: the estimator, its weights or the depth file cannot be used; views contradict each other.
    """
    layout = layout or parse(frames[0])
    height = frames.shape[1]
    if settings.estimator == "skyline":
        report("depth", 0, 1)
        distance = skyline_distance(layout, height, eye_height=settings.eye_height, far_distance=settings.far_distance)
        report("depth", 1, 1)
        return _one_for_all(Geometry(_depth_video(distance[None])), frames, "The skyline", rig)
    if settings.estimator == "file":
        report("depth", 0, 1)
        distance, notes = read_depth(
            Path(settings.depth_file),
            height,
            settings.depth_file_kind,
            eye_height=settings.eye_height,
            far=settings.far_distance,
        )
        report("depth", 1, 1)
        return _one_for_all(Geometry(_depth_video(distance[None]), notes=notes), frames, "The depth file", rig)
    return _estimated(frames, moves, settings, report, rig, layout)


def check_estimator(settings: PanoramaTo4D, told: Callable[[int, int], None]) -> None:
    """Fetch and load the estimator once: what is wrong with it is said before hours of other work.

    Args:
        told: hears of the bytes that were fetched.

    Raises ``CycloramaError`` as ``geometry`` does.
    """
    import torch

    from ..depth.estimators import load, load_any

    cpu = torch.device("cpu")
    load(settings.estimator, settings.estimator_checkpoint, cpu, told)
    if settings.metric_reference:
        load_any(settings.metric_reference, cpu, told)


def _one_for_all(found: Geometry, frames: Frames, what: str, rig: str) -> Geometry:
    """One distance for all frames of a video, which a camera that walks does not see."""
    if len(frames) == 1:
        return found
    notes = [*found.notes, f"{what} gives all frames one distance: surfaces stand still, the picture moves on them."]
    if rig == "still":
        return replace(found, notes=tuple(notes))
    from ..depth.cameras import cameras_of

    cameras = cameras_of(frames)
    if cameras.moves:
        raise CycloramaError(
            "rig-not-followed",
            f"The video's camera moves, and {what[0].lower()}{what[1:]} knows one place only.",
            "Choose an estimator that is a network; or say --rig still if it does stand still.",
        )
    return replace(found, notes=(*notes, *cameras.notes), cameras=cameras)


def _estimated(
    frames: Frames,
    moves: Bool[np.ndarray, "height width"],
    settings: PanoramaTo4D,
    report: Report,
    rig: str,
    layout: Layout,
) -> Geometry:
    """By a network in tangent views that are made to agree (4K4DGen eq. 4; TiP4GEN eq. 5-11)."""
    from ..depth.align import align  # only here: the others need no torch, and it takes seconds to load
    from ..depth.estimators import load
    from ..depth.predicting import predict
    from ..models.computing import computing_device
    from ..models.memory import Budget

    device = computing_device()
    report("estimator", 0, 1)
    estimator = load(
        settings.estimator,
        settings.estimator_checkpoint,
        device,
        lambda done, total: report("estimator", done, total + 1),
    )
    report("estimator", 1, 1)
    pictures = 20 * len(frames)
    steps = pictures + (_ALIGNING + _FUSING) * len(frames)
    reference = _reference(settings.metric_reference, device, report, steps) if settings.metric_reference else None
    frames, cameras = _stood_still(frames, rig)
    predictions = predict(
        frames,
        estimator,
        Budget.of(round(settings.memory * 1e9), device),
        lambda done, total: report("depth", done * pictures // max(total, 1), steps),
        kept_size=frames.shape[1] // 2,
    )
    alignment = align(
        predictions,
        settings.align,
        lambda done, total: report("depth", pictures + done * _ALIGNING * len(frames) // max(total, 1), steps),
    )
    distance = _fused(predictions, alignment, frames.shape[1], report, steps)
    still = _still(frames, moves, cameras)
    notes = [*alignment.notes, *(cameras.notes if cameras else ())]
    distance, models = _in_metres(distance, frames, still, settings, predictions.kind, reference, notes)
    distance = np.stack([sharpened(one, as_disparity=predictions.kind == "disparity") for one in distance])
    skies = [layout.sky, *(parse(frame).sky for frame in frames[1:])]
    distance = np.stack([far_sky(one, sky, settings.far_distance) for one, sky in zip(distance, skies, strict=True)])
    distance = steady(distance, still)
    if cameras is not None and cameras.moves:
        cameras, more = _with_metres(cameras, frames, distance)
        notes += more
    report("depth", steps, steps)
    used = Model(id=estimator.name, licence=estimator.licence)
    return Geometry(_depth_video(distance), (used, *models), tuple(notes), cameras)


def _stood_still(frames: Frames, rig: str) -> tuple[Frames, Cameras | None]:
    """The frames as a camera sees them that does not turn, and the cameras if they were looked for."""
    if rig == "still" or len(frames) == 1:
        return frames, None
    from ..depth.cameras import cameras_of, turned_back

    cameras = cameras_of(frames)
    return (turned_back(frames, cameras.R_scene_from_camera) if cameras.turns else frames), cameras


def _with_metres(cameras: Cameras, frames: Frames, distance: Distances) -> tuple[Cameras, tuple[str, ...]]:
    """Positions in metres, found again in the turned frames now that their distance is known; and what is new of it."""
    from ..depth.cameras import cameras_of

    again = cameras_of(frames, distance)
    if not again.metric:
        return cameras, tuple(note for note in again.notes if note not in cameras.notes)
    return replace(cameras, position=again.position, metric=True), ()


def _fused(predictions: Predictions, alignment: Alignment, height: int, report: Report, steps: int) -> Distances:
    from ..depth.fuse import fused_distance

    frames = len(predictions.values)
    distance = np.empty((frames, height, 2 * height), np.float32)
    for index in range(frames):
        distance[index] = fused_distance(predictions, alignment, index, height)
        report("depth", steps - _FUSING * (frames - 1 - index) - 1, steps)
    return distance


def _still(frames: Frames, moves: Bool[np.ndarray, "height width"], cameras: Cameras | None) -> np.ndarray:
    """Where things stand still before the camera in all frames."""
    if len(frames) == 1 or (cameras is not None and cameras.moves):
        return np.zeros(frames.shape[1:3], bool)
    turned = cameras is not None and cameras.turns
    if not turned and (~moves).mean() > _IDENTICAL_ON_PURPOSE:
        return erode(~moves, max(2, len(moves) // _BESIDE))
    from ..depth.stillness import still

    return still(frames)


def _in_metres(
    distance: Distances,
    frames: Frames,
    still: Bool[np.ndarray, "height width"],
    settings: PanoramaTo4D,
    kind: Kind,
    reference: VideoGeometry | None,
    notes: list[str],
) -> tuple[Distances, tuple[Model, ...]]:
    """Each frame by its factor: to a metric view of the video, or to the first frame and then to the ground."""
    if reference is not None:
        from ..depth.reference import metric_view, to_metric

        scale = to_metric(distance, metric_view(frames, reference))
        if not scale.measured.all():
            notes.append("Some frames have too little in the metric view; they take their neighbours' scale.")
        return aligned(distance, scale), (Model(id=reference.name, licence=reference.licence),)
    if len(distance) > 1 and still.any():
        from ..depth.reference import first_frame_reference

        distance = aligned(distance, scale_and_shift(distance, *first_frame_reference(distance, still), shift=False))
    elif len(distance) > 1 and kind != "metric":
        each = np.array([factor_by_ground(one, settings.eye_height)[0] for one in distance], np.float32)
        distance = distance * each[:, None, None]
    if kind != "metric":
        factor, even = factor_by_ground(np.median(distance[:: max(len(distance) // 5, 1)], axis=0), settings.eye_height)
        distance = distance * np.float32(factor)
        if not even:
            notes.append(
                "Below the viewer there is no level ground by which the scene's size could be told: "
                "check it, and change the eye height."
            )
    return distance, ()


def _reference(checkpoint: str, device: torch.device, report: Report, steps: int) -> VideoGeometry:
    """A video-geometry model, or a metric estimator in its place."""
    from ..depth.estimators import load_any
    from ..depth.reference import LOADERS, MetricPerFrame, video_geometry

    def told(done: int, total: int) -> None:
        report("estimator", done, total + 1)

    if checkpoint in LOADERS:
        return video_geometry(checkpoint, device)
    return MetricPerFrame(load_any(checkpoint, device, told), lambda *_: report("depth", steps - 1, steps))


def _depth_video(distance: Distances) -> DepthVideo:
    """With its edges; one frame where all are the same."""
    if not np.isfinite(distance).all() or np.ptp(distance) <= 1e-3 * distance.max() or distance.min() < _CLOSEST:
        raise CycloramaError(
            "no-usable-depth",
            "The distances that were found are no scene: everything is equally far, or next to the eye.",
            "Try another estimator or way to align; check the eye height, the sky's distance and a depth file's unit.",
        )
    if (distance == distance[:1]).all():
        distance = distance[:1]
    return DepthVideo(distance.astype(np.float32), np.stack([depth_edges(one) for one in distance]))
