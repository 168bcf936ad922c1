"""What the frames of a panoramic distance are measured against: a metric view of the video, or its first frame.

(a) TiP4GEN shows the middle of the panoramic video to a video-geometry model (MonST3R in the paper), which gives the
view's z-depth in metres and the camera's poses, all frames together. (b) Without such a model: the first frame's own
distance, wherever the video stands still.

The space of eq. 9. A scale is the same for z-depths and for distances along the ray, a shift is not: a z-depth's shift
b is b · ‖ray with z = 1‖ along the ray, which no one number on the panorama's distance can be. The paper applies the
numbers to the panoramic distance, so we measure them there: both sides as distances along the ray. A shift is off by
default; it is for estimators whose own shift is along the ray.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...bridge.errors import CycloramaError
from ..sphere.colour import srgb_from_linear
from ..sphere.equirectangular import pixels
from ..sphere.icosphere import VIEW_FOV
from ..sphere.sampling import tangent_views
from ..sphere.views import look, rays
from .predicting import exposure_for
from .temporal import FrameAlignment, Method, scale_and_shift

if TYPE_CHECKING:
    from .estimators import ViewEstimator

METRIC_FOV = float(VIEW_FOV)
"""Field of view of the central view, radians: as monocular estimators know pictures (the paper names none)."""

_LEAST_KNOWN = 0.5
"""Share of the still pixels that a frame knows, to be the first frame that others are brought to."""


@dataclass(frozen=True)
class Geometry:
    """What a video-geometry model says of a perspective video.

    Attributes:
        z_depth: (frame, row, column) float32, metres, one scale for all frames; NaN where it does not know.
        R_first_from_camera: (frame, 3, 3) each frame's camera axes (OpenCV) in the first frame's.
        position: (frame, 3) of each camera in the first one's axes, metres.
    """

    z_depth: Float[np.ndarray, "frame row column"]
    R_first_from_camera: Float[np.ndarray, "frame 3 3"]
    position: Float[np.ndarray, "frame 3"]


class VideoGeometry(Protocol):
    """A network that tells the geometry of a whole perspective video (MonST3R and its like), loaded.

    Attributes:
        name: the checkpoint, as the scene's notes name it.
        licence: SPDX id or the licence's name, "" when the checkpoint does not say.
        size: rows and columns of the square pictures it wants.
        device: where it computes.
    """

    name: str
    licence: str
    size: int
    device: torch.device

    def geometry(self, pictures: Float[Tensor, "frame 3 row column"], fov: float) -> Geometry:
        """Depth and cameras of square pictures (sRGB 0..1, on ``device``) that are ``fov`` radians wide."""
        ...


class MetricPerFrame:
    """A video-geometry model made of a metric monocular estimator: each frame by itself, the camera stands still.

    Its scale may differ a little from frame to frame, where a true video model's does not.
    """

    def __init__(self, estimator: ViewEstimator, report: Callable[[int, int], None] = lambda done, frames: None):
        """``report`` is called before each frame and may raise to stop.

        Raises ``CycloramaError`` ("estimator-not-metric") for an estimator of relative depth."""
        if estimator.kind != "metric":
            raise CycloramaError(
                "estimator-not-metric",
                f"The depth estimator {estimator.name} tells which of two things is farther, but not how many metres.",
                "Choose a metric one (depth-anything-metric, zoedepth or depth-pro) for the reference.",
            )
        self._estimator, self._report = estimator, report
        self.name, self.licence, self.size = estimator.name, estimator.licence, estimator.size
        self.device = estimator.device

    def geometry(self, pictures: Float[Tensor, "frame 3 row column"], fov: float) -> Geometry:
        """See ``VideoGeometry``. Estimators know views of ``METRIC_FOV``; others would change their metres."""
        answers = []
        try:
            for number, picture in enumerate(pictures):
                self._report(number, len(pictures))
                answers.append(self._estimator.estimate(picture[None]).float().cpu().numpy())
        finally:
            self._estimator.release()
        z_depth = np.concatenate(answers)
        z_depth = np.where(np.isfinite(z_depth) & (z_depth > 0), z_depth, np.float32(np.nan))
        frames = len(pictures)
        return Geometry(
            z_depth, np.tile(np.eye(3, dtype=np.float32), (frames, 1, 1)), np.zeros((frames, 3), np.float32)
        )


LOADERS: dict[str, Callable[[torch.device], VideoGeometry]] = {}
"""Video-geometry models by hub id. None is known that loads from safetensors without code from the hub: MonST3R, VGGT,
Pi3 and MegaSaM live in repositories of their own, and transformers has no class for them. Whoever has one adds it."""


def video_geometry(checkpoint: str, device: torch.device) -> VideoGeometry:
    """The video-geometry model of that hub id, ready to use.

    Raises:
        CycloramaError: "unknown-video-geometry" for an id that is not in ``LOADERS``.
    """
    if checkpoint not in LOADERS:
        raise CycloramaError(
            "unknown-video-geometry",
            f"The video-geometry model {checkpoint} is not supported.",
            f"Supported are: {', '.join(sorted(LOADERS))}."
            if LOADERS
            else "None is in this version: take a metric depth estimator (depth-anything-metric, zoedepth or "
            "depth-pro) as the reference, or the first frame.",
        )
    return LOADERS[checkpoint](device)


@dataclass(frozen=True)
class MetricReference:
    """Metric geometry of one perspective view of a panoramic video.

    Attributes:
        z_depth: (frame, row, column) float32, metres; NaN where it is not known.
        R_scene_from_view: of the view in the first frame.
        fov: radians, horizontally and vertically.
        R_scene_from_camera: (frame, 3, 3) the view's axes in each frame, in scene space.
        position: (frame, 3) metres, in scene space; TiP4GEN's initial poses of the scene's cameras.
    """

    z_depth: Float[np.ndarray, "frame row column"]
    R_scene_from_view: Float[np.ndarray, "3 3"]
    fov: float
    R_scene_from_camera: Float[np.ndarray, "frame 3 3"]
    position: Float[np.ndarray, "frame 3"]


def metric_view(frames: Float[np.ndarray, "frame height width 3"], model: VideoGeometry) -> MetricReference:
    """Reference (a): what ``model`` says of the middle of the panoramic video (TiP4GEN, temporal alignment).

    Args:
        frames: scene-linear Rec.709; shown to the model as sRGB at one exposure (``exposure_for``), clipped to 0..1.

    Raises:
        CycloramaError: "video-geometry-answer" when the model's answer has another number of frames, or knows nothing.
    """
    R_scene_from_view = look(0.0, 0.0)
    exposure = exposure_for(frames)
    pictures = torch.stack([_picture(frame * exposure, R_scene_from_view, model.size) for frame in frames])
    found = model.geometry(pictures.to(model.device), METRIC_FOV)
    z_depth = np.asarray(found.z_depth, np.float32)
    if len(z_depth) != len(frames) or not np.isfinite(z_depth).any():
        raise CycloramaError(
            "video-geometry-answer",
            f"The video-geometry model {model.name} could not tell the distance of anything in this video.",
            "Choose another reference, or the first frame.",
        )
    turned = R_scene_from_view @ np.asarray(found.R_first_from_camera, np.float32)
    moved = np.asarray(found.position, np.float32) @ R_scene_from_view.T
    return MetricReference(z_depth, R_scene_from_view, METRIC_FOV, turned, moved)


def _picture(
    frame: Float[np.ndarray, "height width 3"], R_scene_from_view: Float[np.ndarray, "3 3"], size: int
) -> Float[Tensor, "3 row column"]:
    panorama = torch.from_numpy(srgb_from_linear(frame)).permute(2, 0, 1).contiguous()
    return tangent_views(panorama, torch.from_numpy(R_scene_from_view)[None], size, size, METRIC_FOV)[0].clamp(0, 1)


def to_metric(
    distance: Float[np.ndarray, "frame height width"],
    reference: MetricReference,
    *,
    shift: bool = False,
    method: Method = "robust",
) -> FrameAlignment:
    """Scale, and if asked shift, of each frame's panoramic distance to the metric view (TiP4GEN eq. 10 and 11).

    Both in distance along the ray (see above), at the view's pixels; the panorama's nearest pixel is taken, so that no
    value from between two surfaces is compared.
    """
    rows, columns = reference.z_depth.shape[1:]
    towards = rays(columns, rows, reference.fov)
    along_ray = reference.z_depth * np.linalg.norm(towards, axis=-1)
    column, row = pixels(towards @ reference.R_scene_from_view.T, distance.shape[1])
    row = np.floor(row + 0.5).astype(int).clip(0, distance.shape[1] - 1)
    column = np.floor(column + 0.5).astype(int) % distance.shape[2]
    return scale_and_shift(distance[:, row, column], along_ray, np.ones(1, bool), shift=shift, method=method)


def first_frame_reference(
    distance: Float[np.ndarray, "frame height width"], still: Bool[np.ndarray, "height width"]
) -> tuple[Float[np.ndarray, "1 height width"], Bool[np.ndarray, "height width"]]:
    """Reference (b): the distance of the first frame, and where it holds for all; for ``scale_and_shift``.

    Carried along the flow a still pixel stays where it is, so the reference is that frame itself where ``still`` says
    so. What moves is left out: flow tells where a thing went in the picture, not whether it came nearer. The first
    frame is passed over if it knows less than half of the still pixels and another knows more.
    """
    known = np.array([np.isfinite(frame[still]).mean() if still.any() else 1.0 for frame in distance])
    enough = np.flatnonzero(known >= _LEAST_KNOWN)
    first = int(enough[0]) if len(enough) else int(known.argmax())
    return distance[first][None], still
