"""Which way each pixel of a panorama looks, and that sampling knows no seam and no pole."""

import cv2
import numpy as np
import pytest

from cyclorama.backend.sphere import equirectangular
from cyclorama.backend.sphere.equirectangular import direction, directions, pixels, sample, tangents, with_border

HEIGHT, WIDTH = 64, 128
INTERPOLATIONS = {"cubic": cv2.INTER_CUBIC, "linear": cv2.INTER_LINEAR}


def smooth(towards: np.ndarray) -> np.ndarray:
    """Three analytic functions on the sphere, 0..1."""
    x, y, z = (towards[..., axis].astype(np.float64) for axis in range(3))
    return np.stack([0.5 + 0.5 * x, 0.5 + 0.3 * x * y - 0.2 * z, 0.5 + 0.5 * np.sin(2 * y + z)], axis=-1)


def painted(height: int = HEIGHT) -> np.ndarray:
    return smooth(directions(height)).astype(np.float32)


def noise() -> np.ndarray:
    return np.random.default_rng(0).random((HEIGHT, WIDTH, 3), np.float32)


@pytest.mark.parametrize(
    ("towards", "column", "row"),
    [
        ((0, 1, 0), WIDTH / 2, HEIGHT / 2),
        ((1, 0, 0), WIDTH * 3 / 4, HEIGHT / 2),
        ((-1, 0, 0), WIDTH / 4, HEIGHT / 2),
        ((0, 1, 1), WIDTH / 2, HEIGHT / 4),
        ((0, 0.001, 1000), WIDTH / 2, 0),
        ((0, 0.001, -1000), WIDTH / 2, HEIGHT),
        ((1e-4, -1, 0), WIDTH, HEIGHT / 2),
        ((-1e-4, -1, 0), 0, HEIGHT / 2),
    ],
    ids=["centre is +Y", "right is +X", "left is -X", "up", "top is +Z", "bottom is -Z", "right edge", "left edge"],
)
def test_where_scene_axes_lie_in_the_image(towards, column, row):
    found = np.array(pixels(np.array(towards, np.float64), HEIGHT)) + 0.5  # from pixel centres to edges
    np.testing.assert_allclose(found, [column, row], atol=0.01)


def test_longitude_and_latitude_of_the_scene_axes():
    np.testing.assert_allclose(direction(0, 0), [0, 1, 0], atol=1e-7)
    np.testing.assert_allclose(direction(np.pi / 2, 0), [1, 0, 0], atol=1e-7)
    np.testing.assert_allclose(direction(1.2, np.pi / 2), [0, 0, 1], atol=1e-7)


def test_pixel_centres_lie_half_a_pixel_from_the_edges():
    np.testing.assert_allclose(equirectangular.longitudes(4), np.deg2rad([-135, -45, 45, 135]))
    np.testing.assert_allclose(equirectangular.latitudes(3), np.deg2rad([60, 0, -60]), atol=1e-15)


@pytest.mark.parametrize("length", [1.0, 0.01, 250.0])
def test_pixels_inverts_directions(length):
    column, row = pixels(directions(HEIGHT) * np.float32(length), HEIGHT)
    np.testing.assert_allclose(column, np.broadcast_to(np.arange(WIDTH), (HEIGHT, WIDTH)), atol=1e-3)
    np.testing.assert_allclose(row, np.broadcast_to(np.arange(HEIGHT)[:, None], (HEIGHT, WIDTH)), atol=1e-3)


def test_all_directions_are_of_unit_length():
    np.testing.assert_allclose(np.linalg.norm(directions(HEIGHT), axis=-1), 1, atol=1e-6)


def test_east_and_north_are_the_ways_in_which_longitude_and_latitude_rise():
    east, north = tangents(HEIGHT)
    longitude = equirectangular.longitudes(WIDTH)[None, :]
    latitude = equirectangular.latitudes(HEIGHT)[:, None]
    step = 1e-3
    to_east = direction(longitude + step, latitude) - direction(longitude - step, latitude)
    to_north = direction(longitude, latitude + step) - direction(longitude, latitude - step)
    np.testing.assert_allclose(to_east / (2 * step * np.cos(latitude)[..., None]), east, atol=5e-3)
    np.testing.assert_allclose(to_north / (2 * step), north, atol=1e-3)


def test_east_cross_north_points_inwards():
    east, north = tangents(HEIGHT)
    np.testing.assert_allclose(np.cross(east, north), -directions(HEIGHT), atol=1e-6)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS.values(), ids=INTERPOLATIONS)
def test_sampling_at_pixel_centres_returns_the_pixels(interpolation):
    np.testing.assert_allclose(sample(noise(), directions(HEIGHT), interpolation), noise(), atol=2e-3)


def test_halfway_between_two_pixels_lies_their_mean():
    longitude = np.arange(WIDTH)[None, :] * (2 * np.pi / WIDTH) - np.pi  # the left edges; the first is the seam
    between = direction(longitude, equirectangular.latitudes(HEIGHT)[:, None])
    expected = (noise() + np.roll(noise(), 1, axis=1)) / 2
    np.testing.assert_allclose(sample(noise(), between, cv2.INTER_LINEAR), expected, atol=5e-3)


def everywhere() -> np.ndarray:
    random = np.random.default_rng(1).standard_normal((64, 256, 3))
    return (random / np.linalg.norm(random, axis=-1, keepdims=True)).astype(np.float32)


def at_the_seam() -> np.ndarray:
    longitude = np.pi + np.linspace(-0.1, 0.1, 101)
    return direction(longitude[None, :], np.linspace(-1.5, 1.5, 64)[:, None])


def over_a_pole(sign: int) -> np.ndarray:
    """Great circles through the pole, up one side and down the other."""
    beyond = np.linspace(-0.15, 0.15, 101)[None, :]
    return direction(np.linspace(0, np.pi, 64)[:, None], sign * (np.pi / 2 + beyond))


PLACES = {
    "everywhere": everywhere(),
    "seam": at_the_seam(),
    "zenith": over_a_pole(1),
    "nadir": over_a_pole(-1),
    "the poles": np.array([[(0, 0, 1), (0, 0, -1)]], np.float32),
}


@pytest.mark.parametrize("interpolation", INTERPOLATIONS.values(), ids=INTERPOLATIONS)
@pytest.mark.parametrize("place", PLACES)
def test_a_smooth_function_on_the_sphere_is_reproduced(place, interpolation):
    np.testing.assert_allclose(sample(painted(), PLACES[place], interpolation), smooth(PLACES[place]), atol=4e-3)


@pytest.mark.parametrize("place", ["seam", "zenith", "nadir"])
def test_there_is_no_step_on_the_way(place):
    """Noise shows a jump that a smooth function would hide: neighbours a twentieth of a pixel apart are alike."""
    start = PLACES[place][:, 50:52]
    way = start[:, :1] + np.linspace(-0.1, 1.1, 400)[None, :, None] * (start[:, 1:] - start[:, :1])
    seen = sample(noise()[..., 0], way.astype(np.float32), cv2.INTER_LINEAR)
    across = np.abs(np.diff(seen, axis=1)).max()
    assert 0 < across < 0.06


@pytest.mark.parametrize("turn", [1, 40, 64])
def test_turning_the_panorama_and_the_eye_shows_the_same(turn):
    angle = 2 * np.pi * turn / WIDTH
    x, y, z = np.moveaxis(everywhere(), -1, 0)
    turned = np.stack([x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle), z], axis=-1)
    expected = sample(painted(), everywhere())
    np.testing.assert_allclose(sample(np.roll(painted(), turn, axis=1), turned), expected, atol=5e-4)


@pytest.mark.parametrize("shape", [(), (1,), (3,)])
def test_maps_and_pictures_keep_their_shape_at_the_border(shape):
    image = np.random.default_rng(0).random((HEIGHT, WIDTH, *shape), np.float32)
    assert with_border(image, 3).shape == (HEIGHT + 6, WIDTH + 6, *shape)


@pytest.mark.parametrize(("border", "rows"), [(4, None), (1, 5), (7, 0), (WIDTH + 3, HEIGHT)])
def test_beyond_the_pole_the_other_side_begins(border, rows):
    image = np.arange(HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    bordered = with_border(image, border, rows)
    rows = border if rows is None else rows
    assert bordered.shape == (HEIGHT + 2 * rows, WIDTH + 2 * border)
    for row in range(-rows, HEIGHT + rows):
        for column in (-border, -1, 0, 5, WIDTH - 1, WIDTH, WIDTH + border - 1):
            other_side = row < 0 or row >= HEIGHT
            true_row = -1 - row if row < 0 else 2 * HEIGHT - 1 - row if row >= HEIGHT else row
            true_column = (column + other_side * WIDTH // 2) % WIDTH
            assert bordered[row + rows, column + border] == image[true_row, true_column], (row, column)
