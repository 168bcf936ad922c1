"""What the stages hand to one another: panoramas, panoramic videos and distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Panorama:
    """A still equirectangular image.

    Attributes:
        image: (height, 2·height, 3) float32, scene-linear Rec.709, not negative, may exceed 1 (HDR).
        file_width, file_height: pixels of the file it was read from, before any reduction.
    """

    image: Float[np.ndarray, "height width 3"]
    file_width: int
    file_height: int


@dataclass(frozen=True)
class PanoramaVideo:
    """A looping panoramic video: after the last frame comes the first again.

    Attributes:
        frames: (frame, height, 2·height, 3) float32, scene-linear Rec.709.
        moves: (height, 2·height) bool; where it is False all frames are identical.
        frame_rate: frames per second.
    """

    frames: Float[np.ndarray, "frame height width 3"]
    moves: np.ndarray
    frame_rate: float


@dataclass(frozen=True)
class DepthVideo:
    """Distance along the ray; one frame when it is the same all the time.

    Attributes:
        distance: (frame or 1, height, 2·height) float32, metres.
        edges: (frame or 1, height, 2·height): pixels on either side of a depth edge. Between two of them that touch a
            nearer surface may end before a farther one: nothing is to be stretched from the one to the other.
    """

    distance: Float[np.ndarray, "frame height width"]
    edges: Bool[np.ndarray, "frame height width"]
