"""Pictures by gsplat: what goes into it and comes out. On the CPU its kernels are replaced by their torch twins."""

import builtins
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cyclorama.backend.raster import cpu, cuda
from cyclorama.backend.raster.splats import Cameras, Splats
from cyclorama.bridge.errors import CycloramaError

from . import gsplat_in_torch

MODES = ["classic", "antialiased", "surfels"]
TOWARDS_Y = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""R_scene_from_view of a level camera that looks along +Y: right is +X, down is -Z."""


@pytest.fixture
def gsplat_on_the_cpu(monkeypatch):
    gsplat_in_torch.install(monkeypatch)


def one(position=(0.0, 3.0, 0.0), rotation=(1.0, 0, 0, 0), scale=(0.2, 0.2, 0.2), opacity=0.8, colour=(0.2, 0.5, 3.0)):
    return Splats(*(torch.tensor([value]) for value in (position, rotation, scale, opacity, colour)))


def some(count=24, seed=0):
    draw = np.random.default_rng(seed)
    position = np.stack([draw.uniform(-1.5, 1.5, count), draw.uniform(2, 6, count), draw.uniform(-1.5, 1.5, count)], 1)
    arrays = (
        position,
        draw.normal(size=(count, 4)),
        draw.uniform(0.1, 0.5, (count, 3)),
        draw.uniform(0.2, 0.99, count),
        draw.uniform(0, 1, (count, 3)),
    )
    return Splats(*(torch.from_numpy(array.astype(np.float32)) for array in arrays))


def looking(size=33, fov=1.2, position=(0.0, 0.0, 0.0), rotations=(TOWARDS_Y,)):
    return Cameras.square(np.stack(rotations), size, fov, position)


def two_cameras(size=40):
    turned = TOWARDS_Y @ np.array([[math.cos(0.3), 0, math.sin(0.3)], [0, 1, 0], [-math.sin(0.3), 0, math.cos(0.3)]])
    return looking(size, 1.3, np.array([[0.0, 0, 0], [0.3, -0.2, 0.1]]), (TOWARDS_Y, turned))


@pytest.mark.parametrize("mode", MODES)
def test_the_middle_of_a_gaussian_shows_its_opacity_colour_and_distance(gsplat_on_the_cpu, mode):
    camera = looking(position=(0.0, -1.0, 0.0))
    turned_to_the_camera = (math.sqrt(0.5), math.sqrt(0.5), 0, 0)
    rendered = cuda.render(one(rotation=turned_to_the_camera), camera, mode)
    focal = float(camera.focal[0, 0])
    variance = (focal * 0.2 / 4) ** 2
    opacity = 0.8 * (variance / (variance + 0.3) if mode == "antialiased" else 1)
    assert rendered.alpha[0, 16, 16] == pytest.approx(opacity, rel=1e-4)
    assert rendered.colour[0, 16, 16].tolist() == pytest.approx([c * opacity for c in (0.2, 0.5, 3.0)], rel=1e-4)
    assert rendered.distance[0, 16, 16] == pytest.approx(4, rel=1e-5)
    assert rendered.centres[0, 0].tolist() == pytest.approx([16.5, 16.5], abs=1e-3)
    assert rendered.radii.dtype == torch.int32
    widest = math.sqrt(variance if mode == "surfels" else variance + 0.3)
    assert 3 * widest < rendered.radii[0, 0] < 3.33 * widest + 1.01


@pytest.mark.parametrize("mode", MODES)
def test_what_is_right_of_a_level_camera_is_right_in_the_picture_and_what_is_above_is_above(gsplat_on_the_cpu, mode):
    rendered = cuda.render(one(position=(0.5, 3.0, 1.0), scale=(0.05,) * 3), looking(), mode)
    x, y = rendered.centres[0, 0].tolist()
    focal = 16.5 / math.tan(0.6)
    assert (x, y) == pytest.approx((16.5 + focal * 0.5 / 3, 16.5 - focal / 3), abs=0.05)
    brightest = divmod(int(rendered.alpha[0].argmax()), 33)
    assert brightest == (int(y), int(x))


@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_a_long_gaussian_lies_where_its_quaternion_turns_it(gsplat_on_the_cpu, mode):
    """Long along x, turned by 90 degrees about y: long along z, so upright in the picture."""
    about_y = (math.sqrt(0.5), 0, math.sqrt(0.5), 0)
    alpha = cuda.render(one(rotation=about_y, scale=(0.5, 0.1, 0.1)), looking(), mode).alpha[0]
    assert alpha[8, 16] > 0.05
    assert alpha[16, 8] == 0


def test_a_surfel_is_round_only_from_the_front(gsplat_on_the_cpu):
    """It lies in its local xy plane: wide in the picture where its normal is turned to point along y, else a line."""
    facing = (math.sqrt(0.5), math.sqrt(0.5), 0, 0)
    front = cuda.render(one(rotation=facing), looking(), "surfels").alpha[0]
    nearly_edge_on = (math.cos(0.03), math.sin(0.03), 0, 0)
    edge = cuda.render(one(rotation=nearly_edge_on), looking(), "surfels").alpha[0]
    assert front[16 + 3, 16] > 0.1
    assert edge[16 + 3, 16] == 0
    assert edge[16, 16 + 3] > 0.1


@pytest.mark.parametrize("mode", MODES)
def test_distance_is_that_of_what_is_seen_and_zero_where_nothing_is(gsplat_on_the_cpu, mode):
    """Two Gaussians behind each other: the mean of their distances by their shares."""
    facing = (math.sqrt(0.5), math.sqrt(0.5), 0, 0)
    near, far = one((0.0, 2.0, 0.0), facing), one((0.0, 5.0, 0.0), facing)
    both = Splats(*(torch.cat(pair) for pair in zip(vars(far).values(), vars(near).values(), strict=True)))
    rendered = cuda.render(both, looking(), mode)
    alone = [cuda.render(each, looking(), mode).alpha[0, 16, 16] for each in (near, far)]
    shares = alone[0], (1 - alone[0]) * alone[1]
    assert rendered.distance[0, 16, 16] == pytest.approx(
        float((2 * shares[0] + 5 * shares[1]) / (shares[0] + shares[1])), rel=1e-4
    )
    assert rendered.alpha[0, 0, 0] == 0
    assert rendered.distance[0, 0, 0] == 0


@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_those_of_small_changes(gsplat_on_the_cpu, mode):
    splats, cameras = some(6), two_cameras(24)
    weights = waves(24)

    def value(splats):
        rendered = cuda.render(splats, cameras, mode)
        parts = [rendered.colour, rendered.alpha[..., None], 0.1 * (rendered.distance * rendered.alpha)[..., None]]
        return (torch.cat(parts, -1) * weights).double().sum()

    leaves = {name: tensor.clone().requires_grad_() for name, tensor in vars(splats).items()}
    value(Splats(**leaves)).backward()
    for name, leaf in leaves.items():
        assert leaf.grad is not None
        assert bool(torch.isfinite(leaf.grad).all()), name
        along = torch.nn.functional.normalize(leaf.grad.flatten(), dim=0).reshape(leaf.shape)
        step = 2e-3
        ahead, behind = (
            value(Splats(**{**vars(splats), name: vars(splats)[name] + sign * step * along})) for sign in (1, -1)
        )
        assert float((ahead - behind) / (2 * step)) == pytest.approx(float(leaf.grad.norm()), rel=0.05), name


@pytest.mark.parametrize("mode", MODES)
def test_centres_take_the_gradient_that_densification_needs(gsplat_on_the_cpu, mode):
    splats = some(6)
    splats.position.requires_grad_()
    rendered = cuda.render(splats, two_cameras(24), mode)
    rendered.centres.retain_grad()
    rendered.colour.square().sum().backward()
    seen = rendered.radii > 0
    assert rendered.centres.grad is not None
    assert rendered.centres.grad.shape == (2, 6, 2)
    assert int((rendered.centres.grad[seen].norm(dim=-1) > 0).sum()) > 0.7 * int(seen.sum())  # some are hidden
    assert bool((rendered.centres.grad[~seen] == 0).all())


def test_what_is_behind_the_camera_or_beside_the_picture_has_no_radius(gsplat_on_the_cpu):
    away = Splats(
        *(
            torch.cat(parts)
            for parts in zip(
                *(vars(one(position)).values() for position in ((0, -3.0, 0), (50.0, 3, 0), (0, 3.0, 0))), strict=True
            )
        )
    )
    for mode in MODES:
        rendered = cuda.render(away, looking(), mode)
        assert (rendered.radii > 0).tolist() == [[False, False, True]]


def test_surfels_beside_the_camera_leave_no_dots_in_the_picture(gsplat_on_the_cpu):
    """All are small and at least 3 m to the side, where a camera that sees 34 degrees to each side sees none."""
    draw = np.random.default_rng(0)
    splats = some(300)
    splats.position[:] = torch.from_numpy(draw.uniform((3, 0.02, -1), (5, 0.2, 1), (300, 3)))
    splats.scale[:] = 0.3
    assert not cuda.render(splats, looking(), "surfels").alpha.any()


def test_no_gaussians_give_a_black_picture(gsplat_on_the_cpu):
    rendered = cuda.render(some(3)[:0], two_cameras(24), "classic")
    assert rendered.colour.shape == (2, 24, 24, 3)
    assert rendered.centres.shape == (2, 0, 2)
    assert not rendered.alpha.any()


def test_surfels_without_their_filter_are_refused():
    with pytest.raises(CycloramaError) as refused:
        cuda.render(some(3), looking(), "surfels", low_pass=False)
    assert refused.value.code == "surfels-low-pass"


def test_a_missing_gsplat_is_one_clear_error(monkeypatch):
    ordinary = builtins.__import__

    def without(name, *rest, **more):
        if name.split(".")[0] == "gsplat":
            raise ImportError(name)
        return ordinary(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CycloramaError) as missing:
        cuda.render(some(3), looking(), "classic")
    assert missing.value.code == "gsplat-missing"
    assert missing.value.hint


def test_kernels_that_cannot_be_built_are_one_clear_error(monkeypatch):
    gsplat_in_torch.install_kernels(monkeypatch, None)
    with pytest.raises(CycloramaError) as unbuilt:
        cuda.render(some(3), looking(), "classic")
    assert unbuilt.value.code == "gsplat-not-built"
    assert "toolkit" in unbuilt.value.sentence


@pytest.mark.parametrize("mode", MODES)
def test_gsplat_and_the_cpu_draw_the_same(gsplat_on_the_cpu, mode):
    splats, cameras = some(24), two_cameras()
    agree(cuda.render(splats, cameras, mode), cpu.render(splats, cameras, mode))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", MODES)
def test_a_gpu_draws_what_the_cpu_draws(mode):
    splats, cameras = some(400), two_cameras(256)
    agree(on_the_gpu(splats, cameras, mode), cpu.render(splats, cameras, mode))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", MODES)
def test_gradients_from_a_gpu_are_those_of_the_cpu(mode):
    splats, cameras = some(400), two_cameras(128)
    weights = waves(128)
    found = []
    for draw in (cpu.render, on_the_gpu):
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in vars(splats).items()}
        rendered = draw(Splats(**leaves), cameras, mode)
        parts = [rendered.colour, rendered.alpha[..., None], 0.1 * rendered.distance[..., None]]
        (torch.cat(parts, -1).cpu() * weights).sum().backward()
        found.append({name: leaf.grad for name, leaf in leaves.items()})
    for name, here in found[0].items():
        assert float((found[1][name] - here).norm() / here.norm()) < 1e-2, name


def waves(size):
    """Smooth (2, size, size, 5), so that a pixel that a spot just reaches changes little."""
    place = torch.linspace(0, 1, size)
    phase = torch.arange(10.0).reshape(2, 1, 1, 5)
    return torch.cos(3 * place[:, None, None] + phase) + torch.cos(2 * place[None, :, None] + 2 * phase)


def on_the_gpu(splats, cameras, mode):
    there = {name: value.cuda() for name, value in vars(cameras).items() if isinstance(value, torch.Tensor)}
    return cuda.render(Splats(*(tensor.cuda() for tensor in vars(splats).values())), replace(cameras, **there), mode)


def agree(gsplats, ours):
    """PSNR of 60 dB, and distances within 1e-3 of each other where something is seen."""
    error = (gsplats.colour.detach().cpu() - ours.colour).square().mean()
    assert -10 * math.log10(float(error) + 1e-12) > 60
    assert float((gsplats.alpha.detach().cpu() - ours.alpha).abs().mean()) < 1e-3
    seen = ours.alpha > 0.5
    assert seen.any()
    difference = (gsplats.distance.detach().cpu() - ours.distance).abs() / ours.distance.clamp_min(0.1)
    assert float(difference[seen].quantile(0.999)) < 1e-3
