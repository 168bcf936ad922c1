"""Losses are what their papers' formulas say, and always leave a fit a direction to go."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from cyclorama.backend.lift.losses import (
    DISTURBED_4K4DGEN,
    DISTURBED_TIP4GEN,
    Disturbance,
    Weights,
    geometric,
    photometric,
    srgb,
    ssim,
    temporal,
)
from cyclorama.backend.sphere.colour import srgb_from_linear


def pictures(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradient(loss, at):
    variable = at.clone().requires_grad_(True)
    return torch.autograd.grad(loss(variable), variable)[0]


# The curve


def test_between_black_and_white_the_curve_is_srgb():
    linear = torch.linspace(0, 1, 1001)

    assert np.abs(srgb(linear).numpy() - srgb_from_linear(linear.numpy())).max() < 1e-6


@pytest.mark.parametrize("linear", [-0.5, 0.0, 1e-9, 0.0031308, 0.5, 1.0, 3.0, 60_000.0])
def test_the_curve_has_a_finite_upward_slope_everywhere(linear):
    slope = float(gradient(lambda at: srgb(at).sum(), torch.tensor([linear])))

    assert 0 < slope <= 12.93


def test_the_curve_has_neither_step_nor_kink_at_white():
    below, above = torch.tensor([1 - 1e-7, 1 + 1e-7], dtype=torch.float64)

    assert abs(float(srgb(above) - srgb(below))) < 1e-6
    assert gradient(srgb, below) == pytest.approx(float(gradient(srgb, above)), rel=1e-5)


def test_above_white_a_stop_is_a_stop_however_bright():
    stops = srgb(torch.tensor([1.0, 2.0, 4.0, 8192.0, 16384.0], dtype=torch.float64)).diff()

    assert stops[[0, 1, 3]].tolist() == pytest.approx([1.055 / 2.4 * math.log(2)] * 3)


def test_a_splat_too_bright_for_the_picture_is_darkened():
    """Which a clipped curve would not do."""
    target = srgb(torch.full((1, 16, 16, 3), 0.5))

    slopes = gradient(lambda linear: photometric(srgb(linear), target), torch.full((1, 16, 16, 3), 3.0))

    assert bool((slopes > 0).all())


# SSIM


def slow_ssim(first, second):
    """Wang 2004 eq. 13 at each pixel, from its window of 11² pixels, in a picture with black around it."""
    at = np.arange(11) - 5
    window = np.exp(-(at[:, None] ** 2 + at[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    first, second = (np.pad(picture, ((0, 0), (5, 5), (5, 5), (0, 0))) for picture in (first, second))
    views, height, width, channels = first.shape
    found = np.empty((views, height - 10, width - 10, channels))
    for view, row, column, channel in np.ndindex(found.shape):
        a = first[view, row : row + 11, column : column + 11, channel]
        b = second[view, row : row + 11, column : column + 11, channel]
        mean_a, mean_b = (window * a).sum(), (window * b).sum()
        variance_a, variance_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
        covariance = (window * (a - mean_a) * (b - mean_b)).sum()
        above = (2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
        found[view, row, column, channel] = above / ((mean_a**2 + mean_b**2 + 1e-4) * (variance_a + variance_b + 9e-4))
    return found


def test_ssim_is_what_its_formula_says_in_each_window():
    first, second = pictures(2, 17, 23, 3), 0.7 * pictures(2, 17, 23, 3) + 0.3 * pictures(2, 17, 23, 3, seed=1)
    expected = slow_ssim(first.numpy(), second.numpy())

    assert float(ssim(first, second)) == pytest.approx(expected.mean(), abs=1e-9)
    assert float(ssim(first.float(), second.float())) == pytest.approx(expected.mean(), abs=1e-4)


def test_ssim_of_chosen_pixels_is_their_own():
    first, second = pictures(2, 17, 23, 3), pictures(2, 17, 23, 3, seed=1)
    weights = pictures(2, 17, 23, seed=2)
    expected = np.average(slow_ssim(first.numpy(), second.numpy()).mean(-1), weights=weights.numpy())

    assert float(ssim(first, second, weights)) == pytest.approx(expected, abs=1e-9)


def test_equal_pictures_are_alike_and_negatives_are_not():
    picture = pictures(1, 20, 20, 3)

    assert float(ssim(picture, picture)) == pytest.approx(1)
    assert float(ssim(picture, 1 - picture)) < 0


# Colour and time


def test_the_photometric_loss_is_that_of_3dgs():
    rendered, target = pictures(1, 16, 16, 3), pictures(1, 16, 16, 3, seed=1)

    expected = 0.8 * (rendered - target).abs().mean() + 0.2 * (1 - ssim(rendered, target))

    assert float(photometric(rendered, target)) == pytest.approx(float(expected))
    assert float(photometric(rendered, target, 1, 0)) == pytest.approx(float((rendered - target).abs().mean()))
    assert float(photometric(target, target)) == pytest.approx(0, abs=1e-12)


def test_pixels_that_do_not_count_are_not_fitted():
    target = pictures(1, 24, 24, 3)
    weights = torch.zeros(1, 24, 24, dtype=torch.float64)
    weights[:, :8] = 1
    rendered = target.clone()
    rendered[:, 16:] = 0  # beyond the windows of those that count

    assert float(photometric(rendered, target, weights=weights)) == pytest.approx(0, abs=1e-12)
    slopes = gradient(lambda at: photometric(at, target, weights=weights), rendered * 0.9)
    assert float(slopes[:, 16:].abs().max()) == 0 < float(slopes[:, :8].abs().min())
    assert float(photometric(rendered, target, weights=weights * 0)) == pytest.approx(0.2)  # nothing alike, no error


def test_the_temporal_loss_is_the_mean_change_and_moves_only_the_new_frame():
    before = torch.zeros(2, 4, 4, 3, requires_grad=True)
    now = torch.zeros(2, 4, 4, 3)
    now[0, 0, 0] = torch.tensor([0.3, 0.6, 0.9])
    now.requires_grad_(True)

    loss = temporal(now, before)
    loss.backward()

    assert loss.item() == pytest.approx(0.6 / 32)
    assert before.grad is None
    still = torch.ones(2, 4, 4)
    still[0, 0, 0] = 0
    assert temporal(now, before, still).item() == 0
    assert temporal(now, before, 1 - still).item() == pytest.approx(0.6)


# Shape


def test_the_geometric_loss_is_one_minus_pearson_s_correlation_of_each_view():
    rendered, target = pictures(3, 8, 9) + 2, pictures(3, 8, 9, seed=1) * 50 + 7
    expected = [np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in zip(rendered, target, strict=True)]

    assert float(geometric(rendered, target)) == pytest.approx(1 - np.mean(expected), abs=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_geometry_that_is_right_but_for_scale_and_shift_costs_nothing(scale):
    target = (pictures(2, 16, 16) * 30 + 1).float()

    assert float(geometric(scale * (target + 2), target)) < 1e-4
    assert float(geometric(scale * (100 - target), target)) > 1.99


def test_geometry_counts_only_where_it_is_known():
    target = pictures(2, 8, 8) + 1
    rendered = 2 * target
    rendered[:, :3] = 0
    known = (rendered > 0).double()

    assert float(geometric(rendered, target, known)) < 1e-4 < 0.1 < float(geometric(rendered, target))


def test_the_target_of_the_geometric_loss_stays_where_it_is():
    rendered, target = ((pictures(2, 6, 5, seed=seed) + 1).requires_grad_(True) for seed in (0, 1))

    geometric(rendered, target).backward()

    assert rendered.grad is not None and target.grad is None


def test_constant_geometry_gives_one_and_a_finite_gradient():
    flat, wavy = torch.full((1, 16, 16), 1000.0), (pictures(1, 16, 16) + 5).float()
    nothing = torch.zeros(1, 16, 16)

    for rendered, target, weights in [
        (flat, wavy, None),
        (wavy, flat, None),
        (flat, flat, None),
        (wavy, wavy, nothing),
    ]:
        slopes = gradient(lambda at, target=target, weights=weights: geometric(at, target, weights), rendered)
        assert float(geometric(rendered, target, weights)) == pytest.approx(1, abs=1e-3)
        assert bool(slopes.isfinite().all()) and float(slopes.abs().max()) < 1
    assert float(gradient(lambda at: geometric(at, flat), wavy).abs().max()) < 1e-6
    towards = -gradient(lambda at: geometric(at, wavy), flat)
    assert np.corrcoef(towards.flatten(), wavy.flatten())[0, 1] > 0.99


# Weights and the schedule


def test_the_weights_are_those_of_4k4dgen_unless_told_otherwise():
    weights = Weights()

    assert (weights.l1, weights.ssim, weights.lpips) == (0.8, 0.2, 0)
    assert weights.temporal == weights.semantic == weights.geometric == 0.05


@pytest.mark.parametrize(
    ("iteration", "reach"), [(0, 0), (5399, 0), (5400, 0.05), (6599, 0.05), (6600, 0.1), (9000, 0.2), (9999, 0.2)]
)
def test_4k4dgen_disturbs_more_the_longer_it_fits(iteration, reach):
    assert DISTURBED_4K4DGEN.reach(iteration, 10_000) == reach


@pytest.mark.parametrize(
    ("iteration", "reach"), [(0, 0), (5399, 0), (5400, 0.05), (8999, 0.05), (9000, 0), (14_999, 0)]
)
def test_tip4gen_disturbs_for_a_while(iteration, reach):
    assert DISTURBED_TIP4GEN.reach(iteration, 15_000) == reach


def test_a_shorter_fit_is_disturbed_at_the_same_shares_of_it():
    reaches = [DISTURBED_4K4DGEN.reach(iteration, 100) for iteration in range(100)]

    assert [reaches.index(reach) for reach in (0.05, 0.1, 0.2)] == [54, 66, 90]
    assert not any(Disturbance().reach(iteration, 100) for iteration in range(100))


@pytest.mark.parametrize("start", [0.5, 20.0], ids=["from grey", "from far too bright"])
def test_a_fit_follows_its_losses_to_the_picture(start):
    target = srgb(pictures(1, 16, 16, 3).float())
    linear = torch.full((1, 16, 16, 3), start).requires_grad_(True)
    before = photometric(srgb(linear), target).item()
    optimiser = torch.optim.Adam([linear], lr=0.05 * start)
    slower = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.97)

    for _ in range(200):
        optimiser.zero_grad()
        photometric(srgb(linear), target).backward()
        optimiser.step()
        slower.step()

    assert photometric(srgb(linear), target).item() < 0.05 * before


def test_every_loss_has_the_gradient_of_its_values():
    first, second = pictures(2, 7, 6, 3).requires_grad_(True), pictures(2, 7, 6, 3, seed=1)
    weights = pictures(2, 7, 6, seed=2)

    assert gradcheck(lambda at: photometric(srgb(4 * at - 1), second, weights=weights), (first,))
    assert gradcheck(lambda at: temporal(srgb(4 * at - 1), second, weights), (first,))
    assert gradcheck(lambda at: geometric(1 + at[..., 0], second[..., 0], weights), (first,))
