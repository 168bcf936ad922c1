"""A looping video from one image and a steady flow: two-phase Eulerian advection on the sphere.

The two phases are those of *Animating Pictures with Eulerian Motion Fields* (Holynski et al., CVPR 2021), section 4:
one carries the image forward from the loop's start, the other backward from its end, and they are cross-faded, so the
last frame runs into the first. Here both look up where each pixel came from, so neither leaves holes.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float

from ..sphere.equirectangular import direction, directions, sample_bordered, with_border
from ..sphere.panorama import Panorama, PanoramaVideo
from ..sphere.periodic import blur

_LARGEST_STEP = np.deg2rad(0.5)
"""Radians; a frame's way is integrated in steps no longer than this."""

_MOST_STEPS = 32

_TEXTURE_PIXELS = 2.0
"""Two places further apart than this show uncorrelated detail (pixels, standard deviation)."""

_DETAIL_PIXELS = 6.0
"""What is finer than this (pixels, standard deviation) keeps its contrast through the cross-fade."""

_SHADOW, _LIGHT = 0.01, 30.0
"""Times the median of the image: there contrast counts half."""

_ROW = 1024
"""Moving pixels are handled as rows of this many, a shape cv2.remap likes."""


class Advection:
    """Frames of the loop, one at a time.

    Args:
        panorama: the still image, frame 0 of the loop.
        flow: (height, width, 3) tangent vectors in radians per second; where it is zero nothing changes, ever.
        frames: length of the loop. A loop of one frame is the still image.
    """

    def __init__(self, panorama: Panorama, flow: Float[np.ndarray, "height width 3"], frames: int, frame_rate: float):
        self.frames = frames
        self.moves = (flow != 0).any(axis=-1) if frames > 1 else np.zeros(flow.shape[:2], bool)
        self._image = panorama.image
        self._weight_around = blur(self.moves.astype(np.float32), _DETAIL_PIXELS)[self.moves]
        self._exposure = max(float(np.median(panorama.image)), 1e-6)
        self._bordered_image = with_border(panorama.image)
        neighbours = np.ones((3, 3), np.uint8)
        self._darkest = cv2.erode(self._bordered_image, neighbours)
        self._brightest = cv2.dilate(self._bordered_image, neighbours)
        self._bordered_flow = with_border(flow) / np.float32(frame_rate)
        self._steps = int(np.clip(np.ceil(np.abs(self._bordered_flow).max() / _LARGEST_STEP), 1, _MOST_STEPS))
        self._start = _in_rows(directions(len(flow))[self.moves])
        self._ahead: list[np.ndarray] = []
        self._behind = self._start

    def look_ahead(self) -> None:
        """Follow the flow forward by one more frame; needed ``frames - 1`` times before the first ``frame``."""
        if not self.moves.any():
            return
        last = self._ahead[-1] if self._ahead else self._start
        self._ahead.append(self._follow(last, 1.0))

    def frame(self, index: int) -> Float[np.ndarray, "height width 3"]:
        """Frame ``index``; to be asked for in order, from 0 to ``frames - 1``."""
        if index == 0 or not self.moves.any():
            return self._image
        self._behind = self._follow(self._behind, -1.0)
        came_from, goes_to = self._behind, self._ahead[self.frames - index - 1]
        share = index / self.frames
        blended = (1 - share) * self._sample(came_from) + share * self._sample(goes_to)
        frame = self._image.copy()
        frame[self.moves] = self._out_of_rows(blended)
        brightness = self._brightness(frame)
        gain = self._out_of_rows(self._contrast_lost(came_from, goes_to, share))
        frame[self.moves] *= np.exp(self._detail(frame) * (gain - 1)[:, None])
        frame[self.moves] *= brightness / np.maximum(self._brightness(frame), 1e-12)
        return frame

    def _follow(self, places: np.ndarray, frames: float) -> np.ndarray:
        """Where ``places`` (unit vectors) are after so many frames; midpoint rule."""
        step = np.float32(frames / self._steps)
        for _ in range(self._steps):
            middle = places + step / 2 * self._flow_at(places)
            places = places + step * self._flow_at(middle)
            places /= np.linalg.norm(places, axis=-1, keepdims=True)
        return places

    def _flow_at(self, places: np.ndarray) -> np.ndarray:
        return sample_bordered(self._bordered_flow, places, len(self._image), cv2.INTER_LINEAR)

    def _detail(self, frame: np.ndarray) -> np.ndarray:
        """How the logarithm of each moving pixel differs from that of the moving pixels around it.

        The logarithm levels out in deep shadow and in lights, which would outweigh all around them.
        """
        tone = np.log((frame + _SHADOW * self._exposure) / (frame + _LIGHT * self._exposure))
        return np.clip(tone[self.moves] - self._around(tone), -1, 1)

    def _brightness(self, frame: np.ndarray) -> np.ndarray:
        """The mean around each moving pixel, in which a light counts no more than white."""
        return self._around(np.minimum(frame, _LIGHT * self._exposure))

    def _around(self, image: np.ndarray) -> np.ndarray:
        """The mean of the moving pixels around each moving pixel."""
        total = blur(image * self.moves[..., None], _DETAIL_PIXELS)[self.moves]
        return total / self._weight_around[:, None]

    def _sample(self, places: np.ndarray) -> np.ndarray:
        """Cubic, but never beyond the pixels around: a sun would draw a black ring about itself."""
        height = len(self._image)
        cubic = sample_bordered(self._bordered_image, places, height, cv2.INTER_CUBIC)
        darkest = sample_bordered(self._darkest, places, height, cv2.INTER_NEAREST)
        brightest = sample_bordered(self._brightest, places, height, cv2.INTER_NEAREST)
        return np.clip(cubic, darkest, brightest, out=cubic)

    def _contrast_lost(self, one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
        """What detail must be multiplied by: a mean of two unlike textures has less contrast than either."""
        apart = np.linalg.norm(one - other, axis=-1) * (len(self._image) / np.pi)
        alike = np.exp(-0.5 * (apart / _TEXTURE_PIXELS) ** 2)
        return 1 / np.sqrt((1 - share) ** 2 + share**2 + 2 * share * (1 - share) * alike)

    def _out_of_rows(self, rows: np.ndarray) -> np.ndarray:
        return rows.reshape(-1, *rows.shape[2:])[: int(self.moves.sum())]


def _in_rows(places: Float[np.ndarray, "count 3"]) -> Float[np.ndarray, "rows 1024 3"]:
    """Unit vectors as an image of rows, filled up at the end."""
    missing = -len(places) % _ROW
    filler = np.broadcast_to(direction(0.0, 0.0), (missing, 3))
    return np.ascontiguousarray(np.concatenate([places, filler]).reshape(-1, _ROW, 3), np.float32)


def animate(
    panorama: Panorama,
    flow: Float[np.ndarray, "height width 3"],
    frames: int,
    frame_rate: float,
    report: Callable[[int], None] = lambda step: None,
) -> PanoramaVideo:
    """The whole loop. ``report(step)`` is called with rising steps up to 2·``frames``; it may raise to stop."""
    advection = Advection(panorama, flow, frames, frame_rate)
    for index in range(frames - 1):
        advection.look_ahead()
        report(index + 1)
    video = np.empty((frames, *panorama.image.shape), np.float32)
    for index in range(frames):
        video[index] = advection.frame(index)
        report(frames + index + 1)
    return PanoramaVideo(video, advection.moves, frame_rate)
