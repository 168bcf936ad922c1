"""What the parser promises about sky, water, ground and the curves between them."""

from pathlib import Path

import numpy as np
import pytest

from cyclorama.backend.sphere import skyline
from cyclorama.backend.sphere.equirectangular import latitudes
from cyclorama.backend.sphere.periodic import resize
from cyclorama.backend.sphere.pictures import read_panorama

SAMPLES = Path(__file__).parents[3] / "presets" / "panoramas"
HEIGHT = 512
SKY, GRASS, STONE, BRICK = (0.35, 0.5, 0.9), (0.08, 0.12, 0.04), (0.12, 0.12, 0.11), (0.30, 0.12, 0.07)


def painted(height: int = HEIGHT, noise: float = 0.05) -> np.ndarray:
    """Blue sky over a meadow, with some grain."""
    image = np.empty((height, 2 * height, 3), np.float32)
    image[: height // 2], image[height // 2 :] = SKY, GRASS
    return grained(image, noise)


def grained(image: np.ndarray, noise: float) -> np.ndarray:
    random = np.random.default_rng(0)
    return (image * np.exp(noise * random.standard_normal((*image.shape[:2], 1)))).astype(np.float32)


def with_house(image: np.ndarray, top: float, foot: float, left: int, right: int) -> np.ndarray:
    """Adds a brick wall between two latitudes (degrees) in columns left..right, which may run over the seam."""
    latitude = np.degrees(latitudes(len(image)))
    rows = (latitude < top) & (latitude > foot)
    image[np.ix_(rows, np.arange(left, right) % image.shape[1])] = BRICK
    return image


def test_sky_ends_at_the_horizon_of_a_meadow():
    layout = skyline.parse(painted())
    assert layout.has_sky and not layout.is_indoor
    assert layout.sky[: HEIGHT // 2 - 4].min() == 1
    assert layout.sky[HEIGHT // 2 + 4 :].max() == 0
    assert np.abs(np.degrees(layout.skyline)).max() < 1


def test_a_meadow_is_no_water():
    assert skyline.parse(painted()).water.max() == 0


def test_shares_of_a_pixel_sum_to_one():
    layout = skyline.parse(with_house(painted(), 20, -6, 300, 500))
    total = layout.sky + layout.water + layout.ground + layout.upright
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_a_house_stands_between_contact_and_skyline():
    layout = skyline.parse(with_house(painted(), 20, -6, 300, 500))
    inside = slice(320, 480)
    np.testing.assert_allclose(np.degrees(layout.contact[inside]), -6, atol=0.7)
    np.testing.assert_allclose(np.degrees(layout.skyline[inside]), 20, atol=0.7)
    assert layout.upright[HEIGHT // 2 - 40 : HEIGHT // 2, inside].min() > 0.95


@pytest.mark.parametrize("turn", [1, 317, 512])
def test_turning_the_panorama_turns_its_layout(turn):
    image = with_house(painted(), 20, -6, -60, 90)
    still, turned = skyline.parse(image), skyline.parse(np.roll(image, turn, axis=1))
    for name in ("sky", "water", "ground", "upright"):
        np.testing.assert_allclose(
            getattr(turned, name), np.roll(getattr(still, name), turn, axis=1), atol=1e-3, err_msg=name
        )
    for name in ("skyline", "contact"):
        np.testing.assert_allclose(getattr(turned, name), np.roll(getattr(still, name), turn), atol=1e-4, err_msg=name)


def test_the_sun_and_a_clipped_sun_are_sky():
    image = painted()
    image[120:128, 200:216] = 1e5
    image[90:94, 700:708] = np.inf
    layout = skyline.parse(image)
    assert layout.sky[: HEIGHT // 2 - 4].min() > 0.99


def test_a_warm_ceiling_is_no_sky():
    image = np.empty((HEIGHT, 2 * HEIGHT, 3), np.float32)
    latitude = np.degrees(latitudes(HEIGHT))
    image[latitude > 30], image[latitude <= 30], image[latitude < -35] = (0.5, 0.42, 0.36), (0.4, 0.4, 0.35), BRICK
    layout = skyline.parse(grained(image, 0.03))
    assert not layout.has_sky and layout.is_indoor
    assert layout.sky.max() == 0
    np.testing.assert_allclose(np.degrees(layout.contact), -35, atol=1.5)
    np.testing.assert_allclose(np.degrees(layout.skyline), 30, atol=1.5)


def nothing_special() -> dict[str, np.ndarray]:
    shape = (64, 128, 3)
    noise = np.random.default_rng(1).random(shape, np.float32)
    broken = painted(64)
    broken[3, 5], broken[40, 7] = np.nan, -np.inf
    return {"black": np.zeros(shape, np.float32), "white": np.ones(shape, np.float32), "noise": noise, "broken": broken}


@pytest.mark.parametrize("name", nothing_special())
def test_any_image_gets_finite_shares(name):
    image = nothing_special()[name]
    layout = skyline.parse(image)
    for share in (layout.sky, layout.water, layout.ground, layout.upright):
        assert share.shape == image.shape[:2] and share.dtype == np.float32
        assert np.isfinite(share).all() and share.min() >= 0 and share.max() <= 1
    assert np.isfinite(layout.contact).all() and (layout.contact < 0).all()
    assert np.isfinite(layout.skyline).all()


def test_the_image_is_not_changed():
    image = painted(64)
    image[3, 5] = np.nan
    before = image.copy()
    skyline.parse(image)
    np.testing.assert_array_equal(image, before)


def test_size_of_the_image_hardly_matters():
    image = with_house(painted(noise=0), 20, -6, 300, 500)
    large = skyline.parse(np.repeat(np.repeat(image, 2, axis=0), 2, axis=1))
    inside = np.r_[0:290, 310:490, 510:1024]  # but for the columns next to the corners
    np.testing.assert_allclose(large.contact[::2][inside], skyline.parse(image).contact[inside], atol=0.01)
    assert np.abs(resize(large.sky, HEIGHT, 2 * HEIGHT) - skyline.parse(image).sky).mean() < 0.005


def test_proposed_motion_is_exactly_zero_on_the_ground_and_on_masts():
    image = painted()
    image[150:256, 600:603] = 0.02
    regions = skyline.propose(skyline.parse(image))
    assert regions.sky[HEIGHT // 2 + 3 :].max() == 0
    assert regions.sky[160:250, 600:603].max() == 0
    assert regions.sky[:140].min() == 1
    assert regions.water.max() == 0


def test_the_lagoon_is_water_down_to_the_quay():
    image = read_panorama(SAMPLES / "sunset.exr").image
    layout = skyline.parse(image)
    latitude = np.degrees(latitudes(len(image)))
    centre = slice(image.shape[1] * 3 // 8, image.shape[1] * 5 // 8)
    assert layout.water[(latitude < -3) & (latitude > -15), centre].mean() > 0.98
    assert layout.water[latitude < -35].max() == 0
    assert layout.water[:, : image.shape[1] // 8].max() == 0  # the square behind
    assert layout.sky[latitude > 40].min() > 0.99
    moving = skyline.propose(layout)
    assert moving.water[(latitude < -5) & (latitude > -15), centre].mean() > 0.9
    assert moving.water[latitude < -33].max() == 0


@pytest.mark.parametrize("name", ["sunset", "city"])
def test_an_8_bit_photograph_with_a_burnt_out_sky_is_understood_like_the_hdr_one(name):
    image = read_panorama(SAMPLES / f"{name}.exr").image
    from_hdr, from_8_bit = skyline.parse(image), skyline.parse(np.minimum(image, 1))
    assert from_8_bit.has_sky
    assert np.abs(from_8_bit.sky - from_hdr.sky).mean() < 0.02
    assert np.abs(from_8_bit.water - from_hdr.water).mean() < 0.005


def test_a_burnt_out_yard_under_a_roof_is_no_lake():
    image = painted()
    image[: HEIGHT // 2 - 60] = (0.05, 0.03, 0.02)  # the roof
    image[HEIGHT // 2 : HEIGHT // 2 + 60] = 0.9
    assert skyline.parse(grained(image, 0.02)).water.max() == 0
