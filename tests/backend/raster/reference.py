"""The slow, obvious rasterizer: every Gaussian at every pixel, in torch, gradients by autograd.

Written from the papers' formulas as they stand (3DGS eqs. 4-6, Mip-Splatting eq. 9, 2DGS eqs. 7-11) in the precision of
the Gaussians it is given; shares nothing with the rasterizers it checks but their definitions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cyclorama.backend.raster.splats import Cameras, Mode, Splats

NEAR, FAINTEST, DENSEST, OPAQUE, WIDENING, MARGIN = 0.01, 1 / 255, 0.999, 1e-4, 0.3, 0.3


@dataclass(frozen=True)
class Pictures:
    """As ``Rendered``; and which pixels no rounding can change.

    Attributes:
        certain: (c, height, width), False where some Gaussian is within 1e-3 of being too faint or of ending the pixel.
    """

    colour: Tensor
    alpha: Tensor
    distance: Tensor
    centres: Tensor
    certain: Tensor


def render(splats: Splats, cameras: Cameras, mode: Mode, low_pass: bool = True) -> Pictures:
    """Pictures of all cameras."""
    each = [_one(splats, cameras[[i]], mode, low_pass) for i in range(len(cameras))]
    return Pictures(*(torch.stack(values) for values in zip(*each, strict=True)))


def rotation_matrices(quaternions: Tensor) -> Tensor:
    """(n, 3, 3) of quaternions w, x, y, z of any length."""
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=-1).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def in_view(splats: Splats, camera: Cameras) -> tuple[Tensor, Tensor, Tensor]:
    """(n, 3) centres and (n, 3, 3) axes times standard deviations (columns) in view space; (3, 3) intrinsics."""
    R = camera.R_scene_from_view[0].to(splats.position)
    mean = (splats.position - camera.position[0].to(splats.position)) @ R
    axes = R.T @ (rotation_matrices(splats.rotation) * splats.scale[:, None, :])
    fx, fy = camera.focal[0].tolist()
    cx, cy = camera.centre[0].tolist()
    return mean, axes, torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=mean.dtype)


def projected_covariance(mean: Tensor, axes: Tensor, K: Tensor, width: int, height: int) -> Tensor:
    """(n, 2, 2) 3DGS eq. 5, pixels², not widened."""
    z = mean[:, 2]
    slopes = []
    for axis, size in ((0, width), (1, height)):
        margin = MARGIN * size / 2 / K[axis, axis]
        low, high = -K[axis, 2] / K[axis, axis] - margin, (size - K[axis, 2]) / K[axis, axis] + margin
        slopes.append((mean[:, axis] / z).clamp(low, high))
    zero = torch.zeros_like(z)
    J = torch.stack(
        [
            torch.stack([K[0, 0] / z, zero, -K[0, 0] * slopes[0] / z], dim=-1),
            torch.stack([zero, K[1, 1] / z, -K[1, 1] * slopes[1] / z], dim=-1),
        ],
        dim=-2,
    )
    return J @ axes @ axes.transpose(-1, -2) @ J.transpose(-1, -2)


def pixel_centres(width: int, height: int, like: Tensor) -> Tensor:
    """(height · width, 2)."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2).to(like)


def _ewa_alpha(mean: Tensor, axes: Tensor, K: Tensor, camera: Cameras, opacity: Tensor, fades: bool) -> Tensor:
    plain = projected_covariance(mean, axes, K, camera.width, camera.height)
    wide = plain + WIDENING * torch.eye(2, dtype=mean.dtype)
    if fades:
        opacity = opacity * (torch.linalg.det(plain).clamp(min=0) / torch.linalg.det(wide)).sqrt()
    d = pixel_centres(camera.width, camera.height, mean) - (mean @ K.T)[:, None, :2] / mean[:, None, 2:]
    exponent = 0.5 * torch.einsum("npi,nij,npj->np", d, torch.linalg.inv(wide), d)
    return opacity[:, None] * torch.exp(-exponent)


def _surfel_alpha(mean: Tensor, axes: Tensor, K: Tensor, camera: Cameras, opacity: Tensor, low_pass: bool) -> Tensor:
    M = K @ torch.stack([axes[..., 0], axes[..., 1], mean], dim=-1)  # (u, v, 1) -> z · pixel
    pixels = pixel_centres(camera.width, camera.height, mean)
    h_u = pixels[:, 0, None] * M[:, None, 2] - M[:, None, 0]
    h_v = pixels[:, 1, None] * M[:, None, 2] - M[:, None, 1]
    meets = torch.linalg.cross(h_u, h_v)
    edge_on = meets[..., 2] == 0
    uv = meets[..., :2] / torch.where(edge_on, 1, meets[..., 2])[..., None]
    where = M[:, 2, 0, None] * uv[..., 0] + M[:, 2, 1, None] * uv[..., 1] + M[:, 2, 2, None]
    squared = torch.where(edge_on | (where <= 0), torch.inf, uv.square().sum(dim=-1))
    if low_pass:
        signs = torch.tensor([1.0, 1, -1], dtype=mean.dtype)
        outlined = (signs * M[:, 2].square()).sum(dim=-1)
        middle = (signs * M[:, :2] * M[:, 2:]).sum(dim=-1) / outlined[:, None]
        disc = 2 * (pixels - middle[:, None]).square().sum(dim=-1)
        squared = torch.where((outlined < 0)[:, None], torch.minimum(squared, disc), squared)
    return opacity[:, None] * torch.exp(-0.5 * squared)


def _one(splats: Splats, camera: Cameras, mode: Mode, low_pass: bool) -> tuple[Tensor, ...]:
    mean, axes, K = in_view(splats, camera)
    order = torch.argsort(mean[:, 2].detach(), stable=True)
    order = order[mean[order, 2] > NEAR]
    distance = mean.norm(dim=-1)
    chosen = mean[order], axes[order], K, camera, splats.opacity[order]
    alpha = _surfel_alpha(*chosen, low_pass) if mode == "surfels" else _ewa_alpha(*chosen, mode == "antialiased")
    near_a_limit = (alpha / FAINTEST - 1).abs() < 1e-3
    alpha = torch.where(alpha < FAINTEST, 0, alpha.clamp(max=DENSEST))
    after = torch.cumprod(1 - alpha, dim=0)
    is_open = after > OPAQUE  # once it is not, it never is again
    near_a_limit |= ((after / OPAQUE - 1).abs() < 1e-3) & (alpha > 0)
    weights = torch.where(is_open, alpha * after / (1 - alpha), 0)
    shape = (camera.height, camera.width)
    total = weights.sum(dim=0)
    far = (weights * distance[order, None]).sum(dim=0) / torch.where(total > 0, total, 1)
    colour = torch.einsum("np,nc->pc", weights, splats.colour[order])
    centres = (mean @ K.T)[:, :2] / mean[:, 2:]
    certain = ~near_a_limit.any(dim=0)
    return colour.reshape(*shape, 3), total.reshape(shape), far.reshape(shape), centres, certain.reshape(shape)
