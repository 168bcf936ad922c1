"""sRGB and scene-linear colour, and how unlike two pictures are."""

import numpy as np
import pytest

from cyclorama.backend.sphere.colour import linear_from_srgb, psnr, srgb_from_linear

KNOWN = {0.0: 0.0, 0.04045: 0.0031308, 0.5: 0.21404114, 188 / 255: 0.50288646, 1.0: 1.0}  # IEC 61966-2-1


@pytest.mark.parametrize(("srgb", "linear"), KNOWN.items())
def test_known_values(srgb, linear):
    assert linear_from_srgb(np.array([srgb]))[0] == pytest.approx(linear, abs=1e-6)
    assert srgb_from_linear(np.array([linear]))[0] == pytest.approx(srgb, abs=1e-6)


def test_every_value_of_8_bits_comes_back():
    levels = np.arange(256, dtype=np.float32) / 255
    np.testing.assert_array_equal(np.rint(srgb_from_linear(linear_from_srgb(levels)) * 255), np.arange(256))


def test_what_no_screen_shows_is_clipped():
    np.testing.assert_allclose(srgb_from_linear(np.array([-1.0, 7.0, np.inf])), [0, 1, 1], atol=1e-6)


def test_both_curves_rise():
    ramp = np.linspace(0, 1, 4097)
    assert (np.diff(linear_from_srgb(ramp)) > 0).all()
    assert (np.diff(srgb_from_linear(ramp)) > 0).all()


@pytest.mark.parametrize(("difference", "decibels"), [(1.0, 0), (0.1, 20), (0.01, 40)])
def test_a_tenth_of_the_difference_is_20_db(difference, decibels):
    image = np.zeros((4, 8, 3))
    assert psnr(image, image + difference) == pytest.approx(decibels)


def test_equal_pictures_are_infinitely_alike():
    image = np.random.default_rng(0).random((4, 8, 3), np.float32)
    assert psnr(image, image) == float("inf")


def test_one_pixel_in_a_hundred_is_20_db_better_than_all():
    image = np.zeros((10, 10, 1))
    spot = image.copy()
    spot[3, 7] = 0.1
    assert psnr(image, spot) == pytest.approx(40)
