"""Charts: flat images that together cover the sphere, on which a flat model can work.

Each family of charts keeps its field in the samples that suit it, shows it in square charts (``project``), and makes
one field of what was changed in them (``fuse``). A field is (sample, frame, channel); charts are
(chart, frame, channel, row, column). Operators are built once per geometry and kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .equirectangular import directions
from .icosphere import VIEW_FOV, frequency_for, icosphere, view_rotations
from .noise import WhiteNoise, cells_of_view
from .operators import SparseOperator, between_scattered, from_equirectangular
from .sampling import tangent_views
from .views import rays

Field = Float[Tensor, "sample frame channel"]
Images = Float[Tensor, "chart frame channel row column"]
Panorama = Float[Tensor, "channel height width"]
Pictures = Float[Tensor, "chart channel rows columns"]

_DEGREE = 4
_TO_VIEW, _TO_SPHERE = 28, 72
"""Degree and neighbours of the fits: the fewest whose weights nowhere amplify what the views disagree about (Σw² < 1).
Measured by ``benchmarks/spherical_latents.py``."""

_VIEW_FEATHER = 0.5
"""From this far inside a view's edge (share of its half width) its pixels count less and less in the fusion."""

_LEAST_TRUST = 1e-3


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
    def perspectives(self) -> range:
        """The charts that show perspective views; the others are parts of the equirectangular image."""
        return range(self.count)

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
    def pictures(self, charts: Sequence[int], panorama: Panorama) -> Pictures:
        """What some charts show of a panorama; as many times finer than they are as it is than the latents."""


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
        fused = self._to_sphere(as_samples(images))
        return fused + self._to_sphere(as_samples(images - self.project(fused)))

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
        return view_rays(view_rotations()[chart], self.size[0])

    def pictures(self, charts: Sequence[int], panorama: Panorama) -> Pictures:
        """See ``Charts``."""
        return perspectives(panorama, view_rotations()[list(charts)])

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
        return as_samples(images)

    def to_equirectangular(self, field: Field) -> Field:
        """Only at the end the views are laid over each other."""
        return self._views.to_equirectangular(self._views.fuse(self.project(field)))

    def from_equirectangular(self, field: Field) -> Field:
        """See ``Charts``."""
        return as_samples(self._views.project(self._views.from_equirectangular(field)))

    def noise(self, white: WhiteNoise, frames: int, channels: int) -> Images:
        """The same that ``TangentViews`` shows, which is the best case for views that know nothing of each other."""
        return self._views.noise(white, frames, channels)

    def rays(self, chart: int) -> Float[np.ndarray, "row column 3"]:
        """See ``Charts``."""
        return self._views.rays(chart)

    def pictures(self, charts: Sequence[int], panorama: Panorama) -> Pictures:
        """See ``Charts``."""
        return self._views.pictures(charts, panorama)


@lru_cache(maxsize=4)
def charts_of(family: type[Charts], height: int) -> Charts:
    """A family of charts of that size, with its operators, made once."""
    return family(height)  # pyright: ignore[reportCallIssue]  (an abstract class has no such constructor)


def as_samples(images: Images) -> Field:
    """All charts' pixels as samples, chart by chart and row by row."""
    return images.permute(0, 3, 4, 1, 2).flatten(0, 2)


def perspectives(panorama: Panorama, R_scene_from_view: Float[np.ndarray, "view 3 3"]) -> Pictures:
    """Square views, a quarter of the panorama wide."""
    side = panorama.shape[2] // 4
    return tangent_views(panorama, torch.from_numpy(R_scene_from_view).to(panorama), side, side, float(VIEW_FOV))


def view_rays(
    R_scene_from_view: Float[np.ndarray, "*views 3 3"], size: int
) -> Float[np.ndarray, "*views row column 3"]:
    """Unit vectors in scene space through the pixels of square views of ``VIEW_FOV``."""
    towards = rays(size, size, VIEW_FOV).astype(np.float64)
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    return np.einsum("...ij,rcj->...rci", R_scene_from_view, towards)


def _trust(size: int) -> Float[np.ndarray, "size size"]:
    """Trust in each pixel of a view: little at the edge, where the model sees but half of its surroundings.

    Times the solid angle that it covers, so that a view's crowded corners do not outvote another view's middle.
    """
    ramp = smooth((1 - np.abs((np.arange(size) + 0.5) / size * 2 - 1)) / _VIEW_FEATHER)
    inside = np.maximum(np.minimum(ramp[:, None], ramp[None, :]), _LEAST_TRUST)
    along = rays(size, size, VIEW_FOV)
    return inside / np.linalg.norm(along, axis=-1) ** 3


def smooth(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and between them without a kink."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
