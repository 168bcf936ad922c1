"""Video models are shown a photograph of the panorama, and its light comes back from theirs."""

import numpy as np
import pytest

from cyclorama.backend.animate.exposure import Exposure
from cyclorama.backend.sphere.colour import srgb_from_linear
from cyclorama.backend.sphere.equirectangular import direction, directions

HEIGHT = 64


def landscape(light: float = 1.0, sun: float = 2e4) -> np.ndarray:
    """A bright sky that falls off from a sun of 3° over dark ground, in scene-linear light."""
    image = np.full((HEIGHT, 2 * HEIGHT, 3), 0.08, np.float32) * np.array([1.0, 0.8, 0.5], np.float32)
    away = np.arccos(np.clip(directions(HEIGHT) @ direction(0.5, 0.6), -1, 1))[: HEIGHT // 2, :, None]
    image[: HEIGHT // 2] = (0.6 + 6 * np.exp(-away * 3)) * np.array([0.6, 0.8, 1.0])
    image[: HEIGHT // 2][away[..., 0] < 0.03] = sun
    texture = np.random.default_rng(1).uniform(0.7, 1.3, image.shape)
    return (light * image * texture).astype(np.float32)


def dark_room() -> np.ndarray:
    """Nearly black but for one lit window."""
    image = np.full((HEIGHT, 2 * HEIGHT, 3), 0.002, np.float32)
    image[24:40, 20:60] = 1.5
    return image


def test_an_8_bit_picture_is_shown_as_it_is():
    srgb = np.random.default_rng(2).integers(0, 256, (HEIGHT, 2 * HEIGHT, 3)).astype(np.float32) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)
    exposure = Exposure.of(linear)

    np.testing.assert_allclose(exposure.to_display(linear), srgb, atol=1e-6)
    np.testing.assert_allclose(exposure.to_linear(exposure.to_display(linear)), linear, atol=1e-6)
    assert (exposure.lights(linear) == 1).all()


@pytest.mark.parametrize("image", [landscape(), landscape(50), landscape(0.01), dark_room()])
def test_all_light_of_a_still_panorama_comes_back(image):
    exposure = Exposure.of(image)
    lights = exposure.lights(image)

    np.testing.assert_allclose(exposure.to_linear(exposure.to_display(image)) * lights, image, rtol=1e-5, atol=1e-7)
    assert (lights >= 1).all()
    assert np.array_equal(lights > 1, image > np.float32(exposure.white))


def test_the_model_sees_no_sun_that_outshines_the_picture():
    for image in (landscape(), landscape(50)):
        display = Exposure.of(image).to_display(image)
        assert display.dtype == np.float32
        assert display.min() >= 0
        assert display.max() == 1
        assert 0.3 < display.mean() < 0.6
        assert (display == 1).mean() < 0.02  # clouds around the sun keep their shapes


def test_the_unit_of_light_does_not_matter():
    shown = [Exposure.of(image).to_display(image) for image in (landscape(1), landscape(300))]
    np.testing.assert_allclose(shown[0], shown[1], atol=0.01)


def test_a_sun_does_not_darken_the_scene():
    with_sun, without = Exposure.of(landscape(sun=1e6)), Exposure.of(landscape(sun=10))
    assert with_sun.factor == pytest.approx(without.factor, rel=0.05)


def test_a_dark_room_stays_dark_and_its_window_keeps_detail():
    image = dark_room()
    display = Exposure.of(image).to_display(image)
    assert display[0, 0].max() < 0.3
    assert 0.5 < display[30, 30].min() < 1


def test_more_light_is_never_shown_darker():
    exposure = Exposure.of(landscape())
    light = np.geomspace(1e-4, 0.999 * exposure.white, 20_000, dtype=np.float32)
    assert (np.diff(exposure.to_display(light)) > -1e-7).all()
    assert (np.diff(exposure.to_display(light)[::20]) > 0).all()


def test_the_curve_has_no_kink():
    display = np.linspace(0.2, 0.999, 2000)
    slope = np.gradient(np.log(Exposure.of(landscape()).to_linear(display).astype(np.float64)), display)
    assert np.abs(np.diff(slope)).max() < 0.02 * slope.max()  # at a kink it would jump


def test_a_small_error_of_the_model_stays_small_in_all_highlights():
    exposure = Exposure.of(landscape())
    display = np.linspace(0.4, 0.99, 100)
    change = exposure.to_linear(display + 0.01) / exposure.to_linear(display) - 1
    assert change.max() < 0.055

    shadows = np.linspace(0, 0.39, 100)
    error = exposure.to_linear(shadows + 0.01) - exposure.to_linear(shadows)
    assert error.max() < 0.055 * exposure.to_linear(np.float32(0.4))


def test_shadows_are_those_of_a_photograph():
    exposure = Exposure.of(landscape())
    light = np.linspace(0, 0.13, 50, dtype=np.float32)
    np.testing.assert_allclose(exposure.to_display(light / exposure.factor), srgb_from_linear(light), atol=1e-6)


def test_what_the_model_overshoots_is_clipped():
    for exposure in (Exposure.of(landscape()), Exposure.of(np.full((4, 8, 3), 0.5, np.float32))):
        assert exposure.to_linear(np.float32(1.3)) == pytest.approx(exposure.white, rel=1e-6)
        assert exposure.to_linear(np.float32(-0.2)) == 0
