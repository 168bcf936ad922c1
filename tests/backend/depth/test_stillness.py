"""What stands still in a video is found, with a margin around what moves, and without a mask."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from cyclorama.backend.depth.stillness import still
from cyclorama.backend.sphere.colour import linear_from_srgb, srgb_from_linear
from cyclorama.backend.sphere.equirectangular import direction, directions, latitudes, sample
from cyclorama.backend.sphere.periodic import dilate
from cyclorama.backend.sphere.pictures import read_panorama

PANORAMAS = Path(__file__).parents[3] / "presets" / "panoramas"
WIDTH, HEIGHT, FRAMES = 512, 256, 4
PIXEL = 2 * np.pi / WIDTH
TOWARDS = directions(HEIGHT)
LONGITUDE = np.arctan2(TOWARDS[..., 0], TOWARDS[..., 1])
LATITUDE = np.arcsin(TOWARDS[..., 2])


@cache
def city() -> np.ndarray:
    """sRGB 0..1 of a street."""
    return srgb_from_linear(read_panorama(PANORAMAS / "city.exr", width=WIDTH).image)


def disc(longitude: float, latitude: float, radius: float = 8.0) -> np.ndarray:
    """Pixels within ``radius``; all in degrees."""
    middle = direction(*np.deg2rad([longitude, latitude]))
    return TOWARDS @ middle > np.cos(np.deg2rad(radius))


def share(part: np.ndarray, whole: np.ndarray) -> float:
    """Of the area of ``whole`` on the sphere."""
    area = np.broadcast_to(np.cos(latitudes(HEIGHT))[:, None], whole.shape)
    return float(area[part & whole].sum() / area[whole].sum())


def filmed(pictures: list[np.ndarray], noise: float = 0.0) -> np.ndarray:
    """Frames in linear light, of sRGB pictures in 8 bits."""
    chance = np.random.default_rng(0)
    noisy = [picture + noise * chance.standard_normal(picture.shape) for picture in pictures]
    return np.stack([linear_from_srgb(np.clip(np.round(picture * 255) / 255, 0, 1)) for picture in noisy])


@cache
def ball(longitude: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """A coloured ball that rolls through the street, and where it ever is."""
    ever = np.zeros((HEIGHT, WIDTH), bool)
    pictures = []
    for frame in range(FRAMES):
        here = disc(longitude + 4 * frame, -10)
        ever |= here
        pictures.append(np.where(here[..., None], np.array([0.9, 0.3, 0.1]), city()))
    return still(filmed(pictures, noise)), ever


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("longitude", [-60, 176])
def test_a_thing_that_moves_is_wholly_outside_the_still_region(longitude, noise):
    found, ever = ball(longitude, noise)
    assert share(found, ever) == 0
    assert share(found, ever ^ dilate(ever, 1)) == 0


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_what_does_not_move_is_still_but_for_a_margin(noise):
    found, ever = ball(-60, noise)
    assert share(found, ~dilate(ever, 8)) > 0.99


@pytest.mark.parametrize("pixels_a_frame", [0.5, 0.2])
def test_texture_that_drifts_by_less_than_a_pixel_is_seen_to_move(pixels_a_frame):
    """A cloud's worth of soft texture; by 0.2 it is lost in noise, pixel for pixel, and only flow sees it."""
    soft = cv2.GaussianBlur(np.random.default_rng(1).random((HEIGHT, WIDTH)).astype(np.float32), (0, 0), 3)
    soft = 0.5 + 0.15 * (soft - soft.mean()) / soft.std()
    picture = np.repeat(soft[..., None], 3, axis=-1)
    window = disc(40, 20, 20)
    pictures = []
    for frame in range(FRAMES):
        drifted = sample(picture, direction(LONGITUDE - pixels_a_frame * frame * PIXEL, LATITUDE))
        pictures.append(np.where(window[..., None], drifted, picture))
    found = still(filmed(pictures, noise=0.01))
    assert share(found, window) < 0.1
    assert share(found, ~dilate(window, 10)) > 0.98


def test_a_tremble_of_a_tenth_of_a_pixel_is_no_motion():
    pictures = [sample(city(), direction(LONGITUDE + 0.1 * PIXEL * (frame % 2), LATITUDE)) for frame in range(FRAMES)]
    assert still(filmed(pictures)).mean() > 0.97


def test_a_light_that_changes_on_a_plain_wall_is_seen_without_any_flow():
    wall = np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)
    lit = wall + 0.2 * disc(100, 30)[..., None]
    found = still(filmed([wall, lit, wall, wall]))
    assert share(found, disc(100, 30)) == 0
    assert share(found, ~disc(100, 30, 16)) == 1


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_a_still_video_is_still_everywhere(noise):
    assert share(still(filmed([city()] * FRAMES, noise)), np.ones((HEIGHT, WIDTH), bool)) > 0.99


def test_nothing_is_still_when_everything_changes():
    chance = np.random.default_rng(0)
    assert not still(chance.random((3, HEIGHT, WIDTH, 3), np.float32)).any()


def test_nothing_is_still_across_a_cut_to_another_place():
    bright = 0.25 + 0.5 * city()
    cut = still(filmed([bright, bright, 1 - bright[::-1], 1 - bright[::-1]]))
    assert share(cut, np.ones((HEIGHT, WIDTH), bool)) < 0.1


def test_one_frame_is_still():
    assert still(filmed([city()])).all()


def test_a_flash_in_one_frame_does_not_hide_what_moves_in_the_others():
    pictures = []
    for frame in range(6):
        picture = city() * (1.15 if frame == 3 else 1.0)
        picture[60:80, 20 + 6 * frame : 40 + 6 * frame] *= 1.15
        pictures.append(picture)
    assert not still(filmed(pictures))[65:75, 25:65].any()
