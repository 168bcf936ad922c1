"""Gaussians in a fit: what a step changes, and what it never does."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from cyclorama.backend.lift.optimiser import Limits, Parameters, Rates
from cyclorama.backend.raster.splats import Splats
from cyclorama.backend.sphere.colour import srgb_from_linear

TENSORS = ("means", "scales", "quats", "opacities", "colours")


def scattered(count=20, seed=0):
    draw = np.random.default_rng(seed)
    towards = draw.normal(size=(count, 3))
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    rotation = draw.normal(size=(count, 4))
    arrays = (
        towards * np.geomspace(1, 120, count)[:, None],
        rotation / np.linalg.norm(rotation, axis=1, keepdims=True),
        draw.uniform(0.01, 0.5, (count, 3)),
        draw.uniform(0.1, 0.99, count),
        draw.uniform(0, 4, (count, 3)),
    )
    return Splats(*(torch.from_numpy(array.astype(np.float32)) for array in arrays))


def some_loss(parameters, step=0):
    """Pulls at everything, differently in each step."""
    draw = torch.Generator().manual_seed(step)
    tensors = vars(parameters.splats()).values()
    return torch.stack([(tensor * torch.randn(tensor.shape, generator=draw)).sum() for tensor in tensors]).sum()


def stepped(parameters, steps, first=0):
    for step in range(first, first + steps):
        some_loss(parameters, step).backward()
        assert parameters.step()
    return parameters


def test_what_goes_in_comes_out():
    splats = scattered()
    for name, tensor in vars(Parameters(splats).splats()).items():
        assert torch.allclose(tensor, vars(splats)[name], rtol=1e-5, atol=1e-6), name


def test_a_step_moves_near_and_far_gaussians_by_the_same_angle():
    splats = scattered()
    parameters = Parameters(splats, rates=Rates(position=1e-4))
    sideways = torch.linalg.cross(splats.position, torch.tensor([[0.3, 0.5, 0.8]]).expand(20, 3))
    (parameters.splats().position * sideways).sum().backward()
    parameters.step()
    moved = (parameters.splats().position - splats.position).norm(dim=1) / splats.position.norm(dim=1)
    assert torch.allclose(moved, torch.tensor(1e-4 * math.sqrt(3)), rtol=0.02)


def test_the_first_step_is_as_long_as_its_rate_says():
    parameters, rates = Parameters(scattered()), Rates()
    before = {name: parameters.tensors[name].detach().clone() for name in TENSORS}
    stepped(parameters, 1)
    wanted = (rates.position, rates.scale, rates.rotation, rates.opacity, rates.colour)
    for name, rate in zip(TENSORS, wanted, strict=True):
        moved = (parameters.tensors[name].detach() - before[name]).abs()
        assert float(moved.median()) == pytest.approx(rate, rel=1e-2), name


def test_the_rate_of_position_falls_exponentially_to_its_end():
    parameters = Parameters(scattered(), steps=4, rates=Rates(position=1e-2, position_at_end=1e-4))
    rates = []
    for step in range(6):
        rates.append(parameters.position_rate())
        stepped(parameters, 1, step)
    assert rates == pytest.approx([1e-2, 10**-2.5, 1e-3, 10**-3.5, 1e-4, 1e-4])


def test_steps_of_colour_are_equal_in_srgb():
    """Equally large from a dark, a middle and a white Gaussian; brighter than white as well."""
    splats = scattered(3)
    splats.colour[:] = torch.tensor([0.001, 0.2, 0.9])[:, None]
    parameters = Parameters(splats, rates=Rates(colour=0.01))
    (-parameters.splats().colour.sum()).backward()
    parameters.step()
    moved = srgb_from_linear(parameters.splats().colour.detach().numpy()) - srgb_from_linear(splats.colour.numpy())
    assert moved == pytest.approx(np.full((3, 3), 0.01), rel=1e-3)


def test_colours_never_become_negative_and_black_is_no_trap():
    splats = scattered()
    parameters = Parameters(splats, rates=Rates(colour=0.3))
    for _ in range(20):
        parameters.splats().colour.sum().backward()
        parameters.step()
    assert bool((parameters.splats().colour == 0).all())
    for _ in range(200):
        (-parameters.splats().colour.sum()).backward()
        parameters.step()
    assert bool((parameters.splats().colour > 1).all())


def test_only_the_free_change_and_the_fixed_stay_to_the_last_bit():
    splats = scattered()
    free = torch.arange(20) % 3 == 0
    parameters = stepped(Parameters(splats, free), 5)
    after = parameters.splats()
    for name, tensor in vars(splats).items():
        assert torch.equal(getattr(after, name)[:13], tensor[~free]), name
        assert not torch.isclose(getattr(after, name)[13:], tensor[free], rtol=1e-5, atol=1e-7).all(), name
    assert len(parameters) == 20


def test_nothing_free_is_no_error():
    splats = scattered()
    parameters = Parameters(splats, torch.zeros(20, dtype=torch.bool))
    assert parameters.step()
    assert torch.equal(parameters.splats().position, splats.position)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(wrong):
    parameters, untroubled = stepped(Parameters(scattered()), 3), stepped(Parameters(scattered()), 3)
    before = parameters.state()
    loss = some_loss(parameters)
    (loss + parameters.splats().opacity[4] * wrong).backward()
    assert not parameters.step()
    assert all(torch.equal(tensor, before[name]) for name, tensor in parameters.state().items())
    stepped(parameters, 3, 3)
    stepped(untroubled, 3, 3)
    assert torch.equal(parameters.splats().position, untroubled.splats().position)


def test_gaussians_stay_between_the_nearest_and_the_farthest():
    splats = scattered()
    for towards, limit in ((1, 0.5), (-1, 150.0)):
        parameters = Parameters(splats, rates=Rates(position=0.5), limits=Limits(nearest=0.5, farthest=150.0))
        for _ in range(40):
            (towards * parameters.splats().position.square().sum()).backward()
            parameters.step()
            distance = parameters.splats().position.norm(dim=1)
            assert float(distance.min()) >= 0.5 * (1 - 1e-5)
            assert float(distance.max()) <= 150 * (1 + 1e-5)
        assert float(distance.min() if towards > 0 else distance.max()) == pytest.approx(limit, rel=1e-4)


def test_flat_gaussians_stay_flat():
    parameters = Parameters(scattered(), limits=Limits(thickness=0.05), rates=Rates(scale=0.1))
    for _ in range(10):
        scale = parameters.splats().scale
        (scale[:, :2].sum() - 10 * scale[:, 2].sum()).backward()
        parameters.step()
    scale = parameters.splats().scale
    assert bool((scale[:, 2] <= 0.05 * scale[:, :2].amin(1) * (1 + 1e-5)).all())


def test_a_radial_rate_of_zero_keeps_every_distance():
    splats = scattered()
    parameters = stepped(Parameters(splats, rates=Rates(position=1e-3, radial=0.0)), 10)
    after = parameters.splats().position
    assert torch.allclose(after.norm(dim=1), splats.position.norm(dim=1), rtol=1e-4)
    assert float(((after - splats.position).norm(dim=1) / splats.position.norm(dim=1)).median()) > 1e-3


def test_an_interrupted_fit_goes_on_bit_for_bit():
    splats, free = scattered(), torch.arange(20) > 4
    whole = stepped(Parameters(splats, free, steps=20), 12)
    stored = save(stepped(Parameters(splats, free, steps=20), 5).state())
    resumed = Parameters(splats, free, steps=20)
    resumed.restore(load(stored))
    stepped(resumed, 7, 5)
    for name, tensor in whole.state().items():
        assert torch.equal(tensor, resumed.state()[name]), name


def test_a_kept_state_is_not_changed_by_going_on():
    parameters = stepped(Parameters(scattered()), 3)
    state = parameters.state()
    kept = {name: tensor.clone() for name, tensor in state.items()}
    stepped(parameters, 3)
    parameters.restore(state)
    stepped(parameters, 3)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in state.items())


@pytest.fixture
def adam_kernel_in_torch(monkeypatch):
    """gsplat's ``AdamCUDA.cu``, line by line."""

    def adam(param, param_grad, exp_avg, exp_avg_sq, valid, lr, b1, b2, eps):
        assert valid.dtype == torch.bool
        assert all(tensor.is_contiguous() for tensor in (param, param_grad, exp_avg, exp_avg_sq, valid))
        first = b1 * exp_avg[valid] + (1 - b1) * param_grad[valid]
        second = b2 * exp_avg_sq[valid] + (1 - b2) * param_grad[valid] ** 2
        exp_avg[valid], exp_avg_sq[valid] = first, second
        param[valid] += -lr * first / (second.sqrt() + eps)

    monkeypatch.setattr("gsplat.optimizers.selective_adam.adam", adam)


def test_on_a_gpu_only_what_was_seen_changes(adam_kernel_in_torch):
    splats, free = scattered(), torch.arange(20) > 4
    parameters = Parameters(splats, free, selective=True)
    before = parameters.state()
    seen = torch.arange(20) % 2 == 0
    for step in range(3):
        some_loss(parameters, step).backward()
        parameters.step(seen)
    for name in TENSORS:
        changed = (parameters.tensors[name] != before[name]).reshape(15, -1).any(1)
        assert changed.tolist() == seen[5:].tolist(), name


def test_on_a_gpu_steps_are_as_long_as_on_the_cpu(adam_kernel_in_torch):
    there, here = Parameters(scattered(), selective=True), Parameters(scattered(), selective=False)
    stepped(there, 20)
    stepped(here, 20)
    for name in TENSORS:
        assert torch.allclose(there.tensors[name], here.tensors[name], rtol=1e-4, atol=1e-5), name


def test_on_a_gpu_an_interrupted_fit_goes_on_as_well(adam_kernel_in_torch):
    splats = scattered()
    whole = stepped(Parameters(splats, selective=True), 8)
    resumed = Parameters(splats, selective=True)
    resumed.restore(load(save(stepped(Parameters(splats, selective=True), 5).state())))
    stepped(resumed, 3, 5)
    for name, tensor in whole.state().items():
        assert torch.equal(tensor, resumed.state()[name]), name
