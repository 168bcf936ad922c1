"""A perspective picture of a panorama shows what lies in the direction of each of its pixels."""

import numpy as np
import pytest

from cyclorama.backend.sphere.equirectangular import direction, directions
from cyclorama.backend.sphere.views import look, plane, rays, tangent_view

HEIGHT = 128
VIEWS = {
    "ahead": (0, 0),
    "over the seam": (180, 10),
    "up and right": (60, 50),
    "the zenith": (20, 90),
    "the nadir": (-140, -90),
}


def smooth(towards: np.ndarray) -> np.ndarray:
    x, y, z = (towards[..., axis].astype(np.float64) for axis in range(3))
    return np.stack([0.5 + 0.5 * x, 0.5 + 0.3 * x * y - 0.2 * z, 0.5 + 0.5 * np.sin(2 * y + z)], axis=-1)


def test_the_field_of_view_reaches_from_edge_to_edge():
    x = rays(100, 50, np.deg2rad(90))[..., 0]
    half_a_pixel = (x[0, 1] - x[0, 0]) / 2
    assert x[0, -1] + half_a_pixel == pytest.approx(np.tan(np.deg2rad(45)), rel=1e-5)
    assert x[0, 0] - half_a_pixel == pytest.approx(-np.tan(np.deg2rad(45)), rel=1e-5)


def test_pixels_are_square_and_the_middle_looks_ahead():
    towards = rays(100, 50, 1.0)
    assert towards[0, 1, 0] - towards[0, 0, 0] == pytest.approx(towards[1, 0, 1] - towards[0, 0, 1], rel=1e-4)
    np.testing.assert_allclose(towards.mean(axis=(0, 1)), [0, 0, 1], atol=1e-6)
    assert towards[0, 0, 0] < 0 and towards[0, 0, 1] < 0  # x to the right, y downwards


def test_looking_ahead_x_is_right_y_is_down_and_z_is_forward():
    np.testing.assert_allclose(look(0, 0), np.transpose([[1, 0, 0], [0, 0, -1], [0, 1, 0]]), atol=1e-7)


@pytest.mark.parametrize("view", VIEWS)
def test_a_camera_looks_where_it_is_told_and_stands_upright(view):
    longitude, latitude = np.deg2rad(VIEWS[view])
    R_scene_from_view = look(longitude, latitude)
    np.testing.assert_allclose(R_scene_from_view.T @ R_scene_from_view, np.eye(3), atol=1e-6)
    assert np.linalg.det(R_scene_from_view) == pytest.approx(1, abs=1e-6)
    right, down, forward = R_scene_from_view.T
    np.testing.assert_allclose(forward, direction(longitude, latitude), atol=1e-6)
    assert right[2] == 0 and down[2] <= 1e-6


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_a_smooth_sphere_is_its_closed_form(view):
    R_scene_from_view = look(*np.deg2rad(VIEWS[view]))
    seen = tangent_view(smooth(directions(HEIGHT)).astype(np.float32), R_scene_from_view, 64, 48, np.deg2rad(70))
    towards = rays(64, 48, np.deg2rad(70)) @ R_scene_from_view.T
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    assert seen.shape == (48, 64, 3) and seen.dtype == np.float32
    np.testing.assert_allclose(seen, smooth(towards), atol=1.5e-3)


def test_a_pixel_is_the_mean_of_all_it_covers():
    noise = np.random.default_rng(0).random((HEIGHT, 2 * HEIGHT, 3), np.float32)
    coarse = tangent_view(noise, look(3, 0.4), 16, 12, 1.2, oversampling=8)
    fine = tangent_view(noise, look(3, 0.4), 128, 96, 1.2, oversampling=1)
    np.testing.assert_allclose(coarse, fine.reshape(12, 8, 16, 8, 3).mean(axis=(1, 3)), atol=1e-5)


def test_rays_pass_through_the_points_of_the_plane():
    x, y = plane(31, 20, 1.1)
    np.testing.assert_allclose(rays(31, 20, 1.1)[7], np.stack([x, np.full(31, y[7]), np.ones(31)], axis=-1), atol=1e-7)
