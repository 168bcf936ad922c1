"""Depth edges are found where one thing ends before another, nowhere else, and blurred ones become sharp again."""

import numpy as np
import pytest

from cyclorama.backend.depth.edges import depth_edges, sharpened
from cyclorama.backend.sphere import periodic
from cyclorama.backend.sphere.equirectangular import direction, directions, latitudes, with_border

HEIGHT = 256
EYE, FAR = 1.6, 120.0


def ground(towards: np.ndarray, normal=(0.0, 0.0, 1.0)) -> np.ndarray:
    """A plane below the eye, level unless told otherwise, that runs softly into the far distance."""
    nearness = np.maximum(-towards @ (np.array(normal) / np.linalg.norm(normal)), 0) / EYE
    return ((nearness**6) + FAR**-6) ** (-1 / 6)


def box(towards: np.ndarray, low, high) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = np.array(low) / towards, np.array(high) / towards
    enter, leave = np.minimum(one, other).max(axis=-1), np.maximum(one, other).min(axis=-1)
    return np.where((enter < leave) & (enter > 0), enter, np.inf)


def ball(towards: np.ndarray, centre, radius: float) -> np.ndarray:
    along = towards @ np.array(centre, float)
    under = along**2 - np.dot(centre, centre) + radius**2
    return np.where((under > 0) & (along > 0), along - np.sqrt(np.maximum(under, 0)), np.inf)


def pole(towards: np.ndarray, x: float, y: float, radius: float, top: float) -> np.ndarray:
    x_way, y_way, z_way = np.moveaxis(towards, -1, 0)
    a, b = x_way**2 + y_way**2, x_way * x + y_way * y
    under = b * b - a * (x * x + y * y - radius * radius)
    reach = (b - np.sqrt(np.maximum(under, 0))) / a
    return np.where((under > 0) & (reach > 0) & (reach * z_way < top), reach, np.inf)


def room(height: int, half_width: float, half_length: float, ceiling: float) -> np.ndarray:
    """A box seen from inside: floor at eye height, four walls, a level ceiling."""
    x, y, z = np.moveaxis(np.abs(directions(height).astype(np.float64)), -1, 0)
    up = np.where(directions(height)[..., 2] > 0, ceiling, EYE)
    with np.errstate(divide="ignore"):
        return np.minimum(np.minimum(half_width / x, half_length / y), up / z).astype(np.float32)


def yard(height: int = HEIGHT) -> tuple[np.ndarray, np.ndarray]:
    """Distance, and which thing is seen: ground and sky 0, boxes 1 and 2, a ball 3, a pole 1.5 pixels thin 4.

    The second box lies across ±180°.
    """
    towards = directions(height).astype(np.float64)
    things = [
        ground(towards),
        box(towards, (-3, 3, -EYE), (-1, 6, 0.6)),
        box(towards, (-2, -9, -EYE), (3, -5, 4)),
        ball(towards, (3, 1, -0.8), 0.8),
        pole(towards, 0.5, 4.0, 0.75 * np.pi / height * np.hypot(0.5, 4), 1.2),
    ]
    return np.min(things, axis=0).astype(np.float32), np.argmin(things, axis=0)


def outline(distance: np.ndarray, thing: np.ndarray, least: float = 0.1) -> np.ndarray:
    """Slow and obviously right: pixels with a neighbour of another thing, nearer or farther by more than a tenth."""
    found = np.zeros(thing.shape, bool)
    height, width = thing.shape
    for row in range(height):
        for column in range(width):
            for other in ((row, (column + 1) % width), (min(row + 1, height - 1), column)):
                apart = abs(np.log(distance[row, column] / distance[other])) > least
                if thing[row, column] != thing[other] and apart:
                    found[row, column] = found[other] = True
    return found


def mixtures(distance: np.ndarray, truth: np.ndarray, tolerance: float = 0.06) -> np.ndarray:
    """Pixels whose distance is none that is truly there within two pixels of them."""
    logarithm, around = np.log(distance), with_border(np.log(truth), 2)
    height, width = truth.shape
    off = [
        np.abs(logarithm - around[row : row + height, column : column + width])
        for row in range(5)
        for column in range(5)
    ]
    return np.min(off, axis=0) > tolerance


def absrel(distance: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(distance / truth - 1).mean())


SPACES = {"disparity": (np.reciprocal, np.reciprocal), "logarithm": (np.log, np.exp)}


def blurred(distance: np.ndarray, sigma_px: float, space: str = "disparity") -> np.ndarray:
    there, back = SPACES[space]
    return back(periodic.blur(there(distance.astype(np.float32)), sigma_px))


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    return yard()


# Finding them


def test_both_sides_of_every_outline_are_found(scene):
    assert not (outline(*scene) & ~depth_edges(scene[0])).any()


def test_nothing_but_outlines_is_found(scene):
    """The rim of a ball, seen at a grazing angle, is part of its outline: two pixels."""
    near = periodic.dilate(outline(*scene, least=0.0), 2)
    assert not (depth_edges(scene[0]) & ~near).any()


def test_a_pole_thinner_than_two_pixels_is_found_from_both_sides():
    distance, thing = yard()
    row = HEIGHT // 2 + 4
    seen = np.flatnonzero(thing[row] == 4)
    assert len(seen) in (1, 2)
    found = depth_edges(distance)[row]
    assert found[seen[0] - 1 : seen[-1] + 2].all()
    assert not found[[seen[0] - 3, seen[0] - 2, seen[-1] + 2, seen[-1] + 3]].any()


@pytest.mark.parametrize("height", [128, 256, 512])
def test_level_ground_has_none_up_to_the_horizon(height):
    towards = directions(height).astype(np.float64)
    assert not depth_edges(ground(towards).astype(np.float32)).any()
    assert not depth_edges(ground(-towards).astype(np.float32)).any()  # a ceiling


@pytest.mark.parametrize("height", [128, 256, 512])
@pytest.mark.parametrize("size", [(3, 10, 1.2), (10, 15, 8)])
def test_a_room_has_none_in_its_corners(height, size):
    assert not depth_edges(room(height, *size)).any()


def test_a_corridor_80_m_long_has_hardly_any():
    """Its walls are seen at up to 87°; only next to their corners are some pixels, 3 in 10 000, taken for edges."""
    assert depth_edges(room(512, 2, 40, 1.0)).mean() < 3e-4


def test_a_slope_has_none_up_to_50_m_away():
    distance = ground(directions(512).astype(np.float64), normal=(0.05, 0.03, 1)).astype(np.float32)
    assert not depth_edges(distance)[distance < 50].any()


def test_a_house_before_the_sky_has_its_top_at_the_horizon_too():
    """Up to the horizon level ground is as steep as anything; what recedes from it is no level ground."""
    distance = np.full((HEIGHT, 2 * HEIGHT), FAR, np.float32)
    top = HEIGHT // 2 - 1  # half a pixel above the horizon
    distance[top:] = 40
    assert set(np.flatnonzero(depth_edges(distance)[:, 0])) == {top - 1, top}


@pytest.mark.parametrize("turn", [1, 100, HEIGHT])
def test_turning_the_panorama_turns_its_edges(scene, turn):
    turned = np.roll(scene[0], turn, axis=1)
    np.testing.assert_array_equal(depth_edges(turned), np.roll(depth_edges(scene[0]), turn, axis=1))
    np.testing.assert_array_equal(sharpened(turned), np.roll(sharpened(scene[0]), turn, axis=1))


@pytest.mark.parametrize("pole_of", [1, -1])
def test_a_disc_over_a_pole_has_its_rim_and_nothing_else(pole_of):
    """Centred 3° beside the pole, so that columns cross its rim at all angles."""
    apart = directions(HEIGHT) @ direction(0.7, np.radians(87) * pole_of)
    edges = depth_edges(np.where(apart > np.cos(np.radians(10)), 4, 20).astype(np.float32))
    off_the_rim = np.abs(np.degrees(np.arccos(np.clip(apart, -1, 1))) - 10)
    assert edges[off_the_rim < 0.3].all()
    assert not edges[off_the_rim > 1.1 * 180 / HEIGHT].any()


def test_steps_across_the_very_pole_are_found():
    """One half of the sphere is near; the meridian that parts it from the other passes over both poles."""
    distance = np.where(directions(HEIGHT)[..., 0] > 0, 4, 20).astype(np.float32)
    assert depth_edges(distance)[[0, -1]].all()
    assert depth_edges(distance)[HEIGHT // 2].sum() == 4


@pytest.mark.parametrize("share", [0.005, 0.02])
def test_noise_makes_no_edges_and_hides_no_large_ones(scene, share):
    noise = 1 + share * np.random.default_rng(0).standard_normal(scene[0].shape)
    assert depth_edges((room(HEIGHT, 3, 10, 1.2) * noise).astype(np.float32)).mean() < 5e-3  # at the steepest places
    noisy = (scene[0] * noise).astype(np.float32)
    assert not (outline(*scene, least=0.5) & ~depth_edges(noisy)).any()


# Making them sharp


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("sigma_px", "left"), [(0.7, 0.01), (1.0, 0.01), (1.5, 0.2)])
def test_blurred_edges_become_sharp(scene, space, sigma_px, left):
    """Left out: the pole, all of which is a mixture once it is blurred, and 3° around the horizon, a crease."""
    truth, thing = scene
    soft = blurred(truth, sigma_px, space)
    sharp = sharpened(soft)
    by_the_pole = periodic.dilate(thing == 4, 5)
    counted = ~by_the_pole & (np.abs(latitudes(HEIGHT)) > np.radians(3))[:, None]
    assert mixtures(soft, truth)[counted].sum() > 300
    assert mixtures(sharp, truth)[counted].sum() < left * mixtures(soft, truth)[counted].sum()
    assert absrel(sharp[counted], truth[counted]) < 0.75 * absrel(soft[counted], truth[counted])


def test_a_box_blurred_on_its_sides_is_that_box_again():
    """Straight edges, flat before flat: its corners too; nothing is left between."""
    truth = np.full((HEIGHT, 2 * HEIGHT), 20, np.float32)
    truth[100:150, 200:300] = 5
    sharp = sharpened(blurred(truth, 1.0, "logarithm"))
    np.testing.assert_allclose(sharp[80:170, 180:320], truth[80:170, 180:320], rtol=0.03)


def test_who_knows_that_disparity_was_blurred_gets_the_border_back(scene):
    distance, thing = scene
    upright = (thing > 0) & (thing < 3) | (latitudes(HEIGHT) > np.radians(3))[:, None] & (thing != 4)
    soft = blurred(distance, 1.0, "disparity")
    unknown, known = sharpened(soft), sharpened(soft, as_disparity=True)
    assert absrel(known[upright], distance[upright]) < 0.5 * absrel(unknown[upright], distance[upright])


def test_a_wider_blur_needs_a_wider_radius(scene):
    truth = scene[0]
    soft = blurred(truth, 2.0)
    assert absrel(sharpened(soft, 4), truth) < absrel(sharpened(soft, 2), truth) < absrel(soft, truth)


def test_an_edge_blurred_over_many_columns_next_to_a_pole_becomes_sharp():
    """3 pixels of arc at 80° of latitude are 17 columns."""
    from_edge = np.degrees(np.arcsin(directions(HEIGHT)[..., 0])) * HEIGHT / 180  # pixels of arc
    soft = np.exp(np.log(4) + np.log(5) * np.clip(0.5 + from_edge / 3, 0, 1)).astype(np.float32)
    row = np.argmax(latitudes(HEIGHT) < np.radians(80))
    assert ((soft[row] > 4.5) & (soft[row] < 18)).sum() > 20
    assert not ((sharpened(soft)[row] > 4.5) & (sharpened(soft)[row] < 18)).any()


def test_an_edge_blurred_over_a_pole_becomes_sharp():
    """The same edge where columns cross it over the poles: one row of it on this side, three on the other."""
    from_edge = np.degrees(np.arcsin(directions(HEIGHT)[..., 0])) * HEIGHT / 180 - 0.8
    soft = np.exp(np.log(4) + np.log(5) * np.clip(0.5 + from_edge / 4, 0, 1)).astype(np.float32)
    west, east = HEIGHT // 2, 3 * HEIGHT // 2
    sharp = sharpened(soft)
    for rows in (range(3), range(-1, -4, -1)):
        column = [soft[rows[1], west], soft[rows[0], west], *(soft[row, east] for row in rows)]
        assert column[0] == 4 and (np.diff(column) > 0).all() and column[-1] < 19.5
        found = [sharp[rows[0], west], *(sharp[row, east] for row in rows)]
        np.testing.assert_allclose(found, [4, 4, 20, 20], rtol=1e-5)


def test_smooth_surfaces_keep_every_bit():
    towards = directions(HEIGHT).astype(np.float64)
    for surface in (
        room(HEIGHT, 3, 10, 1.2),
        room(HEIGHT, 2, 40, 1.0),
        ground(towards).astype(np.float32),
        ground(towards, (0.03, 0.02, 1)).astype(np.float32),
        np.full((HEIGHT, 2 * HEIGHT), 7, np.float32),
        np.exp(0.5 * towards[..., 0] - 0.3 * towards[..., 2]).astype(np.float32),
    ):
        np.testing.assert_array_equal(sharpened(surface), surface)


def test_what_is_sharp_stays(scene):
    """But for the rim of the ball, which looks like a blur of one pixel; its pixels move by less than 10 %."""
    distance, thing = scene
    changed = sharpened(distance) != distance
    assert not changed[thing != 3].any() and changed.sum() < 40
    np.testing.assert_allclose(sharpened(distance), distance, rtol=0.1)


def test_thin_things_are_kept(scene):
    """In each row of the blurred pole its crest stays where it is, and as near as the blur left it."""
    distance, thing = scene
    soft = blurred(distance, 0.7)
    rows = np.flatnonzero((thing == 4).any(axis=1))
    rows = rows[(rows > rows[0] + 5) & (latitudes(HEIGHT)[rows] > np.radians(-10))]
    sharp = sharpened(soft)
    for row in rows:
        columns = np.flatnonzero(thing[row] == 4)
        around = slice(columns[0] - 4, columns[-1] + 5)
        assert sharp[row, around].min() == soft[row, around].min()
        assert 1 <= (sharp[row, around] < 1.2 * soft[row, around].min()).sum() <= 4


@pytest.mark.parametrize("kind", ["noise", "stripes"])
def test_any_distance_stays_finite_and_within_its_range(kind):
    random = np.random.default_rng(0)
    distance = np.exp(random.standard_normal((64, 128))).astype(np.float32)
    if kind == "stripes":
        distance = np.where(np.arange(128) % 2, 0.01, 1e4).astype(np.float32) * np.ones((64, 1), np.float32)
    sharp = sharpened(distance)
    assert sharp.dtype == np.float32 and sharp.shape == distance.shape
    assert np.isfinite(sharp).all() and sharp.min() >= distance.min() and sharp.max() <= distance.max()
