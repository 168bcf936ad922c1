"""The sky lies at the far distance, things before it at their own, and nothing in between."""

import numpy as np
import pytest

from cyclorama.backend.depth.backdrop import far_sky
from cyclorama.backend.depth.edges import depth_edges, sharpened
from cyclorama.backend.sphere import periodic
from cyclorama.backend.sphere.equirectangular import direction, directions, latitudes

HEIGHT, FAR = 256, 120.0
EYE = 1.6


def park(height: int = HEIGHT) -> np.ndarray:
    """Distance to a round tree across ±180°, a house of 12 x 8 m and level ground; infinity is sky."""
    towards = directions(height).astype(np.float64)
    with np.errstate(divide="ignore"):
        ground = np.where(towards[..., 2] < 0, EYE / -towards[..., 2], np.inf)
        one, other = np.array([-6, 10, -EYE]) / towards, np.array([6, 18, 6]) / towards
    enter, leave = np.minimum(one, other).max(axis=-1), np.maximum(one, other).min(axis=-1)
    house = np.where((enter < leave) & (enter > 0), enter, np.inf)
    trunk = np.where(np.abs(towards @ direction(np.pi / 2, 0.0)) < np.sin(0.03), 8, np.inf)
    trunk[(towards[..., 1] > 0) | (np.abs(latitudes(height)) > np.radians(12))[:, None]] = np.inf
    crown = np.where(towards @ direction(np.pi, 0.5) > np.cos(0.35), 8, np.inf)
    return np.min([ground, house, trunk, crown], axis=0)


TRUE_SKY = np.isinf(park())
TRUTH = np.minimum(park(), FAR).astype(np.float32)
ABOVE_HORIZON = (latitudes(HEIGHT) > np.radians(3))[:, None]
RING = ABOVE_HORIZON & ~TRUE_SKY & periodic.dilate(TRUE_SKY, 4)


def soft(sigma_px: float) -> np.ndarray:
    """What a network says: the truth, its disparity blurred."""
    return 1 / periodic.blur(1 / TRUTH, sigma_px)


def in_between(distance: np.ndarray) -> np.ndarray:
    """Above the horizon are only the tree, 8 m, the house, up to 25 m, and the sky."""
    return ABOVE_HORIZON & (distance > 30) & (distance < 110)


@pytest.mark.parametrize("sigma_px", [0.7, 1.0, 1.5])
@pytest.mark.parametrize("prepared", [False, True])
def test_there_is_no_halo_between_a_thing_and_the_sky(sigma_px, prepared):
    estimate = soft(sigma_px)
    with_halo = np.where(TRUE_SKY, FAR, estimate)
    found = far_sky(sharpened(estimate) if prepared else estimate, TRUE_SKY.astype(np.float32), FAR)
    assert in_between(estimate).sum() > 200
    assert not in_between(found).any()
    assert np.abs(found / TRUTH - 1)[RING].mean() < 0.3 * np.abs(with_halo / TRUTH - 1)[RING].mean()


@pytest.mark.parametrize("pixels", [-1, 1])
def test_the_sky_mask_need_not_fit_the_distance_to_the_pixel(pixels):
    """Where they disagree the mask is believed: a fringe at the sky's distance joins the thing it belongs to."""
    mask = periodic.dilate(TRUE_SKY, pixels) if pixels > 0 else periodic.erode(TRUE_SKY, -pixels)
    found = far_sky(soft(1.0), mask.astype(np.float32), FAR)
    assert not in_between(found).any()
    above = ABOVE_HORIZON & (latitudes(HEIGHT) > np.radians(5))[:, None]
    assert (found[mask] == FAR).all() and (found[above & ~mask] < 30).all()


def test_a_fringe_at_the_distance_of_the_sky_joins_what_it_belongs_to():
    """The estimate cuts the tree and the house two pixels short of what the mask says."""
    short = np.where(periodic.dilate(TRUE_SKY, 2), FAR, TRUTH).astype(np.float32)
    found = far_sky(short, TRUE_SKY.astype(np.float32), FAR)
    assert (short[RING] > 30).mean() > 0.3
    assert (found[RING] < 30).mean() > 0.95  # all but the thinnest of the trunk


def test_the_sky_is_at_the_far_distance_and_nothing_beyond():
    found = far_sky(park(), TRUE_SKY.astype(np.float32), FAR)
    assert found.dtype == np.float32
    assert (found[TRUE_SKY] == FAR).all()
    assert found.max() == FAR and np.isfinite(found).all()


def test_what_is_right_already_stays():
    found = far_sky(TRUTH, TRUE_SKY.astype(np.float32), FAR)
    near = ~TRUE_SKY & (TRUTH < FAR / 5)
    np.testing.assert_allclose(found[near], TRUTH[near], rtol=1e-4)
    np.testing.assert_array_equal(found[RING] < 30, TRUTH[RING] < 30)


def test_ground_runs_into_the_sky_without_an_edge():
    flat = np.where(latitudes(HEIGHT) < 0, EYE / np.sin(np.maximum(-latitudes(HEIGHT), 1e-9)), np.inf)
    sky = np.broadcast_to((latitudes(HEIGHT) > 0)[:, None], (HEIGHT, 2 * HEIGHT))
    found = far_sky(np.broadcast_to(flat[:, None], sky.shape), sky.astype(np.float32), FAR)
    assert not depth_edges(found).any()
    assert (np.diff(found[HEIGHT // 2 :], axis=0) < 0).all()


def test_a_far_hill_above_a_wall_stays_a_hill():
    """Two rows of it show: less than what a halo may be wide."""
    distance = np.full((HEIGHT, 2 * HEIGHT), FAR, np.float32)
    distance[100:], distance[98:100] = 5, 60
    sky = np.zeros_like(distance)
    sky[:98] = 1
    found = far_sky(distance, sky, 1000.0)
    np.testing.assert_allclose(found[98:100], 60, rtol=1e-3)
    np.testing.assert_allclose(found[100:], 5, rtol=1e-3)


def test_loose_crumbs_before_the_sky_join_it():
    distance, sky = np.full((HEIGHT, 2 * HEIGHT), 5, np.float32), np.zeros((HEIGHT, 2 * HEIGHT), np.float32)
    sky[:100] = 1
    sky[40, 200:202] = 0  # two pixels of a cable
    assert (far_sky(distance, sky, FAR)[:100] == FAR).all()


@pytest.mark.parametrize("turn", [1, 77, HEIGHT])
def test_turning_the_panorama_turns_the_result(turn):
    turned = far_sky(np.roll(soft(1.0), turn, axis=1), np.roll(TRUE_SKY, turn, axis=1).astype(np.float32), FAR)
    np.testing.assert_array_equal(turned, np.roll(far_sky(soft(1.0), TRUE_SKY.astype(np.float32), FAR), turn, axis=1))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_there_may_be_no_sky_or_nothing_else(share):
    sky = np.full((HEIGHT, 2 * HEIGHT), share, np.float32)
    found = far_sky(np.full_like(sky, 5), sky, FAR)
    np.testing.assert_allclose(found, FAR if share else 5, rtol=1e-6)


def test_a_mask_of_another_size_will_do():
    small = periodic.resize(TRUE_SKY.astype(np.float32), HEIGHT // 2, HEIGHT)
    assert (far_sky(TRUTH, small, FAR)[periodic.erode(TRUE_SKY, 3)] == FAR).all()


def test_very_near_and_infinite_distances_are_no_trouble():
    distance = np.full((HEIGHT, 2 * HEIGHT), 1e-6, np.float32)
    distance[100] = np.inf
    found = far_sky(distance, np.zeros_like(distance), 1e6)
    np.testing.assert_allclose(found[:100], 1e-6, rtol=1e-5)
    np.testing.assert_allclose(found[100], 1e6, rtol=1e-5)
