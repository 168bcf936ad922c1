"""Colours are solved for: known ones are found again, and nothing worse than the start comes out."""

import numpy as np
import pytest
import torch

from cyclorama.backend.lift.colours import slope, solved
from cyclorama.backend.lift.compositing import compositing
from cyclorama.backend.lift.cover import Cover
from cyclorama.backend.lift.flat import flat
from cyclorama.backend.lift.seed import SIGMA
from cyclorama.backend.raster.splats import Splats
from cyclorama.backend.sphere.lattice import Lattice
from cyclorama.bridge.errors import Cancelled

COVER = Cover(20)


def sphere(height: int = 16, size: float = 1.0) -> Splats:
    """A closed sphere of flat Gaussians, each some pixels wide; of ``size`` 0.5 each is seen beside its neighbours."""
    lattice = Lattice(height)
    longitude, latitude = lattice.longitude, lattice.latitude
    count = len(longitude)
    spacing = np.full(count, lattice.spacing, np.float32)
    level = np.zeros(count, np.float32)
    geometry = flat(longitude, latitude, spacing, np.full(count, 5, np.float32), level, level, SIGMA)
    position, rotation, scale = (torch.from_numpy(np.ascontiguousarray(each, np.float32)) for each in geometry)
    return Splats(position, rotation, scale * size, torch.full((count,), 0.99), torch.zeros(count, 3))


@pytest.fixture(scope="module")
def maps():
    return compositing(sphere(), COVER.cameras())


@pytest.fixture(scope="module")
def apart():
    """Of a scene in which no two Gaussians can stand in for one another."""
    return compositing(sphere(size=0.5), COVER.cameras())


@pytest.fixture(scope="module")
def count() -> int:
    return len(sphere())


def known(count: int, brightest: float = 1.0) -> np.ndarray:
    return (brightest * np.random.default_rng(0).random((count, 3)) ** 2).astype(np.float32)


def test_known_colours_are_found_again(apart, count):
    truth = known(count)
    start = np.full_like(truth, 0.3)
    found = solved(apart, apart.pictures(truth), start, hold=1e-6, iterations=60)
    np.testing.assert_allclose(found, truth, atol=0.005)


def test_a_sun_is_found_again_and_leaves_its_neighbours_alone(apart, count):
    truth = known(count)
    truth[count // 2] = [5000, 4000, 3000]
    start = truth * 0.8
    found = solved(apart, apart.pictures(truth), start, hold=1e-6, iterations=60)
    np.testing.assert_allclose(found[count // 2], truth[count // 2], rtol=0.05)
    others = np.arange(count) != count // 2
    assert np.abs(found - truth)[others].mean() < 0.2 * np.abs(start - truth)[others].mean()


def test_a_few_steps_come_nearer_than_the_start(maps, count):
    truth, start = known(count), np.full((count, 3), 0.3, np.float32)
    target = maps.pictures(truth)

    weights = slope(np.maximum(target, maps.pictures(start))) ** 2

    def error(colours):
        return float((weights * (maps.pictures(colours) - target) ** 2).sum())

    errors = [error(solved(maps, target, start, iterations=steps)) for steps in (0, 1, 3, 6)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.1 * errors[0]


def test_it_is_the_least_of_what_it_says_it_makes_small(maps, count):
    """Nudged anywhere, the weighted squares and the hold together only grow."""
    truth, start = known(count) + 0.2, np.full((count, 3), 0.5, np.float32)
    target, hold = maps.pictures(truth), 0.2
    weights = slope(np.maximum(target, maps.pictures(start))).astype(np.float64) ** 2
    held = hold * np.median(maps.gathered((weights * maps.alpha[:, None]).astype(np.float32)), axis=0)

    def objective(colours):
        fit = (weights * (maps.pictures(colours) - target) ** 2).sum(axis=0)
        return (fit + held * ((colours - start) ** 2).sum(axis=0)).sum()

    found = solved(maps, target, start, hold=hold, iterations=60)
    least = objective(found)
    draw = np.random.default_rng(1)
    for _ in range(5):
        nudge = draw.standard_normal(found.shape).astype(np.float32) * 0.01
        assert objective(found + nudge) > least


def test_what_shows_the_picture_already_stays(maps, count):
    truth = known(count)
    np.testing.assert_allclose(solved(maps, maps.pictures(truth), truth), truth, atol=1e-4)


def test_one_colour_everywhere_stays_one_colour(apart, count):
    grey = np.full((count, 3), 0.4, np.float32)
    found = solved(apart, apart.pictures(grey), np.full((count, 3), 0.25, np.float32), iterations=30, hold=1e-4)
    np.testing.assert_allclose(found, 0.4, atol=2e-3)


def test_those_that_nobody_sees_stay_where_they_started(count):
    splats = sphere()
    behind = Splats(splats.position * 1e-3, splats.rotation, splats.scale * 1e-6, splats.opacity, splats.colour)  # dust
    both = Splats(*(torch.cat(pair) for pair in zip(vars(splats).values(), vars(behind).values(), strict=True)))
    maps = compositing(both, COVER.cameras())
    assert (maps.gathered(np.ones((len(maps.alpha), 3), np.float32))[count:] == 0).all()
    start = known(2 * count)
    found = solved(maps, maps.pictures(known(2 * count)[::-1].copy()), start)
    np.testing.assert_array_equal(found[count:], start[count:])
    assert np.abs(found[:count] - start[:count]).max() > 0.1


def test_if_none_is_seen_all_stay():
    splats = sphere()
    dust = Splats(splats.position, splats.rotation, splats.scale, splats.opacity * 0, splats.colour)
    maps = compositing(dust, COVER.cameras())
    start = known(len(dust))
    np.testing.assert_array_equal(solved(maps, np.zeros((len(maps.alpha), 3), np.float32), start), start)


def test_no_colour_is_negative(maps, count):
    """Stripes finer than the Gaussians would best be shown by some that are darker than black."""
    target = np.zeros((len(maps.alpha), 3), np.float32)
    target[::2] = 1.0
    found = solved(maps, target, np.full((count, 3), 0.5, np.float32), hold=1e-3, iterations=30)
    assert found.min() >= 0


def test_black_pictures_are_no_trouble(maps, count):
    found = solved(maps, np.zeros((len(maps.alpha), 3), np.float32), np.zeros((count, 3), np.float32))
    assert (found == 0).all()


def test_it_can_be_stopped_before_every_step(maps, count):
    for last in range(4):
        calls = []

        def stop(calls=calls, last=last):
            if len(calls) == last:
                raise Cancelled
            calls.append(last)

        with pytest.raises(Cancelled):
            solved(maps, maps.pictures(known(count)), np.zeros((count, 3), np.float32), iterations=4, before_each=stop)
        assert len(calls) == last


def test_the_slope_is_that_of_the_srgb_curve():
    from cyclorama.backend.sphere.colour import srgb_from_linear

    linear = np.linspace(0.02, 0.98, 50)
    differences = (srgb_from_linear(linear + 1e-3) - srgb_from_linear(linear - 1e-3)) / 2e-3
    np.testing.assert_allclose(slope(linear), differences, rtol=2e-3)
    bright = slope(np.float32([0, 0.005, 0.01, 1, 10, 1000]))
    assert bright[0] == bright[1] == bright[2] and (np.diff(bright[2:]) < 0).all() and bright[-1] > 0
