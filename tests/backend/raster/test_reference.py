"""The slow rasterizer, which the fast ones are measured by, against closed forms and gsplat's own torch code."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cyclorama.backend.raster.splats import Cameras, Splats

from .reference import in_view, projected_covariance, render
from .test_cpu import cameras, cloud, doubled, head_on, one


def offsets(size: int) -> torch.Tensor:
    """(size, size, 2) pixels from the picture's middle."""
    along = torch.arange(size) + 0.5 - size / 2
    y, x = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([x, y], dim=-1).double()


def cut(alpha: torch.Tensor) -> torch.Tensor:
    return torch.where(alpha < 1 / 255, 0, alpha)


@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_a_round_gaussian_head_on_is_a_round_spot(mode):
    """σ = 0.2 m at 2 m with a focal length of 33 pixels: 3.3 pixels; widened by 0.3 pixel²."""
    plain, wide = 3.3**2, 3.3**2 + 0.3
    opacity = 0.5 * (plain / wide if mode == "antialiased" else 1)
    right = cut(opacity * torch.exp(-offsets(33).square().sum(-1) / (2 * wide)))
    shown = render(doubled(one()), head_on(), mode)
    assert torch.allclose(shown.alpha[0], right, atol=1e-7)
    assert torch.allclose(shown.colour[0], right[..., None] * torch.tensor([1.0, 0.5, 0.25]).double(), atol=1e-7)
    assert torch.allclose(shown.distance[0][right > 0], torch.tensor(2.0).double())


@pytest.mark.parametrize("low_pass", [True, False])
def test_a_tilted_surfel_is_where_the_rays_meet_its_plane(low_pass):
    """Turned by 50° about the vertical: the ray (x, y, 1) meets it at z = 2 / (1 - x tan 50°)."""
    angle = math.radians(50)
    splats = one(
        rotation=torch.tensor([[math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0]], dtype=torch.float64),
        scale=torch.tensor([[0.3, 0.1, 0.0]], dtype=torch.float64),
    )
    x, y = (offsets(33) / 33).unbind(-1)
    z = 2 / (1 + x * math.tan(angle))
    along, up = x * z / math.cos(angle), y * z
    squared = (along / 0.3) ** 2 + (up / 0.1) ** 2
    if low_pass:  # the outline's middle: where its left and right ends are seen
        ends = [33 * 0.3 * s * math.cos(angle) / (2 - 0.3 * s * math.sin(angle)) for s in (-1, 1)]
        aside = offsets(33) - torch.tensor([sum(ends) / 2, 0.0])
        squared = torch.minimum(squared, 2 * aside.square().sum(-1))
    right = cut(0.5 * torch.exp(-squared / 2))
    shown = render(doubled(splats), head_on(), "surfels", low_pass)
    assert (right > 0).sum() > 20
    assert torch.allclose(shown.alpha[0], right, atol=1e-6)


def test_of_two_gaussians_the_nearer_hides_the_farther():
    both = Splats(
        position=torch.tensor([[0.0, 0.0, 3.0], [0.0, 0.0, 2.0]]),
        rotation=torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(2, 4),
        scale=torch.full((2, 3), 0.2),
        opacity=torch.tensor([0.5, 0.8]),
        colour=torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
    )
    shown = render(doubled(both), head_on(), "surfels")
    middle = shown.colour[0, 16, 16]
    assert torch.allclose(middle, torch.tensor([0.8, 0.2 * 0.5, 0.0]).double(), atol=1e-6)
    assert float(shown.distance[0, 16, 16]) == pytest.approx((0.8 * 2 + 0.1 * 3) / 0.9, rel=1e-6)


def matrices(views: Cameras) -> tuple[torch.Tensor, torch.Tensor]:
    """World-to-view matrices and intrinsics as gsplat takes them, in double precision."""
    R = views.R_scene_from_view.double().transpose(1, 2)
    viewmats = torch.eye(4).double().repeat(len(views), 1, 1)
    viewmats[:, :3, :3], viewmats[:, :3, 3] = R, -(R @ views.position.double()[..., None])[..., 0]
    K = torch.eye(3).double().repeat(len(views), 1, 1)
    K[:, [0, 1], [0, 1]], K[:, :2, 2] = views.focal.double(), views.centre.double()
    return viewmats, K


def test_the_projection_is_that_of_gsplats_torch_code():
    gsplat = pytest.importorskip("gsplat.cuda._torch_impl")
    splats, views = doubled(cloud(200, 0)), cameras()
    viewmats, K = matrices(views)
    covariance, _ = gsplat._quat_scale_to_covar_preci(splats.rotation, splats.scale, compute_preci=False)
    means, covariances = gsplat._world_to_cam(splats.position, covariance, viewmats)
    centres, projected = gsplat._persp_proj(means, covariances, K, views.width, views.height)
    for i in range(len(views)):
        mean, axes, intrinsics = in_view(splats, views[[i]])
        front = mean[:, 2] > 0.01
        ours = projected_covariance(mean, axes, intrinsics, views.width, views.height)
        assert torch.allclose(ours[front], projected[i][front], rtol=1e-4)
        assert torch.allclose(((mean @ intrinsics.T)[:, :2] / mean[:, 2:])[front], centres[i][front], rtol=1e-4)


def test_the_surfels_middle_is_that_of_gsplats_torch_code():
    gsplat = pytest.importorskip("gsplat.cuda._torch_impl_2dgs")
    splats, view = cloud(50, 0, smallest=0.02, largest=0.2), head_on()
    splats = Splats(splats.position * 0.1 + torch.tensor([0.0, 0.0, 3.0]), *list(vars(splats).values())[1:])
    viewmats, K = (matrix.float() for matrix in matrices(view))
    _, middles, *_ = gsplat._fully_fused_projection_2dgs(
        splats.position, splats.rotation, splats.scale, viewmats, K, view.width, view.height
    )
    tiny = doubled(splats)
    for i in np.flatnonzero((middles[0] - 16).abs().amax(-1).numpy() < 12)[:10]:
        # Almost a line of sight's width: only the disc is left of it, and its centre of mass is the middle.
        alone = tiny[[int(i)]]
        with_disc = render(alone, view, "surfels").alpha[0]
        pixels = offsets(33) + 16.5
        disc = cut(alone.opacity * torch.exp(-(pixels - middles[0, i]).square().sum(-1)))
        without = render(alone, view, "surfels", low_pass=False).alpha[0]
        assert torch.allclose(with_disc, torch.maximum(disc, without), atol=1e-4)
