"""The CPU rasterizer against the slow one, and where it must hold its own: determinism, bad input, several threads."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import numba
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cyclorama.backend.raster import cpu
from cyclorama.backend.raster.rasterize import rasterize
from cyclorama.backend.raster.splats import Cameras, Mode, Rendered, Splats

from .reference import render as slow

NAMES = [field.name for field in fields(Splats)]
WAYS = [("classic", True), ("antialiased", True), ("surfels", True), ("surfels", False)]
SIZES = {"width": 75, "height": 50}


def cloud(count: int, seed: int, smallest: float = 0.01, largest: float = 0.4) -> Splats:
    """All around the origin, from within arm's length; long and flat ones, overlapping."""
    torch.manual_seed(seed)
    return Splats(
        position=6 * torch.rand(count, 3) - 3,
        rotation=torch.randn(count, 4),
        scale=smallest * (largest / smallest) ** torch.rand(count, 3),
        opacity=torch.rand(count),
        colour=2 * torch.rand(count, 3),
    )


def cameras(count: int = 3, seed: int = 1) -> Cameras:
    """Turned any way, beside one another, their principal points off the middle."""
    generator = np.random.default_rng(seed)
    drawn = generator.uniform(-1, 1, (count, 6)).astype(np.float32)
    return Cameras(
        position=torch.from_numpy(0.3 * drawn[:, :3]),
        R_scene_from_view=torch.from_numpy(
            Rotation.from_quat(generator.normal(size=(count, 4))).as_matrix().astype(np.float32)
        ),
        focal=torch.tensor([50.0, 60.0]) + torch.from_numpy(5 * drawn[:, 3:4]),
        centre=torch.tensor([37.0, 25.0]) + torch.from_numpy(12 * drawn[:, 4:]),
        **SIZES,
    )


def head_on(size: int = 33) -> Cameras:
    return Cameras.square(np.eye(3)[None], size, 2 * math.atan(0.5))


def one(**changes: torch.Tensor) -> Splats:
    """A round Gaussian 2 m before ``head_on``, half opaque."""
    plain = {
        "position": torch.tensor([[0.0, 0.0, 2.0]]),
        "rotation": torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        "scale": torch.full((1, 3), 0.2),
        "opacity": torch.tensor([0.5]),
        "colour": torch.tensor([[1.0, 0.5, 0.25]]),
    }
    return Splats(**(plain | changes))


def doubled(splats: Splats) -> Splats:
    return Splats(*(getattr(splats, name).double() for name in NAMES))


def asking(splats: Splats) -> Splats:
    return Splats(*(getattr(splats, name).clone().requires_grad_() for name in NAMES))


def gradients_of(splats: Splats) -> list[torch.Tensor]:
    return [getattr(splats, name).grad for name in NAMES]


def add_up(values) -> torch.Tensor:
    return torch.stack([value.sum() for value in values]).sum()


def pictures(rendered: Rendered) -> tuple[torch.Tensor, ...]:
    return rendered.colour, rendered.alpha, rendered.distance


@pytest.mark.parametrize(("mode", "low_pass"), WAYS)
@pytest.mark.parametrize("seed", range(3))
def test_pictures_are_those_of_the_slow_rasterizer(mode: Mode, low_pass: bool, seed: int):
    splats, views = cloud(600, seed), cameras()
    fast, true = cpu.render(splats, views, mode, low_pass=low_pass), slow(doubled(splats), views, mode, low_pass)
    assert true.certain.float().mean() > 0.98
    assert true.alpha.mean() > 0.05
    for name in ("colour", "alpha", "distance"):
        apart = (getattr(fast, name) - getattr(true, name)).abs()
        assert apart[true.certain].max() < 1e-4, name


@pytest.mark.parametrize(("mode", "low_pass"), WAYS)
@pytest.mark.parametrize("seed", range(2))
def test_gradients_are_those_of_the_slow_rasterizer(mode: Mode, low_pass: bool, seed: int):
    splats, views = cloud(300, seed, smallest=0.05), cameras()
    fast, true = asking(splats), asking(doubled(splats))
    shown, known = cpu.render(fast, views, mode, low_pass=low_pass), slow(true, views, mode, low_pass)
    torch.manual_seed(seed)
    for rendered in (shown, known):
        torch.manual_seed(seed)
        losses = [
            (picture * (torch.rand(picture.shape) - 0.3))[known.certain].sum()
            for picture in (rendered.colour, rendered.alpha, rendered.distance)
        ]
        add_up(losses).backward()
    for name in NAMES:
        found, right = getattr(fast, name).grad, getattr(true, name).grad
        assert (found - right).norm() < 1e-3 * right.norm(), name


@pytest.mark.parametrize("mode", ["classic", "surfels"])
def test_the_gradient_of_the_centres_is_that_of_moving_the_spots(mode: Mode):
    """Moving the principal point moves all spots alike (and, for EWA, the limits of its derivative, far outside)."""
    splats, views = asking(cloud(40, 3, largest=0.1)), cameras(1)
    weights = torch.rand(1, SIZES["height"], SIZES["width"], 3, generator=torch.Generator().manual_seed(0)) - 0.5
    shown = cpu.render(splats, views, mode)
    shown.centres.retain_grad()
    (shown.colour * weights).sum().backward()

    def loss(step: float) -> float:
        moved = replace(views, centre=views.centre.double() + torch.tensor([step, 0.0]))
        return float((slow(doubled(splats), moved, mode).colour * weights).sum().detach())

    slope = (loss(1e-6) - loss(-1e-6)) / 2e-6
    assert slope != pytest.approx(0, abs=1e-3)
    gradient = shown.centres.grad
    assert gradient is not None
    assert float(gradient[..., 0].sum()) == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize(("mode", "low_pass"), WAYS)
def test_colours_alone_get_the_gradient_they_get_with_everything(mode: Mode, low_pass: bool):
    splats, views = cloud(300, 0), cameras()
    alone = Splats(**{name: getattr(splats, name) for name in NAMES[:4]}, colour=splats.colour.clone().requires_grad_())
    together = asking(splats)
    for asked in (alone, together):
        cpu.render(asked, views, mode, low_pass=low_pass).colour.square().sum().backward()
    assert torch.allclose(alone.colour.grad, together.colour.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("mode", "low_pass"), WAYS)
@pytest.mark.parametrize("finer", [1, 2, 4])
def test_weights_times_colours_are_the_pictures_averaged(mode: Mode, low_pass: bool, finer):
    splats, views = cloud(400, 1), cameras()
    weights = cpu.compositing_weights(splats, views, mode, low_pass=low_pass, supersample=finer)
    fine = cpu.render(splats, cpu.finer(views, finer), mode, low_pass=low_pass)
    blocks = (len(views), SIZES["height"], finer, SIZES["width"], finer)
    colour = fine.colour.reshape(*blocks, 3).mean((2, 4)).reshape(len(views), -1, 3).numpy()
    alpha = fine.alpha.reshape(blocks).mean((2, 4))
    for matrix, picture in zip(weights, colour, strict=True):
        assert matrix.shape == (SIZES["height"] * SIZES["width"], len(splats))
        np.testing.assert_allclose(matrix @ splats.colour.numpy(), picture, atol=2e-6)
    covered = cpu.covered(splats, views, mode, low_pass=low_pass, supersample=finer)
    assert torch.allclose(covered, alpha, atol=1e-6)


def test_weights_come_front_to_back():
    near, far = one(opacity=torch.tensor([0.9])), one(position=torch.tensor([[0.0, 0.0, 3.0]]))
    both = Splats(*(torch.cat([getattr(far, name), getattr(near, name)]) for name in NAMES))
    (weights,) = cpu.compositing_weights(both, head_on(), "surfels")
    middle = 16 * 33 + 16
    row = slice(weights.indptr[middle], weights.indptr[middle + 1])
    assert weights.indices[row].tolist() == [1, 0]
    np.testing.assert_allclose(weights.data[row], [0.9, 0.1 * 0.5], rtol=1e-5)


@pytest.mark.parametrize("mode", ["classic", "surfels"])
def test_the_number_of_threads_changes_no_bit(mode: Mode):
    views, most = cameras(2), numba.get_num_threads()
    if most == 1:
        pytest.skip("needs two cores")
    results = []
    for threads in (1, most, most):
        numba.set_num_threads(threads)
        splats = asking(cloud(2000, 5))
        shown = cpu.render(splats, views, mode)
        add_up(picture.square() for picture in pictures(shown)).backward()
        (weights, _) = cpu.compositing_weights(splats, views, mode)
        results.append(
            (*pictures(shown), *gradients_of(splats), *map(torch.from_numpy, (weights.data, weights.indices)))
        )
    numba.set_num_threads(most)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_several_threads_may_render_at_once():
    views = cameras(1)
    clouds = [cloud(500, seed) for seed in range(8)]
    alone = [cpu.render(splats, views, "surfels").colour for splats in clouds]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda splats: cpu.render(splats, views, "surfels").colour, clouds))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("mode", ["classic", "antialiased", "surfels"])
def test_no_gaussians_give_an_empty_picture(mode: Mode):
    nothing = asking(cloud(3, 0)[:0])
    for splats in (nothing, asking(one(position=torch.tensor([[0.0, 0.0, -2.0]])))):
        shown = cpu.render(splats, head_on(), mode)
        add_up(pictures(shown)).backward()
        assert not any(picture.any() for picture in pictures(shown))
        assert not splats.position.grad.any()
        assert cpu.compositing_weights(splats, head_on(), mode)[0].nnz == 0


BAD = {
    "a position that is no number": {"position": torch.tensor([[math.nan, 0.0, 2.0]])},
    "a position without end": {"position": torch.tensor([[0.0, math.inf, 2.0]])},
    "a rotation that is no number": {"rotation": torch.full((1, 4), math.nan)},
    "a scale that is no number": {"scale": torch.full((1, 3), math.nan)},
    "a scale without end": {"scale": torch.full((1, 3), math.inf)},
    "an opacity that is no number": {"opacity": torch.tensor([math.nan])},
    "no opacity": {"opacity": torch.tensor([0.0])},
    "a colour that is no number": {"colour": torch.full((1, 3), math.nan)},
    "a colour without end": {"colour": torch.full((1, 3), math.inf)},
}


@pytest.mark.parametrize("mode", ["classic", "antialiased", "surfels"])
@pytest.mark.parametrize("fault", BAD)
def test_what_cannot_be_drawn_is_left_out(mode: Mode, fault: str):
    good, bad = one(), one(**BAD[fault])
    alone = cpu.render(good, head_on(), mode)
    both = asking(Splats(*(torch.cat([getattr(bad, name), getattr(good, name)]) for name in NAMES)))
    shown = cpu.render(both, head_on(), mode)
    for picture, right in zip(pictures(shown), pictures(alone), strict=True):
        assert torch.equal(picture, right)
    add_up(pictures(shown)).backward()
    assert all(torch.isfinite(gradient).all() for gradient in gradients_of(both))
    assert gradients_of(both)[-1][1].any()


ODD = {
    "a point": {"scale": torch.zeros(1, 3)},
    "a line": {"scale": torch.tensor([[0.2, 0.0, 0.0]])},
    "larger than the scene": {"scale": torch.full((1, 3), 1e6)},
    "the camera within": {"position": torch.tensor([[0.0, 0.0, 0.02]])},
    "beside the camera, reaching behind it": {
        "position": torch.tensor([[0.5, 0.0, 0.05]]),
        "rotation": torch.tensor([[0.7, 0.1, 0.7, 0.0]]),
    },
    "a rotation of no length": {"rotation": torch.zeros(1, 4)},
    "seen from its edge": {"rotation": torch.tensor([[0.5**0.5, 0.5**0.5, 0.0, 0.0]])},
    "almost seen from its edge": {"rotation": torch.tensor([[0.7071, 0.7071, 0.0001, 0.0]])},
    "opaque": {"opacity": torch.tensor([1.0])},
}


@pytest.mark.parametrize(("mode", "low_pass"), WAYS)
@pytest.mark.parametrize("kind", ODD)
def test_odd_gaussians_give_no_nan(mode: Mode, low_pass: bool, kind: str):
    splats = asking(one(**ODD[kind]))
    shown = cpu.render(splats, head_on(), mode, low_pass=low_pass)
    add_up(picture.square() for picture in pictures(shown)).backward()
    assert all(torch.isfinite(picture).all() for picture in pictures(shown))
    assert all(torch.isfinite(gradient).all() for gradient in gradients_of(splats))
    assert 0 <= float(shown.alpha.detach().min()) <= float(shown.alpha.detach().max()) <= 0.9991


@pytest.mark.parametrize("low_pass", [True, False])
def test_a_surfel_that_reaches_behind_the_camera_is_seen_as_far_as_it_is_in_front(low_pass: bool):
    splats = one(
        position=torch.tensor([[0.05, 0.3, 0.6]]),
        rotation=torch.tensor([[0.7071, 0.72, 0.02, 0.0]]),
        scale=torch.tensor([[0.5, 1.0, 0.1]]),
        opacity=torch.tensor([0.9]),
    )
    fast = cpu.render(splats, head_on(), "surfels", low_pass=low_pass)
    true = slow(splats, head_on(), "surfels", low_pass=low_pass)
    assert 0.05 < float(true.alpha.mean()) < 0.85
    assert (fast.alpha - true.alpha).abs()[true.certain].max() < 1e-4


@pytest.mark.parametrize("low_pass", [True, False])
def test_nothing_is_lost_of_surfels_all_around_the_camera(low_pass: bool):
    """A quarter as far as the others, so that many reach behind it, and into the picture from beside."""
    far, views = cloud(500, 7, smallest=0.1, largest=2.0), cameras(4, seed=2)
    near = replace(far, position=far.position / 4, opacity=0.1 * far.opacity)
    fast, true = cpu.render(near, views, "surfels", low_pass=low_pass), slow(doubled(near), views, "surfels", low_pass)
    assert true.alpha.mean() > 0.3
    assert (fast.alpha - true.alpha).abs()[true.certain].max() < 1e-4
    assert (fast.colour - true.colour).abs()[true.certain].max() < 1e-4


@pytest.mark.parametrize("mode", ["classic", "surfels"])
def test_what_is_behind_shows_through_by_what_is_left(mode: Mode):
    splats, views = cloud(300, 2), cameras()
    plain = rasterize(splats, views, mode)
    grey = rasterize(splats, views, mode, background=torch.tensor([0.2, 0.3, 0.4]))
    behind = torch.tensor([0.2, 0.3, 0.4]) * (1 - plain.alpha)[..., None]
    assert torch.allclose(grey.colour, plain.colour + behind, atol=1e-6)
    assert torch.equal(grey.alpha, plain.alpha)


def test_the_distance_of_a_wall_is_along_the_ray():
    """A wall of surfels, 3 m before the camera; between their centres the distance is that of the nearest few."""
    across = torch.linspace(-3, 3, 121)
    x, y = torch.meshgrid(across, across, indexing="xy")
    count = x.numel()
    wall = Splats(
        position=torch.stack([x.ravel(), y.ravel(), torch.full((count,), 3.0)], dim=-1),
        rotation=torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(count, 4),
        scale=torch.full((count, 3), 0.035),
        opacity=torch.full((count,), 0.99),
        colour=torch.ones(count, 3),
    )
    view = Cameras.square(np.eye(3)[None], 64, math.radians(80))
    shown = cpu.render(wall, view, "surfels")
    slope = (torch.arange(64) + 0.5 - 32) / view.focal[0, 0]
    right = 3 * (1 + slope[None, :] ** 2 + slope[:, None] ** 2).sqrt()
    assert float(shown.alpha.min()) > 0.98
    assert float((shown.distance[0] / right - 1).abs().max()) < 0.02
