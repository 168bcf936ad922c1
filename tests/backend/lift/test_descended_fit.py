"""The papers' fit falls towards the video, lets alone what stands still, and survives what may happen to it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cyclorama.backend.keepsake import Keepsake
from cyclorama.backend.lift.aims import Aims
from cyclorama.backend.lift.cover import Cover
from cyclorama.backend.lift.densify import Densification
from cyclorama.backend.lift.descended_fit import DescendedFit
from cyclorama.backend.lift.descent import Networks
from cyclorama.backend.lift.fit import settings_of
from cyclorama.backend.lift.losses import Disturbance, Weights
from cyclorama.backend.lift.optimiser import Rates
from cyclorama.backend.lift.seed import Seeding
from cyclorama.backend.models.memory import Budget
from cyclorama.backend.raster.rasterize import rasterize
from cyclorama.backend.raster.splats import Splats
from cyclorama.backend.sphere.colour import psnr, srgb_from_linear
from cyclorama.bridge.errors import Cancelled

from .tiny_world import AMPLE, all_moving, depth_of, moving_picture, passing_ball, room, standing_still, whole

HEIGHT = 32
COVER = Cover(24)
ITERATIONS = 30
QUICK = replace(
    settings_of("4k4dgen", ITERATIONS),
    size=20,
    densification=Densification(kind="none"),
    weights=Weights(semantic=0, temporal=0),
)


def seen(gaussians, mode="classic") -> np.ndarray:
    with torch.no_grad():
        colour = rasterize(Splats.of(gaussians), COVER.cameras(), mode).colour
    return srgb_from_linear(colour.numpy())


def wanted(picture: np.ndarray) -> np.ndarray:
    return srgb_from_linear(COVER.pictures(picture))


def room_depth():
    return depth_of(room(HEIGHT))


@pytest.fixture
def fit_of(tmp_path):
    """Makes a fit: ``fit_of(video, depth, name="a", settings=…, networks=…, budget=…, most=…, report=…)``."""

    def made(video, depth, *, name="a", settings=QUICK, networks=None, budget=AMPLE, **more):
        keepsake, seeding = Keepsake(name, tmp_path / "unfinished"), Seeding(video, depth)
        return DescendedFit(video, depth, seeding, settings, networks or Networks(), budget, keepsake, **more)

    return made


def with_weights(**weights):
    return replace(QUICK, weights=replace(QUICK.weights, **weights))


def everything(fit, frames: int = 3) -> list[np.ndarray]:
    arrays = [*fit.static.arrays().values()]
    return arrays + [array for frame in range(frames) for array in fit.frame(frame).values()]


def same_bits(one, other) -> bool:
    return len(one) == len(other) and all((a == b).all() for a, b in zip(one, other, strict=True))


class Stop:
    """A ``report`` that raises at its ``number``-th call, and what it heard."""

    def __init__(self, number: int = 10_000):
        self.number, self.heard = number, []

    def __call__(self, done, total):
        self.heard.append((done, total))
        if len(self.heard) == self.number:
            raise Cancelled


# How good


def test_it_comes_nearer_to_the_video_than_its_seeds(fit_of):
    video = moving_picture(HEIGHT)
    fit, seeding = fit_of(video, room_depth()), Seeding(video, room_depth())
    target = wanted(video.frames[0])
    assert psnr(seen(whole(fit, 0)), target) > psnr(seen(seeding.gaussians(0)), target) + 0.7
    assert fit.notes == ()


def test_each_frame_comes_nearer_to_its_picture_than_the_frame_before_it_was(fit_of):
    video = moving_picture(HEIGHT)
    fit = fit_of(video, room_depth(), settings=replace(QUICK, rates=Rates(colour=0.01)))
    for frame in (1, 2):
        target = wanted(video.frames[frame])
        assert psnr(seen(whole(fit, frame)), target) > psnr(seen(whole(fit, frame - 1)), target) + 0.3


def test_more_steps_come_nearer(fit_of):
    video = standing_still(HEIGHT)
    target, found = wanted(video.frames[0]), []
    for iterations in (5, 90):
        fit = fit_of(video, room_depth(), name=str(iterations), settings=replace(QUICK, iterations=iterations))
        found.append(psnr(seen(fit.static), target))
    assert found[1] > found[0] + 1


def test_all_may_move_or_nothing(fit_of):
    video = standing_still(HEIGHT)
    still = fit_of(video, room_depth())
    assert still.moving_count == 0 and {len(array) for array in still.frame(0).values()} == {0}
    moving = all_moving(HEIGHT)
    fit = fit_of(moving, depth_of(np.full((HEIGHT, 2 * HEIGHT), 4.0)), name="b")
    assert len(fit.static) == 0 and fit.moving_count > 500
    assert psnr(seen(whole(fit, 1)), wanted(moving.frames[1])) > psnr(seen(whole(fit, 0)), wanted(moving.frames[1]))


def test_one_frame_is_enough(fit_of):
    fit = fit_of(moving_picture(HEIGHT, 1), room_depth())
    assert fit.moving_count == 0 and len(fit.static)


# What stands still, and what moves


def test_frames_do_not_change_what_stands_still_and_have_as_many_moving_ones(fit_of):
    for video, depth, name in ((moving_picture(HEIGHT), room_depth(), "a"), (*passing_ball(HEIGHT), "b")):
        fit = fit_of(video, depth, name=name)
        before = [array.copy() for array in fit.static.arrays().values()]
        for frame in range(3):
            arrays = fit.frame(frame)
            assert set(arrays) == {"position", "rotation", "scale", "radiance:base"}
            assert {len(array) for array in arrays.values()} == {fit.moving_count}
            assert all(np.isfinite(array).all() for array in arrays.values())
        assert same_bits(before, list(fit.static.arrays().values()))
        assert fit.still_arrays() == {}


def test_each_frame_starts_from_the_last(fit_of):
    """Without any rate, nothing moves but what the distance moves."""
    frozen = replace(QUICK, iterations=2, rates=Rates(0, 1e-30, 1, 0, 0, 0, 0))
    video = moving_picture(HEIGHT)
    fit = fit_of(video, room_depth(), settings=frozen)
    first, last = fit.frame(0), fit.frame(2)
    for name, array in first.items():
        np.testing.assert_allclose(array, last[name], rtol=1e-4, atol=1e-5)


def test_gaussians_on_a_surface_that_comes_nearer_come_with_it(fit_of):
    frozen = replace(QUICK, iterations=2, rates=Rates(0, 1e-30, 1, 0, 0, 0, 0))
    video = all_moving(HEIGHT)
    near, far = (np.full((HEIGHT, 2 * HEIGHT), metres) for metres in (3.0, 6.0))
    fit = fit_of(video, depth_of(far, near), settings=frozen)
    first, last = fit.frame(0), fit.frame(1)
    np.testing.assert_allclose(first["position"] / 2, last["position"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first["scale"] / 2, last["scale"], rtol=1e-4)


def test_any_frame_can_be_asked_for_again(fit_of):
    fit = fit_of(moving_picture(HEIGHT), room_depth())
    first = everything(fit)
    assert same_bits(first, everything(fit))
    fit.frame(2)
    assert same_bits(list(fit.frame(0).values()), first[4:8])
    assert same_bits(list(fit.frame(1).values()), first[8:12])


def test_also_where_nothing_can_be_kept(fit_of, monkeypatch):
    expected = everything(fit_of(moving_picture(HEIGHT), room_depth()))
    monkeypatch.setattr(Keepsake, "keep", lambda self, part, tensors: None)
    fit = fit_of(moving_picture(HEIGHT), room_depth(), name="lost")
    assert same_bits(expected, everything(fit))
    assert same_bits(list(fit.frame(0).values()), expected[4:8])


# The losses


def test_the_temporal_loss_holds_frames_together(fit_of):
    """Everything moves, by nothing but noise: what is left of it from frame to frame."""
    video = standing_still(HEIGHT, 2)
    noise = np.random.default_rng(0).normal(0, 0.05, video.frames.shape)
    noisy = replace(video, frames=np.clip(video.frames + noise, 0, None).astype(np.float32), moves=~video.moves)
    change = []
    for weight in (0.0, 2.0):
        fit = fit_of(noisy, room_depth(), name=str(weight), settings=with_weights(temporal=weight))
        change.append(np.abs(seen(whole(fit, 1)) - seen(whole(fit, 0))).mean())
    assert change[1] < 0.85 * change[0]


class Asked:
    """In a network's place: counts what it is asked, and finds nothing wrong."""

    def __init__(self):
        self.pictures = []

    def __call__(self, one, other):
        self.pictures.append((one.detach(), other.detach()))
        return (one - other).abs().mean() * 0.0


def test_the_perceptual_network_sees_every_step_and_what_it_should_look_like(fit_of):
    asked = Asked()
    fit_of(standing_still(HEIGHT), room_depth(), settings=with_weights(lpips=0.05), networks=Networks(None, asked))
    assert len(asked.pictures) >= ITERATIONS
    assert all(one.shape == other.shape == (1, 20, 20, 3) for one, other in asked.pictures)
    assert np.mean([float((one - other).abs().mean()) for one, other in asked.pictures]) < 0.1


def test_no_network_is_asked_whose_loss_counts_nothing(fit_of):
    asked = Asked()
    fit_of(standing_still(HEIGHT), room_depth(), networks=Networks(asked, asked))
    assert asked.pictures == []


def test_the_camera_is_disturbed_when_it_is_time_and_as_far_as_it_is_said(fit_of, monkeypatch):
    places = []

    def watched(splats, cameras, mode, **more):
        places.append(cameras.position[0].clone())
        return rasterize(splats, cameras, mode, **more)

    monkeypatch.setattr("cyclorama.backend.lift.descent.rasterize", watched)
    asked = Asked()
    steps = Disturbance(((10, 0.1), (20, 0.5), (25, 0.0)), iterations=ITERATIONS)
    settings = replace(with_weights(semantic=0.05), disturbance=steps)
    fit_of(standing_still(HEIGHT), room_depth(), settings=settings, networks=Networks(asked, None))
    assert len(asked.pictures) == 15
    away = [float(place.abs().max()) for place in places if place.any()]
    assert len(away) == 15
    assert all(0 < reach <= 0.1 for reach in away[:10]) and all(reach <= 0.5 for reach in away[10:])
    assert max(away[:10]) > 0.05 and max(away[10:]) > 0.2
    assert all((one - other).abs().mean() > 1e-4 for one, other in asked.pictures)


class Odd:
    """A semantic network that finds everything wrong."""

    def __call__(self, one, other):
        return 50 + (one - other).abs().mean()


def test_a_loss_that_comes_in_late_is_no_explosion(fit_of):
    steps = Disturbance(((15, 0.01),), iterations=ITERATIONS)
    settings = replace(with_weights(semantic=1.0), disturbance=steps)
    assert fit_of(standing_still(HEIGHT), room_depth(), settings=settings, networks=Networks(Odd(), None)).notes == ()


# Explosions


def test_huge_steps_are_stopped_and_the_last_good_state_is_kept_and_said_so(fit_of):
    video = moving_picture(HEIGHT)
    wild = replace(QUICK, iterations=120, rates=Rates(position=3.0, position_at_end=3.0, scale=3.0, colour=3.0))
    fit, seeding = fit_of(video, room_depth(), settings=wild), Seeding(video, room_depth())
    assert len(fit.notes) >= 1 and "what stands still was stopped after" in fit.notes[0]
    for frame in range(3):
        target = wanted(video.frames[frame])
        good = psnr(seen(seeding.gaussians(0)), wanted(video.frames[0])) - 12
        assert psnr(seen(whole(fit, frame)), target) > min(good, 15)
    assert any("frame 2" in note for note in fit.notes)
    assert len(set(fit.notes)) == len(fit.notes)


def test_a_target_that_is_no_number_stops_it_and_the_seeds_are_kept(fit_of, monkeypatch):
    video = moving_picture(HEIGHT)
    good = Aims.at

    def spoiled(self, draw):
        aim = good(self, draw)
        return replace(aim, srgb=aim.srgb * float("nan"))

    monkeypatch.setattr(Aims, "at", spoiled)
    fit, seeds = fit_of(video, room_depth()), Seeding(video, room_depth()).gaussians(0)
    moves = Seeding(video, room_depth()).moves
    np.testing.assert_allclose(fit.static.position, seeds[~moves].position, rtol=1e-5, atol=1e-6)
    assert "what stands still" in fit.notes[0] and "after 0 of 30" in fit.notes[0]
    assert all(np.isfinite(array).all() for array in everything(fit))


def test_one_bad_view_later_on_goes_back_to_a_state_before(fit_of, monkeypatch):
    good, looks = Aims.at, []

    def spoiled(self, draw):
        looks.append(1)
        aim = good(self, draw)
        return replace(aim, srgb=aim.srgb * float("nan")) if len(looks) == 20 else aim

    monkeypatch.setattr(Aims, "at", spoiled)
    fit = fit_of(standing_still(HEIGHT), room_depth())
    assert len(fit.notes) == 1 and np.isfinite(fit.static.position).all()


def test_what_was_said_is_said_again_when_it_goes_on(fit_of):
    wild = replace(QUICK, iterations=60, rates=Rates(position=3.0, position_at_end=3.0, scale=3.0, colour=3.0))
    video = moving_picture(HEIGHT)
    first = fit_of(video, room_depth(), settings=wild)
    first.frame(1)
    again = fit_of(video, room_depth(), settings=wild)
    again.frame(1)
    assert first.notes and again.notes == first.notes


def test_a_reset_of_all_opacities_is_no_explosion(fit_of):
    """Of a plain white room, which is shown all but perfectly before, and dark after it."""
    resetting = Densification(kind="default", start=1000, stop=1000, every=1000, reset_every=40)
    settings = replace(QUICK, iterations=80, densification=resetting)
    video = standing_still(HEIGHT)
    white = replace(video, frames=np.ones_like(video.frames))
    fit = fit_of(white, room_depth(), settings=settings)
    assert fit.notes == ()
    assert float(fit.static.radiance[:, 3].max()) < 0.9  # they were


# Stopping and going on


def test_it_can_be_stopped_before_every_iteration(fit_of):
    video = moving_picture(HEIGHT)
    report = Stop()
    everything(fit_of(video, room_depth(), name="whole", report=report))
    assert [done for done, _ in report.heard] == list(range(4 * ITERATIONS))
    assert {total for _, total in report.heard} == {4 * ITERATIONS}
    for number in (1, 2, ITERATIONS, ITERATIONS + 1, 3 * ITERATIONS + 7):
        with pytest.raises(Cancelled):
            everything(fit_of(video, room_depth(), name=f"stopped at {number}", report=Stop(number)))


@pytest.mark.parametrize("at", [5, ITERATIONS + 3, 2 * ITERATIONS + 3, 4 * ITERATIONS])
@pytest.mark.parametrize("kind", ["none", "mcmc"])
def test_stopped_anywhere_it_goes_on_to_the_same_bits_without_the_finished_frames(fit_of, at, kind):
    growing = replace(QUICK, densification=Densification(kind=kind, start=2, every=5, stop=25))
    video, depth = passing_ball(HEIGHT)
    expected = everything(fit_of(video, depth, name="whole", settings=growing))
    with pytest.raises(Cancelled):
        everything(fit_of(video, depth, settings=growing, report=Stop(at)))
    report = Stop()
    assert same_bits(expected, everything(fit_of(video, depth, settings=growing, report=report)))
    finished = (at - 1) // ITERATIONS
    assert report.heard[0][0] == finished * ITERATIONS
    assert len(report.heard) == (4 - finished) * ITERATIONS


def test_another_seed_is_another_fit(fit_of):
    video = standing_still(HEIGHT)
    one, other = (fit_of(video, room_depth(), name=str(seed), seed=seed).static for seed in (0, 1))
    assert (one.radiance != other.radiance).any()


# Memory and numbers


def test_with_little_memory_views_are_cut_into_tiles_and_it_still_comes_nearer(fit_of, monkeypatch):
    sizes = []

    def watched(splats, cameras, mode, **more):
        sizes.append(cameras.width)
        return rasterize(splats, cameras, mode, **more)

    monkeypatch.setattr("cyclorama.backend.lift.descent.rasterize", watched)
    # all that is left is a fifth of what a whole view takes, beside the Gaussians
    video = standing_still(HEIGHT)
    count = int((~Seeding(video, room_depth()).hidden).sum())
    monkeypatch.setattr(Budget, "left", lambda self: 20 * 20 * 1500 // 5 + 600 * count)
    fit = fit_of(video, room_depth(), settings=replace(QUICK, iterations=90))
    assert max(sizes) < 20
    seeds = Seeding(video, room_depth()).gaussians(0)
    target = wanted(video.frames[0])
    assert psnr(seen(fit.static), target) > psnr(seen(seeds), target) + 0.5


@pytest.mark.parametrize("kind", ["default", "mcmc"])
def test_gaussians_multiply_to_the_budget_and_never_beyond(fit_of, kind):
    video = moving_picture(HEIGHT)
    seeds = len(Seeding(video, room_depth()).moves)
    most = seeds + 60
    growing = Densification(kind=kind, start=2, every=4, stop=28, grow_gradient=1e-7, reset_every=10_000)
    fit = fit_of(video, room_depth(), settings=replace(QUICK, densification=growing), most=most)
    counts = {len(whole(fit, frame)) for frame in range(3)}
    assert len(counts) == 1 and seeds < counts.pop() <= most


def test_seeds_that_are_as_many_as_allowed_stay_as_many(fit_of):
    video = moving_picture(HEIGHT)
    seeds = len(Seeding(video, room_depth()).moves)
    growing = Densification(kind="mcmc", start=2, every=4, stop=28)
    fit = fit_of(video, room_depth(), settings=replace(QUICK, densification=growing), most=seeds)
    assert len(whole(fit, 2)) == seeds


def test_previews_are_shown_now_and_then(fit_of, monkeypatch):
    monkeypatch.setattr("cyclorama.backend.lift.descent._PREVIEW_SECONDS", 0.0)
    shown = []
    fit_of(standing_still(HEIGHT), room_depth(), settings=replace(QUICK, iterations=3), show=shown.append)
    assert len(shown) == 3
    assert all(picture.dtype == np.uint8 and picture.shape == (256, 512, 3) for picture in shown)
    assert 60 < shown[-1].mean() < 200
