"""Charts: flat images that together cover the sphere, on which a flat model can work.

Each family of charts keeps its field in the samples that suit it, shows it in square charts (``project``), and makes
one field of what was changed in them (``fuse``). A field is (sample, frame, channel); charts are
(chart, frame, channel, row, column). Operators are built once per geometry and kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property, lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .equirectangular import direction, directions
from .icosphere import VIEW_FOV, frequency_for, icosphere, view_rotations
from .noise import EquirectangularCells, WhiteNoise, cells_of_view
from .operators import SparseOperator, between_scattered, from_equirectangular, from_plane
from .sampling import tangent_views
from .views import look, rays

Field = Float[Tensor, "sample frame channel"]
Images = Float[Tensor, "chart frame channel row column"]
Panorama = Float[Tensor, "channel height width"]
Picture = Float[Tensor, "channel rows columns"]

_DEGREE = 4
_TO_VIEW, _TO_SPHERE = 28, 72
"""Degree and neighbours of the fits: the fewest whose weights nowhere amplify what the views disagree about (Σw² < 1).
Measured by ``benchmarks/spherical_latents.py``."""

_VIEW_FEATHER = 0.5
"""From this far inside a view's edge (share of its half width) its pixels count less and less in the fusion."""

_LEAST_TRUST = 1e-3

_CAP_FROM, _CAP_TO = np.deg2rad(54.0), np.deg2rad(62.0)
"""Between these latitudes the windows hand over to the polar caps."""


class Charts(ABC):
    """A family of charts.

    Attributes:
        size: rows and columns of a chart.
        count: number of charts.
        height: of the equirectangular latents they belong to; the width is twice that.
    """

    size: tuple[int, int]
    count: int
    height: int

    @property
    @abstractmethod
    def samples(self) -> Float[np.ndarray, "sample 3"]:
        """Unit vectors to the samples of a field."""

    @abstractmethod
    def project(self, field: Field) -> Images:
        """The field as each chart shows it."""

    @abstractmethod
    def fuse(self, images: Images) -> Field:
        """The one field that the charts agree on best."""

    @abstractmethod
    def to_equirectangular(self, field: Field) -> Field:
        """The field at the pixels of equirectangular latents, row by row."""

    @abstractmethod
    def from_equirectangular(self, field: Field) -> Field:
        """The inverse of ``to_equirectangular``, up to interpolation."""

    @abstractmethod
    def noise(self, white: WhiteNoise, frames: int, channels: int) -> Images:
        """White noise of unit variance in each chart; charts that overlap see the same."""

    @abstractmethod
    def rays(self, chart: int) -> Float[np.ndarray, "row column 3"]:
        """Unit vectors in scene space through the middles of the chart's pixels."""

    @abstractmethod
    def picture(self, chart: int, panorama: Panorama) -> Picture:
        """What the chart shows of a panorama, as many times as fine as it as the panorama is as the latents."""


class TangentViews(Charts):
    """The 20 views of 4K4DGen over a field on the icosphere."""

    def __init__(self, height: int):
        self.height = height
        side = height // 2  # W/4 pixels at a panorama W wide
        self.size, self.count = (side, side), len(view_rotations())
        self._frequency = frequency_for(VIEW_FOV / side)

    @property
    def samples(self) -> Float[np.ndarray, "sample 3"]:
        """The points of an icosphere."""
        return self._points

    @cached_property
    def _points(self) -> Float[np.ndarray, "sample 3"]:
        return icosphere(self._frequency)

    @cached_property
    def _to_views(self) -> SparseOperator:
        return between_scattered(self._points, self._all_rays(), _TO_VIEW, _DEGREE)

    @cached_property
    def _to_sphere(self) -> SparseOperator:
        trust = np.tile(_trust(self.size[0]).reshape(-1), self.count)
        return between_scattered(self._all_rays(), self._points, _TO_SPHERE, _DEGREE, trust)

    @cached_property
    def _to_equirectangular(self) -> SparseOperator:
        return between_scattered(self._points, directions(self.height).reshape(-1, 3), _TO_VIEW, _DEGREE)

    @cached_property
    def _from_equirectangular(self) -> SparseOperator:
        return from_equirectangular(self.height, self._points)

    def project(self, field: Field) -> Images:
        """See ``Charts``."""
        views = self._to_views(field).unflatten(0, (self.count, *self.size))
        return views.permute(0, 3, 4, 1, 2).contiguous()

    def fuse(self, images: Images) -> Field:
        """The least-squares solution of 4K4DGen eq. 3.

        First the weighted mean of appendix C, here a local fit; then one step of iterative refinement, since what the
        mean has lost shows in the views.
        """
        fused = self._to_sphere(_samples(images))
        return fused + self._to_sphere(_samples(images - self.project(fused)))

    def to_equirectangular(self, field: Field) -> Field:
        """See ``Charts``."""
        return self._to_equirectangular(field)

    def from_equirectangular(self, field: Field) -> Field:
        """See ``Charts``."""
        return self._from_equirectangular(field)

    def noise(self, white: WhiteNoise, frames: int, channels: int) -> Images:
        """See ``Charts``."""
        side = self.size[0]
        cells = [cells_of_view(white.points, rotation, side, VIEW_FOV) for rotation in view_rotations()]
        noise = torch.empty(self.count, frames, channels, *self.size)
        for frame in range(frames):
            fine = white.frame(frame, channels)
            for view, of_view in enumerate(cells):
                noise[view, frame] = of_view.sums(fine).T.reshape(channels, *self.size)
        return noise

    def rays(self, chart: int) -> Float[np.ndarray, "row column 3"]:
        """See ``Charts``."""
        return _view_rays(view_rotations()[chart], self.size[0])

    def picture(self, chart: int, panorama: Panorama) -> Picture:
        """See ``Charts``."""
        return _perspective(panorama, view_rotations()[chart])

    def _all_rays(self) -> Float[np.ndarray, "pixel 3"]:
        return np.concatenate([self.rays(view).reshape(-1, 3) for view in range(self.count)])


class SeparateViews(Charts):
    """The same views, each with its own field: what 4K4DGen's agreement is compared with (section 4.3, table 2)."""

    def __init__(self, height: int):
        self._views = charts_of(TangentViews, height)
        self.height, self.size, self.count = height, self._views.size, self._views.count

    @property
    def samples(self) -> Float[np.ndarray, "sample 3"]:
        """The pixels of all views."""
        return np.concatenate([self.rays(view).reshape(-1, 3) for view in range(self.count)])

    def project(self, field: Field) -> Images:
        """See ``Charts``."""
        return field.unflatten(0, (self.count, *self.size)).permute(0, 3, 4, 1, 2).contiguous()

    def fuse(self, images: Images) -> Field:
        """Nothing is made to agree."""
        return _samples(images)

    def to_equirectangular(self, field: Field) -> Field:
        """Only at the end the views are laid over each other."""
        return self._views.to_equirectangular(self._views.fuse(self.project(field)))

    def from_equirectangular(self, field: Field) -> Field:
        """See ``Charts``."""
        return _samples(self._views.project(self._views.from_equirectangular(field)))

    def noise(self, white: WhiteNoise, frames: int, channels: int) -> Images:
        """The same that ``TangentViews`` shows, which is the best case for views that know nothing of each other."""
        return self._views.noise(white, frames, channels)

    def rays(self, chart: int) -> Float[np.ndarray, "row column 3"]:
        """See ``Charts``."""
        return self._views.rays(chart)

    def picture(self, chart: int, panorama: Panorama) -> Picture:
        """See ``Charts``."""
        return self._views.picture(chart, panorama)


class Windows(Charts):
    """Windows that wrap around the equirectangular latents, and a tangent view over each pole.

    Crops do not interpolate, so they keep all detail (4K4DGen, appendix C). Beyond 62° of latitude an equirectangular
    image is stretched more than twofold, which no perspective model knows; there it has pixels to spare, so that a
    tangent view loses nothing.
    """

    def __init__(self, height: int):
        self.height = height
        side = height // 2
        self.size = (side, side)
        self.count = 2 * _WINDOWS_AROUND + 2
        middle = round(height * (0.5 - _CAP_TO / np.pi))
        self._tops = (middle, height - middle - side)
        self._step = 2 * height // _WINDOWS_AROUND

    @property
    def samples(self) -> Float[np.ndarray, "sample 3"]:
        """The pixels of the equirectangular latents, row by row."""
        return directions(self.height).reshape(-1, 3)

    @cached_property
    def _to_caps(self) -> SparseOperator:
        return from_equirectangular(self.height, _view_rays(_POLES, self.size[0]).reshape(-1, 3))

    @cached_property
    def _from_caps(self) -> list[tuple[Tensor, SparseOperator]]:
        """For each cap, the pixels it covers and the way to them."""
        side = self.size[0]
        towards = directions(self.height).reshape(-1, 3)
        latitude = np.arcsin(towards[:, 2])
        ways = []
        for rotation, sign in zip(_POLES, (1, -1), strict=True):
            pixels = np.flatnonzero(sign * latitude > _CAP_FROM)
            x, y, z = (towards[pixels] @ rotation).T
            focal = side / 2 / np.tan(VIEW_FOV / 2)
            ways.append(
                (
                    torch.from_numpy(pixels),
                    from_plane(side, x / z * focal + (side - 1) / 2, y / z * focal + (side - 1) / 2),
                )
            )
        return ways

    @cached_property
    def _weights(self) -> tuple[Tensor, Tensor]:
        """How much a window's pixel counts (row of windows, row, column), and a cap's at each pixel of the image."""
        side = self.size[0]
        latitude = np.pi / 2 - (np.arange(self.height) + 0.5) * (np.pi / self.height)
        cap = _smooth((np.abs(latitude) - _CAP_FROM) / (_CAP_TO - _CAP_FROM))
        ramp = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(side) + 0.5) / side)  # Hann: two of them add up to 1
        down = np.zeros((2, self.height))
        down[0], down[1] = (1 - cap) * _handover(self.height, self._tops, side)
        rows = np.stack([down[row, top : top + side] for row, top in enumerate(self._tops)])
        windows = rows[:, :, None] * ramp
        return torch.from_numpy(windows.astype(np.float32)), torch.from_numpy(cap.astype(np.float32))

    def project(self, field: Field) -> Images:
        """See ``Charts``."""
        image = field.unflatten(0, (self.height, 2 * self.height))
        charts = [self._crop(image, top, left) for top, left in self._places()]
        caps = self._to_caps(field).unflatten(0, (2, *self.size))
        return torch.stack([*charts, *caps]).permute(0, 3, 4, 1, 2).contiguous()

    def fuse(self, images: Images) -> Field:
        """The feathered mean of all windows and caps."""
        side, width = self.size[0], 2 * self.height
        window_weight, cap_weight = self._weights
        fused = torch.zeros(*images.shape[1:3], self.height, width, dtype=images.dtype)
        for chart, (top, left) in enumerate(self._places()):
            weighted = images[chart] * window_weight[chart // _WINDOWS_AROUND]
            first = min(side, width - left)
            fused[..., top : top + side, left : left + first] += weighted[..., :first]
            fused[..., top : top + side, : side - first] += weighted[..., first:]
        flat = fused.permute(2, 3, 0, 1).flatten(0, 1)
        for cap, (pixels, way) in zip(images[-2:].permute(0, 3, 4, 1, 2), self._from_caps, strict=True):
            weight = cap_weight[pixels // width][:, None, None]
            flat[pixels] += weight * way(cap.flatten(0, 1))
        return flat

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
        caps = [cells_of_view(white.points, rotation, side, VIEW_FOV) for rotation in _POLES]
        noise = torch.empty(self.count, frames, channels, side, side)
        for frame in range(frames):
            image = cells.noise(white, frame, channels).reshape(self.height, width, channels)
            for chart, (top, left) in enumerate(self._places()):
                noise[chart, frame] = self._crop(image, top, left).permute(2, 0, 1)
            fine = white.frame(frame, channels)
            for cap, of_cap in enumerate(caps):
                noise[cap - 2, frame] = of_cap.sums(fine).T.reshape(channels, side, side)
        return noise

    def rays(self, chart: int) -> Float[np.ndarray, "row column 3"]:
        """See ``Charts``."""
        side = self.size[0]
        if chart >= self.count - 2:
            return _view_rays(_POLES[chart - self.count + 2], side)
        top, left = self._places()[chart]
        latitude = np.pi / 2 - (top + np.arange(side) + 0.5) * (np.pi / self.height)
        longitude = (left + np.arange(side) + 0.5) * (np.pi / self.height) - np.pi
        return direction(longitude[None, :], latitude[:, None])

    def picture(self, chart: int, panorama: Panorama) -> Picture:
        """See ``Charts``."""
        if chart >= self.count - 2:
            return _perspective(panorama, _POLES[chart - self.count + 2])
        scale = panorama.shape[1] // self.height
        top, left = self._places()[chart]
        rows = panorama[:, scale * top : scale * (top + self.size[0])]
        return rows.roll(-scale * left, dims=2)[..., : scale * self.size[1]].contiguous()

    def _places(self) -> list[tuple[int, int]]:
        """Upper left corner of each window."""
        return [(top, column * self._step) for top in self._tops for column in range(_WINDOWS_AROUND)]

    def _crop(self, image: Tensor, top: int, left: int) -> Tensor:
        rows, side = image[top : top + self.size[0]], self.size[0]
        first = rows[:, left : left + side]
        return torch.cat([first, rows[:, : side - first.shape[1]]], dim=1)


class WholePanorama(Windows):
    """One wide image: what 4K4DGen is compared with as *animate panorama* (section 4.3, table 2)."""

    def __init__(self, height: int):
        super().__init__(height)
        self.size, self.count = (height, 2 * height), 1

    def project(self, field: Field) -> Images:
        """See ``Charts``."""
        return field.unflatten(0, self.size).permute(2, 3, 0, 1)[None].contiguous()

    def fuse(self, images: Images) -> Field:
        """See ``Charts``."""
        return _samples(images)

    def noise(self, white: WhiteNoise, frames: int, channels: int) -> Images:
        """See ``Charts``."""
        cells = EquirectangularCells.of(white.points, self.height)
        image = torch.stack([cells.noise(white, frame, channels) for frame in range(frames)], dim=1)
        return self.project(image)

    def rays(self, chart: int) -> Float[np.ndarray, "row column 3"]:
        """See ``Charts``."""
        return directions(self.height)

    def picture(self, chart: int, panorama: Panorama) -> Picture:
        """The panorama itself."""
        return panorama


_WINDOWS_AROUND = 8
"""Windows in a row: each is a quarter of the way around and overlaps half of the next. A multiple of 4, so that a
panorama turned by 90° gives the same windows."""

_POLES = np.stack([look(0.0, np.pi / 2), look(0.0, -np.pi / 2)])


@lru_cache(maxsize=4)
def charts_of(family: type[Charts], height: int) -> Charts:
    """A family of charts of that size, with its operators, made once."""
    return family(height)  # pyright: ignore[reportCallIssue]  (an abstract class has no such constructor)


def _samples(images: Images) -> Field:
    return images.permute(0, 3, 4, 1, 2).flatten(0, 2)


def _perspective(panorama: Panorama, R_scene_from_view: Float[np.ndarray, "3 3"]) -> Picture:
    """One of the square views, a quarter of the panorama wide."""
    side = panorama.shape[2] // 4
    rotation = torch.from_numpy(R_scene_from_view).to(panorama)
    return tangent_views(panorama, rotation[None], side, side, float(VIEW_FOV))[0]


def _view_rays(
    R_scene_from_view: Float[np.ndarray, "*views 3 3"], size: int
) -> Float[np.ndarray, "*views row column 3"]:
    towards = rays(size, size, VIEW_FOV).astype(np.float64)
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    return np.einsum("...ij,rcj->...rci", R_scene_from_view, towards)


def _trust(size: int) -> Float[np.ndarray, "size size"]:
    """Trust in each pixel of a view: little at the edge, where the model sees but half of its surroundings.

    Times the solid angle that it covers, so that a view's crowded corners do not outvote another view's middle.
    """
    ramp = _smooth((1 - np.abs((np.arange(size) + 0.5) / size * 2 - 1)) / _VIEW_FEATHER)
    inside = np.maximum(np.minimum(ramp[:, None], ramp[None, :]), _LEAST_TRUST)
    along = rays(size, size, VIEW_FOV)
    return inside / np.linalg.norm(along, axis=-1) ** 3


def _handover(height: int, tops: tuple[int, int], side: int) -> Float[np.ndarray, "2 height"]:
    """How much the upper and the lower row of windows count, where both or one of them are."""
    shared_from, shared_to = tops[1], tops[0] + side
    lower = _smooth((np.arange(height) + 0.5 - shared_from) / (shared_to - shared_from))
    return np.stack([1 - lower, lower])


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
