"""Regions move in their own ways, fade out inside their edges on the sphere, and share where they overlap."""

from pathlib import Path

import numpy as np
import pytest

from cyclorama.backend.animate.regions import (
    FEATHER_DEGREES,
    arc_inside,
    feathered,
    inside_box,
    motion_regions,
    union,
)
from cyclorama.backend.sphere.equirectangular import direction, directions, latitudes, longitudes, pixels
from cyclorama.backend.sphere.panorama import Panorama
from cyclorama.backend.sphere.pictures import read_mask
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import Box, PanoramaTo4D, Region

HEIGHT, WIDTH = 90, 180  # a pixel is two degrees
PANORAMA = Panorama(np.zeros((HEIGHT, WIDTH, 3), np.float32), WIDTH, HEIGHT)
NORTH = Box(longitude=0, latitude=60, width=360, height=60)
SOUTH = Box(longitude=0, latitude=-60, width=360, height=60)


def regions_of(settings: PanoramaTo4D, proposed: np.ndarray | None = None):
    return motion_regions(settings, PANORAMA, read_mask, proposed)


def boxes(*boxes: Box) -> PanoramaTo4D:
    return PanoramaTo4D(regions=tuple(Region(box=box) for box in boxes))


def at(mask: np.ndarray, longitude: float, latitude: float) -> float:
    """Value at the nearest pixel, degrees."""
    column, row = pixels(direction(np.deg2rad(longitude), np.deg2rad(latitude)), len(mask))
    return mask[min(max(round(float(row)), 0), len(mask) - 1), round(float(column)) % mask.shape[1]]


@pytest.fixture
def painted(picture) -> tuple[Path, np.ndarray]:
    """A mask painted grey and white, on black."""
    values = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    values[20:50, 30:120] = 1
    values[20:50, 60:90] = 102 / 255
    return picture("painted.png", (values * 255).astype(np.uint8)), values[..., 0]


# Which regions


def test_regions_come_before_the_mask_and_the_mask_before_what_is_proposed(painted):
    path, values = painted
    proposed = np.full((HEIGHT, WIDTH), 0.5, np.float32)
    settings = PanoramaTo4D(regions=(Region(box=NORTH),), mask=str(path))
    assert at(regions_of(settings, proposed)[0].mask, 0, 60) == 1
    assert at(regions_of(settings, proposed)[0].mask, 0, 0) == 0
    (from_mask,) = regions_of(PanoramaTo4D(mask=str(path)), proposed)
    assert (from_mask.mask[values == 0] == 0).all() and from_mask.mask.max() == 1
    (found,) = regions_of(PanoramaTo4D(), proposed)
    np.testing.assert_array_equal(found.mask, proposed)


@pytest.mark.parametrize("proposed", [None, np.zeros((HEIGHT, WIDTH), np.float32)], ids=["none", "black"])
def test_where_nothing_is_given_or_found_everything_moves(proposed):
    (everything,) = regions_of(PanoramaTo4D(), proposed)
    assert (everything.mask == 1).all()


def test_a_region_has_its_own_prompt_and_multiplies_the_strength():
    settings = PanoramaTo4D(
        prompt="wind",
        strength=2.0,
        regions=(Region(box=NORTH, prompt="clouds", strength=1.5), Region(box=SOUTH)),
    )
    assert [(region.prompt, region.strength) for region in regions_of(settings)] == [("clouds", 3.0), ("wind", 2.0)]


def test_without_regions_the_prompt_and_the_strength_are_those_of_all():
    (everything,) = regions_of(PanoramaTo4D(prompt="wind", strength=0.5))
    assert (everything.prompt, everything.strength) == ("wind", 0.5)


# Overlap


def test_a_later_region_lies_on_top():
    spot = Box(longitude=0, latitude=60, width=90, height=40)
    below, above = regions_of(boxes(NORTH, spot))
    assert (at(below.mask, 0, 60), at(above.mask, 0, 60)) == (0, 1)
    assert (at(below.mask, 180, 60), at(above.mask, 180, 60)) == (1, 0)


def test_overlapping_regions_never_add_up_to_more_than_one(painted):
    path, _ = painted
    spot = Box(longitude=-60, latitude=30, width=90, height=50)
    settings = PanoramaTo4D(regions=(Region(box=NORTH), Region(mask=str(path)), Region(box=spot)))
    found = regions_of(settings)
    total = np.sum([region.mask for region in found], axis=0)
    assert len(found) == 3 and total.max() <= 1 + 1e-6
    np.testing.assert_allclose(union(found), total, atol=1e-6)


def test_the_union_moves_wherever_a_region_does():
    moves = union(regions_of(boxes(NORTH, SOUTH)))
    assert (at(moves, 20, 60), at(moves, 20, -60), at(moves, 20, 0)) == (1, 1, 0)


def test_a_region_that_is_covered_all_over_is_left_out():
    settings = PanoramaTo4D(regions=(Region(box=NORTH, prompt="under"), Region(box=Box(0, 0, 360, 180), prompt="over")))
    assert [region.prompt for region in regions_of(settings)] == ["over"]


# Edges


def test_what_was_painted_black_is_exactly_still_and_greys_are_kept(painted):
    path, values = painted
    (region,) = regions_of(PanoramaTo4D(regions=(Region(mask=str(path)),)))
    assert (region.mask[values == 0] == 0).all()
    assert region.mask.dtype == np.float32
    np.testing.assert_allclose(region.mask[24:46, 64:86], 0.4, atol=1e-6)
    assert (region.mask[24:46, 34:56] == 1).all()


def test_an_edge_rises_smoothly_inside_the_region_over_its_width():
    height = 720  # a quarter of a degree a pixel
    soft = feathered(inside_box(Box(0, 0, 40, 40), height).astype(np.float32))
    profile = soft[height // 2, height - 200 : height]  # from 50° left of the centre, to the centre
    away = np.degrees(longitudes(2 * height))[height - 200 : height] + 20  # inside the left edge
    assert (profile[away < 0] == 0).all()
    assert (profile[away > FEATHER_DEGREES + 0.2] == 1).all()
    assert (np.diff(profile) >= 0).all() and np.diff(profile).max() < 0.3
    assert profile[np.abs(away - FEATHER_DEGREES / 2).argmin()] == pytest.approx(0.5, abs=0.15)


def test_the_distance_inside_is_that_of_the_nearest_pixel_outside_on_the_sphere():
    outside = np.random.default_rng(0).random((48, 96)) < 0.01
    towards = directions(48).reshape(-1, 3).astype(float)
    true = np.arccos(np.clip(towards @ towards[outside.ravel()].T, -1, 1)).min(axis=1).reshape(outside.shape)
    found = arc_inside(~outside, 0.3)
    assert (true > 0.3).any() and (true[0] < 0.3).any()
    np.testing.assert_allclose(found, np.where(outside, 0, np.minimum(true, 0.3)), atol=1e-4)


def test_a_cap_around_the_zenith_has_the_same_soft_edge_all_around():
    soft = feathered(inside_box(Box(0, 80, 360, 20), 360).astype(np.float32))
    assert np.ptp(soft, axis=1).max() < 1e-6
    assert soft[0, 0] == 1
    latitude = np.degrees(latitudes(360))
    assert (soft[latitude < 70] == 0).all() and 0 < soft[np.abs(latitude - 70.75).argmin(), 0] < 1


def test_the_same_edge_is_as_wide_near_a_pole_as_at_the_horizon():
    disc = directions(360)
    for latitude in (0, 60, 88):
        centre = direction(np.deg2rad(30.0), np.deg2rad(float(latitude)))
        arc = np.degrees(np.arccos(np.clip(disc @ centre, -1, 1)))
        soft = feathered((arc < 10).astype(np.float32))
        assert soft[arc < 8].min() > 0.99
        assert soft[np.abs(arc - 9.25) < 0.1].mean() == pytest.approx(0.5, abs=0.2)


def test_however_thin_a_region_is_it_moves():
    thin = inside_box(Box(1, 89, 2, 2), HEIGHT)
    assert thin.sum() == 1
    assert (feathered(thin.astype(np.float32))[thin] > 0).all()


def test_what_is_painted_all_over_has_no_edge():
    assert (feathered(np.full((HEIGHT, WIDTH), 0.5, np.float32)) == 0.5).all()


def test_a_turned_region_is_the_region_turned():
    soft = feathered(inside_box(Box(-30, 20, 50, 70), HEIGHT).astype(np.float32))
    turned = feathered(inside_box(Box(180, 20, 50, 70), HEIGHT).astype(np.float32))
    np.testing.assert_allclose(np.roll(soft, 210 * WIDTH // 360, axis=1), turned, atol=1e-6)


# Boxes


def test_a_box_crosses_the_seam():
    inside = inside_box(Box(170, 0, 40, 20), HEIGHT)
    assert [bool(at(inside, longitude, 0)) for longitude in (148, 152, 178, -178, -172, -168)] == [
        *(False, True, True, True, True, False)
    ]
    assert inside.sum() == 20 * 10


def test_a_box_over_a_pole_goes_on_down_the_other_side():
    inside = inside_box(Box(40, 80, 60, 40), HEIGHT)
    assert at(inside, 40, 61) and at(inside, 40, 89) and at(inside, -140, 89) and at(inside, -140, 81)
    assert not at(inside, -140, 79) and not at(inside, 40, 59) and not at(inside, 130, 85)


@pytest.mark.parametrize("latitude", [-90, 90])
def test_a_box_all_around_a_pole_is_a_cap(latitude):
    inside = inside_box(Box(0, latitude, 360, 40), HEIGHT)
    expected = np.abs(np.degrees(latitudes(HEIGHT)) - latitude) <= 20
    np.testing.assert_array_equal(inside, np.broadcast_to(expected[:, None], inside.shape))


def test_the_largest_box_is_the_whole_sphere():
    (everything,) = regions_of(boxes(Box(77, 0, 360, 180)))
    assert (everything.mask == 1).all()


# Bad input


@pytest.mark.parametrize("box", [Box(10, 0, 0, 20), Box(10, 0, 20, 0), Box(10, 0, 0.5, 0.5)], ids=str)
def test_a_box_that_holds_no_pixel_is_named(box):
    with pytest.raises(CycloramaError) as caught:
        regions_of(boxes(NORTH, box))
    assert caught.value.code == "region-empty"
    assert caught.value.sentence.startswith("Region 2 at longitude 10°, latitude 0°")


def test_a_region_s_black_mask_is_named(picture):
    path = picture("black.png", np.zeros((HEIGHT, WIDTH, 1), np.uint8))
    with pytest.raises(CycloramaError, match=r"black\.png is black"):
        regions_of(PanoramaTo4D(regions=(Region(mask=str(path)),)))


@pytest.mark.parametrize("degrees", [1.5, 2.0, 3.0, 6.0])
def test_the_middle_of_a_small_box_moves_as_a_whole(degrees):
    mask = feathered(inside_box(Box(10, 20, degrees, degrees), 512).astype(np.float32))
    assert mask.max() > 0.99
    assert mask[mask > 0].mean() > 0.3
