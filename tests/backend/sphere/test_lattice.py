"""The lattice is equally dense everywhere, and its samples are the exact means of the pixels they cover."""

import numpy as np
import pytest
from scipy.spatial import KDTree

from cyclorama.backend.sphere.equirectangular import direction, latitudes, pixels
from cyclorama.backend.sphere.lattice import Lattice

HEIGHT, WIDTH = 64, 128


@pytest.fixture(scope="module")
def lattice() -> Lattice:
    return Lattice(HEIGHT)


def places(lattice: Lattice) -> np.ndarray:
    return direction(lattice.longitude, lattice.latitude)


def test_latitude_bands_hold_samples_by_their_area(lattice):
    edges = np.linspace(-np.pi / 2, np.pi / 2, 17)  # of 4 rows each
    counted = np.histogram(lattice.latitude, edges)[0]
    area = 2 * np.pi * np.diff(np.sin(edges))
    np.testing.assert_allclose(counted, area / lattice.spacing**2, rtol=0.03)


def test_there_are_as_many_samples_as_the_sphere_has_room_for(lattice):
    assert len(lattice.rows) == pytest.approx(4 * np.pi / lattice.spacing**2, rel=0.002)


@pytest.mark.parametrize("height", [32, 64, 500])
def test_no_two_samples_are_close_and_no_place_is_far_from_one(height):
    lattice = Lattice(height)
    tree = KDTree(places(lattice))
    nearest = tree.query(places(lattice), k=2)[0][:, 1] / lattice.spacing
    assert nearest.min() > 0.4 and np.median(nearest) > 0.6
    random = np.random.default_rng(0).standard_normal((20_000, 3))
    gap = tree.query(random / np.linalg.norm(random, axis=1, keepdims=True))[0] / lattice.spacing
    assert gap.max() < 0.8  # half the diagonal of a square is 0.71


def test_every_row_is_closed(lattice):
    for row in range(HEIGHT):
        longitude = lattice.longitude[lattice.rows == row]
        gaps = np.roll(longitude, -1) - longitude
        gaps[-1] += 2 * np.pi
        np.testing.assert_allclose(gaps, 2 * np.pi / lattice.counts[row])
        assert len(longitude) >= 3
    np.testing.assert_array_equal(lattice.latitude, latitudes(HEIGHT)[lattice.rows])


def test_both_halves_are_mirrors(lattice):
    np.testing.assert_array_equal(lattice.counts, lattice.counts[::-1])


def test_the_nearest_pixel_is_the_one_a_sample_lies_in(lattice):
    column, row = pixels(places(lattice), HEIGHT)
    off_column = np.abs(lattice.nearest_pixels % WIDTH - column)
    assert np.minimum(off_column, WIDTH - off_column).max() < 0.5 + 1e-3
    np.testing.assert_allclose(lattice.nearest_pixels // WIDTH, row, atol=1e-3)


def test_means_of_a_constant_are_the_constant(lattice):
    np.testing.assert_allclose(lattice.means @ np.full(HEIGHT * WIDTH, 7.0, np.float32), 7, rtol=1e-6)


def box_average(image: np.ndarray, row: int, count: int, index: int) -> float:
    """Slow and obviously right: a thousand looks at the pixels under one sample."""
    reach = WIDTH / count
    looks = (index + (np.arange(1000) + 0.5) / 1000) * reach
    return image[row, np.floor(looks).astype(int) % WIDTH].mean()


def test_a_mean_is_that_of_the_box_a_sample_covers(lattice):
    image = np.random.default_rng(0).random((HEIGHT, WIDTH))
    means = lattice.means @ image.ravel().astype(np.float32)
    sample = 0
    for row in range(HEIGHT):
        for index in range(lattice.counts[row]):
            expected = box_average(image, row, int(lattice.counts[row]), index)
            assert means[sample] == pytest.approx(expected, abs=5e-3), (row, index)
            sample += 1
    assert sample == len(means)


def test_no_sample_crosses_rows(lattice):
    entries = lattice.means.tocoo()
    np.testing.assert_array_equal(entries.col // WIDTH, lattice.rows[entries.row])
    assert (entries.data > 0).all()


def test_every_pixel_of_a_row_counts_the_same(lattice):
    weight = np.asarray(lattice.means.sum(axis=0)).reshape(HEIGHT, WIDTH)
    np.testing.assert_allclose(weight, np.broadcast_to(lattice.counts[:, None] / WIDTH, weight.shape), atol=1e-5)
