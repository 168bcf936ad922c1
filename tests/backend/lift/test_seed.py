"""Seeded Gaussians lie flat on what is seen, are still where nothing changes, and from aside show no hole."""

import numpy as np
import pytest

from cyclorama.backend.depth.edges import depth_edges
from cyclorama.backend.lift.seed import OPACITY, SIGMA, Seeding
from cyclorama.backend.sphere.equirectangular import direction, directions, latitudes
from cyclorama.backend.sphere.lattice import Lattice
from cyclorama.backend.sphere.panorama import DepthVideo, PanoramaVideo
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.gaussians import colour_from_radiance, faults
from cyclorama.bridge.settings import FEWEST_GAUSSIANS

from .test_direct import opacity_seen, random_directions, turned

HEIGHT, WIDTH = 64, 128
EYE = 1.6


def depth_of(*distances: np.ndarray) -> DepthVideo:
    maps = np.stack(distances).astype(np.float32)
    return DepthVideo(maps, np.stack([depth_edges(each) for each in maps]))


def still(picture: np.ndarray) -> PanoramaVideo:
    return PanoramaVideo(picture[None].astype(np.float32), np.zeros(picture.shape[:2], bool), 24.0)


def noise(height: int = HEIGHT) -> np.ndarray:
    return np.random.default_rng(0).random((height, 2 * height, 3), np.float32)


def grey(height: int = HEIGHT) -> np.ndarray:
    return np.full((height, 2 * height, 3), 0.2, np.float32)


def disc(longitude: float, latitude: float, radius: float, height: int = HEIGHT) -> np.ndarray:
    return directions(height) @ direction(longitude, latitude) > np.cos(radius)


def ground(height: int = HEIGHT) -> np.ndarray:
    """Level ground at eye height that ends in a dome of 30 m."""
    below = np.sin(np.maximum(-latitudes(height)[:, None], 1e-6))
    return np.broadcast_to(np.minimum(30.0, EYE / below), (height, 2 * height))


def furnished(height: int = HEIGHT) -> np.ndarray:
    """Ground and dome, a ball ahead, a pole, a ball over the seam and a lamp over the zenith."""
    scene = ground(height).copy()
    scene[disc(0.0, 0.1, 0.35, height)] = 2.0
    scene[disc(np.pi, 0.0, 0.3, height)] = 3.0
    scene[disc(0.0, np.pi / 2, 0.2, height)] = 2.5
    scene[height // 4 : height // 2 + height // 16, height // 2 : height // 2 + 2] = 2.2
    return scene


# What they are


@pytest.mark.parametrize("frame", [0, 2])
def test_all_values_are_sound_and_flat(frame):
    video = PanoramaVideo(np.repeat(noise()[None], 3, axis=0), np.zeros((HEIGHT, WIDTH), bool), 24.0)
    gaussians = Seeding(video, depth_of(furnished())).gaussians(frame)
    assert list(faults(gaussians.arrays())) == []
    assert {array.dtype for array in gaussians.arrays().values()} == {np.dtype(np.float32)}
    assert (gaussians.scale[:, 2] < 0.1 * gaussians.scale[:, 1]).all()
    np.testing.assert_allclose(gaussians.radiance[:, 3], OPACITY)
    assert ((turned(gaussians.rotation)[:, :, 2] * gaussians.position).sum(axis=1) < 0).all()


def test_on_ground_they_lie_in_its_plane():
    seeding = Seeding(still(noise(128)), depth_of(ground(128)))
    position, rotation, scale = seeding.geometry(0)
    low = (seeding.latitude < np.deg2rad(-15)) & ~seeding.hidden
    np.testing.assert_allclose(position[low, 2], -EYE, rtol=0.02)
    tilt = np.rad2deg(np.arccos(np.clip(turned(rotation)[low, 2, 2], -1, 1)))
    assert np.median(tilt) < 1 and np.quantile(tilt, 0.99) < 6
    across = SIGMA * seeding.spacing[low] * np.linalg.norm(position[low], axis=1)
    np.testing.assert_allclose(scale[low, 1], across, rtol=0.02)


def test_nothing_is_stretched_from_one_surface_to_the_next():
    distance = np.where(disc(0.0, 0.1, 0.5), 2.0, 20.0)
    seeding = Seeding(still(noise()), depth_of(distance), second_layer=False)
    position, _, scale = seeding.geometry(0)
    radius = np.linalg.norm(position, axis=1)
    np.testing.assert_allclose(np.unique(radius.round(3)), [2, 20])
    np.testing.assert_allclose(scale[:, 0], SIGMA * seeding.spacing * radius, rtol=1e-3)


def test_each_has_the_mean_colour_of_what_it_stands_for():
    """On a picture of two halves, those well within a half."""
    picture = np.where(directions(HEIGHT)[..., :1] > 0, np.float32([0.8, 0.1, 3.0]), np.float32([0.1, 0.6, 0.0]))
    seeding = Seeding(still(picture), depth_of(np.full((HEIGHT, WIDTH), 5.0)))
    east = direction(seeding.longitude, seeding.latitude)[:, 0]
    colour = colour_from_radiance(seeding.gaussians(0).radiance)
    np.testing.assert_allclose(
        colour[east > 0.1], np.broadcast_to([0.8, 0.1, 3.0], colour[east > 0.1].shape), atol=1e-5
    )
    np.testing.assert_allclose(
        colour[east < -0.1], np.broadcast_to([0.1, 0.6, 0.0], colour[east < -0.1].shape), atol=1e-5
    )


# How many


def test_automatically_there_are_about_as_many_as_pixels_of_the_equator_would_give():
    seeding = Seeding(still(noise()), depth_of(furnished()))
    assert 0.8 * WIDTH**2 / np.pi < (~seeding.hidden).sum() <= 1.25 * len(Lattice(HEIGHT).rows)
    assert 0.01 < seeding.hidden.mean() < 0.4


@pytest.mark.parametrize("budget", [FEWEST_GAUSSIANS, 3000, 12_000])
def test_a_budget_is_kept_the_second_layer_included(budget):
    seeding = Seeding(still(noise()), depth_of(furnished()), budget=budget)
    assert len(seeding.hidden) <= budget
    assert seeding.hidden.sum() <= 0.3 * budget
    assert opacity_seen(*seeding.geometry(0), random_directions(100)).min() > 0.9


# From aside


def seen_from(seeding: Seeding, place: tuple[float, float, float], towards: np.ndarray) -> np.ndarray:
    position, rotation, scale = seeding.geometry(0)
    return opacity_seen(position - np.float32(place), rotation, scale, towards)


PLACES = [(0.0, 0.0, 0.0), (0.3, 0.0, 0.0), (-0.2, 0.2, 0.1), (0.0, -0.3, 0.0)]


@pytest.mark.parametrize("place", PLACES)
def test_from_aside_there_is_no_hole(place):
    seeding = Seeding(still(grey()), depth_of(furnished()))
    assert seen_from(seeding, place, random_directions(3000)).min() > 0.95


def test_without_the_second_layer_there_would_be():
    """The compositor of these tests sees what opens beside the balls and the pole."""
    seeding = Seeding(still(grey()), depth_of(furnished()), second_layer=False)
    assert not seeding.hidden.any()
    assert (seen_from(seeding, (0.3, 0.0, 0.0), random_directions(3000)) < 0.5).sum() > 10


def test_what_opens_shows_the_background_and_nothing_of_what_hid_it():
    """A red ball before a green wall: the second layer is green."""
    hides = disc(0.0, 0.1, 0.35)
    picture = np.where(hides[..., None], np.float32([1, 0, 0]), np.float32([0, 0.5, 0]))
    seeding = Seeding(still(picture), depth_of(np.where(hides, 2.0, 20.0)))
    colour = seeding.colour(0, seeding.hidden)
    assert len(colour) > 100
    np.testing.assert_allclose(colour, np.broadcast_to([0, 0.5, 0], colour.shape), atol=0.03)


def test_a_lamp_lights_nothing_of_the_wall_behind_it():
    """A lamp a hundred times as bright as the wall; each sample's mean reaches half a pixel beyond its own."""
    lamp = disc(0.3, 0.2, 0.3)
    picture = np.where(lamp[..., None], np.float32(30), np.float32([0.3, 0.2, 0.1]))
    seeding = Seeding(still(picture), depth_of(np.where(lamp, 2.0, 4.0)))
    position, _, _ = seeding.geometry(0)
    wall = (np.linalg.norm(position, axis=1) > 3.5) & ~seeding.hidden
    np.testing.assert_allclose(seeding.colour(0, wall), np.broadcast_to([0.3, 0.2, 0.1], (wall.sum(), 3)), rtol=0.01)


def test_what_is_hidden_keeps_its_hue_beside_a_lamp():
    """The lamp lies farther than the ball that it is behind, so it is painted on; inpainters see eight bits."""
    ball, lamp = disc(0.0, 0.0, 0.4), disc(0.6, 0.0, 0.5)
    wall = np.float32([0.06, 0.03, 0.01])
    picture = np.where(lamp[..., None], np.float32(40), wall)
    picture = np.where(ball[..., None], np.float32(0.5), picture)
    seeding = Seeding(still(picture), depth_of(np.where(ball, 2.0, 20.0)))
    away = seeding.hidden & (direction(seeding.longitude, seeding.latitude) @ direction(-0.3, 0.0) > np.cos(0.15))
    colour = seeding.colour(0, away)
    assert len(colour) > 10
    np.testing.assert_allclose(np.median(colour, axis=0), wall, rtol=0.1)
    assert seeding.colour(0, seeding.hidden).max() < 100  # else it would shine through the ball


# Still and moving


def passing(frame: int, height: int = HEIGHT) -> np.ndarray:
    """A ball that passes before a wall, from left to right."""
    return disc(-0.6 + 0.6 * frame, 0.0, 0.2, height)


def with_ball() -> tuple[PanoramaVideo, DepthVideo]:
    """The wall is blue where the ball passes last, else grey; it flickers in a disc elsewhere."""
    wall = np.where(disc(0.6, 0.0, 0.4)[..., None], np.float32([0, 0, 0.7]), grey())
    shown = [np.where(passing(frame)[..., None], np.float32([1, 0, 0]), wall) for frame in range(3)]
    frames = np.stack(shown).astype(np.float32)
    flicker = disc(2.5, 0.5, 0.3)
    frames[1:, flicker] += 0.3
    moves = (frames != frames[:1]).any(axis=(0, 3))
    return PanoramaVideo(frames, moves, 24.0), depth_of(*(np.where(passing(i), 2.0, 10.0) for i in range(3)))


@pytest.fixture(scope="module")
def ball() -> Seeding:
    return Seeding(*with_ball())


def test_what_does_not_move_is_identical_in_all_frames(ball):
    first = ball.gaussians(0)
    for frame in (1, 2):
        now = ball.gaussians(frame)
        for name, array in now.arrays().items():
            np.testing.assert_array_equal(array[~ball.moves], first.arrays()[name][~ball.moves])
    assert 0.02 < ball.moves.mean() < 0.4 and ball.reshaped
    assert not ball.moves[ball.hidden].any()


def test_what_moves_follows_its_frame(ball):
    towards = direction(ball.longitude, ball.latitude)
    for frame in range(3):
        inside = (towards @ direction(-0.6 + 0.6 * frame, 0.0) > np.cos(0.15)) & ~ball.hidden
        assert ball.moves[inside].all()
        position, _, _ = ball.geometry(frame, inside)
        np.testing.assert_allclose(np.linalg.norm(position, axis=1), 2, rtol=1e-4)
        colour = ball.colour(frame, inside)
        np.testing.assert_allclose(colour, np.broadcast_to([1, 0, 0], colour.shape), atol=1e-5)


def test_chosen_ones_are_the_same_as_among_all(ball):
    for chosen in (ball.moves, slice(50, 400, 3), np.array([7, 3, len(ball.hidden) - 1])):
        for part, whole in zip(ball.geometry(1, chosen), ball.geometry(1), strict=True):
            np.testing.assert_array_equal(part, whole[chosen])
        np.testing.assert_array_equal(ball.colour(1, chosen), ball.colour(1)[chosen])


def test_behind_what_passes_lies_what_other_frames_show_there(ball):
    """Where the ball is at last the wall is blue, though it is hidden then."""
    towards = direction(ball.longitude, ball.latitude)
    behind_it = ball.hidden & (towards @ direction(0.6, 0.0) > np.cos(0.12))
    position, _, _ = ball.geometry(2, behind_it)
    assert behind_it.sum() > 5
    np.testing.assert_allclose(np.linalg.norm(position, axis=1), 10, rtol=0.02)
    np.testing.assert_allclose(ball.colour(2, behind_it), np.broadcast_to([0, 0, 0.7], position.shape), atol=0.01)


def test_a_change_that_nobody_sees_is_none():
    frames = np.repeat(grey()[None], 2, axis=0)
    frames[1] *= 1.0005
    video = PanoramaVideo(frames, np.ones((HEIGHT, WIDTH), bool), 24.0)
    distance = np.full((HEIGHT, WIDTH), 5.0)
    assert not Seeding(video, depth_of(distance, distance * 1.001)).moves.any()
    frames[1] *= 1.05
    assert Seeding(video, depth_of(distance, distance * 1.001)).moves.all()


# Bad input


def refusal(video: PanoramaVideo, depth: DepthVideo, **settings) -> CycloramaError:
    with pytest.raises(CycloramaError) as refused:
        Seeding(video, depth, **settings)
    assert refused.value.sentence.count("\n") == 0 and refused.value.hint
    return refused.value


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0, np.inf])
def test_a_distance_that_is_none_is_refused(value):
    distance = np.full((1, HEIGHT, WIDTH), 5.0, np.float32)
    distance[0, 3, 7] = value
    refused = refusal(still(grey()), DepthVideo(distance, np.zeros(distance.shape, bool)))
    assert refused.code == "distance-not-usable" and "column 7, row 3" in refused.sentence


def test_sizes_that_differ_are_refused():
    assert refusal(still(grey()), depth_of(np.full((32, 64), 5.0))).code == "sizes-differ"


def test_frame_counts_that_differ_are_refused():
    assert refusal(still(grey()), depth_of(*[np.full((HEIGHT, WIDTH), 5.0)] * 3)).code == "frames-differ"


def test_a_budget_that_covers_nothing_is_refused():
    refused = refusal(still(grey()), depth_of(ground()), budget=10)
    assert refused.code == "budget-too-small" and str(FEWEST_GAUSSIANS) in refused.hint
