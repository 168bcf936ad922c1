"""Looking panoramas and their views up between pixels: closed forms, no seam, no pole, no aliasing, on every path."""

import math

import numpy as np
import pytest
import torch

from cyclorama.backend.sphere import equirectangular, sampling
from cyclorama.backend.sphere.equirectangular import direction
from cyclorama.backend.sphere.sampling import continued, sample, sample_views, tangent_views
from cyclorama.backend.sphere.views import look, rays

MODES = ("nearest", "bilinear", "bicubic", "lanczos")
BETWEEN = MODES[1:]
FOV = math.radians(80)
ZENITH, NADIR, SEAM, AHEAD = (0.3, math.pi / 2), (-2.0, -math.pi / 2), (math.pi, 0.2), (0.4, 0.1)


def towards_pixels(height: int) -> torch.Tensor:
    return torch.from_numpy(equirectangular.directions(height))


def linear(towards: torch.Tensor) -> torch.Tensor:
    """A field on the sphere that is linear in the direction; three channels."""
    unit = towards.double() / towards.double().norm(dim=-1, keepdim=True)
    mix = torch.tensor([[0.5, 0.2, -0.3], [0.1, -0.6, 0.2], [0.3, 0.3, 0.5]], dtype=torch.float64)
    return (unit @ mix.T + 0.5).movedim(-1, 0)


def painted(height: int) -> torch.Tensor:
    return linear(towards_pixels(height)).float()


def noise(height: int, *batch: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*batch, height, 2 * height, generator=torch.Generator().manual_seed(seed))


def looks(*angles: tuple[float, float]) -> torch.Tensor:
    return torch.stack([torch.from_numpy(look(*each)) for each in angles])


def view_rays(R: torch.Tensor, width: int, height: int, fov: float = FOV) -> torch.Tensor:
    return torch.from_numpy(rays(width, height, fov)) @ R.T


def everywhere(count: int = 4096) -> torch.Tensor:
    found = torch.randn(1, count, 3, generator=torch.Generator().manual_seed(1))
    return found / found.norm(dim=-1, keepdim=True)


# Looking up a panorama


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("height", [33, 64])
def test_at_its_pixels_a_panorama_is_itself(mode, height):
    image = noise(height, 2)
    torch.testing.assert_close(sample(image, towards_pixels(height), mode), image, atol=2e-4, rtol=0)


@pytest.mark.parametrize(("mode", "error"), [("bilinear", 4e-4), ("bicubic", 1e-5), ("lanczos", 8e-3)])
@pytest.mark.parametrize("height", [127, 128])
def test_a_linear_field_comes_back_in_any_direction(mode, error, height):
    towards = everywhere()
    torch.testing.assert_close(sample(painted(height), towards, mode).double(), linear(towards), atol=error, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_a_constant_comes_back_as_it_is(mode):
    image = torch.full((1, 32, 64), 0.7)
    torch.testing.assert_close(sample(image, everywhere(), mode), torch.full((1, 1, 4096), 0.7), atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", BETWEEN)
@pytest.mark.parametrize("place", ["seam", "zenith", "nadir"])
@pytest.mark.parametrize("height", [31, 32])
def test_there_is_no_step_at_the_seam_and_the_poles(mode, place, height):
    """Noise shows a jump that a smooth function would hide: neighbours a fiftieth of a pixel apart are alike."""
    step = np.linspace(-3, 3, 301) * (math.pi / height)
    if place == "seam":
        way = direction(math.pi + step[None], np.linspace(-1.4, 1.4, 16)[:, None])
    else:
        sign = 1 if place == "zenith" else -1
        way = direction(np.linspace(0.1, 6, 16)[:, None], sign * (math.pi / 2 + step[None]))
    seen = sample(noise(height)[None], torch.from_numpy(way), mode)
    assert 0 < seen.diff(dim=-1).abs().max() < 0.15


@pytest.mark.parametrize("height", [5, 6])
def test_beyond_the_border_a_panorama_goes_on_where_the_sphere_does(height):
    image = torch.arange(2.0 * height * height).reshape(height, 2 * height)
    expected = equirectangular.with_border(image.numpy(), 3)
    np.testing.assert_array_equal(continued(image, 3), expected)


def test_nearest_takes_the_pixel_a_direction_lies_in():
    height, towards = 32, everywhere()
    image = torch.arange(2.0 * height * height).reshape(1, height, 2 * height)
    column, row = equirectangular.pixels(towards.numpy(), height)
    expected = np.rint(row).clip(0, height - 1) * 2 * height + np.rint(column) % (2 * height)
    assert (sample(image, towards, "nearest")[0].numpy() == expected).mean() > 0.999  # but for ties


def test_bicubic_is_catmull_rom():
    """The kernel itself: a single bright pixel, looked up along its row."""
    height, row, column = 32, 16, 20
    image = torch.zeros(1, height, 2 * height)
    image[0, row, column] = 1
    away = torch.linspace(-2.5, 2.5, 101, dtype=torch.float64)
    longitude = (column + 0.5 + away.numpy()) * (math.pi / height) - math.pi
    seen = sample(
        image, torch.from_numpy(direction(longitude[None], equirectangular.latitudes(height)[row])), "bicubic"
    )
    t = away.abs()
    inner, outer = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    expected = torch.where(t < 1, inner, torch.where(t < 2, outer, 0))
    torch.testing.assert_close(seen[0, 0].double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("turn", [1, 17, 64])
def test_turning_the_panorama_and_the_view_shows_the_same(mode, turn):
    height, (longitude, latitude) = 64, SEAM
    image = painted(height)
    if mode == "nearest":  # no view in which a place lies half way between two pixels
        longitude, latitude = 0.123, 0.777
    turned = looks((longitude + turn * math.pi / height, latitude))
    expected = tangent_views(image, looks((longitude, latitude)), 48, 40, FOV, mode)
    seen = tangent_views(image.roll(turn, -1), turned, 48, 40, FOV, mode)
    assert ((seen - expected).abs() > 1e-5).float().mean() < (0.01 if mode == "nearest" else 1e-9)


# Tangent views


@pytest.mark.parametrize(("mode", "error"), [("bilinear", 4e-4), ("bicubic", 2e-5), ("lanczos", 8e-3)])
@pytest.mark.parametrize("angles", [ZENITH, NADIR, SEAM, AHEAD])
def test_a_view_shows_what_lies_in_its_pixels_directions(mode, error, angles):
    R = looks(angles)
    seen = tangent_views(painted(128), R, 50, 41, FOV, mode, oversampling=1)
    torch.testing.assert_close(seen[0].double(), linear(view_rays(R[0], 50, 41)), atol=error, rtol=0)


@pytest.mark.parametrize("angles", [ZENITH, NADIR])
@pytest.mark.parametrize("size", [64, 65])
def test_the_pole_is_a_place_like_any_other(angles, size):
    """A sharp view of a smooth field: neither a spot in the centre nor streaks around it."""
    R = looks(angles)
    seen = tangent_views(painted(256), R, size, size, FOV)
    error = (seen[0].double() - linear(view_rays(R[0], size, size))).abs()
    middle = slice(size // 2 - 4, size // 2 + 4)
    assert error.max() < 1e-3
    assert error[:, middle, middle].max() < 1e-3


def test_what_the_sphere_can_resolve_is_left_sharp():
    """Waves of 4 pixels in all directions survive the filter against dense rows, at the poles too."""
    height = 256
    wave = 2 * math.pi / (4 * math.pi / height)
    axes = torch.eye(3, dtype=torch.float64)
    image = torch.cos(towards_pixels(height).double() @ axes * wave).movedim(-1, 0).float()
    torch.testing.assert_close(continued(image, 1, math.pi / height)[:, 1:-1, 1:-1], image, atol=2e-3, rtol=0)


@pytest.mark.parametrize("mode", BETWEEN)
@pytest.mark.parametrize("angles", [AHEAD, (0.7, 0.9), ZENITH], ids=["ahead", "up", "zenith"])
def test_a_coarse_view_of_noise_is_as_calm_as_the_mean_of_what_its_pixels_cover(mode, angles):
    """White noise of one panorama pixel; a view 8 times as coarse. On the ground a panorama's pixels shrink with
    cos(latitude), so the mean over a square of s x s radians has the variance of one in s²/(δ² cosφ)."""
    height, size, fov = 512, 32, math.radians(60)
    spacing, finest = 2 * math.tan(fov / 2) / size, math.pi / height
    R = looks(angles)
    seen = tangent_views(noise(height, 24), R, size, size, fov, mode)[0]
    towards = view_rays(R[0], size, size, fov)
    length = towards.norm(dim=-1)
    cos_latitude = towards[..., :2].norm(dim=-1) / length
    pixels_covered = spacing**2 / length**3 / (finest**2 * cos_latitude)
    wanted = (1 / pixels_covered)[cos_latitude > 0.1].mean()
    assert seen.var(0)[cos_latitude > 0.1].mean() == pytest.approx(wanted, rel=0.25)
    assert seen.var(0).max() < 0.2  # nowhere the noise itself


def test_a_checkerboard_far_too_fine_is_grey():
    height = 256
    board = (torch.arange(height)[:, None] + torch.arange(2 * height)) % 2 * 1.0
    seen = tangent_views(board[None], looks(AHEAD, ZENITH, NADIR, SEAM), 32, 32, FOV)
    assert (seen - 0.5).abs().max() < 0.05
    assert (seen - 0.5).std() < 0.01


def test_meridians_too_dense_for_the_view_do_not_flicker_at_the_pole():
    """A view as fine as the panorama, of black and white meridians: grey at the pole, stripes at the equator."""
    height = 256
    stripes = (torch.arange(2 * height) // 2 % 2 * 1.0).expand(1, height, -1)
    size = round(2 * math.tan(FOV / 2) * height / math.pi)
    up, ahead = tangent_views(stripes, looks(ZENITH, AHEAD), size, size, FOV)[:, 0]
    middle = slice(size // 2 - 20, size // 2 + 20)
    assert (up[middle, middle] - 0.5).abs().max() < 0.1
    assert ahead[middle, middle].std() > 0.3


def test_a_pixel_is_the_mean_of_its_lookups():
    R = looks(AHEAD)
    coarse = tangent_views(noise(64, 1), R, 16, 12, FOV, "bilinear", oversampling=4)
    fine = tangent_views(noise(64, 1), R, 64, 48, FOV, "bilinear", oversampling=1)
    expected = fine.reshape(12, 4, 16, 4).mean(dim=(1, 3))
    torch.testing.assert_close(coarse[0, 0], expected, atol=1e-5, rtol=0)


def test_nearest_only_shows_values_there_are():
    labels = torch.randint(0, 7, (1, 128, 256), generator=torch.Generator().manual_seed(0)) * 1.5
    seen = tangent_views(labels, looks(ZENITH, SEAM), 16, 16, FOV, "nearest")
    assert set(seen.unique().tolist()) <= set(labels.unique().tolist())


# Batches, types, paths


@pytest.mark.parametrize("mode", MODES)
def test_many_views_of_many_frames_are_the_same_as_one_by_one(mode):
    frames, R = noise(32, 3, 2), looks(ZENITH, SEAM, AHEAD, NADIR).reshape(2, 2, 3, 3)
    all_at_once = tangent_views(frames, R, 20, 16, FOV, mode)
    assert all_at_once.shape == (2, 2, 3, 2, 16, 20)
    for view in np.ndindex(2, 2):
        for frame in range(3):
            torch.testing.assert_close(
                all_at_once[*view, frame], tangent_views(frames[frame], R[view], 20, 16, FOV, mode), atol=1e-6, rtol=0
            )


def test_large_batches_in_groups_are_the_same(monkeypatch):
    frames, R = noise(32, 5, 2), looks(ZENITH, SEAM)
    whole = tangent_views(frames, R, 20, 16, FOV)
    monkeypatch.setattr(sampling, "_GROUP", 3 * 32 * 64)
    monkeypatch.setattr(sampling, "_STRIP", 50)
    torch.testing.assert_close(tangent_views(frames, R, 20, 16, FOV), whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [24, 80])
def test_the_fast_path_and_the_one_with_gradients_show_the_same(mode, size):
    image, R = noise(64, 3), looks(ZENITH, SEAM)
    fast = tangent_views(image, R, size, size, FOV, mode)
    slow = tangent_views(image.requires_grad_(), R, size, size, FOV, mode)
    assert slow.requires_grad and not fast.requires_grad
    torch.testing.assert_close(fast, slow.detach(), atol=2e-4, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_an_opencv_that_rounds_places_is_not_used(mode, monkeypatch):
    image, R = noise(32, 3), looks(ZENITH, SEAM)
    with_opencv = tangent_views(image, R, 24, 24, FOV, mode)
    monkeypatch.setattr(sampling, "_opencv_is_exact", lambda: False)
    torch.testing.assert_close(tangent_views(image, R, 24, 24, FOV, mode), with_opencv, atol=1e-4, rtol=0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float16, 2e-3), (torch.bfloat16, 1.6e-2)])
def test_half_precision_is_close(mode, dtype, error):
    image, R = noise(32, 2).to(dtype), looks(ZENITH, AHEAD)
    seen = tangent_views(image, R, 24, 24, FOV, mode)
    assert seen.dtype == dtype
    torch.testing.assert_close(seen.float(), tangent_views(image.float(), R, 24, 24, FOV, mode), atol=error, rtol=1e-2)
    back, _ = sample_views(seen, R, FOV, towards_pixels(16), mode)
    assert back.dtype == dtype


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_without_gradients_any_tensor_may_be_looked_up(context):
    image = noise(32, 2).requires_grad_()
    expected = tangent_views(image, looks(SEAM), 24, 24, FOV).detach()
    with context():
        seen = tangent_views(image, looks(SEAM), 24, 24, FOV)
    assert not seen.requires_grad
    torch.testing.assert_close(seen.clone(), expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("mode", BETWEEN)
def test_gradients_in_image_and_directions_are_right(mode):
    image = noise(6, 1).double().requires_grad_()
    towards = everywhere(7).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda image, towards: sample(image, towards, mode), (image, towards), atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_gradients_of_filtered_views_are_right(mode):
    image, R = noise(10, 1).double().requires_grad_(), looks(ZENITH, SEAM).double()
    assert torch.autograd.gradcheck(lambda image: tangent_views(image, R, 3, 3, FOV, mode), image, fast_mode=True)


@pytest.mark.parametrize("mode", BETWEEN)
def test_gradients_of_the_way_back_are_right(mode):
    views, R = torch.rand(2, 1, 5, 4, dtype=torch.float64, requires_grad=True), looks(ZENITH, SEAM).double()
    towards = towards_pixels(4).double()
    assert torch.autograd.gradcheck(lambda v: sample_views(v, R, FOV, towards, mode)[0], views, fast_mode=True)


# The way back


@pytest.mark.parametrize("mode", BETWEEN)
@pytest.mark.parametrize("size", [(96, 96), (97, 64)])
def test_a_view_is_found_where_it_looks(mode, size):
    width, height = size
    R = looks(ZENITH, SEAM, AHEAD)
    views = torch.stack([linear(view_rays(each, width, height)) for each in R]).float()
    towards = towards_pixels(48)
    found, covered = sample_views(views, R, FOV, towards, mode)
    assert found.shape == (3, 3, 48, 96) and covered.shape == (3, 48, 96) and covered.dtype == torch.bool
    expected = linear(towards).float()
    for view in range(3):
        x, y, z = (towards @ R[view]).unbind(-1)
        edge_x, edge_y = math.tan(FOV / 2), math.tan(FOV / 2) * height / width
        inside = (z > 0) & (x.abs() < edge_x * z) & (y.abs() < edge_y * z)
        assert (covered[view] == inside).float().mean() > 0.999
        outer_pixel = 2 * edge_x / width
        inner = inside & (x.abs() < (edge_x - 3 * outer_pixel) * z) & (y.abs() < (edge_y - 3 * outer_pixel) * z)
        torch.testing.assert_close(
            found[view][:, inner], expected[:, inner], atol=8e-3 if mode == "lanczos" else 3e-4, rtol=0
        )
        torch.testing.assert_close(found[view][:, inside], expected[:, inside], atol=0.02, rtol=0)
        assert (found[view][:, ~covered[view]] == 0).all()


def test_a_view_covers_its_share_of_the_sphere():
    """A square pyramid of 80°: solid angle 4·asin(sin²40°)."""
    _, covered = sample_views(torch.zeros(2, 1, 8, 8), looks(AHEAD, ZENITH), FOV, towards_pixels(256))
    area = torch.from_numpy(np.cos(equirectangular.latitudes(256)))[:, None] * (math.pi / 256) ** 2
    expected = 4 * math.asin(math.sin(FOV / 2) ** 2)
    assert (covered * area).sum(dim=(1, 2)).tolist() == pytest.approx([expected] * 2, rel=5e-3)


@pytest.mark.parametrize("mode", MODES)
def test_there_and_back_a_batch_keeps_its_shape_and_its_constant(mode):
    R = looks(ZENITH, SEAM, AHEAD)
    views = tangent_views(torch.full((2, 4, 32, 64), 3.0), R, 16, 16, FOV, mode)
    found, covered = sample_views(views, R, FOV, towards_pixels(32), mode)
    assert views.shape == (3, 2, 4, 16, 16) and found.shape == (3, 2, 4, 32, 64)
    torch.testing.assert_close(found, 3.0 * covered[:, None, None].expand_as(found), atol=2e-6, rtol=0)
