"""The fast fit shows the video better than its seeds, holds still what stands still, and goes on where it stopped."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cyclorama.backend.keepsake import Keepsake
from cyclorama.backend.lift.cover import Cover
from cyclorama.backend.lift.seed import Seeding
from cyclorama.backend.lift.settings import FAST
from cyclorama.backend.lift.solved_fit import SolvedFit
from cyclorama.backend.models.memory import Budget
from cyclorama.backend.raster.cpu import compositing_weights
from cyclorama.backend.raster.splats import Splats
from cyclorama.backend.sphere.colour import psnr, srgb_from_linear
from cyclorama.bridge.errors import Cancelled
from cyclorama.bridge.gaussians import colour_from_radiance

from .tiny_world import (
    AMPLE,
    all_moving,
    depth_of,
    moving_picture,
    passing_ball,
    room,
    standing_still,
    whole,
)

HEIGHT = 48
COVER = Cover.of(HEIGHT)
NOTHING_LEFT = Budget(0, torch.device("cpu"))


def seen(gaussians) -> np.ndarray:
    """(6, size, size, 3) sRGB of what stands there, as Blender would show it (box filter, no low-pass)."""
    splats = Splats.of(gaussians)
    weights = compositing_weights(splats, COVER.cameras(), FAST.mode, low_pass=False, supersample=2)
    pictures = [each @ splats.colour.numpy() for each in weights]
    return srgb_from_linear(np.stack(pictures).reshape(6, COVER.size, COVER.size, 3))


def wanted(picture: np.ndarray) -> np.ndarray:
    return srgb_from_linear(COVER.pictures(picture))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "unfinished"


@pytest.fixture
def fit_of(folder):
    """Makes a fit: ``fit_of(video, depth, name="a", budget=…, settings=…, report=…, show=…)``."""

    def made(video, depth, *, name="a", budget=AMPLE, settings=FAST, **more):
        return SolvedFit(video, Seeding(video, depth), settings, budget, Keepsake(name, folder), **more)

    return made


@pytest.fixture(scope="module")
def still_walls():
    return depth_of(room(HEIGHT))


# How good


def test_every_frame_shows_the_video_several_decibels_better_than_its_seeds(fit_of, still_walls):
    video = moving_picture(HEIGHT)
    seeding, fit = Seeding(video, still_walls), fit_of(video, still_walls)
    for frame in range(3):
        target = wanted(video.frames[frame])
        before, after = (psnr(seen(each), target) for each in (seeding.gaussians(frame), whole(fit, frame)))
        assert after > before + 3 and after > 33


def test_the_colours_are_those_of_the_video_also_where_it_is_brighter_than_white(fit_of, still_walls):
    video = standing_still(HEIGHT)
    bright = replace(video, frames=video.frames * 30)
    brightness = []
    for name, each in (("once", video), ("bright", bright)):
        colour = colour_from_radiance(fit_of(each, still_walls, name=name).static.radiance)
        brightness.append(np.median(colour[~Seeding(each, still_walls).hidden]))
        assert np.isfinite(colour).all()
    assert brightness[1] == pytest.approx(30 * brightness[0], rel=0.2)


def test_no_colour_is_negative(fit_of, still_walls):
    video = moving_picture(HEIGHT)
    hard = replace(video, frames=(video.frames > 0.2).astype(np.float32))
    gaussians = whole(fit_of(hard, still_walls), 1)
    assert colour_from_radiance(gaussians.radiance).min() > -1e-6


def test_geometry_and_opacity_are_the_seeds(fit_of, still_walls):
    video = moving_picture(HEIGHT)
    seeding, fit = Seeding(video, still_walls), fit_of(video, still_walls)
    seeds = seeding.gaussians(0)
    for gaussians, chosen in ((fit.static, ~seeding.moves), (whole(fit, 1)[len(fit.static) :], seeding.moves)):
        for name in ("position", "rotation", "scale"):
            np.testing.assert_array_equal(gaussians.arrays()[name], seeds[chosen].arrays()[name])
        np.testing.assert_array_equal(gaussians.radiance[:, 3], seeds[chosen].radiance[:, 3])


# What stands still


def test_pixels_that_no_moving_gaussian_reaches_are_the_same_in_all_frames(fit_of, still_walls):
    video = moving_picture(HEIGHT)
    fit = fit_of(video, still_walls)
    pictures = [seen(whole(fit, frame)) for frame in range(3)]
    alone = compositing_weights(Splats.of(whole(fit, 0)), COVER.cameras(), FAST.mode, low_pass=False, supersample=2)
    reached = (
        np.stack([each[:, len(fit.static) :].sum(axis=1) for each in alone]).reshape(6, COVER.size, COVER.size) > 0
    )
    assert 0.05 < reached.mean() < 0.5
    for picture in pictures[1:]:
        assert (picture[~reached] == pictures[0][~reached]).all()
        assert (picture[reached] != pictures[0][reached]).mean() > 0.5


def test_only_radiance_changes_where_surfaces_stand_still(fit_of, still_walls):
    fit = fit_of(moving_picture(HEIGHT), still_walls)
    assert set(fit.still_arrays()) == {"position", "rotation", "scale"}
    assert set(fit.frame(0)) == set(fit.frame(2)) == {"radiance:base"}
    assert len(fit.frame(1)["radiance:base"]) == fit.moving_count > 0


def test_where_a_surface_passes_all_of_what_moves_is_in_every_frame(fit_of):
    video, depth = passing_ball(HEIGHT)
    fit, seeding = fit_of(video, depth), Seeding(video, depth)
    assert fit.still_arrays() == {}
    for frame in range(3):
        arrays = fit.frame(frame)
        assert set(arrays) == {"position", "rotation", "scale", "radiance:base"}
        assert {len(array) for array in arrays.values()} == {fit.moving_count}
        radius = np.linalg.norm(arrays["position"], axis=1)
        assert radius.min() == pytest.approx(1.5, rel=0.02) and radius.max() > 2.5
        target = wanted(video.frames[frame])
        before, after = (psnr(seen(each), target) for each in (seeding.gaussians(frame), whole(fit, frame)))
        assert after > before + 1, frame


def test_everything_may_move(fit_of, still_walls):
    video = all_moving(HEIGHT)
    fit = fit_of(video, still_walls)
    assert fit.moving_count > len(fit.static)  # what is behind edges stands still
    assert psnr(seen(whole(fit, 1)), wanted(video.frames[1])) > 34


@pytest.mark.parametrize("frames", [1, 3])
def test_nothing_may_move(fit_of, still_walls, frames):
    video = standing_still(HEIGHT, frames)
    fit = fit_of(video, still_walls)
    assert fit.moving_count == 0 and fit.still_arrays() == {}
    assert psnr(seen(fit.static), wanted(video.frames[0])) > 34


def test_one_frame_is_enough_even_if_it_was_to_move(fit_of, still_walls):
    fit = fit_of(moving_picture(HEIGHT, 1), still_walls)
    assert fit.moving_count == 0 and len(fit.static)


# However it is done, the result is the same


def test_frames_are_the_same_in_whatever_order_they_are_asked_for(fit_of):
    for number, (video, depth) in enumerate([(moving_picture(HEIGHT), depth_of(room(HEIGHT))), passing_ball(HEIGHT)]):
        forwards, backwards = (fit_of(video, depth, name=f"{number}{name}") for name in "ab")
        one = {frame: forwards.frame(frame) for frame in (0, 1, 2)}
        other = {frame: backwards.frame(frame) for frame in (2, 0, 1)}
        for frame in range(3):
            for name, array in one[frame].items():
                np.testing.assert_array_equal(array, other[frame][name])


@pytest.mark.parametrize("moves", ["picture", "ball"])
def test_without_memory_for_a_matrix_it_finds_the_same(fit_of, moves):
    video, depth = (moving_picture(HEIGHT), depth_of(room(HEIGHT))) if moves == "picture" else passing_ball(HEIGHT)
    rich, poor = fit_of(video, depth), fit_of(video, depth, name="poor", budget=NOTHING_LEFT)
    np.testing.assert_allclose(seen(whole(rich, 2)), seen(whole(poor, 2)), atol=2e-3)


# Stopping and going on


class Stop:
    """A ``report`` that raises at its ``number``-th call, and what it heard."""

    def __init__(self, number: int = 10_000):
        self.number, self.heard = number, []

    def __call__(self, done, total):
        self.heard.append((done, total))
        if len(self.heard) == self.number:
            raise Cancelled


def everything(fit, frames: int = 3) -> list[np.ndarray]:
    arrays = [*fit.static.arrays().values()]
    return arrays + [array for frame in range(frames) for array in fit.frame(frame).values()]


@pytest.mark.parametrize("moves", ["picture", "ball"])
def test_stopped_anywhere_it_goes_on_to_the_same_bits(fit_of, moves, folder):
    video, depth = (moving_picture(HEIGHT), depth_of(room(HEIGHT))) if moves == "picture" else passing_ball(HEIGHT)
    undisturbed = Stop()
    expected = everything(fit_of(video, depth, name="whole", report=undisturbed))
    steps = len(undisturbed.heard)
    assert len({done for done, _ in undisturbed.heard}) == 4 * FAST.solver_iterations + 1
    for number in range(1, steps + 1, 4 if moves == "picture" else 8):
        name = f"stopped at {number}"
        with pytest.raises(Cancelled):
            everything(fit_of(video, depth, name=name, report=Stop(number)))
        found = everything(fit_of(video, depth, name=name))
        assert all((one == other).all() for one, other in zip(expected, found, strict=True))


def test_what_is_finished_is_not_solved_again(fit_of, still_walls):
    video = moving_picture(HEIGHT)
    first = fit_of(video, still_walls)
    for frame in (0, 1):
        first.frame(frame)
    again = Stop()
    fit = fit_of(video, still_walls, report=again)
    for frame in (0, 1):
        fit.frame(frame)
    five = FAST.solver_iterations
    assert again.heard == [(2 * five, 4 * five), (3 * five, 4 * five)]
    fit.frame(2)
    assert sorted(set(again.heard[2:])) == [(3 * five + step, 4 * five) for step in range(five + 1)]


def test_progress_rises_and_ends_at_all_of_it(fit_of, still_walls):
    report = Stop()
    everything(fit_of(moving_picture(HEIGHT), still_walls, report=report))
    steps = [done for done, _ in report.heard]
    assert steps == sorted(steps) and steps[0] == 0
    assert report.heard[-1][0] == report.heard[-1][1] and len({total for _, total in report.heard}) == 1


def test_what_is_kept_of_another_fit_is_not_used(fit_of, still_walls):
    video = moving_picture(HEIGHT)
    dark = replace(video, frames=video.frames * 0.1)
    bright_fit, dark_fit = fit_of(video, still_walls, name="bright"), fit_of(dark, still_walls, name="dark")
    assert (
        colour_from_radiance(dark_fit.static.radiance).mean()
        < 0.2 * colour_from_radiance(bright_fit.static.radiance).mean()
    )


def test_a_preview_is_shown_of_what_stands_still_and_of_every_frame(fit_of, still_walls):
    shown = []
    video = moving_picture(HEIGHT)
    everything(fit_of(video, still_walls, show=shown.append))
    assert len(shown) == 4
    assert all(picture.dtype == np.uint8 and picture.shape == (256, 512, 3) for picture in shown)
    ahead_of_all = [picture[124:132, 250:262].mean(axis=(0, 1)) / 255 for picture in shown[1:]]
    expected = [srgb_from_linear(frame[23:25, 47:49].mean(axis=(0, 1))) for frame in video.frames]
    np.testing.assert_allclose(ahead_of_all, expected, atol=0.08)
