"""The pictures that a scene is fitted in: six faces of a cube, which see every direction once, and a little more."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..raster.splats import Cameras
from ..sphere.colour import srgb_from_linear
from ..sphere.equirectangular import directions, with_border
from ..sphere.sampling import sample_views, tangent_views
from ..sphere.views import look

_FINENESS = 3
"""A face has a third of the panorama's width: as fine in its middle as the panorama, finer towards its corners."""

_HALF = np.pi / 2


@dataclass(frozen=True)
class Cover:
    """Six square pictures of 90°, of ``size`` pixels, that look ahead, right, back, left, up and down."""

    size: int

    @classmethod
    def of(cls, height: int) -> Cover:
        """As fine as panoramas of ``height`` x ``2·height``."""
        return cls(max(2 * height // _FINENESS, 2))

    @cached_property
    def rotations(self) -> Float[np.ndarray, "6 3 3"]:
        """``R_scene_from_view`` of each."""
        level = [look(longitude, 0.0) for longitude in (0.0, _HALF, 2 * _HALF, -_HALF)]
        return np.stack([*level, look(0.0, _HALF), look(0.0, -_HALF)])

    def cameras(
        self, position: tuple[float, float, float] | np.ndarray = (0.0, 0.0, 0.0), device: torch.device | str = "cpu"
    ) -> Cameras:
        """The six cameras at a place (metres)."""
        return Cameras.square(self.rotations, self.size, _HALF, position, device)

    def pictures(
        self, panorama: Float[np.ndarray, "height width *channels"]
    ) -> Float[np.ndarray, "6 size size channels"]:
        """What the six see of a panorama from the origin, any colour space.

        Sharp (bicubic), but nowhere beyond what the pixels around are: else the sun would have a black rim.
        """
        image = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(panorama), np.float32)).permute(2, 0, 1)
        rotations, size = torch.from_numpy(self.rotations), self.size
        seen = tangent_views(image, rotations, size, size, _HALF)
        around = with_border(image.permute(1, 2, 0).numpy(), 1)
        for extreme, bounded in ((cv2.dilate, torch.minimum), (cv2.erode, torch.maximum)):
            limit = extreme(around, np.ones((3, 3), np.uint8))[1:-1, 1:-1].reshape(*image.shape[1:], len(image))
            limits = torch.from_numpy(np.ascontiguousarray(limit)).permute(2, 0, 1)
            seen = bounded(seen, tangent_views(limits, rotations, size, size, _HALF, "nearest"))
        return seen.permute(0, 2, 3, 1).contiguous().numpy()

    def panorama(
        self, pictures: Float[np.ndarray, "6 size size channels"], height: int
    ) -> Float[np.ndarray, "height width channels"]:
        """The inverse of ``pictures``, in any size (not anti-aliased): for previews."""
        views = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)
        towards = torch.from_numpy(directions(height))
        values, covered = sample_views(views, torch.from_numpy(self.rotations), _HALF, towards)
        seen = covered[:, None].to(values)
        return ((values * seen).sum(0) / seen.sum(0).clamp(min=1)).permute(1, 2, 0).numpy()


def preview(cover: Cover, pictures: Float[np.ndarray, "6 size size 3"], height: int = 256) -> np.ndarray:
    """A small equirectangular picture, sRGB, 8 bit, of what was composited (scene-linear)."""
    size = min(cover.size, height)
    small = np.stack([cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA) for picture in pictures])
    return np.rint(srgb_from_linear(Cover(size).panorama(small, height)) * 255).astype(np.uint8)


def gathered(pictures: Tensor | np.ndarray) -> np.ndarray:
    """Pictures as rows of a matrix: (pixels of all of them, channels)."""
    return np.asarray(pictures).reshape(-1, pictures.shape[-1])
