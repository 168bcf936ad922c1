"""Fits have names and the papers' numbers, and what they depend on is what is gone on with."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cyclorama.backend.lift.descended_fit import DescendedFit
from cyclorama.backend.lift.descent import Networks
from cyclorama.backend.lift.fit import fit, settings_of
from cyclorama.backend.lift.seed import Seeding
from cyclorama.backend.lift.settings import NAMED
from cyclorama.backend.lift.solved_fit import SolvedFit
from cyclorama.bridge.settings import BY_DESCENT

from .tiny_world import AMPLE, depth_of, moving_picture, room

HEIGHT = 24


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CYCLORAMA_FOLDER", str(tmp_path))
    return tmp_path / "unfinished"


@pytest.fixture(scope="module")
def world():
    video, depth = moving_picture(HEIGHT), depth_of(room(HEIGHT))
    return video, depth, Seeding(video, depth)


def begun(world, name="fast", **more):
    video, depth, seeding = world
    return fit(video, depth, seeding, settings_of(name, 2 if name in BY_DESCENT else 0), Networks(), AMPLE, **more)


# The papers' numbers


def test_4k4dgen_is_as_its_section_3_4_and_appendix_c_have_it():
    settings = settings_of("4k4dgen")
    assert (settings.iterations, settings.views, settings.size) == (10_000, "icosahedron", 0)
    assert settings.fov == pytest.approx(np.radians(80))
    weights = settings.weights
    assert (weights.l1, weights.ssim, weights.temporal) == (0.8, 0.2, 0.05)
    assert (weights.semantic, weights.geometric, weights.lpips) == (0.05, 0.05, 0.0)
    reach = [settings.disturbance.reach(iteration, 10_000) for iteration in (0, 5399, 5400, 6599, 6600, 8999, 9000)]
    assert reach == [0, 0, 0.05, 0.05, 0.1, 0.1, 0.2]


def test_tip4gen_is_as_its_equation_12_and_appendix_a_2_have_it():
    settings = settings_of("tip4gen")
    assert (settings.iterations, settings.views, settings.size) == (15_000, "any", 512)
    assert settings.fov == pytest.approx(np.radians(90))
    weights = settings.weights
    assert (weights.l1, weights.ssim, weights.lpips, weights.semantic) == (0.8, 0.2, 0.05, 1.0)
    assert (weights.geometric, weights.temporal) == (0.05, 0.0)
    reach = [settings.disturbance.reach(iteration, 15_000) for iteration in (5399, 5400, 8999, 9000)]
    assert reach[0] == reach[3] == 0 and reach[1] == reach[2] > 0


def test_densification_is_that_of_3dgs():
    for name in BY_DESCENT:
        how = settings_of(name).densification
        assert (how.kind, how.start, how.every, how.reset_every) == ("default", 500, 100, 3000)


def test_the_fast_way_takes_no_step_of_adam():
    settings = settings_of("fast")
    assert settings.iterations == 0
    assert settings_of("fast", 500) == settings


@pytest.mark.parametrize("name", BY_DESCENT)
@pytest.mark.parametrize("iterations", [1, 40, 3000, 30_000])
def test_other_numbers_of_iterations_keep_the_shares(name, iterations):
    named, settings = settings_of(name), settings_of(name, iterations)
    share = iterations / named.iterations
    assert settings.iterations == iterations
    for field in ("start", "stop", "every"):
        expected = max(round(getattr(named.densification, field) * share), 1)
        assert getattr(settings.densification, field) == expected
    first = next(k for k in range(named.iterations) if named.disturbance.reach(k, named.iterations))
    if iterations > 100:
        at_same_share = [settings.disturbance.reach(k, iterations) for k in (first * share - 2, first * share + 2)]
        assert at_same_share[0] == 0 < at_same_share[1]


def test_opacities_are_reset_in_long_fits_only():
    """It takes some hundred steps until they are back."""
    assert settings_of("4k4dgen", 20_000).densification.reset_every == 6000
    for iterations in (50, 3100, 9999):
        assert settings_of("4k4dgen", iterations).densification.reset_every >= iterations


def test_another_way_to_densify_is_taken():
    assert settings_of("4k4dgen", densify="mcmc").densification.kind == "mcmc"
    assert settings_of("tip4gen", 100, "none").densification.kind == "none"


def test_all_that_can_be_asked_for_has_settings():
    assert set(NAMED) == {"fast", *BY_DESCENT}


# Which, and what is kept


def test_the_settings_say_which_fit_it_is(world):
    assert isinstance(begun(world)[0], SolvedFit)
    assert isinstance(begun(world, "4k4dgen")[0], DescendedFit)


@pytest.mark.parametrize("name", ["fast", "4k4dgen"])
def test_when_all_is_safe_no_file_is_left(world, folder, name):
    lift, safe = begun(world, name)
    for frame in range(3):
        lift.frame(frame)
    assert len(list(folder.iterdir())) == 4
    safe()
    assert list(folder.iterdir()) == []


class Heard:
    """How often a fit reported."""

    def __init__(self):
        self.times = 0

    def __call__(self, done, total):
        self.times += 1


def works_again(first, second) -> bool:
    """Whether the second of two beginnings does what the first did, or goes on with it."""
    (one, settings), (other, changed) = first, second
    begun(one, **settings)
    report = Heard()
    begun(other, **changed, report=report)
    return report.times > 0


def test_the_same_fit_goes_on(world):
    assert not works_again((world, {}), (world, {}))
    assert not works_again((world, {"name": "4k4dgen"}), (world, {"name": "4k4dgen"}))


@pytest.mark.parametrize("changed", [{"most": 9000}, {"seed": 1}, {"made_with": "other"}, {"name": "4k4dgen"}], ids=str)
def test_a_fit_with_other_settings_begins_anew(world, changed):
    assert works_again((world, {}), (world, changed))


def test_a_fit_of_another_video_begins_anew(world):
    video, depth, seeding = world
    frames = video.frames.copy()
    frames[2, 12, 24] *= 1.001
    assert works_again((world, {}), ((replace(video, frames=frames), depth, seeding), {}))
    less = video.moves & (np.arange(2 * HEIGHT) > HEIGHT)
    assert works_again((world, {}), ((replace(video, moves=less), depth, seeding), {}))


def test_a_fit_over_another_distance_begins_anew(world):
    video, depth, seeding = world
    distance = depth.distance.copy()
    distance[0, 0, 0] *= 1.001
    assert works_again((world, {}), ((video, replace(depth, distance=distance), seeding), {}))
    assert works_again((world, {}), ((video, replace(depth, edges=~depth.edges), seeding), {}))


def test_how_much_memory_there_is_does_not_matter_to_what_is_kept(world):
    video, depth, seeding = world
    begun(world)
    report = Heard()
    less = replace(AMPLE, bytes=1)
    fit(video, depth, seeding, settings_of("fast"), Networks(), less, report=report)
    assert report.times == 0 and less.device == torch.device("cpu")
