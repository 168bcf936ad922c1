"""Frames of a panoramic distance come to one scale, and do not flicker where nothing moves."""

import numpy as np
import pytest

from cyclorama.backend.depth.temporal import FrameAlignment, aligned, flicker, scale_and_shift, steady
from cyclorama.backend.sphere.equirectangular import directions, latitudes

HEIGHT = 64
TOWARDS = directions(HEIGHT)
X, Y, Z = (TOWARDS[..., axis] for axis in range(3))
ROOM = (6 + 2 * X + Z).astype(np.float32)
MOVING = Y > 0.6  # a disc ahead
STILL = ~MOVING
EVERYWHERE = np.ones((1, 1), bool)


def spread_out(count: int, seed: int = 0) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).uniform(np.log(1.5), np.log(60), count))


def breathing(frames: int = 5) -> np.ndarray:
    """The room, each frame wrong by a smooth factor of its own."""
    return np.stack([ROOM * np.exp(0.05 * np.sin(k + 1.5 * X) + 0.03 * np.cos(2 * k) * Z) for k in range(frames)])


@pytest.mark.parametrize("shift", [False, True])
def test_a_known_scale_and_shift_of_each_frame_are_found(shift):
    truth = spread_out(4000)
    scale, offset = np.array([0.5, 1.0, 2.2]), np.array([0.7, 0.0, -1.2]) * shift
    values = (truth - offset[:, None]) / scale[:, None]
    found = scale_and_shift(values, truth[None], EVERYWHERE, shift=shift)
    np.testing.assert_allclose(found.alpha, scale, rtol=1e-6)
    np.testing.assert_allclose(found.beta, offset, atol=1e-5)
    assert found.measured.all()


def test_the_papers_medians_find_a_scale_and_never_a_shift():
    truth = spread_out(4001)
    scaled = scale_and_shift(truth[None] / 1.7, truth[None], EVERYWHERE, shift=True, method="medians")
    assert scaled.alpha[0] == pytest.approx(1.7)
    shifted = scale_and_shift((truth[None] + 2) / 1.7, truth[None], EVERYWHERE, shift=True, method="medians")
    assert shifted.alpha[0] == pytest.approx(np.median(1.7 * truth / (truth + 2)))
    assert shifted.beta[0] == pytest.approx(0, abs=1e-9)


def test_noise_and_wrong_pixels_cost_the_robust_fit_a_tenth_of_a_percent_and_the_medians_much_more():
    chance = np.random.default_rng(2)
    truth = spread_out(8000, seed=3)
    values = (truth * (1 + 0.02 * chance.standard_normal(8000)) + 3) / 1.4
    wrong = chance.random(8000) < 0.1
    values[wrong] *= chance.uniform(0.2, 5, wrong.sum())

    def error(method):
        found = scale_and_shift(values[None], truth[None], EVERYWHERE, shift=True, method=method)
        return np.mean(np.abs(found.alpha[0] * (truth + 3) / 1.4 + found.beta[0] - truth) / truth)

    assert error("robust") < 1.5e-3
    assert error("medians") > 0.05


def test_pixels_that_are_not_known_or_not_asked_for_do_not_count():
    truth = np.tile(spread_out(1000), (2, 1))
    values = truth / 3
    where = np.ones(1000, bool)
    values[0, :300], truth[1, 300:500] = np.nan, -1
    values[:, 900:], where[900:] = 77.0, False
    found = scale_and_shift(values, truth, where, shift=False)
    np.testing.assert_allclose(found.alpha, 3, rtol=1e-6)


def test_a_frame_that_cannot_be_measured_takes_over_its_nearest_neighbours_numbers_and_says_so():
    truth = spread_out(1000)
    values = truth / np.array([1.0, 2.0, 3.0, 4.0, 5.0])[:, None]
    values[[0, 1, 3]] = np.nan
    found = scale_and_shift(values, truth[None], EVERYWHERE, shift=False)
    assert found.measured.tolist() == [False, False, True, False, True]
    np.testing.assert_allclose(found.alpha, [3, 3, 3, 3, 5])


def test_where_nothing_can_be_measured_nothing_is_changed():
    values = np.stack([ROOM, 2 * ROOM])
    found = scale_and_shift(values, ROOM[None], np.zeros_like(STILL), shift=True)
    assert found.alpha.tolist() == [1, 1] and found.beta.tolist() == [0, 0] and not found.measured.any()


def test_a_wall_all_around_tells_a_scale_but_no_shift():
    wall = 3 * (1 + 0.01 * np.random.default_rng(0).standard_normal((1, 5000)))
    found = scale_and_shift(wall / 2, np.full((1, 5000), 3.0), EVERYWHERE, shift=True)
    assert found.alpha[0] == pytest.approx(2, rel=1e-3)
    assert found.beta[0] == 0


def test_a_shift_brings_nothing_behind_the_viewer_and_keeps_the_order():
    distance = np.linspace(0.1, 20, 200, dtype=np.float32).reshape(1, 10, 20)
    one = np.ones(1)
    found = aligned(distance, FrameAlignment(2 * one, -3 * one, one > 0)).ravel()
    assert (found > 0).all() and (np.diff(found) > 0).all()
    np.testing.assert_allclose(found[20:], 2 * distance.ravel()[20:] - 3, rtol=1e-5)


def test_still_regions_have_exactly_one_distance():
    video = breathing()
    assert flicker(video, STILL) > 0.01
    held = steady(video, STILL)
    assert flicker(held, STILL) == 0.0
    assert (held[:, STILL] == held[0, STILL]).all() and held.dtype == np.float32


def test_the_one_distance_is_not_led_astray_by_a_frame_that_is_wrong():
    video = np.tile(ROOM, (7, 1, 1)) * (1 + 0.01 * np.random.default_rng(0).standard_normal((7, 1, 1)))
    expected = np.delete(video, 3, axis=0).mean(axis=0)
    video[3] *= 4
    np.testing.assert_allclose(steady(video, STILL)[0][STILL], expected[STILL], rtol=0.005)


def test_a_still_pixel_is_what_the_frames_say_that_know_it():
    video = np.tile(ROOM, (3, 1, 1))
    video[1] = np.nan
    video[:, 5, 5] = np.nan
    held = steady(video, STILL)
    known = STILL.copy()
    known[5, 5] = False
    np.testing.assert_allclose(held[:, known], np.tile(ROOM[known], (3, 1)), rtol=1e-6)
    assert np.isnan(held[:, 5, 5]).all()
    assert np.isnan(held[1, MOVING]).all() and np.isfinite(held[0, MOVING]).all()


def test_moving_things_join_still_ones_without_a_step():
    video = breathing()
    held = steady(video, STILL)
    across = STILL[:, 1:] != STILL[:, :-1]
    down = STILL[1:] != STILL[:-1]

    def steps(distance):
        log = np.log(distance)
        return np.concatenate([np.diff(log, axis=2)[:, across], np.diff(log, axis=1)[:, down]], axis=1)

    unjoined = np.where(STILL, held, video)
    truth = np.tile(ROOM, (len(video), 1, 1))
    slope_per_pixel = (0.05 * 1.5 + 0.03) * np.pi / HEIGHT  # of the log error, which has no step itself
    assert np.abs(steps(unjoined) - steps(truth)).max() > 10 * slope_per_pixel
    assert np.abs(steps(held) - steps(truth)).max() < 2 * slope_per_pixel


def test_a_frame_that_is_wrong_by_one_factor_is_right_in_moving_regions_too():
    factor = np.array([1.0, 1.0, 1.1, 1.0, 0.93])
    held = steady(ROOM * factor[:, None, None], STILL)
    np.testing.assert_allclose(held, np.tile(ROOM, (5, 1, 1)), rtol=1e-3)


def test_what_no_surface_joins_to_still_things_keeps_its_distance():
    video = breathing()
    bird = Y > 0.9
    video[:, bird] = np.linspace(2, 3, len(video))[:, None].astype(np.float32)
    np.testing.assert_array_equal(steady(video, STILL)[:, bird], video[:, bird])


def test_a_thing_that_the_border_cuts_follows_its_own_still_part_and_not_what_is_behind_it():
    beam = np.abs(Z) < 0.15  # passes through the moving disc, nearer than the room
    video = np.tile(np.where(beam, 2.0, ROOM).astype(np.float32), (5, 1, 1))
    truth = video[0].copy()
    video[2][beam] *= 1.2
    video[2][~beam] *= 0.9
    np.testing.assert_allclose(steady(video, STILL)[2], truth, rtol=1e-3)


def test_a_region_over_the_seam_is_treated_as_one_ahead():
    video = breathing()
    turned = np.roll(video, HEIGHT, axis=2)
    held = steady(turned, np.roll(STILL, HEIGHT, axis=1))
    np.testing.assert_allclose(held, np.roll(steady(video, STILL), HEIGHT, axis=2), rtol=1e-3)


@pytest.mark.parametrize("still", [np.zeros_like(STILL), STILL])
def test_where_nothing_is_still_or_there_is_one_frame_all_stays(still):
    video = breathing(3 if not still.any() else 1).astype(np.float32)
    np.testing.assert_array_equal(steady(video, still), video)


def test_where_all_is_still_every_frame_is_the_same():
    held = steady(breathing(), np.ones_like(STILL))
    assert (held == held[0]).all()


def test_flicker_is_measured_over_the_sphere_and_not_over_its_picture():
    video = np.ones((2, HEIGHT, 2 * HEIGHT))
    top = latitudes(HEIGHT) > np.pi / 4  # a quarter of the picture
    video[1, top] = 1.2  # deviates by 0.1 from 1.1
    still = np.ones_like(STILL)
    of_the_sphere = (1 - np.sin(np.pi / 4)) / 2
    assert flicker(video, still) == pytest.approx(0.1 / 1.1 * of_the_sphere, rel=1e-3)


def test_flicker_leaves_out_what_is_not_known():
    video = np.tile(ROOM, (3, 1, 1))
    video[1] = np.nan
    assert flicker(video, STILL) == 0.0
    assert np.isnan(flicker(video, np.zeros_like(STILL)))


@pytest.mark.parametrize("frames", [2, 4, 24])
def test_a_pixel_at_an_edge_rests_on_one_of_its_surfaces_and_never_between(frames):
    video = np.full((frames, HEIGHT, 2 * HEIGHT), 20.0, np.float32)
    video[::2, 20:40, 30:60] = 2.0
    held = steady(video, np.ones((HEIGHT, 2 * HEIGHT), bool))
    np.testing.assert_allclose(np.unique(held), [2.0, 20.0], rtol=1e-6)
