"""Each region of the flow goes along its own stroke; those without one along the strokes of all, or drift."""

import dataclasses

import numpy as np
import pytest

from cyclorama.backend.animate.flow import drift
from cyclorama.backend.animate.regions import inside_box, motion_regions, union
from cyclorama.backend.recipes import motion
from cyclorama.backend.sphere.equirectangular import directions, tangents
from cyclorama.backend.sphere.panorama import Panorama
from cyclorama.backend.sphere.pictures import read_mask
from cyclorama.backend.sphere.skyline import MovingRegions
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import Box, PanoramaTo4D, Region, Stroke

HEIGHT = 128
LEFT, RIGHT = Box(-90, 0, 60, 40), Box(90, 10, 60, 40)
NOTHING = np.zeros((HEIGHT, 2 * HEIGHT), np.float32)
EASTWARDS, UPWARDS = Stroke(-90, 0, 20, 0, 6), Stroke(90, 10, 0, 15, 3)


def flow(*regions: Region, **settings) -> np.ndarray:
    """(height, 2·height, 3) radians per second over a grey panorama in which nothing is found to move."""
    image = np.full((HEIGHT, 2 * HEIGHT, 3), 0.5, np.float32)
    proposed = MovingRegions(sky=NOTHING, water=NOTHING)
    return motion._flow(Panorama(image, 2 * HEIGHT, HEIGHT), proposed, PanoramaTo4D(regions=regions, **settings))


def inner(box: Box) -> np.ndarray:
    """(height, 2·height) bool: where the softened edge of ``box`` has ended."""
    return inside_box(dataclasses.replace(box, width=box.width - 12, height=box.height - 12), HEIGHT)


def turning(stroke: Stroke) -> np.ndarray:
    """(height, 2·height, 3): the sphere turned rigidly along ``stroke``, which is level on the equator or due north."""
    longitude, speed = np.deg2rad(stroke.longitude), np.deg2rad(stroke.speed)
    right = np.array([np.cos(longitude), -np.sin(longitude), 0])  # of someone who looks at the stroke's start
    axis = np.array([0, 0, -speed]) if stroke.d_latitude == 0 else right * speed
    return np.cross(axis, directions(HEIGHT))


def test_in_every_region_the_flow_goes_along_its_own_stroke_and_nothing_moves_outside():
    found = flow(Region(box=LEFT, stroke=EASTWARDS), Region(box=RIGHT, stroke=UPWARDS))
    for box, stroke in ((LEFT, EASTWARDS), (RIGHT, UPWARDS)):
        np.testing.assert_allclose(found[inner(box)], turning(stroke)[inner(box)], atol=1e-5)
    assert (found[~inside_box(LEFT, HEIGHT) & ~inside_box(RIGHT, HEIGHT)] == 0).all()


def test_at_its_start_a_stroke_has_its_direction_and_speed():
    found = flow(Region(box=RIGHT, stroke=UPWARDS))
    _east, north = tangents(HEIGHT)
    row, column = round((90 - 10) / 180 * HEIGHT), round((90 + 180) / 360 * 2 * HEIGHT)
    upwards = np.rad2deg((found * north).sum(axis=-1)[row, column])
    assert upwards == pytest.approx(3, rel=1e-3)
    assert np.rad2deg(np.linalg.norm(found[row, column])) == pytest.approx(3, rel=1e-3)


def test_strengths_multiply():
    found = flow(Region(box=LEFT, stroke=EASTWARDS, strength=1.5), Region(box=RIGHT, stroke=UPWARDS), strength=2.0)
    np.testing.assert_allclose(found[inner(LEFT)], 3 * turning(EASTWARDS)[inner(LEFT)], atol=1e-5)
    np.testing.assert_allclose(found[inner(RIGHT)], 2 * turning(UPWARDS)[inner(RIGHT)], atol=1e-5)


def test_a_region_of_no_strength_stands_still_beside_one_that_moves():
    found = flow(Region(box=LEFT, stroke=EASTWARDS, strength=0), Region(box=RIGHT, stroke=UPWARDS))
    assert (found[inside_box(LEFT, HEIGHT)] == 0).all() and found[inner(RIGHT)].any(axis=-1).all()


def test_where_regions_overlap_the_later_one_leads():
    found = flow(Region(box=Box(0, 0, 360, 180), stroke=EASTWARDS), Region(box=RIGHT, stroke=UPWARDS))
    np.testing.assert_allclose(found[inner(RIGHT)], turning(UPWARDS)[inner(RIGHT)], atol=1e-5)
    beside = ~inside_box(dataclasses.replace(RIGHT, width=72, height=52), HEIGHT)
    np.testing.assert_allclose(found[beside], turning(EASTWARDS)[beside], rtol=5e-3, atol=1e-5)


def test_a_region_without_a_stroke_follows_the_strokes_of_all():
    found = flow(Region(box=LEFT), Region(box=RIGHT, stroke=UPWARDS), strokes=(EASTWARDS,))
    np.testing.assert_allclose(found[inner(LEFT)], turning(EASTWARDS)[inner(LEFT)], atol=1e-5)
    np.testing.assert_allclose(found[inner(RIGHT)], turning(UPWARDS)[inner(RIGHT)], atol=1e-5)


def test_a_region_without_any_stroke_drifts_as_without_the_other():
    alone = flow(Region(box=LEFT), seed=3)
    beside = flow(Region(box=LEFT), Region(box=RIGHT, stroke=UPWARDS), seed=3)
    assert alone[inner(LEFT)].any(axis=-1).all()
    np.testing.assert_array_equal(beside[inside_box(LEFT, HEIGHT)], alone[inside_box(LEFT, HEIGHT)])
    mask = union(motion_regions(PanoramaTo4D(regions=(Region(box=LEFT),)), _grey(), read_mask))
    np.testing.assert_allclose(alone, drift(mask, NOTHING, _grey().image, 1.6, 3), atol=1e-7)


def _grey() -> Panorama:
    return Panorama(np.full((HEIGHT, 2 * HEIGHT, 3), 0.5, np.float32), 2 * HEIGHT, HEIGHT)


def test_a_region_s_own_stroke_may_start_beside_it_and_one_of_all_may_not():
    beside = Stroke(-125, 0, 30, 0, 6)
    found = flow(Region(box=LEFT, stroke=beside))
    np.testing.assert_allclose(found[inner(LEFT)], turning(beside)[inner(LEFT)], atol=1e-5)
    with pytest.raises(CycloramaError) as caught:
        flow(Region(box=LEFT), Region(box=RIGHT, stroke=UPWARDS), strokes=(EASTWARDS, beside))
    assert caught.value.code == "stroke-outside-mask" and "Stroke 2" in caught.value.sentence


def test_one_stroke_of_all_may_start_in_a_region_that_has_its_own():
    level = Stroke(90, 0, 20, 0, 6)
    found = flow(Region(box=LEFT), Region(box=RIGHT, stroke=UPWARDS), strokes=(level,))
    np.testing.assert_allclose(found[inner(LEFT)], turning(level)[inner(LEFT)], rtol=5e-3, atol=1e-5)
    np.testing.assert_allclose(found[inner(RIGHT)], turning(UPWARDS)[inner(RIGHT)], atol=1e-5)
