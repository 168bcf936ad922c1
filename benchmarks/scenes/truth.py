"""Reading what ``render.py`` wrote: a test scene's colour and true distance, frame by frame."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from cyclorama.backend.sphere.pictures import read_pixels


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
    """

    colour: Float[np.ndarray, "frame height width 3"]
    distance: Float[np.ndarray, "frame height width"]
    still: Bool[np.ndarray, "height width"]
    far: float
    eye_height: float
    frame_rate: float
    offsets: tuple[OffsetView, ...]


def read(folder: Path, frames: int | None = None) -> Truth:
    """Read ``OUT/SCENE``; ``frames``: only as many, from the first. Raises ``OSError`` where a file is missing."""
    about = json.loads((folder / "scene.json").read_text())
    count = about["frames"] if frames is None else min(frames, about["frames"])
    names = [f"{frame:06d}.exr" for frame in range(count)]
    positions = json.loads((folder / "offset" / "positions.json").read_text())
    return Truth(
        colour=np.stack([_colour(folder / "colour" / name) for name in names]),
        distance=np.stack([_map(folder / "distance" / name) for name in names]),
        still=_map(folder / "still.exr") > 0.5,
        far=about["far"],
        eye_height=about["eye_height"],
        frame_rate=about["fps"],
        offsets=tuple(_offset(folder / "offset" / f"{i:02d}", tuple(place)) for i, place in enumerate(positions)),
    )


def _offset(folder: Path, position: tuple[float, float, float]) -> OffsetView:
    return OffsetView(position, _colour(folder / "colour.exr"), _map(folder / "distance.exr"))


def _colour(path: Path) -> Float[np.ndarray, "height width 3"]:
    return read_pixels(path)[..., :3]


def _map(path: Path) -> Float[np.ndarray, "height width"]:
    return np.ascontiguousarray(read_pixels(path)[..., 0])
