"""Six pictures see every direction, and are what the panorama shows there."""

import numpy as np
import pytest
import torch

from cyclorama.backend.lift.cover import Cover, gathered, preview
from cyclorama.backend.raster.rasterize import rasterize
from cyclorama.backend.raster.splats import Splats
from cyclorama.backend.sphere.colour import linear_from_srgb, psnr
from cyclorama.backend.sphere.equirectangular import directions
from cyclorama.backend.sphere.views import rays

from .tiny_world import wallpaper

HEIGHT = 48
COVER = Cover.of(HEIGHT)
AXES = {"ahead": (0, 1, 0), "right": (1, 0, 0), "back": (0, -1, 0), "left": (-1, 0, 0), "up": (0, 0, 1)}
AXES["down"] = (0, 0, -1)


def seen_along(cover: Cover) -> np.ndarray:
    """(6, size, size, 3) the direction of each pixel."""
    towards = rays(cover.size, cover.size, np.pi / 2)
    return np.einsum("vij,yxj->vyxi", cover.rotations, towards)


def test_they_look_ahead_right_back_left_up_and_down():
    np.testing.assert_allclose(COVER.rotations[:, :, 2], list(AXES.values()), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(COVER.rotations), 1, atol=1e-6)


def test_every_direction_is_in_one_of_them():
    towards = directions(HEIGHT).reshape(-1, 3)
    views = np.einsum("vij,ni->vnj", COVER.rotations, towards)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = (views[..., 2] > 0) & (np.abs(views[..., :2] / views[..., 2:]) <= 1 + 1e-6).all(axis=-1)
    assert inside.any(axis=0).all()


def test_a_face_is_as_fine_as_the_panorama_in_its_middle():
    middle = seen_along(Cover.of(512))[0]
    step = np.linalg.norm(middle[170, 171] - middle[170, 170])
    assert step == pytest.approx(np.pi / 512, rel=0.1)


def test_the_pictures_show_the_panorama():
    smooth = wallpaper(HEIGHT)
    seen = COVER.pictures(smooth)
    assert seen.shape == (6, COVER.size, COVER.size, 3)
    own = seen_along(COVER)
    own /= np.linalg.norm(own, axis=-1, keepdims=True)
    x, y, z = np.moveaxis(own, -1, 0)
    waves = [np.sin(7 * x + 3 * y + 2 * np.pi * k / 3) * np.cos(6 * z + 5 * y + k) for k in range(3)]
    expected = linear_from_srgb(0.5 + 0.35 * np.stack(waves, axis=-1))
    np.testing.assert_allclose(seen, expected, atol=0.03)


def test_a_panorama_of_the_pictures_is_the_panorama_again():
    fine = Cover(96)
    again = fine.panorama(fine.pictures(wallpaper(96)), HEIGHT)
    assert psnr(again, wallpaper(HEIGHT)) > 35


def test_what_is_one_colour_is_one_colour_everywhere():
    pictures = np.full((6, 10, 10, 3), 0.3, np.float32)
    np.testing.assert_allclose(Cover(10).panorama(pictures, 32), 0.3, atol=1e-5)


def test_a_map_without_channels_is_taken_too_and_nothing_is_negative():
    hard = (directions(HEIGHT)[..., 0] > 0).astype(np.float32)
    seen = COVER.pictures(hard)
    assert seen.shape[-1] == 1
    assert seen.min() >= 0 and seen[1].mean() > 0.9 and seen[3].mean() < 0.1


def test_the_cameras_see_what_the_pictures_are_of():
    """A red Gaussian to the right is in the same face as a red spot in the panorama to the right."""
    one = torch.ones(1)
    red = Splats(
        torch.tensor([[5.0, 0.5, 0.5]]),
        torch.tensor([[1.0, 0, 0, 0]]),
        torch.full((1, 3), 0.4),
        one * 0.99,
        torch.tensor([[1.0, 0, 0]]),
    )
    towards = np.array([5, 0.5, 0.5]) / np.linalg.norm([5, 0.5, 0.5])
    spot = (directions(HEIGHT) @ towards > 0.99)[..., None] * np.float32([1, 0, 0])
    drawn = rasterize(red, COVER.cameras()).colour.numpy()[..., 0]
    pictured = COVER.pictures(spot)[..., 0]
    assert drawn.sum(axis=(1, 2)).argmax() == pictured.sum(axis=(1, 2)).argmax() == 1
    centre_drawn, centre_pictured = (np.argwhere(each[1] > 0.5 * each[1].max()).mean(0) for each in (drawn, pictured))
    np.testing.assert_allclose(centre_drawn, centre_pictured, atol=0.6)


def test_the_cameras_stand_where_they_are_put():
    np.testing.assert_array_equal(COVER.cameras((1.0, 2.0, 3.0)).position, np.tile([1, 2, 3], (6, 1)))


def test_the_smallest_panorama_has_a_cover():
    assert Cover.of(2).size == 2


@pytest.mark.parametrize("size", [8, 40, 300])
def test_a_preview_is_a_small_picture_of_8_bits(size):
    pictures = np.full((6, size, size, 3), linear_from_srgb(np.float32(0.5)), np.float32)
    shown = preview(Cover(size), pictures, 64)
    assert shown.shape == (64, 128, 3) and shown.dtype == np.uint8
    assert set(np.unique(shown)) <= {127, 128}


def test_a_sun_in_a_preview_is_white():
    shown = preview(Cover(8), np.full((6, 8, 8, 3), 5000, np.float32), 32)
    assert (shown == 255).all()


def test_pictures_become_rows_camera_after_camera():
    pictures = np.arange(6 * 2 * 2 * 3).reshape(6, 2, 2, 3)
    np.testing.assert_array_equal(gathered(pictures)[4:8], pictures[1].reshape(4, 3))
