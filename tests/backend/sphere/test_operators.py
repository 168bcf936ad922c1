"""Sparse operators between sets of directions."""

import numpy as np
import pytest
import torch

from cyclorama.backend.sphere.equirectangular import directions
from cyclorama.backend.sphere.icosphere import icosphere
from cyclorama.backend.sphere.operators import between_scattered, from_equirectangular, from_plane

from .fields import relative, waves

HEIGHT = 32


def somewhere(count, seed=0):
    towards = np.random.default_rng(seed).normal(size=(count, 3))
    return towards / np.linalg.norm(towards, axis=1, keepdims=True)


def scattered(degree=4, neighbours=28):
    return between_scattered(icosphere(16), somewhere(500), neighbours, degree)


def on_the_grid():
    poles_and_seam = np.array([[0, 0, 1.0], [0, 0, -1.0], [0, -1.0, 0], [1e-9, -1, 0], [-1e-9, -1, 0]])
    return from_equirectangular(HEIGHT, np.concatenate([poles_and_seam, somewhere(500)]))


@pytest.mark.parametrize("operator", [scattered(), scattered(0, 8), on_the_grid()])
def test_a_constant_stays_that_constant(operator):
    constant = torch.full((operator.columns, 2), 0.7)
    assert torch.allclose(operator(constant), torch.tensor(0.7), atol=3e-6, rtol=0)


def test_a_smooth_field_is_carried_from_scattered_samples():
    points, targets = icosphere(16), somewhere(500)
    spacing = np.sqrt(4 * np.pi / len(points))
    carried = between_scattered(points, targets, 28, 4)(waves(points, 8 * spacing))
    assert relative(carried, waves(targets, 8 * spacing)) < 1e-3


def test_higher_degrees_keep_what_the_papers_mean_blurs():
    points, targets = icosphere(16), somewhere(500)
    spacing = np.sqrt(4 * np.pi / len(points))
    field, wanted = waves(points, 8 * spacing), waves(targets, 8 * spacing)
    mean = relative(between_scattered(points, targets, 8, 0)(field), wanted)
    fitted = relative(between_scattered(points, targets, 28, 4)(field), wanted)
    assert fitted < mean / 50


def test_the_slow_way_gives_the_same():
    """The fit, done one target at a time with numpy's least squares."""
    points, targets = icosphere(12), somewhere(5, seed=3)
    field = waves(points, 0.8)[:, 0, 0].numpy().astype(np.float64)
    carried = between_scattered(points, targets, 28, 4)(torch.from_numpy(field)[:, None])[:, 0]
    for target, got in zip(targets, carried, strict=True):
        distance = np.linalg.norm(points - target, axis=1)
        near = np.argsort(distance)[:28]
        reach = distance[near].max()
        east = np.cross([0, 0, 1], target) / np.linalg.norm(np.cross([0, 0, 1], target))
        x, y = points[near] @ east / reach, points[near] @ np.cross(target, east) / reach
        r = distance[near] / reach
        root = np.sqrt((1 - r) ** 4 * (4 * r + 1) + 1e-9)
        terms = np.stack([x**i * y**j for i in range(5) for j in range(5 - i)], axis=1)
        value = np.linalg.lstsq(terms * root[:, None], field[near] * root, rcond=None)[0][0]
        assert float(got) == pytest.approx(value, abs=1e-5)


def test_samples_that_are_trusted_less_count_less():
    points = icosphere(8)
    wrong = np.random.default_rng(0).random(len(points)) < 0.3
    field = torch.from_numpy(np.where(wrong, 5.0, 1.0).astype(np.float32))[:, None]
    trusting = between_scattered(points, somewhere(100), 40, 1)
    knowing = between_scattered(points, somewhere(100), 40, 1, np.where(wrong, 1e-3, 1.0))
    assert (knowing(field) - 1).abs().max() < 0.05 < (trusting(field) - 1).abs().max()


def test_the_grid_has_no_seam_and_no_poles():
    field = waves(directions(HEIGHT).reshape(-1, 3), 8 * np.pi / HEIGHT)
    longitude = np.linspace(np.pi - 0.05, np.pi + 0.05, 50)
    across = np.stack([np.sin(longitude), np.cos(longitude), 0.3 + 0 * longitude], axis=1)
    latitude = np.linspace(np.pi / 2 - 0.1, np.pi / 2 + 0.1, 50)
    over = np.stack([np.cos(latitude) * np.sin(0.4), np.cos(latitude) * np.cos(0.4), np.sin(latitude)], axis=1)
    for path in (across / np.linalg.norm(across, axis=1, keepdims=True), over, over * [1, 1, -1]):
        assert relative(from_equirectangular(HEIGHT, path)(field), waves(path, 8 * np.pi / HEIGHT)) < 2e-3


def test_the_grid_gives_back_its_own_samples():
    field = torch.randn(2 * HEIGHT**2, 3)
    assert torch.allclose(from_equirectangular(HEIGHT, directions(HEIGHT).reshape(-1, 3))(field), field, atol=1e-4)


def test_a_plane_is_interpolated_up_to_its_edges():
    row, column = np.meshgrid(np.arange(12.0), np.arange(12.0), indexing="ij")
    field = torch.from_numpy((0.1 * row**2 + column - 0.02 * column**3).astype(np.float32).reshape(-1, 1))
    places = np.random.default_rng(0).uniform(0, 11, (2, 200))
    got = from_plane(12, places[0], places[1])(field)[:, 0].numpy()
    assert np.allclose(got, 0.1 * places[1] ** 2 + places[0] - 0.02 * places[0] ** 3, atol=1e-4)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_comes_close_to_full(kind):
    operator, field = scattered(), torch.randn(10 * 16**2 + 2, 14, 4)
    half = operator(field.to(kind))
    assert half.dtype == kind
    assert relative(half.float(), operator(field)) < 10 * torch.finfo(kind).eps


def test_channels_and_frames_are_carried_alike():
    operator, field = scattered(), torch.randn(10 * 16**2 + 2, 3, 5)
    together = operator(field)
    assert together.shape == (500, 3, 5)
    assert torch.allclose(together[:, 1, 4], operator(field[:, 1, 4]), atol=1e-6)


def test_gradients_pass():
    operator = between_scattered(icosphere(4), somewhere(20), 16, 2)
    field = torch.randn(162, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(operator, field)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_a_gpu_gives_the_same(kind):
    operator, field = scattered(), torch.randn(10 * 16**2 + 2, 14, 4, dtype=kind)
    on_gpu = operator.to("cuda")(field.cuda()).cpu()
    assert relative(on_gpu.float(), operator(field).float()) < 10 * torch.finfo(kind).eps
