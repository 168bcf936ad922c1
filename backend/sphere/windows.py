"""Charts that are parts of the equirectangular latents: windows with polar caps, and the whole."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .caps import END_OF_WINDOWS, POLES, cap_rows, cap_share, places_in_cap
from .charts import Charts, Field, Images, Panorama, Pictures, as_samples, perspectives, smooth, view_rays
from .equirectangular import direction, directions
from .icosphere import VIEW_FOV
from .noise import EquirectangularCells, WhiteNoise, cells_of_view
from .operators import SparseOperator, from_equirectangular, from_plane

_WINDOWS_AROUND = 8
"""Windows in a row: each is a quarter of the way around and overlaps half of the next. A multiple of 4, so that a
panorama turned by 90° gives the same windows."""


class Windows(Charts):
    """Windows that wrap around the equirectangular latents, and a tangent view over each pole.

    Crops do not interpolate, so they keep all detail (4K4DGen, appendix C). For the poles see ``caps.py``.
    """

    def __init__(self, height: int):
        self.height = height
        side = height // 2
        self.size = (side, side)
        self.count = 2 * _WINDOWS_AROUND + 2
        middle = round(height * (0.5 - END_OF_WINDOWS / np.pi))
        self._tops = (middle, height - middle - side)
        self._step = 2 * height // _WINDOWS_AROUND

    @property
    def perspectives(self) -> range:
        """The two polar caps."""
        return range(self.count - 2, self.count)

    @property
    def samples(self) -> Float[np.ndarray, "sample 3"]:
        """The pixels of the equirectangular latents, row by row."""
        return directions(self.height).reshape(-1, 3)

    @cached_property
    def _to_caps(self) -> SparseOperator:
        return from_equirectangular(self.height, view_rays(POLES, self.size[0]).reshape(-1, 3))

    @cached_property
    def _from_caps(self) -> list[SparseOperator]:
        """For each cap, the way to the pixels of ``cap_rows``."""
        ways = []
        for pole in range(len(POLES)):
            column, row = places_in_cap(self.height, pole, self.size[0])
            ways.append(from_plane(self.size[0], column.reshape(-1), row.reshape(-1)))
        return ways

    @cached_property
    def _weights(self) -> Float[Tensor, "2 row column"]:
        """How much the pixels of a window count, in the upper row of windows and in the lower one."""
        side = self.size[0]
        ramp = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(side) + 0.5) / side)  # Hann: two of them add up to 1
        down = (1 - cap_share(self.height)) * _handover(self.height, self._tops, side)
        rows = np.stack([part[top : top + side] for part, top in zip(down, self._tops, strict=True)])
        return torch.from_numpy((rows[:, :, None] * ramp).astype(np.float32))

    def project(self, field: Field) -> Images:
        """See ``Charts``."""
        image = field.permute(1, 2, 0).unflatten(2, (self.height, 2 * self.height)).contiguous()
        caps = self._to_caps(field).unflatten(0, (2, *self.size)).permute(0, 3, 4, 1, 2)
        return torch.stack([*(self._crop(image, top, left, self.size[0]) for top, left in self._places()), *caps])

    def fuse(self, images: Images) -> Field:
        """The feathered mean of all windows and caps."""
        side, width = self.size[0], 2 * self.height
        fused = torch.zeros(*images.shape[1:3], self.height, width, dtype=images.dtype)
        for chart, (top, left) in enumerate(self._places()):
            weighted = images[chart] * self._weights[chart // _WINDOWS_AROUND]
            first = min(side, width - left)
            fused[..., top : top + side, left : left + first] += weighted[..., :first]
            fused[..., top : top + side, : side - first] += weighted[..., first:]
        field = fused.permute(2, 3, 0, 1).contiguous()
        share = torch.from_numpy(cap_share(self.height).astype(np.float32))[:, None, None, None]
        for pole, way in enumerate(self._from_caps):
            rows = cap_rows(self.height, pole)
            cap = way(images[pole - 2].permute(2, 3, 0, 1).flatten(0, 1))
            field[rows] += share[rows] * cap.unflatten(0, (-1, width))
        return field.flatten(0, 1)

    def to_equirectangular(self, field: Field) -> Field:
        """The field itself: it lies at those pixels."""
        return field

    def from_equirectangular(self, field: Field) -> Field:
        """The field itself."""
        return field

    def noise(self, white: WhiteNoise, frames: int, channels: int) -> Images:
        """See ``Charts``."""
        side, width = self.size[0], 2 * self.height
        cells = EquirectangularCells.of(white.points, self.height)
        caps = [cells_of_view(white.points, rotation, side, VIEW_FOV) for rotation in POLES]
        noise = torch.empty(self.count, frames, channels, side, side)
        for frame in range(frames):
            image = cells.noise(white, frame, channels).T.reshape(channels, self.height, width)
            for chart, (top, left) in enumerate(self._places()):
                noise[chart, frame] = self._crop(image, top, left, side)
            fine = white.frame(frame, channels)
            for cap, of_cap in enumerate(caps):
                noise[cap - 2, frame] = of_cap.sums(fine).T.reshape(channels, side, side)
        return noise

    def rays(self, chart: int) -> Float[np.ndarray, "row column 3"]:
        """See ``Charts``."""
        side = self.size[0]
        if chart >= self.count - 2:
            return view_rays(POLES[chart - self.count], side)
        top, left = self._places()[chart]
        latitude = np.pi / 2 - (top + np.arange(side) + 0.5) * (np.pi / self.height)
        longitude = (left + np.arange(side) + 0.5) * (np.pi / self.height) - np.pi
        return direction(longitude[None, :], latitude[:, None])

    def pictures(self, charts: Sequence[int], panorama: Panorama) -> Pictures:
        """See ``Charts``."""
        scale = panorama.shape[1] // self.height
        side = scale * self.size[0]
        pictures = torch.empty(len(charts), len(panorama), side, side, dtype=panorama.dtype)
        caps = [chart - self.count for chart in charts if chart in self.perspectives]
        views = iter(perspectives(panorama, POLES[caps]) if caps else ())
        for picture, chart in zip(pictures, charts, strict=True):
            if chart in self.perspectives:
                picture[:] = next(views)
            else:
                top, left = self._places()[chart]
                picture[:] = self._crop(panorama, scale * top, scale * left, side)
        return pictures

    def _places(self) -> list[tuple[int, int]]:
        """Upper left corner of each window."""
        return [(top, column * self._step) for top in self._tops for column in range(_WINDOWS_AROUND)]

    def _crop(self, image: Float[Tensor, "*layers height width"], top: int, left: int, side: int) -> Tensor:
        rows = image[..., top : top + side, :]
        first = rows[..., left : left + side]
        return torch.cat([first, rows[..., : side - first.shape[-1]]], dim=-1)


class WholePanorama(Windows):
    """One wide image: what 4K4DGen is compared with as *animate panorama* (section 4.3, table 2)."""

    def __init__(self, height: int):
        super().__init__(height)
        self.size, self.count = (height, 2 * height), 1

    @property
    def perspectives(self) -> range:
        """None."""
        return range(0)

    def project(self, field: Field) -> Images:
        """See ``Charts``."""
        return field.unflatten(0, self.size).permute(2, 3, 0, 1)[None].contiguous()

    def fuse(self, images: Images) -> Field:
        """See ``Charts``."""
        return as_samples(images)

    def noise(self, white: WhiteNoise, frames: int, channels: int) -> Images:
        """See ``Charts``."""
        cells = EquirectangularCells.of(white.points, self.height)
        image = torch.stack([cells.noise(white, frame, channels) for frame in range(frames)], dim=1)
        return self.project(image)

    def rays(self, chart: int) -> Float[np.ndarray, "row column 3"]:
        """See ``Charts``."""
        return directions(self.height)

    def pictures(self, charts: Sequence[int], panorama: Panorama) -> Pictures:
        """The panorama itself."""
        return panorama.expand(len(charts), -1, -1, -1)


def _handover(height: int, tops: tuple[int, int], side: int) -> Float[np.ndarray, "2 height"]:
    """How much the upper and the lower row of windows count, where both or one of them are."""
    shared_from, shared_to = tops[1], tops[0] + side
    lower = smooth((np.arange(height) + 0.5 - shared_from) / (shared_to - shared_from))
    return np.stack([1 - lower, lower])
