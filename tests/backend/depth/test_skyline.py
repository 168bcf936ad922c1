"""What the stage set's distances promise: closed forms, no seam, no pinch, nothing out of range."""

import numpy as np
import pytest

from cyclorama.backend.depth.skyline import skyline_distance
from cyclorama.backend.sphere.equirectangular import latitudes
from cyclorama.backend.sphere.skyline import Layout, parse

HEIGHT = 256
EYE, FAR = 1.6, 120.0


def depth_edges(distance):
    """Pixels with a neighbour on another surface: the distances differ by more than any one surface's slope explains.

    The steepest surfaces are level planes seen at a grazing angle, d log(distance) / dφ = cot φ, and oblique walls.
    """
    height = len(distance)
    log_distance = np.log(distance)
    pixel = np.pi / height
    allowed = 0.06 + 4.0 * pixel
    across = np.abs(np.roll(log_distance, -1, axis=1) - log_distance) > allowed
    between = np.abs(latitudes(height)[:-1] - pixel / 2)[:, None]
    grazing = 1.5 * np.log1p(pixel / np.maximum(between - pixel / 2, pixel / 2))
    down = np.abs(np.diff(log_distance, axis=0)) > np.maximum(allowed, grazing)
    edges = across | np.roll(across, 1, axis=1)
    edges[:-1] |= down
    edges[1:] |= down
    return edges


def layout(contact: np.ndarray | float = -0.7, top: float = 0.0, overhead: float = 0.0) -> Layout:
    """A layout with given contact (degrees, per column or one) and sky above ``top`` degrees, unless under a roof."""
    contact = np.broadcast_to(np.radians(contact), 2 * HEIGHT).astype(np.float32)
    latitude = latitudes(HEIGHT)[:, None]
    sky = np.broadcast_to((latitude > np.radians(top)) & (overhead < 1), (HEIGHT, 2 * HEIGHT)).astype(np.float32)
    ground = (latitude < contact).astype(np.float32)
    return Layout(
        sky=sky,
        water=np.zeros_like(sky),
        ground=ground * (1 - sky),
        upright=(1 - ground) * (1 - sky),
        skyline=np.full(2 * HEIGHT, np.radians(top), np.float32),
        contact=contact,
        overhead=overhead,
        has_sky=overhead < 1,
    )


def test_level_ground_lies_at_eye_height_over_the_sine():
    distance = skyline_distance(layout(), HEIGHT)
    latitude = latitudes(HEIGHT)
    near = latitude < np.radians(-4)
    expected = np.broadcast_to(EYE / np.sin(-latitude[near])[:, None], distance[near].shape)
    np.testing.assert_allclose(distance[near], expected, rtol=1e-3)
    np.testing.assert_array_equal(distance[latitude > 0], np.float32(FAR))


def test_a_wall_stands_upright_where_it_meets_the_ground():
    distance = skyline_distance(layout(contact=-10, top=30), HEIGHT)
    latitude = latitudes(HEIGHT)
    wall = (latitude > np.radians(-9)) & (latitude < np.radians(29))
    horizontal = distance[wall] * np.cos(latitude[wall])[:, None]
    np.testing.assert_allclose(horizontal, EYE / np.tan(np.radians(10)), rtol=1e-3)


def test_eye_height_scales_the_near_world():
    small, large = (skyline_distance(layout(-10, 30), HEIGHT, eye_height=e, far_distance=1e4) for e in (1.0, 2.0))
    near = latitudes(HEIGHT) < np.radians(29)
    np.testing.assert_allclose(large[near], 2 * small[near], rtol=1e-4)


def test_a_room_is_a_box_without_gaps():
    distance = skyline_distance(layout(contact=-30, top=20, overhead=1.0), HEIGHT)
    latitude = latitudes(HEIGHT)[:, None]
    wall = EYE / np.tan(np.radians(30))
    ceiling = wall * np.tan(np.radians(20))
    expected = np.minimum(wall / np.cos(latitude), np.where(latitude > 0, ceiling, EYE) / np.abs(np.sin(latitude)))
    np.testing.assert_allclose(distance, np.broadcast_to(expected, distance.shape), rtol=1e-3)
    assert not depth_edges(distance).any()


def test_level_ground_has_no_edge_and_a_house_has_its_outline():
    assert not depth_edges(skyline_distance(layout(), HEIGHT)).any()
    contact = np.full(2 * HEIGHT, -0.7)
    contact[100:200] = -8
    plan = layout(contact, top=0)
    house = (latitudes(HEIGHT) < np.radians(30)) & (latitudes(HEIGHT) > 0)
    plan.sky[np.ix_(house, np.arange(100, 200))] = 0
    edges = depth_edges(skyline_distance(plan, HEIGHT))
    row = HEIGHT // 2 - 20
    assert set(np.flatnonzero(edges[row])) == {99, 100, 199, 200}
    column = np.flatnonzero(edges[:, 150])
    assert len(column) == 2 and (np.degrees(latitudes(HEIGHT)[column]) > 28).all()


def test_a_noisy_wall_keeps_one_distance():
    random = np.random.default_rng(0)
    latitude = np.degrees(latitudes(512))
    image = np.empty((512, 1024, 3), np.float32)
    image[:], image[latitude < 15], image[latitude < -9] = (0.35, 0.5, 0.9), (0.3, 0.12, 0.07), (0.12, 0.12, 0.11)
    image[latitude < 15] *= np.exp(0.25 * random.standard_normal((int((latitude < 15).sum()), 1024, 1))).astype(
        np.float32
    )
    distance = skyline_distance(parse(image), 512)
    wall = distance[(latitude < 5) & (latitude > 0)]
    np.testing.assert_allclose(wall, EYE / np.tan(np.radians(9)), rtol=0.08)
    assert wall.std() < 0.02 * wall.mean()


def test_a_house_whose_foot_is_not_seen_is_no_taller_than_houses_are():
    distance = skyline_distance(layout(contact=-0.7, top=40), HEIGHT)
    latitude = latitudes(HEIGHT)
    house = (latitude > np.radians(1)) & (latitude < np.radians(39))
    horizontal = distance[house] * np.cos(latitude[house])[:, None]
    np.testing.assert_allclose(horizontal, (7.5 - 1) * EYE / np.tan(np.radians(40)), rtol=1e-3)


def test_a_ragged_crown_has_one_distance_and_a_mast_before_it_brings_it_no_nearer():
    top = np.radians(25 + 2 * np.random.default_rng(3).standard_normal(2 * HEIGHT))
    ragged = layout(contact=-0.7, top=25)
    ragged.skyline[:] = top
    with_mast = layout(contact=-0.7, top=25)
    with_mast.skyline[:] = top
    with_mast.skyline[100:103] = np.radians(60)
    row = HEIGHT // 2 - 20
    crown, masted = (skyline_distance(plan, HEIGHT)[row] for plan in (ragged, with_mast))
    assert crown.std() < 0.03 * crown.mean()
    np.testing.assert_allclose(masted, crown, rtol=0.03)


def test_a_cloud_in_an_open_sky_is_as_far_as_the_sky_and_a_crown_overhead_is_not():
    cloud = np.s_[HEIGHT // 4 : HEIGHT // 4 + 20, 100:160]
    distances = []
    for overhead in (0.0, 0.5):
        plan = layout(overhead=overhead)
        plan.sky[cloud] = 0
        distances.append(skyline_distance(plan, HEIGHT)[cloud])
    np.testing.assert_array_equal(distances[0], np.float32(FAR))
    assert distances[1].max() < 0.5 * FAR


@pytest.mark.parametrize("turn", [1, 100, 256])
def test_turning_the_layout_turns_the_distance(turn):
    contact = -8 + 4 * np.sin(np.arange(2 * HEIGHT) * 2 * np.pi / (2 * HEIGHT))
    still = skyline_distance(layout(contact, top=20), HEIGHT)
    turned = skyline_distance(layout(np.roll(contact, turn), top=20), HEIGHT)
    np.testing.assert_allclose(turned, np.roll(still, turn, axis=1), rtol=1e-6)


def test_each_pole_has_one_distance():
    for plan in (layout(), layout(-30, 20, 1.0), layout(-10, 40, 0.5)):
        distance = skyline_distance(plan, HEIGHT)
        assert np.ptp(distance[0]) < 1e-3 and np.ptp(distance[-1]) < 1e-3


@pytest.mark.parametrize("kind", ["black", "white", "noise", "sun"])
def test_any_image_gets_a_distance_in_range(kind):
    image = np.zeros((64, 128, 3), np.float32)
    if kind == "noise":
        image = np.random.default_rng(1).random(image.shape, np.float32)
    elif kind != "black":
        image += 1
    if kind == "sun":
        image[10:12, 30:34] = 1e5
    distance = skyline_distance(parse(image), 64, eye_height=1.7, far_distance=80.0)
    assert distance.shape == (64, 128) and distance.dtype == np.float32
    assert np.isfinite(distance).all()
    assert distance.min() >= np.float32(0.3 * 1.7) and distance.max() <= 80
    assert np.isfinite(skyline_distance(parse(image), 96)).all()


def test_distance_may_be_asked_for_at_another_size():
    coarse, fine = (skyline_distance(layout(-10, 30), h) for h in (HEIGHT // 2, HEIGHT * 2))
    assert coarse.shape == (HEIGHT // 2, HEIGHT) and fine.shape == (HEIGHT * 2, HEIGHT * 4)
