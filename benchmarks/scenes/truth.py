"""Reading what ``render.py`` wrote: a test scene's colour and true distance, frame by frame."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float

from cyclorama.backend.depth.edges import depth_edges
from cyclorama.backend.sphere.colour import srgb_from_linear
from cyclorama.backend.sphere.panorama import DepthVideo, PanoramaVideo
from cyclorama.backend.sphere.periodic import dilate
from cyclorama.backend.sphere.pictures import read_pixels

_CHANGES = 4 / 255
"""sRGB: what differs from the first frame by more, in a tenth of all frames or more often, moves. Few samples leave
noise in the renders, in two of the valley's frames another one than in the rest."""

_CHANGES_ONCE = 16 / 255
"""What ever differs by more moves too: a car that has passed within two frames."""


@dataclass(frozen=True)
class OffsetView:
    """The first frame from beside the viewer.

    Attributes:
        position: metres, scene space.
        colour: (height, 2·height, 3) float32, scene-linear Rec.709.
        distance: (height, 2·height) float32, metres from ``position`` along the ray.
    """

    position: tuple[float, float, float]
    colour: Float[np.ndarray, "height width 3"]
    distance: Float[np.ndarray, "height width"]


@dataclass(frozen=True)
class Truth:
    """A test scene as it is: the viewer at the origin, Z up.

    Attributes:
        colour: (frame, height, 2·height, 3) float32, scene-linear Rec.709.
        distance: (frame, height, 2·height) float32, metres along the ray through each pixel's centre; the sky: ``far``.
        still: (height, 2·height), True where the distance is the same in all frames.
        far: metres; nothing is said of what lies beyond.
        eye_height: metres from the viewer down to the ground.
        frame_rate: frames per second.
        offsets: the first frame from other places.
        grid: the same from 16 places all around within 0.3 m; empty where they were not rendered.
    """

    colour: Float[np.ndarray, "frame height width 3"]
    distance: Float[np.ndarray, "frame height width"]
    still: Bool[np.ndarray, "height width"]
    far: float
    eye_height: float
    frame_rate: float
    offsets: tuple[OffsetView, ...]
    grid: tuple[OffsetView, ...] = ()


def read(folder: Path, frames: int | None = None) -> Truth:
    """Read ``OUT/SCENE``; ``frames``: only as many, from the first. Raises ``OSError`` where a file is missing."""
    about = json.loads((folder / "scene.json").read_text())
    count = about["frames"] if frames is None else min(frames, about["frames"])
    names = [f"{frame:06d}.exr" for frame in range(count)]
    return Truth(
        colour=np.stack([_colour(folder / "colour" / name) for name in names]),
        distance=np.stack([_map(folder / "distance" / name) for name in names]),
        still=_map(folder / "still.exr") > 0.5,
        far=about["far"],
        eye_height=about["eye_height"],
        frame_rate=about["fps"],
        offsets=_views(folder / "offset"),
        grid=_views(folder / "grid") if (folder / "grid" / "positions.json").exists() else (),
    )


def reduced(truth: Truth, width: int) -> Truth:
    """The same scene with fewer pixels: colours are means; distances, which have none at an edge, those of a pixel."""
    size = width, width // 2

    def colour(picture: np.ndarray) -> np.ndarray:
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)

    def of_pixel(values: np.ndarray) -> np.ndarray:
        return cv2.resize(values, size, interpolation=cv2.INTER_NEAREST)

    def view(aside: OffsetView) -> OffsetView:
        return OffsetView(aside.position, colour(aside.colour), of_pixel(aside.distance))

    return replace(
        truth,
        colour=np.stack([colour(frame) for frame in truth.colour]),
        distance=np.stack([of_pixel(frame) for frame in truth.distance]),
        still=colour(truth.still.astype(np.float32)) > 0.999,
        offsets=tuple(view(one) for one in truth.offsets),
        grid=tuple(view(one) for one in truth.grid),
    )


def _views(folder: Path) -> tuple[OffsetView, ...]:
    places = [tuple(place) for place in json.loads((folder / "positions.json").read_text())]
    folders = [folder / f"{index:02d}" for index in range(len(places))]
    return tuple(
        OffsetView(place, _colour(of / "colour.exr"), _map(of / "distance.exr"))
        for place, of in zip(places, folders, strict=True)
    )


def _colour(path: Path) -> Float[np.ndarray, "height width 3"]:
    return read_pixels(path)[..., :3]


def _map(path: Path) -> Float[np.ndarray, "height width"]:
    return np.ascontiguousarray(read_pixels(path)[..., 0])


def panoramic_video(truth: Truth) -> PanoramaVideo:
    """What was rendered, as a stage hands it on: where nothing moves, all frames are the first, noise included."""
    first = srgb_from_linear(truth.colour[0])
    change = np.stack([np.abs(srgb_from_linear(frame) - first).max(axis=2) for frame in truth.colour])
    often = np.quantile(change, 0.9, axis=0, method="lower") > _CHANGES
    moves = dilate(~truth.still | often | (change.max(axis=0) > _CHANGES_ONCE), 1)
    frames = np.where(moves[:, :, None], truth.colour, truth.colour[0])
    return PanoramaVideo(frames, moves, truth.frame_rate)


def true_depth(truth: Truth) -> DepthVideo:
    """The true distance with its edges; to the bit the same in all frames where it stands still."""
    return depth_video(np.where(truth.still, truth.distance[0], truth.distance))


def depth_video(distance: Float[np.ndarray, "frame height width"]) -> DepthVideo:
    """Distances with their edges; one frame where all are the same."""
    distance = distance[:1] if (distance == distance[:1]).all() else distance
    return DepthVideo(distance.astype(np.float32), np.stack([depth_edges(one) for one in distance]))
