"""Samples are dense where picture or distance has detail, sparse where both are smooth, and leave no gap."""

import numpy as np
import pytest
from scipy.spatial import KDTree

from cyclorama.backend.lift.detail import FINENESS, Samples, spread, uniform_height
from cyclorama.backend.sphere.equirectangular import direction, directions
from cyclorama.backend.sphere.lattice import Lattice

HEIGHT = 128
BASE = len(Lattice(HEIGHT).rows)
FLAT = np.full((1, HEIGHT, 2 * HEIGHT), 10.0, np.float32)
CENTRE = direction(0.5, 0.3)


def within(radius: float) -> np.ndarray:
    return directions(HEIGHT) @ CENTRE > np.cos(radius)


def grey(frames: int = 1) -> np.ndarray:
    return np.full((frames, HEIGHT, 2 * HEIGHT, 3), 0.3, np.float32)


def textured(radius: float = 0.7) -> np.ndarray:
    picture = grey()
    random = np.random.default_rng(0).random((1, HEIGHT, 2 * HEIGHT, 3), np.float32)
    return np.where(within(radius)[None, ..., None], random, picture)


def places(samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Directions and spacings."""
    parts = list(zip(samples.lattices, samples.chosen, strict=True))
    towards = [direction(lattice.longitude[chosen], lattice.latitude[chosen]) for lattice, chosen in parts]
    spacing = [np.full(len(chosen), lattice.spacing) for lattice, chosen in parts]
    return np.concatenate(towards), np.concatenate(spacing)


def density(samples: Samples, inside: bool) -> float:
    """Samples per solid angle, in those of the uniform lattice, well within 0.7 of the centre or well outside."""
    towards, _ = places(samples)
    arc = np.arccos(np.clip(towards @ CENTRE, -1, 1))
    area = 2 * np.pi * ((1 - np.cos(0.5)) if inside else (1 + np.cos(0.9)))
    return ((arc < 0.5) if inside else (arc > 0.9)).sum() / area / (BASE / (4 * np.pi))


def test_a_picture_without_any_detail_takes_a_quarter_of_the_uniform_lattice():
    assert len(spread(grey(), FLAT, HEIGHT, BASE)) == len(Lattice(HEIGHT // 2).rows)


def test_texture_gets_what_smooth_regions_leave():
    samples = spread(textured(), FLAT, HEIGHT, BASE)
    assert len(samples) <= BASE
    assert density(samples, inside=True) > 3 and density(samples, inside=False) < 0.3


def faint(contrast: float) -> np.ndarray:
    """Around the centre strong texture, elsewhere fine gravel: so much contrast, in 1/255 of linear grey."""
    gravel = np.random.default_rng(1).uniform(-contrast / 255, contrast / 255, (1, HEIGHT, 2 * HEIGHT, 1))
    return np.where(within(0.7)[None, ..., None], textured(), grey() + gravel).astype(np.float32)


def test_faint_texture_that_shows_is_not_traded_for_strong():
    samples = spread(faint(5.0), FLAT, HEIGHT, int(1.25 * BASE))
    assert density(samples, inside=False) > 0.95 and density(samples, inside=True) > 1.5


def test_noise_that_nobody_sees_leaves_calm_ground_coarse():
    assert density(spread(faint(0.3), FLAT, HEIGHT, BASE), inside=False) < 0.3


def test_a_budget_too_small_for_the_panorama_trades_faint_texture_for_strong():
    samples = spread(faint(5.0), FLAT, HEIGHT, int(0.8 * BASE))
    assert density(samples, inside=False) < 0.6 and density(samples, inside=True) > 3


def test_gravel_that_is_hardly_seen_is_not_worth_more_than_the_panoramas_own_lattice():
    gravel = np.where(within(0.7)[None, ..., None], grey(), faint(1.2))
    assert 0.8 * BASE < len(spread(gravel, FLAT, HEIGHT, 4 * BASE)) < 1.02 * BASE


def test_texture_in_any_frame_counts():
    frames = np.concatenate([grey(2), textured(), grey(2)])
    assert density(spread(frames, FLAT, HEIGHT, BASE), inside=True) > 3


def test_edges_of_the_distance_count_like_those_of_the_picture():
    distance = np.where(within(0.7), 2.0, 10.0).astype(np.float32)[None]
    towards, spacing = places(spread(grey(), distance, HEIGHT, BASE))
    at_edge = np.abs(np.arccos(np.clip(towards @ CENTRE, -1, 1)) - 0.7) < 0.02
    assert np.median(spacing[at_edge]) == pytest.approx(np.pi / (2 * HEIGHT))


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0, 2.0])
def test_a_budget_is_kept(share):
    assert len(spread(textured(2.0), FLAT, HEIGHT, int(share * BASE))) <= share * BASE


def test_more_samples_than_all_of_the_finest_are_not_made():
    noise = np.random.default_rng(0).random((1, HEIGHT, 2 * HEIGHT, 3), np.float32)
    assert len(spread(noise, FLAT, HEIGHT, 100 * BASE)) <= len(Lattice(HEIGHT * 2).rows)


def test_no_place_is_farther_from_a_sample_than_its_level_allows():
    """At the border of two levels too: the coarser one's half diagonal is the limit."""
    samples = spread(textured(), FLAT, HEIGHT, BASE)
    towards, spacing = places(samples)
    random = np.random.default_rng(1).standard_normal((30_000, 3))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    gap = np.min([KDTree(towards[spacing == s]).query(random)[0] / s for s in np.unique(spacing)], axis=0)
    assert gap.max() < 0.85


def test_lattices_nest():
    samples = spread(grey(), FLAT, HEIGHT, BASE)
    assert [lattice.height for lattice in samples.lattices] == [HEIGHT // 2 * fineness for fineness in FINENESS]


@pytest.mark.parametrize("budget", [2000, 30_000])
def test_a_uniform_lattice_of_that_height_keeps_a_budget(budget):
    assert len(Lattice(uniform_height(budget, 4096)).rows) <= budget * 1.01
    assert uniform_height(budget, 16) == 16
