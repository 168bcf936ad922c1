"""Compositing with the geometry held fast: then a picture is linear in the Gaussians' colours.

picture = W · colours, where W[pixel, Gaussian] = opacity · fall-off · transmittance in front (3DGS eq. 3). Both ways
through W are all that a least-squares fit of the colours needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse

from ..raster.cpu import compositing_weights, finer
from ..raster.rasterize import rasterize
from ..raster.splats import Cameras, Look, Rendered, Splats

SUPERSAMPLE = 2
"""Rays per pixel and axis: a pixel is the mean over its square, as a camera with a box filter sees it."""

_BYTES_A_WEIGHT = 8
_WEIGHTS_A_PIXEL = 24
"""Gaussians that one pixel meets, seldom more."""

Values = Float[np.ndarray, "ray 3"]
Colours = Float[np.ndarray, "n 3"]


class Compositing(Protocol):
    """The pictures of some cameras as a linear map of n colours; rays are their pixels, camera after camera.

    Attributes:
        alpha: (ray,) how much of the background is covered.
    """

    alpha: Float[np.ndarray, " ray"]

    def pictures(self, colours: Colours) -> Values:
        """W · colours: premultiplied, scene-linear."""
        ...

    def gathered(self, values: Values) -> Colours:
        """Wᵀ · values."""
        ...


class SparseCompositing:
    """W as a sparse matrix; the rasterizer runs once."""

    def __init__(self, matrix: sparse.csr_array, alpha: Float[np.ndarray, " ray"]):
        self._matrix = matrix
        self.alpha = alpha

    def pictures(self, colours: Colours) -> Values:
        """See ``Compositing``."""
        return self._matrix @ colours

    def gathered(self, values: Values) -> Colours:
        """See ``Compositing``."""
        return self._matrix.T @ values

    def of(self, columns: Int[np.ndarray, " m"]) -> tuple[SparseCompositing, Int[np.ndarray, " some"]]:
        """The part of some Gaussians alone, on those rays that meet any of them; and which rays these are."""
        part = self._matrix[:, columns]
        rays = np.flatnonzero(np.diff(part.indptr))
        return SparseCompositing(part[rays], self.alpha[rays]), rays


class RepeatedCompositing:
    """W by rasterizing again and again, forwards and backwards: takes little memory, and runs on CUDA."""

    def __init__(self, splats: Splats, cameras: Cameras, mode: Look):
        self._splats = splats
        self._cameras = finer(cameras, SUPERSAMPLE)
        self._mode: Look = mode
        with torch.no_grad():
            alpha = [self._rendered(k, splats).alpha for k in range(len(cameras))]
        self.alpha = _averaged(torch.cat(alpha)[..., None]).cpu().numpy().reshape(-1)

    def pictures(self, colours: Colours) -> Values:
        """See ``Compositing``."""
        with torch.no_grad():
            seen = [self._picture(k, torch.from_numpy(colours)) for k in range(len(self._cameras))]
        return torch.cat(seen).cpu().numpy().reshape(-1, 3)

    def gathered(self, values: Values) -> Colours:
        """See ``Compositing``."""
        colours = torch.zeros_like(self._splats.colour, requires_grad=True)
        parts = torch.from_numpy(np.ascontiguousarray(values)).to(colours.device)
        for k, part in enumerate(parts.reshape(len(self._cameras), -1, 3)):
            picture = self._picture(k, colours)
            picture.backward(part.reshape(picture.shape))
        assert colours.grad is not None
        return colours.grad.cpu().numpy()

    def of(self, columns: Int[np.ndarray, " m"]) -> tuple[_Columns, Int[np.ndarray, " some"]]:
        """As of ``SparseCompositing``; the rays are all there are."""
        return _Columns(self, columns, len(self._splats)), np.arange(len(self.alpha))

    def _picture(self, camera: int, colours: torch.Tensor) -> torch.Tensor:
        splats = replace(self._splats, colour=colours.to(self._splats.position.device))
        return _averaged(self._rendered(camera, splats).colour)

    def _rendered(self, camera: int, splats: Splats) -> Rendered:
        """As the matrix has it; on CUDA never narrower than half of one of the finer pixels."""
        return rasterize(splats, self._cameras[[camera]], self._mode, low_pass=splats.position.is_cuda)


class _Columns:
    """Some Gaussians' part of a compositing that has no matrix: the others are black."""

    def __init__(self, whole: RepeatedCompositing, columns: Int[np.ndarray, " m"], count: int):
        self._whole, self._columns, self._count = whole, columns, count
        self.alpha = whole.alpha

    def pictures(self, colours: Colours) -> Values:
        """See ``Compositing``."""
        all_colours = np.zeros((self._count, 3), np.float32)
        all_colours[self._columns] = colours
        return self._whole.pictures(all_colours)

    def gathered(self, values: Values) -> Colours:
        """See ``Compositing``."""
        return self._whole.gathered(values)[self._columns]

    def of(self, columns: Int[np.ndarray, " m"]) -> tuple[_Columns, Int[np.ndarray, " some"]]:
        """See ``RepeatedCompositing``."""
        return self._whole.of(self._columns[columns])


class JointCompositing:
    """Several frames at once: the first Gaussians are the same in all of them, each frame has its own others.

    Its colours are the shared ones, then those of one frame's others after those of another's.
    """

    def __init__(self, frames: Sequence[Compositing], shared: int, others: int):
        self._frames, self._shared, self._others = frames, shared, others
        self.alpha = np.concatenate([frame.alpha for frame in frames])

    def pictures(self, colours: Colours) -> Values:
        """See ``Compositing``; frame after frame."""
        shared = colours[: self._shared]
        own = colours[self._shared :].reshape(len(self._frames), self._others, 3)
        return np.concatenate(
            [frame.pictures(np.concatenate([shared, other])) for frame, other in zip(self._frames, own, strict=True)]
        )

    def gathered(self, values: Values) -> Colours:
        """See ``Compositing``."""
        parts = np.split(values, np.cumsum([len(frame.alpha) for frame in self._frames])[:-1])
        found = [frame.gathered(part) for frame, part in zip(self._frames, parts, strict=True)]
        return np.concatenate([sum(each[: self._shared] for each in found), *(each[self._shared :] for each in found)])


def compositing(
    splats: Splats,
    cameras: Cameras,
    mode: Look = "tents",
    available_bytes: int | None = None,
    before_each: Callable[[], None] = lambda: None,
) -> SparseCompositing | RepeatedCompositing:
    """The compositing of Gaussians that stay where they are.

    Args:
        available_bytes: where the matrix would take more, it is not made; no limit if left out.
        before_each: is called before every camera's part; may raise to stop.
    """
    rays = len(cameras) * cameras.width * cameras.height
    # twice: the faces' own, and all of them in one
    needed = 2 * rays * _WEIGHTS_A_PIXEL * _BYTES_A_WEIGHT
    if splats.position.is_cuda or (available_bytes is not None and needed > available_bytes):
        return RepeatedCompositing(splats, cameras, mode)
    matrices = []
    for camera in range(len(cameras)):
        before_each()
        matrices += compositing_weights(splats, cameras[[camera]], mode, low_pass=False, supersample=SUPERSAMPLE)
    matrix = sparse.csr_array(sparse.vstack(matrices, format="csr"))
    return SparseCompositing(matrix, np.asarray(matrix.sum(axis=1)).reshape(-1))


def _averaged(pictures: torch.Tensor) -> torch.Tensor:
    """(c, height, width, channel) by ``SUPERSAMPLE``² pixels into one."""
    channels_first = pictures.permute(0, 3, 1, 2)
    return torch.nn.functional.avg_pool2d(channels_first, SUPERSAMPLE).permute(0, 2, 3, 1)
