"""Gaussians keep their colours, names and order, and unsound values are told apart."""

import math

import numpy as np
import pytest

from cyclorama.bridge import gaussians
from cyclorama.bridge.gaussians import Gaussians


def two() -> Gaussians:
    """One grey and one twice as bright as white, both turned by 90° about x."""
    half = math.sqrt(0.5)
    return Gaussians(
        position=np.array([[0, 1, 0], [0, 0, -2]], np.float32),
        rotation=np.array([[half, half, 0, 0]] * 2, np.float32),
        scale=np.array([[0.2, 0.1, 0.01]] * 2, np.float32),
        radiance=gaussians.radiance_from_colour(np.array([[0.5, 0.5, 0.5], [2, 2, 2]]), 0.75),
    )


def test_the_constant_harmonic_is_the_one_of_the_sphere():
    assert pytest.approx(1 / (2 * math.sqrt(math.pi)), rel=1e-15) == gaussians.SH_C0


def test_middle_grey_has_no_coefficient_and_white_half_the_root_of_four_pi():
    radiance = gaussians.radiance_from_colour(np.array([[0.5, 0.5, 1.0]]), 0.25)
    assert radiance.dtype == np.float32
    np.testing.assert_allclose(radiance, [[0, 0, math.sqrt(math.pi), 0.25]], rtol=1e-6)


def test_colours_beyond_white_come_back_as_they_were():
    colour = np.random.default_rng(0).random((100, 3)) * [1, 10, 1000]
    back = gaussians.colour_from_radiance(gaussians.radiance_from_colour(colour, 1.0))
    np.testing.assert_allclose(back, colour, rtol=1e-5, atol=1e-6)


def test_each_may_have_its_own_opacity():
    opacity = np.array([0.1, 0.9])
    np.testing.assert_allclose(gaussians.radiance_from_colour(np.zeros((2, 3)), opacity)[:, 3], opacity, rtol=1e-6)


def test_the_arrays_are_named_as_blender_names_them_and_come_back_the_same():
    arrays = two().arrays()
    assert list(arrays) == ["position", "rotation", "scale", "radiance:base"]
    assert {name: array.shape[1] for name, array in arrays.items()} == gaussians.COLUMNS
    back = Gaussians.from_arrays(arrays | {"unknown": np.zeros(1)})
    assert all(back.arrays()[name] is array for name, array in arrays.items())


@pytest.mark.parametrize("chosen", [[1], np.array([False, True]), slice(1, None)], ids=["index", "mask", "slice"])
def test_choosing_some_keeps_their_attributes_together(chosen):
    some = two()[chosen]
    assert len(some) == 1
    for name, array in some.arrays().items():
        np.testing.assert_array_equal(array, two().arrays()[name][1:], err_msg=name)


def test_sound_values_have_no_faults():
    assert list(gaussians.faults(two().arrays())) == []
    assert list(gaussians.faults(two()[:0].arrays())) == []


@pytest.mark.parametrize(
    ("name", "place", "value", "clause"),
    [
        ("position", (1, 2), np.nan, "'position' holds NaN or infinity"),
        ("position", (0, 0), -np.inf, "'position' holds NaN or infinity"),
        ("radiance:base", (0, 1), np.inf, "'radiance:base' holds NaN or infinity"),
        ("scale", (1, 0), -1e-3, "'scale' holds negative numbers"),
        ("rotation", (1, 0), 0.9, "'rotation' holds quaternions that are not of unit length"),
        ("radiance:base", (0, 3), 1.01, "'radiance:base' holds opacities outside 0..1"),
        ("radiance:base", (1, 3), -0.01, "'radiance:base' holds opacities outside 0..1"),
    ],
)
def test_an_unsound_value_is_named(name, place, value, clause):
    arrays = two().arrays()
    arrays[name][place] = value
    assert list(gaussians.faults(arrays)) == [clause]
