"""What one iteration of a fit looks at: a camera at the origin, and what it should see there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from ..raster.splats import Cameras
from ..sphere.equirectangular import directions
from ..sphere.icosphere import view_rotations
from ..sphere.panorama import DepthVideo, PanoramaVideo
from ..sphere.sampling import sample, tangent_views
from ..sphere.views import rays
from .losses import srgb
from .settings import FitSettings

_QUARTER = 4
"""A view has a quarter of the panorama's width (4K4DGen appendix C)."""

_TRIES = 50
"""Views drawn until one sees something that counts: of what is seen in one of six, less than once in 9000 none does."""

_PLACES = 1000
"""Of what counts, so many places stand for all: next to nothing of it can be in a view, and none of them."""


@dataclass(frozen=True)
class Aim:
    """One view, or a tile of it.

    Attributes:
        cameras: one.
        srgb: (1, height, width, 3) what it should show, after ``losses.srgb``.
        distance: (1, height, width) metres along the ray.
        weights: (1, height, width) how much each pixel counts, 0 or 1.
    """

    cameras: Cameras
    srgb: Float[Tensor, "1 height width 3"]
    distance: Float[Tensor, "1 height width"]
    weights: Float[Tensor, "1 height width"]

    def tile(self, number: int, per_side: int) -> Aim:
        """One of ``per_side``² squares of it: where the whole does not fit into memory."""
        side = self.cameras.height // per_side
        row, column = (side * at for at in divmod(number, per_side))
        lens, part = self.cameras, (slice(None), slice(row, row + side), slice(column, column + side))
        centre = lens.centre - torch.tensor([column, row], device=lens.centre.device)
        smaller = replace(lens, centre=centre, width=side, height=side)
        return Aim(smaller, self.srgb[part], self.distance[part], self.weights[part])


class Aims:
    """The views of one frame of a video.

    Args:
        counts: (height, 2·height) the pixels that count.
    """

    def __init__(
        self,
        video: PanoramaVideo,
        depth: DepthVideo,
        frame: int,
        counts: Bool[np.ndarray, "height width"],
        settings: FitSettings,
        device: torch.device,
    ):
        self._settings, self._device = settings, device
        height = counts.shape[0]
        self._size = settings.size or 2 * height // _QUARTER
        distance = depth.distance[frame if len(depth.distance) > 1 else 0]
        self._image = torch.from_numpy(video.frames[frame]).to(device).permute(2, 0, 1)
        maps = np.stack([distance, counts.astype(np.float32)])
        self._maps = torch.from_numpy(maps).to(device)
        self._rays = torch.from_numpy(rays(self._size, self._size, settings.fov)).to(device)
        self._found: dict[int, Aim] = {}
        self._places = directions(height)[counts][:: max(int(counts.sum()) // _PLACES, 1)]
        self._worth = self._worthwhile() if settings.views == "icosahedron" else None

    def at(self, draw: np.random.Generator) -> Aim:
        """One drawn by chance, in which something counts."""
        if self._worth is None:
            return self._towards(self._anywhere(draw), exact=False)
        view = int(draw.choice(self._worth))
        if view not in self._found:
            self._found[view] = self._towards(view_rotations()[view].astype(np.float32), exact=True)
        return self._found[view]

    def _anywhere(self, draw: np.random.Generator) -> Float[np.ndarray, "3 3"]:
        """``R_scene_from_view`` along any axis, rolled anyhow."""
        reach = np.tan(self._settings.fov / 2)
        for _ in range(_TRIES):
            rotation = Rotation.from_quat(draw.normal(size=4)).as_matrix().astype(np.float32)
            x, y, z = (self._places @ rotation).T
            if (np.maximum(np.abs(x), np.abs(y)) < reach * z).any():
                break
        return rotation

    def _worthwhile(self) -> np.ndarray:
        """Which of the 20 see something that counts."""
        rotations = torch.from_numpy(view_rotations().astype(np.float32)).to(self._device)
        coarse = max(self._size // 8, 8)
        seen = tangent_views(self._maps[1:], rotations, coarse, coarse, self._settings.fov, "nearest")
        worth = np.flatnonzero((seen.flatten(1) > 0).any(1).cpu().numpy())
        return worth if len(worth) else np.arange(len(rotations))

    def _towards(self, R_scene_from_view: np.ndarray, exact: bool) -> Aim:
        """Views that come again are filtered with care; others are looked up bilinearly, which is fast."""
        size, fov = self._size, self._settings.fov
        rotation = torch.from_numpy(R_scene_from_view).to(self._device)
        if exact:
            seen = tangent_views(self._image, rotation, size, size, fov).clamp(min=0)
        else:
            seen = tangent_views(self._image, rotation, size, size, fov, "bilinear", oversampling=1)
        distance, counts = sample(self._maps, self._rays @ rotation.T, "nearest")
        cameras = Cameras.square(R_scene_from_view[None], size, fov, device=self._device)
        return Aim(cameras, srgb(seen.permute(1, 2, 0))[None], distance[None], counts[None])
