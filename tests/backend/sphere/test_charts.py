"""Families of charts: projecting a field to them, and fusing what they show."""

import numpy as np
import pytest
import torch

from cyclorama.backend.sphere.charts import SeparateViews, TangentViews, charts_of
from cyclorama.backend.sphere.equirectangular import directions
from cyclorama.backend.sphere.icosphere import VIEW_FOV, view_rotations
from cyclorama.backend.sphere.windows import WholePanorama, Windows

from .fields import apart, relative, waves

HEIGHT = 64
LATENT = VIEW_FOV / (HEIGHT // 2)
"""Mean distance of the field's samples, radians."""

FAMILIES = [TangentViews, SeparateViews, Windows, WholePanorama]


@pytest.fixture(params=FAMILIES, ids=lambda family: family.__name__)
def charts(request):
    return charts_of(request.param, HEIGHT)


def test_constants_pass_unchanged(charts):
    constant = torch.full((len(charts.samples), 2, 1), -0.4)
    for passed in (charts.project(constant), charts.fuse(charts.project(constant))):
        assert torch.allclose(passed, torch.tensor(-0.4), atol=1e-6, rtol=0)


def test_what_is_projected_and_fused_comes_back(charts):
    """Relative error below 1e-3 for latents that the grid resolves: waves from six latents on."""
    for length in (6, 8, 12):
        field = waves(charts.samples, length * LATENT)
        wanted = 3e-3 if isinstance(charts, Windows) and length == 6 else 1e-3
        assert relative(charts.fuse(charts.project(field)), field) < wanted


def test_each_chart_shows_what_lies_in_its_rays(charts):
    shown = charts.project(waves(charts.samples, 8 * LATENT))
    for chart in range(charts.count):
        rays = charts.rays(chart)
        assert rays.shape == (*charts.size, 3)
        assert relative(shown[chart].reshape(-1, 1, 1), waves(rays.reshape(-1, 3), 8 * LATENT)) < 2e-3


def test_each_chart_shows_the_part_of_a_picture_that_lies_in_its_rays(charts):
    """Four times as fine as the latents; averaged down it is what the rays see."""
    panorama = waves(directions(4 * HEIGHT).reshape(-1, 3), 12 * LATENT).reshape(1, 4 * HEIGHT, 8 * HEIGHT)
    for chart in range(charts.count):
        (fine,) = charts.pictures([chart], panorama)
        assert fine.shape == (1, 4 * charts.size[0], 4 * charts.size[1])
        seen = torch.nn.functional.avg_pool2d(fine, 4).reshape(-1, 1, 1)
        assert relative(seen, waves(charts.rays(chart).reshape(-1, 3), 12 * LATENT)) < 0.02


def test_views_that_overlap_agree_after_fusion():
    """Two views' values in the same direction differ by less than a thousandth of their spread."""
    charts = charts_of(TangentViews, HEIGHT)
    images = charts.project(waves(charts.samples, 12 * LATENT))
    assert apart(charts, images) < 1e-3
    offsets = images + 0.3 * torch.randn(charts.count, 1, 1, 1, 1)
    assert apart(charts, charts.project(charts.fuse(offsets))) < 0.1 * apart(charts, offsets)


def test_disagreement_is_averaged_and_hardly_anywhere_amplified():
    charts = charts_of(TangentViews, HEIGHT)
    noise = torch.randn(charts.count, 60, 1, *charts.size)
    spread = charts.fuse(noise).var(dim=(1, 2))
    assert spread.mean() < 0.6
    assert spread.max() < 3


def test_the_middle_of_a_view_counts_more_than_its_edge():
    charts = charts_of(TangentViews, HEIGHT)
    images = torch.zeros(charts.count, 1, 1, *charts.size)
    images[3] = 1.0
    fused = charts.fuse(images).flatten()
    off_axis = np.degrees(np.arccos(charts.samples @ view_rotations()[3][:, 2]))
    assert fused[off_axis < 5].mean() > 0.5
    assert fused[(off_axis > 33) & (off_axis < 38)].abs().mean() < 0.25


def test_the_way_to_equirectangular_latents_and_back_is_exact_for_smooth_fields(charts):
    field = waves(charts.samples, 10 * LATENT)
    there = charts.to_equirectangular(field)
    assert relative(there, waves(directions(HEIGHT).reshape(-1, 3), 10 * LATENT)) < 1e-3
    assert relative(charts.from_equirectangular(there), field) < 1e-3


@pytest.mark.parametrize("family", [Windows, WholePanorama])
def test_turning_by_90_degrees_gives_the_same_windows(family):
    charts = charts_of(family, HEIGHT)
    field = torch.randn(HEIGHT, 2 * HEIGHT, 3, 2)
    turned = field.roll(HEIGHT // 2, dims=1)
    back = charts.fuse(torch.sin(charts.project(turned.flatten(0, 1)))).unflatten(0, (HEIGHT, 2 * HEIGHT))
    plain = charts.fuse(torch.sin(charts.project(field.flatten(0, 1)))).unflatten(0, (HEIGHT, 2 * HEIGHT))
    away_from_poles = slice(HEIGHT // 6, -HEIGHT // 6)
    assert torch.allclose(back.roll(-HEIGHT // 2, dims=1)[away_from_poles], plain[away_from_poles], atol=1e-5)


def test_windows_keep_every_detail_away_from_the_poles():
    charts = charts_of(Windows, HEIGHT)
    field = torch.randn(2 * HEIGHT**2, 2, 1)
    latitude = np.degrees(np.arcsin(charts.samples[:, 2]))
    inside = torch.from_numpy(np.abs(latitude) < 54)
    assert torch.allclose(charts.fuse(charts.project(field))[inside], field[inside], atol=1e-6)


def test_windows_show_no_seam_for_a_model_that_darkens_their_edges():
    """What a window's edge does wrong hardly counts: feathered weights."""
    charts = charts_of(Windows, HEIGHT)
    images = torch.ones(charts.count, 1, 1, *charts.size)
    images[..., :2] = images[..., -2:] = 0
    fused = charts.fuse(images).unflatten(0, (HEIGHT, 2 * HEIGHT))[:, :, 0, 0]
    assert fused.min() > 0.97
