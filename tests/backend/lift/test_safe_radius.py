"""How far the camera may go is how far it may go: until a hole opens, a card ends, or a splat is seen too long."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cyclorama.backend.lift.flat import flat, quaternion
from cyclorama.backend.lift.safe_radius import DIRECTIONS, LEAST_ALPHA, RADII_M, SafeRadii, safe_radii
from cyclorama.backend.lift.seed import SIGMA, Seeding
from cyclorama.backend.raster.rasterize import rasterize
from cyclorama.backend.raster.splats import Cameras, Splats
from cyclorama.backend.sphere.equirectangular import directions
from cyclorama.backend.sphere.lattice import Lattice
from cyclorama.bridge.errors import Cancelled

from .tiny_world import depth_of, room, standing_still

HEIGHT = 32
AHEAD, RIGHT, BACK, LEFT, UP, DOWN = 0, 2, 4, 6, 8, 9


def sphere(radius: float, height: int = HEIGHT) -> Splats:
    """Closed, of one flat Gaussian for each sample of a panorama's lattice, as the seeds are."""
    lattice = Lattice(height)
    count = len(lattice.longitude)
    spacing, level = np.full(count, lattice.spacing, np.float32), np.zeros(count, np.float32)
    geometry = flat(
        lattice.longitude, lattice.latitude, spacing, np.full(count, radius, np.float32), level, level, SIGMA
    )
    position, rotation, scale = (torch.from_numpy(np.ascontiguousarray(each, np.float32)) for each in geometry)
    return Splats(position, rotation, scale, torch.full((count,), 0.99), torch.full((count, 3), 0.5))


def together(*parts: Splats) -> Splats:
    return Splats(*(torch.cat(tensors) for tensors in zip(*(vars(part).values() for part in parts), strict=True)))


def towards(splats: Splats) -> torch.Tensor:
    return torch.nn.functional.normalize(splats.position, dim=1)


def test_the_directions_are_eight_around_from_ahead_to_the_right_and_up_and_down():
    expected = {AHEAD: (0, 1, 0), RIGHT: (1, 0, 0), BACK: (0, -1, 0), LEFT: (-1, 0, 0), UP: (0, 0, 1), DOWN: (0, 0, -1)}
    for number, axis in expected.items():
        np.testing.assert_allclose(DIRECTIONS[number], axis, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(DIRECTIONS, axis=1), 1)
    assert list(RADII_M) == sorted(RADII_M)


def test_in_a_far_closed_sphere_one_may_go_anywhere():
    found = safe_radii([sphere(60.0)], HEIGHT)
    assert found.metres == (RADII_M[-1],) * 10
    assert found.least == RADII_M[-1]


def test_the_nearer_the_walls_the_shorter_the_way():
    """On the way to the wall its splats grow; a wall twice as far lets one go twice as far."""
    least = [safe_radii([sphere(radius)], HEIGHT).least for radius in (0.5, 1.0, 2.0, 4.0)]
    assert least == sorted(least) and 0 < least[0] < 0.5 and least[-1] > 2 * least[0]
    near, far = (safe_radii([sphere(radius)], HEIGHT).metres for radius in (1.0, 2.0))
    ratio = np.array(far) / np.array(near)
    assert (ratio > 1.4).all() and (ratio < 2.8).all()


def test_behind_the_wall_it_is_over_even_if_from_there_all_seems_closed():
    """Two spheres, one in the other."""
    for radius in (0.4, 1.1):
        found = safe_radii([together(sphere(radius), sphere(50.0))], HEIGHT)
        assert min(found.metres) > 0 and max(found.metres) < radius


def test_what_is_all_but_transparent_is_no_wall():
    mist = replace(sphere(0.4), opacity=torch.full((len(sphere(0.4)),), 0.01))
    assert safe_radii([together(mist, sphere(50.0))], HEIGHT).least > 0.4


def test_a_hole_that_is_seen_from_the_start_leaves_nothing():
    whole = sphere(60.0)
    holed = whole[towards(whole)[:, 1] < np.cos(0.15)]
    assert safe_radii([holed], HEIGHT).metres == (0.0,) * 10
    assert safe_radii([holed], HEIGHT).least == 0


def test_a_hole_behind_a_card_opens_to_the_sides_and_not_towards_it():
    """Ahead a card hides a hole of the same size: going towards it or up or aside shows it sooner or later."""
    whole = sphere(60.0)
    far = whole[towards(whole)[:, 1] < np.cos(0.25)]
    near = sphere(3.0)
    card = near[towards(near)[:, 1] > np.cos(0.3)]
    found = safe_radii([together(far, card)], HEIGHT).metres
    sideways = [found[LEFT], found[RIGHT], found[UP], found[DOWN]]
    assert 0 < max(sideways) <= 0.5
    assert found[AHEAD] > 2 * max(sideways)
    assert safe_radii([together(whole, card)], HEIGHT).least > 2 * max(sideways)


def test_a_wider_hole_lets_one_go_less_far():
    whole, near = sphere(60.0), sphere(3.0)
    card = near[towards(near)[:, 1] > np.cos(0.4)]
    rights = []
    for width in (0.15, 0.25, 0.33):
        far = whole[towards(whole)[:, 1] < np.cos(width)]
        rights.append(safe_radii([together(far, card)], HEIGHT).metres[RIGHT])
    assert rights == sorted(rights, reverse=True) and rights[0] > 1.5 * rights[-1]


def test_a_second_layer_behind_a_foreground_lets_one_go_further():
    height = 48
    ball = directions(height)[..., 1] > np.cos(0.4)
    depth = depth_of(np.where(ball, 1.5, room(height)))
    found = []
    for second_layer in (False, True):
        seeds = Seeding(standing_still(height), depth, second_layer=second_layer).gaussians(0)
        found.append(safe_radii([Splats.of(seeds)], height).metres)
    assert max(found[0][RIGHT], found[0][LEFT]) < 0.3
    assert np.mean(found[1]) > 1.5 * np.mean(found[0])
    assert (np.array(found[1]) >= np.array(found[0])).all()


def wall_aside(tilt: float) -> Splats:
    """A far sphere, and to the right a wall that is seen from the origin at ``tilt`` from edge on: its splats, which
    are round from there, are long."""
    far = sphere(60.0)
    aside = torch.nn.functional.normalize(far.position, dim=1)[:, 0] > np.cos(0.35)
    position = far.position[aside] / 60 * 2
    out = towards(far)[aside].numpy()
    up = np.tile([0.0, 0.0, 1.0], (len(out), 1))
    across = np.cross(up, out)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    along = np.cos(tilt) * out + np.sin(tilt) * across
    frame = np.stack([along, np.cross(np.cross(along, across), along), np.cross(along, across)], axis=-1)
    frame[:, :, 1] /= np.linalg.norm(frame[:, :, 1], axis=1, keepdims=True)
    frame[:, :, 2] = np.cross(frame[:, :, 0], frame[:, :, 1])
    sigma = 0.7 * np.pi / HEIGHT * 2
    scale = torch.tensor([[sigma / np.sin(tilt), sigma, 0.05 * sigma]]).repeat(len(position), 1).float()
    rotation = torch.from_numpy(quaternion(frame).astype(np.float32))
    wall = Splats(position, rotation, scale, torch.full((len(position),), 0.99), torch.ones(len(position), 3))
    return together(far, wall)


def test_splats_that_are_seen_long_from_aside_limit_it():
    """Before a closed background, where no hole can open."""
    facing, grazing = (min(safe_radii([wall_aside(tilt)], HEIGHT).metres[:8]) for tilt in (1.4, 0.15))
    assert grazing < 0.7 * facing


def test_trouble_in_one_frame_counts_for_all():
    whole = sphere(60.0)
    near = sphere(2.0)
    good, bad = safe_radii([whole], HEIGHT), safe_radii([near], HEIGHT)
    assert safe_radii([whole, near], HEIGHT).metres == safe_radii([near, whole], HEIGHT).metres
    assert safe_radii([whole, near], HEIGHT).metres == bad.metres != good.metres


def test_within_the_radius_no_pixel_is_a_hole():
    """Looked at from places that were not looked from."""
    height = 48
    ball = directions(height)[..., 1] > np.cos(0.4)
    seeds = Seeding(standing_still(height), depth_of(np.where(ball, 1.5, room(height)))).gaussians(0)
    splats = Splats.of(seeds)
    found = safe_radii([splats], height)
    assert found.least > 0
    draw = np.random.default_rng(0)
    rotations = np.stack([np.eye(3)[[0, 2, 1]] * [[1, 1, 1], [1, 1, -1], [1, 1, 1]]])
    for _ in range(8):
        way = draw.standard_normal(3)
        place = way / np.linalg.norm(way) * found.least * draw.random()
        cameras = Cameras.square(rotations, 32, np.pi / 2, place)
        alpha = rasterize(splats, cameras, "surfels", low_pass=False).alpha
        assert float(alpha.min()) >= LEAST_ALPHA - 0.02


def test_places_in_or_behind_things_are_no_trouble():
    assert safe_radii([together(sphere(0.05), sphere(20.0))], HEIGHT).least == 0
    dust = Splats(
        torch.zeros(3, 3), torch.tensor([[1.0, 0, 0, 0]] * 3), torch.full((3, 3), 0.01), torch.ones(3), torch.ones(3, 3)
    )
    for splats in (together(dust, sphere(20.0)), dust, sphere(20.0)[:0]):
        found = safe_radii([splats], HEIGHT)
        assert all(np.isfinite(found.metres))
    assert safe_radii([sphere(20.0)[:0]], HEIGHT).metres == (0.0,) * 10


def test_it_tells_every_look_and_can_be_stopped_before_each():
    heard = []
    safe_radii([sphere(2.0)], HEIGHT, lambda done, total: heard.append((done, total)))
    steps = [done for done, _ in heard]
    assert steps == sorted(steps) and heard[0][0] == 0 and heard[-1][0] == heard[-1][1]
    assert steps.count(steps[-1]) == 1 and len(steps) > 20
    for number in (1, 7, len(heard)):
        calls = []

        def stop(_done, _total, calls=calls, number=number):
            calls.append(1)
            if len(calls) == number:
                raise Cancelled

        with pytest.raises(Cancelled):
            safe_radii([sphere(2.0)], HEIGHT, stop)


def test_the_table_has_a_unit_vector_and_metres_for_every_direction():
    table = SafeRadii(tuple(range(10))).table()
    np.testing.assert_allclose(np.array(table)[:, :3], DIRECTIONS, atol=1e-4)
    assert [row[3] for row in table] == list(range(10))
