"""Behind a foreground the background goes on as the plane that it is, as far as a step aside uncovers it."""

import numpy as np
import pytest

from cyclorama.backend.depth.edges import depth_edges
from cyclorama.backend.lift import behind
from cyclorama.backend.sphere.equirectangular import direction, directions, latitudes
from cyclorama.backend.sphere.lattice import Lattice

HEIGHT = 128
PIXEL = np.pi / HEIGHT
GREY = np.full((HEIGHT, 2 * HEIGHT, 3), 0.5, np.float32)


def disc(longitude: float, latitude: float, radius: float) -> np.ndarray:
    return directions(HEIGHT) @ direction(longitude, latitude) > np.cos(radius)


def box(*half: float) -> np.ndarray:
    """The inside of a box around the eye."""
    return (np.array(half) / np.maximum(np.abs(directions(HEIGHT).astype(np.float64)), 1e-9)).min(axis=-1)


def before(background: np.ndarray, hides: np.ndarray, metres: float) -> np.ndarray:
    return np.where(hides, metres, background).astype(np.float32)


def layers(distance: np.ndarray, picture: np.ndarray = GREY) -> tuple[list[behind.Layer], Lattice]:
    lattice = Lattice(HEIGHT)
    background = behind.background_of(distance, depth_edges(distance))
    return behind.layers(background, distance, picture, lattice), lattice


def towards(lattice: Lattice, cells: np.ndarray) -> np.ndarray:
    return direction(lattice.longitude[cells], lattice.latitude[cells]).astype(np.float64)


def arc_to(lattice: Lattice, cells: np.ndarray, longitude: float, latitude: float) -> np.ndarray:
    return np.arccos(np.clip(towards(lattice, cells) @ direction(longitude, latitude), -1, 1))


PLACES = {"ahead": (0.2, 0.1), "over the seam": (np.pi, -0.1), "at the zenith": (0.0, np.pi / 2)}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_the_band_is_as_wide_as_the_parallax_all_around(place):
    """A disc 2 m away before a ball of 40 m; from 0.5 m aside it moves by 0.5 · (1/2 - 1/40) radians."""
    made, lattice = layers(before(np.full((HEIGHT, 2 * HEIGHT), 40.0), disc(place[0], place[1], 0.5), 2.0))
    parallax = behind.REACH * (1 / 2 - 1 / 40)
    arc = arc_to(lattice, np.arange(len(lattice.rows)), place[0], place[1])
    hidden = np.zeros(len(arc), bool)
    hidden[made[0].cells] = True
    assert len(made) == 1
    assert hidden[(arc < 0.5 - PIXEL) & (arc > 0.5 - parallax + PIXEL)].all()
    assert not hidden[arc < 0.5 - parallax - 3.5 * PIXEL].any()
    assert not hidden[arc > 0.5 + 3.5 * PIXEL].any()


def test_a_thin_pole_is_wholly_covered():
    hides = np.zeros((HEIGHT, 2 * HEIGHT), bool)
    hides[30:100, 60:63] = True
    made, lattice = layers(before(np.full((HEIGHT, 2 * HEIGHT), 20.0), hides, 1.5))
    row, column = behind.nearest(lattice.longitude, lattice.latitude, HEIGHT)
    covered = np.isin(np.flatnonzero(hides[row, column]), made[0].cells)
    assert covered.all() and covered.sum() > 100


def test_the_band_of_a_very_near_thing_stays_within_25_degrees():
    made, lattice = layers(before(np.full((HEIGHT, 2 * HEIGHT), 40.0), disc(0, 0, 1.2), 0.3))
    arc = arc_to(lattice, made[0].cells, 0, 0)
    assert np.rad2deg(1.2 - arc.min()) == pytest.approx(25, abs=4)


WALL, GROUND = np.array([1 / 3, 0, 0]), np.array([0, 0, -1 / 1.6])  # of the box of 3, 5, 1.6


@pytest.mark.parametrize(
    ("place", "metres", "plane"), [((1.1, 0.0), 1.2, WALL), ((0.0, -0.8), 1.1, GROUND), ((0.0, -1.2), 0.7, GROUND)]
)
@pytest.mark.parametrize("radius", [0.12, 0.3])
def test_walls_and_ground_go_on_as_the_planes_that_they_are(place, metres, plane, radius):
    """The plane is n / h in closed form; samples lie a few spacings behind it, so that none comes to lie in front.

    Without their tilt the planes would be off by 0.36 (ground underfoot) to 0.7.
    """
    room, hides = box(3, 5, 1.6), disc(place[0], place[1], radius)
    distance = before(room, hides, metres)
    background = behind.background_of(distance, depth_edges(distance))
    off = np.linalg.norm(background.plane - plane, axis=1) / np.linalg.norm(plane)
    assert np.median(off) < 0.1 and np.quantile(off, 0.9) < 0.2
    made, lattice = layers(distance)
    at = behind.nearest(lattice.longitude[made[0].cells], lattice.latitude[made[0].cells], HEIGHT)
    ratio = made[0].radius[hides[at]] / room[at][hides[at]]
    assert len(ratio) > 50
    steepest = 1 / np.tan(0.5)  # of the ground in the second place, where it is farthest
    kept_behind = 1 / (1 - behind._JUST_BEHIND - behind._BEHIND_SPACINGS * PIXEL * steepest)
    assert np.quantile(ratio, 0.05) > 0.98 and np.quantile(ratio, 0.9) < kept_behind


def test_what_is_hidden_lies_behind_what_hides_it():
    distance = before(box(3, 5, 1.6), disc(1.0, -0.5, 0.4), 0.9)
    for layer in layers(distance)[0]:
        lattice = Lattice(HEIGHT)
        seen = distance[behind.nearest(lattice.longitude[layer.cells], lattice.latitude[layer.cells], HEIGHT)]
        assert (layer.radius > seen).all()


def test_a_sky_stays_a_sky():
    made, _ = layers(before(np.full((HEIGHT, 2 * HEIGHT), 120.0), disc(0, 0.5, 0.3), 4.0))
    assert made[0].radius.min() > 119 and made[0].radius.max() < 125


def test_behind_a_pole_between_near_and_far_both_go_on():
    """Left of it a wall at 5 m, right of it the sky: where the wall's end is uncovered, there is sky behind."""
    columns = np.arange(2 * HEIGHT)
    scene = np.broadcast_to(np.where(columns < HEIGHT, 5.0, 120.0), (HEIGHT, 2 * HEIGHT))
    pole = np.broadcast_to(np.abs(columns - HEIGHT + 0.5) < 4, scene.shape)
    made, lattice = layers(before(scene, pole, 1.0))
    in_pole = [np.abs(lattice.longitude[layer.cells]) < 3 * PIXEL for layer in made]
    assert len(made) == 2
    nearest_one, farthest_one = (layer.radius[chosen] for layer, chosen in zip(made, in_pole, strict=True))
    assert (nearest_one < 10).any() and (nearest_one > 100).any()
    assert farthest_one.min() > 100


def test_nothing_continues_where_there_is_no_edge():
    assert layers(np.full((HEIGHT, 2 * HEIGHT), 5.0, np.float32))[0] == []
    assert layers(box(3, 10, 2).astype(np.float32))[0] == []


@pytest.mark.parametrize("step", [0.02, 0.05])
def test_a_step_too_small_for_an_edge_goes_on_too(step):
    """At 0.4 m 2 % are a pixel of parallax, but as a step they are no more than noise may make."""
    distance = before(np.full((HEIGHT, 2 * HEIGHT), 0.4), disc(0.3, 0.2, 0.4), 0.4 * (1 - step))
    assert not depth_edges(distance).any()
    made, lattice = layers(distance)
    arc = arc_to(lattice, made[0].cells, 0.3, 0.2)
    assert ((arc < 0.4) & (arc > 0.4 - PIXEL)).sum() > 0.7 * 2 * np.pi * np.sin(0.4) / PIXEL


def test_a_surface_that_ends_at_the_horizon_hides_something():
    """A roof just below eye level before a wall: slopes there are believed, but the two do not meet."""
    distance = np.full((HEIGHT, 2 * HEIGHT), 6.0, np.float32)
    distance[HEIGHT // 2 :] = 1.5
    made, lattice = layers(distance)
    assert (np.abs(lattice.latitude[made[0].cells] + PIXEL) < 1.5 * PIXEL).sum() > 2 * HEIGHT


def test_behind_a_thin_shelf_both_of_its_sides_go_on():
    """What lies on it at 1.3 m and what lies under it at 1.45 m: the farther one shows in the gap below."""
    distance = np.full((HEIGHT, 2 * HEIGHT), 1.45, np.float32)
    distance[:40], distance[40:42] = 1.3, 1.2
    made, lattice = layers(distance)
    upper = [abs(lattice.latitude[layer.cells] - latitudes(HEIGHT)[40]) < PIXEL / 2 for layer in made]
    reached = np.concatenate([layer.radius[chosen] for layer, chosen in zip(made, upper, strict=True)])
    assert (reached < 1.4).any() and (reached > 1.44).any()


def test_only_the_background_lends_its_colour():
    hides = disc(0.5, 0.2, 0.4)
    picture = np.where(hides[..., None], [1.0, 0.0, 0.0], [0.0, 0.5, 0.0]).astype(np.float32)
    layer = layers(before(np.full((HEIGHT, 2 * HEIGHT), 30.0), hides, 2.0), picture)[0][0]
    for colour in (layer.colour, layer.guard_colour):
        np.testing.assert_allclose(colour, np.broadcast_to([0, 0.5, 0], colour.shape), atol=1e-3)


def test_an_outline_of_the_foreground_on_the_background_is_found_and_cleaned():
    """A bright disc with a rim of half its light, as a lens mixes it, on the dark wall behind."""
    hides = disc(0.5, 0.2, 0.4)
    distance = before(np.full((HEIGHT, 2 * HEIGHT), 30.0), hides, 2.0)
    background = behind.background_of(distance, depth_edges(distance))
    picture = np.where(hides[..., None], 1.0, 0.1).repeat(3, axis=2).astype(np.float32)
    assert not background.outlines(picture).any()
    mixed = picture.copy()
    mixed.reshape(-1, 3)[background.pixels] = 0.5
    found = background.outlines(mixed)
    assert found.all()
    np.testing.assert_allclose(background.cleaned(mixed, found), picture, atol=1e-3)


def test_nothing_depends_on_where_the_picture_is_cut():
    """A turn of the panorama by whole columns turns the second layer's geometry with it."""
    scene = before(np.full((HEIGHT, 2 * HEIGHT), 30.0), disc(0.0, 0.1, 0.3), 2.0)
    turned = np.roll(scene, HEIGHT, axis=1)
    (one, lattice), (other, _) = layers(scene), layers(turned)
    assert abs(len(one[0].cells) - len(other[0].cells)) < 0.03 * len(one[0].cells)
    ahead = arc_to(lattice, one[0].cells, 0.0, 0.1)
    behind_us = arc_to(lattice, other[0].cells, np.pi, 0.1)
    assert ahead.max() == pytest.approx(behind_us.max(), abs=PIXEL)
    assert ahead.min() == pytest.approx(behind_us.min(), abs=PIXEL)


def test_latitudes_say_which_pixel_a_place_lies_in():
    row, column = behind.nearest(np.array([0.0, np.pi]), latitudes(HEIGHT)[[3, 90]], HEIGHT)
    np.testing.assert_array_equal(row, [3, 90])
    np.testing.assert_array_equal(column, [HEIGHT, 0])
