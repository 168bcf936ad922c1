"""The rasterizer for machines without a GPU: the same definitions as gsplat's, forward and backward by hand.

Differences, all where gsplat 1.5.3 is an approximation: see ``projection`` and ``surfels``. Results are bit-identical
whatever the number of threads. Gaussians that cannot be drawn (NaN, no extent, opacity below 1/255, behind the camera)
are left out and have no gradient.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy import sparse
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .blending import blend, cover
from .gradients import blend_back, colours_back, summed
from .kernels import one_at_a_time
from .projection import project, project_back
from .sparse_weights import sparse_weights
from .splats import Cameras, Look, Mode, Rendered, Splats
from .spots import SHAPE, Spots
from .tents import tent_shapes, tent_weights
from .tiles import TILE, Tiled, tile
from .view_space import lens

Finer = Literal[1, 2, 4, 8, 16]
"""Pixels to each side of which one is the mean."""


def render(splats: Splats, cameras: Cameras, mode: Mode, *, low_pass: bool = True) -> Rendered:
    """Pictures without a background; see ``rasterize``.

    The gradient of ``centres`` is that of moving each spot in the picture as it is.

    Args:
        low_pass: of "surfels": none is drawn smaller than a disc of 0.7 pixels' standard deviation (2DGS eq. 11), as
            gsplat does. Off: as Blender's renderer shows them, for pictures that are made finer and averaged.
    """
    centres, shape, far, z_depth, box, radii = _Projection.apply(
        splats.position, splats.rotation, splats.scale, splats.opacity.detach(), cameras, mode, low_pass
    )
    colour, alpha, distance = _Blending.apply(
        centres, shape, far, splats.opacity, splats.colour, (z_depth, box, radii), cameras, mode
    )
    distance = torch.where(alpha > 0, distance / torch.where(alpha > 0, alpha, 1), 0)
    return Rendered(colour, alpha, distance, centres, radii)


@torch.no_grad()
def compositing_weights(
    splats: Splats, cameras: Cameras, mode: Look, *, low_pass: bool = True, supersample: Finer = 1
) -> list[sparse.csr_array]:
    """How much of each Gaussian is in each pixel: ``render``'s colour = weights @ colour.

    Args:
        low_pass: as in ``render``; "tents" have none.
        supersample: pixels are the means of so many squared (a box filter).

    Returns:
        For each camera (height · width, n) float32; in each row the Gaussians from front to back.
    """
    fine, arrays = finer(cameras, supersample), _arrays(splats)
    if mode == "tents":
        return [_tent_weights(arrays, cameras, fine, i, supersample) for i in range(len(cameras))]
    return [
        sparse_weights(
            _tiled(arrays, fine, i, mode, low_pass),
            len(splats), cameras.width, cameras.height, mode == "surfels", supersample,
        )
        for i in range(len(cameras))
    ]  # fmt: skip


def render_tents(splats: Splats, cameras: Cameras) -> Rendered:
    """Pictures of surfels as Blender draws them, without a background; only colours have gradients."""
    weights = compositing_weights(splats, cameras, "tents")
    size, count = (cameras.height, cameras.width), len(splats)
    colour = torch.stack([_Weighing.apply(splats.colour, each).reshape(*size, 3) for each in weights])
    far = torch.linalg.vector_norm(splats.position.detach() - cameras.position[:, None], dim=2).numpy()
    alpha = torch.from_numpy(np.stack([each.sum(axis=1).reshape(size) for each in weights]).astype(np.float32))
    sums = np.stack([(each @ one).reshape(size) for each, one in zip(weights, far, strict=True)])
    distance = torch.where(alpha > 0, torch.from_numpy(sums.astype(np.float32)) / alpha.clamp(min=1e-12), 0)
    nowhere = torch.zeros(len(cameras), count, 2), torch.zeros(len(cameras), count, dtype=torch.int32)
    return Rendered(colour, alpha, distance, *nowhere)


@torch.no_grad()
def covered(
    splats: Splats, cameras: Cameras, mode: Mode, *, low_pass: bool = True, supersample: Finer = 1
) -> Float[Tensor, "c height width"]:
    """Alpha alone, as ``render`` gives it, with no gradient: where there are holes.

    Args:
        low_pass, supersample: as in ``compositing_weights``.
    """
    fine, arrays = finer(cameras, supersample), _arrays(splats)
    alpha = np.zeros((len(cameras), fine.height, fine.width), np.float32)
    for i in range(len(cameras)):
        tiled = _tiled(arrays, fine, i, mode, low_pass)
        with one_at_a_time:
            cover(tiled, fine.width, fine.height, mode == "surfels", alpha[i])
    blocks = alpha.reshape(len(cameras), cameras.height, supersample, cameras.width, supersample)
    return torch.from_numpy(blocks.mean(axis=(2, 4)))


def finer(cameras: Cameras, supersample: int) -> Cameras:
    """The same with ``supersample`` times the pixels to each side."""
    if TILE % supersample:
        raise ValueError(f"supersample must divide {TILE}, not be {supersample}")
    return Cameras(
        cameras.position,
        cameras.R_scene_from_view,
        cameras.focal * supersample,
        cameras.centre * supersample,
        cameras.width * supersample,
        cameras.height * supersample,
    )


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _arrays(splats: Splats) -> tuple[np.ndarray, ...]:
    """Position, rotation, scale, opacity and colour."""
    return tuple(map(_array, (splats.position, splats.rotation, splats.scale, splats.opacity, splats.colour)))


def _spots(geometry: tuple[np.ndarray, ...], cameras: Cameras, i: int, mode: Mode, low_pass: bool) -> Spots:
    spots = Spots.empty(len(geometry[0]))
    with one_at_a_time:
        project(
            lens(cameras, i), cameras.width, cameras.height, *geometry,
            mode == "surfels", mode == "antialiased", low_pass, spots,
        )  # fmt: skip
    return spots


def _tiled(arrays: tuple[np.ndarray, ...], cameras: Cameras, i: int, mode: Mode, low_pass: bool) -> Tiled:
    spots = _spots(arrays[:4], cameras, i, mode, low_pass)
    with one_at_a_time:
        return tile(spots, arrays[3], arrays[4], cameras.width, cameras.height)


def _tent_weights(arrays, cameras: Cameras, fine: Cameras, i: int, supersample: int) -> sparse.csr_array:
    spots = _spots(arrays[:4], fine, i, "surfels", low_pass=False)
    shapes = tent_shapes(arrays[0], arrays[1], arrays[2], cameras.position[i].numpy())
    with one_at_a_time:
        tiled = tile(spots, arrays[3], arrays[4], fine.width, fine.height)
        return tent_weights(tiled, spots.z_depth, shapes, cameras.width, cameras.height, supersample)


class _Weighing(Function):
    """Colours to a picture, by the weights of each."""

    @staticmethod
    def forward(ctx, colour: Tensor, weights: sparse.csr_array):
        ctx.weights = weights
        return torch.from_numpy(weights @ _array(colour))

    @staticmethod
    @once_differentiable
    def backward(ctx, v_picture):
        return torch.from_numpy(ctx.weights.T @ _array(v_picture)), None


class _Projection(Function):
    """Gaussians to spots: centre, shape and distance have gradients; z-depth, box and radii have none."""

    @staticmethod
    def forward(ctx, position, rotation, scale, opacity, cameras: Cameras, mode: Mode, low_pass: bool):
        geometry = tuple(map(_array, (position, rotation, scale, opacity)))
        each = [_spots(geometry, cameras, i, mode, low_pass) for i in range(len(cameras))]
        spots = [torch.from_numpy(np.stack(arrays)) for arrays in zip(*each, strict=True)]
        ctx.save_for_backward(position, rotation, scale, spots[5])
        ctx.settings = cameras, mode, low_pass
        ctx.mark_non_differentiable(*spots[3:])
        return tuple(spots)

    @staticmethod
    @once_differentiable
    def backward(ctx, v_centre, v_shape, v_distance, *_):
        position, rotation, scale, radii = map(_array, ctx.saved_tensors)
        cameras, mode, low_pass = ctx.settings
        gradients = [np.zeros_like(array) for array in (position, rotation, scale)]
        for i in range(len(cameras)):
            with one_at_a_time:
                project_back(
                    lens(cameras, i), cameras.width, cameras.height, position, rotation, scale,
                    mode == "surfels", mode == "antialiased", low_pass,
                    radii[i], _array(v_centre[i]), _array(v_shape[i]), _array(v_distance[i]), *gradients,
                )  # fmt: skip
        return *map(torch.from_numpy, gradients), None, None, None, None


class _Blending(Function):
    """Spots to colour, alpha and distance, the last premultiplied too."""

    @staticmethod
    def forward(ctx, centre, shape, distance, opacity, colour, order, cameras: Cameras, mode: Mode):
        size = cameras.height, cameras.width
        drawn = [np.zeros((len(cameras), *size, *channels), np.float32) for channels in ((3,), (), ())]
        z_depth, box, radii = map(_array, order)
        all_spots = zip(*map(_array, (centre, shape, distance)), z_depth, box, radii, strict=True)
        tiles = []
        for i, arrays in enumerate(all_spots):
            with one_at_a_time:
                tiles.append(tile(Spots(*arrays), _array(opacity), _array(colour), *size[::-1]))
                blend(tiles[-1], *size[::-1], mode == "surfels", *(picture[i] for picture in drawn))
        pictures = tuple(map(torch.from_numpy, drawn))
        ctx.save_for_backward(shape, opacity, *pictures)
        ctx.tiles, ctx.is_tilted = tiles, mode == "surfels"
        return pictures

    @staticmethod
    @once_differentiable
    def backward(ctx, *v_pictures):
        shape, opacity, *pictures = map(_array, ctx.saved_tensors)
        v_pictures = tuple(map(_array, v_pictures))
        if not any(ctx.needs_input_grad[:4]):
            return None, None, None, None, _colour_gradient(ctx, v_pictures[0], len(opacity)), None, None, None
        cameras, height, width = pictures[1].shape
        v_centre = np.zeros((cameras, len(opacity), 2), np.float32)
        v_shape = np.zeros((cameras, len(opacity), SHAPE), np.float32)
        v_distance = np.zeros((cameras, len(opacity)), np.float32)
        v_opacity, v_colour = np.zeros(len(opacity), np.float32), np.zeros((len(opacity), 3), np.float32)
        for i, tiled in enumerate(ctx.tiles):
            seen = tiled.order
            with one_at_a_time:
                entries = blend_back(
                    tiled, width, height, ctx.is_tilted, *(of[i] for of in pictures), *(of[i] for of in v_pictures)
                )
                sums = summed(entries, tiled.slot_starts)
            v_centre[i, seen], v_shape[i, seen, :8] = sums[:, :2], sums[:, 2:10]
            v_shape[i, seen, 8] = sums[:, 10] * opacity[seen]
            v_opacity[seen] += sums[:, 10] * shape[i, seen, 8]
            v_colour[seen] += sums[:, 12:15]
            v_distance[i, seen] = sums[:, 15]
        gradients = map(torch.from_numpy, (v_centre, v_shape, v_distance, v_opacity, v_colour))
        return *gradients, None, None, None


def _colour_gradient(ctx, v_colour: np.ndarray, count: int) -> Tensor:
    gradient = np.zeros((count, 3), np.float32)
    for tiled, v_picture in zip(ctx.tiles, v_colour, strict=True):
        with one_at_a_time:
            entries = colours_back(tiled, v_picture.shape[1], v_picture.shape[0], ctx.is_tilted, v_picture)
            gradient[tiled.order] += summed(entries, tiled.slot_starts)
    return torch.from_numpy(gradient)
