"""Gaussians lie flat on what is seen, cover it evenly, and only those that must change from frame to frame do."""

import numpy as np
import pytest

from cyclorama.backend.depth.edges import depth_edges
from cyclorama.backend.lift import direct, flat
from cyclorama.backend.lift.direct import DirectLift, slopes
from cyclorama.backend.lift.flat import principal_axes, quaternion
from cyclorama.backend.sphere.equirectangular import direction, directions, latitudes, longitudes
from cyclorama.backend.sphere.lattice import Lattice
from cyclorama.backend.sphere.panorama import DepthVideo, PanoramaVideo
from cyclorama.bridge.gaussians import Gaussians, colour_from_radiance, faults
from cyclorama.bridge.scene import Generator, Scene
from cyclorama.bridge.scene_writer import SceneWriter

HEIGHT, WIDTH = 64, 128
EYE = 1.6


def ball(radius: float = 5.0, height: int = HEIGHT) -> np.ndarray:
    return np.full((height, 2 * height), radius, np.float32)


def plain(height: int = HEIGHT) -> np.ndarray:
    """Level ground at eye height that runs softly into a sky 120 m away."""
    latitude = latitudes(height)[:, None]
    nearness = np.sin(np.maximum(-latitude, 0)) * 120 / EYE
    distance = 120 * (nearness**6 + 1) ** (-1 / 6)
    return np.broadcast_to(distance, (height, 2 * height)).astype(np.float32)


def pillar(height: int = HEIGHT) -> np.ndarray:
    """A column 2 m away, a quarter of the view wide, before a wall 20 m away."""
    longitude = longitudes(2 * height)
    distance = np.where(np.abs(longitude) < np.pi / 4, 2, 20)
    return np.broadcast_to(distance[None, :], (height, 2 * height)).astype(np.float32)


def corridor(height: int = HEIGHT) -> np.ndarray:
    """A box of 6 x 20 x 4 m with the eye inside: oblique walls, corners, grazing views; no edges."""
    reach = np.array([3, 10, 2]) / np.maximum(np.abs(directions(height)), 1e-6)
    return reach.min(axis=-1).astype(np.float32)


def ramp(height: int = HEIGHT) -> np.ndarray:
    """log distance = 6 |longitude|: steeper than a wall everywhere."""
    return np.exp(np.abs(longitudes(2 * height)) * 6)[None, :].repeat(height, axis=0).astype(np.float32)


SURFACES = {"ball": ball, "plain": plain, "pillar": pillar, "corridor": corridor}


def still_depth(distance: np.ndarray) -> DepthVideo:
    return DepthVideo(distance[None], depth_edges(distance)[None])


def surfels(distance: np.ndarray, lattice: Lattice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return direct.surfels(distance, depth_edges(distance), lattice)


def turned(rotation: np.ndarray) -> np.ndarray:
    """(n, 3, 3) matrices of quaternions w, x, y, z, by the textbook; columns: where the axes go."""
    w, x, y, z = rotation.T.astype(np.float64)
    return np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], axis=-1),
            np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], axis=-1),
            np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=-1),
        ],
        axis=1,
    )


def opacity_seen(position, rotation, scale, towards: np.ndarray) -> np.ndarray:
    """Slow compositor: what share of the light from behind each direction (n, 3) the flat Gaussians keep back.

    Every ray meets the plane of every Gaussian; beyond three standard deviations there is nothing.
    """
    axes = turned(rotation)
    normal = axes[:, :, 2]
    with np.errstate(divide="ignore"):
        along = (position * normal).sum(axis=1) / (towards @ normal.T)
    through = np.ones(len(towards))
    for number, ray in enumerate(towards):
        offset = np.where(np.isfinite(along[number]), along[number], -1)[:, None] * ray - position
        u = (offset * axes[:, :, 0]).sum(axis=1) / scale[:, 0]
        v = (offset * axes[:, :, 1]).sum(axis=1) / scale[:, 1]
        squared = np.where(along[number] > 0, u * u + v * v, np.inf)
        through[number] = np.prod(1 - np.where(squared < 9, 0.99 * np.exp(-squared / 2), 0))
    return 1 - through


def random_directions(count: int) -> np.ndarray:
    random = np.random.default_rng(0).standard_normal((count, 3))
    return random / np.linalg.norm(random, axis=1, keepdims=True)


# Where they lie


def test_on_a_ball_all_lie_at_its_radius_and_face_the_eye():
    lattice = Lattice(HEIGHT)
    position, rotation, _ = surfels(ball(), lattice)
    np.testing.assert_allclose(np.linalg.norm(position, axis=1), 5, rtol=1e-6)
    np.testing.assert_allclose(position, 5 * direction(lattice.longitude, lattice.latitude), atol=1e-5)
    np.testing.assert_allclose(turned(rotation)[:, :, 2], -position / 5, atol=1e-5)


def test_on_a_ball_all_are_round_and_of_one_size():
    lattice = Lattice(HEIGHT)
    scale = surfels(ball(), lattice)[2]
    size = direct._SIGMA * lattice.spacing * 5
    np.testing.assert_allclose(scale[:, :2], size, rtol=1e-4)
    np.testing.assert_allclose(scale[:, 2], flat.THICKNESS * size, rtol=1e-4)


def test_on_level_ground_all_lie_flat_at_eye_height():
    lattice = Lattice(128)
    position, rotation, _ = surfels(plain(128), lattice)
    ground = lattice.latitude < np.deg2rad(-5)
    np.testing.assert_allclose(position[ground, 2], -EYE, rtol=1e-5)
    normal = turned(rotation)[ground, :, 2]
    tilt = np.rad2deg(np.arccos(np.clip(normal[:, 2], -1, 1)))
    assert tilt.max() < 5 and np.median(tilt) < 1


def test_on_level_ground_they_are_drawn_out_along_the_view_as_the_closed_form_says():
    lattice = Lattice(128)
    position, rotation, scale = surfels(plain(128), lattice)
    ground = lattice.latitude < np.deg2rad(-15)
    distance = np.linalg.norm(position[ground], axis=1)
    across = direct._SIGMA * lattice.spacing * distance
    latitude = -lattice.latitude[ground]
    np.testing.assert_allclose(scale[ground, 1], across, rtol=2e-3)
    np.testing.assert_allclose(scale[ground, 0], across / np.sin(latitude), rtol=0.06)
    oblique = latitude < np.deg2rad(60)  # below, they are nearly round
    away = direction(lattice.longitude[ground], 0.0)[oblique]
    long_axis = turned(rotation)[ground, :, 0][oblique]
    assert np.abs((away * long_axis).sum(axis=1)).min() > 0.99


@pytest.mark.parametrize("surface", SURFACES)
def test_all_values_are_sound_and_all_face_the_eye(surface):
    position, rotation, scale = surfels(SURFACES[surface](), Lattice(HEIGHT))
    assert {array.dtype for array in (position, rotation, scale)} == {np.dtype(np.float32)}
    arrays = {"position": position, "rotation": rotation, "scale": scale}
    assert list(faults(arrays)) == []
    assert (scale[:, 0] >= scale[:, 1] * (1 - 1e-5)).all() and (scale[:, 1] > scale[:, 2]).all()
    assert ((turned(rotation)[:, :, 2] * position).sum(axis=1) < 0).all()


def test_no_gaussian_is_stretched_over_a_depth_edge():
    lattice = Lattice(HEIGHT)
    position, _, scale = surfels(pillar(), lattice)
    distance = np.linalg.norm(position, axis=1)
    np.testing.assert_allclose(np.unique(distance.round(3)), [2, 20])
    np.testing.assert_allclose(scale[:, :2], direct._SIGMA * lattice.spacing * distance[:, None] * [1, 1], rtol=1e-3)


@pytest.mark.parametrize("thin", ["post", "cable"])
def test_a_thing_one_pixel_thin_is_not_stretched_into_what_is_behind_it(thin):
    """Both its neighbours lie beyond an edge."""
    lattice = Lattice(HEIGHT)
    distance = ball(20.0)
    distance[(slice(None), WIDTH // 2) if thin == "post" else (HEIGHT // 3, slice(None))] = 2
    position, _, scale = surfels(distance, lattice)
    size = direct._SIGMA * lattice.spacing * np.linalg.norm(position, axis=1)
    middle = np.abs(lattice.latitude) < np.deg2rad(70)
    assert (size[middle].min(), size[middle].max()) == pytest.approx((size.max() / 10, size.max()), rel=1e-4)
    np.testing.assert_allclose(scale[middle, :2], size[middle, None] * [1, 1], rtol=1e-3)


def test_no_gaussian_is_stretched_over_a_skyline():
    """A wall 4 m away that ends in a far sky; its top row is as large as those in its middle."""
    latitude = latitudes(HEIGHT)[:, None]
    wall = np.where(latitude < np.deg2rad(30), 4 / np.cos(latitude), 120)
    lattice = Lattice(HEIGHT)
    scale = surfels(np.broadcast_to(wall, (HEIGHT, WIDTH)).astype(np.float32), lattice)[2]
    top = lattice.rows == np.argmax(latitudes(HEIGHT) < np.deg2rad(30))
    below = lattice.rows == np.argmax(latitudes(HEIGHT) < np.deg2rad(25))
    lowest_sky = lattice.rows == np.argmax(latitudes(HEIGHT) < np.deg2rad(30)) - 1
    assert scale[top, 0].max() < 1.2 * scale[below, 0].max()
    np.testing.assert_allclose(scale[lowest_sky, :2], direct._SIGMA * lattice.spacing * 120, rtol=1e-3)


def test_slopes_of_a_smooth_surface_are_its_derivatives():
    """log distance = 0.3 x + 0.2 z; its gradient along east is 0.3 cos θ, along north 0.2 cos φ - 0.3 sin φ sin θ."""
    height = 256
    towards = directions(height).astype(np.float64)
    distance = np.exp(0.3 * towards[..., 0] + 0.2 * towards[..., 2]).astype(np.float32)
    east, north = slopes(distance, np.zeros(distance.shape, bool))
    longitude, latitude = longitudes(2 * height)[None, :], latitudes(height)[:, None]
    inner = slice(8, -8)
    np.testing.assert_allclose(east[inner], np.broadcast_to(0.3 * np.cos(longitude), east.shape)[inner], atol=0.02)
    np.testing.assert_allclose(
        north, 0.2 * np.cos(latitude) - 0.3 * np.sin(latitude) * np.sin(longitude), atol=0.02
    )  # the poles included


# Cover


@pytest.mark.parametrize("surface", SURFACES)
def test_together_they_let_hardly_any_light_through(surface):
    """From every direction, those of the poles, the seam and the horizon included."""
    height = 128 if surface == "plain" else 64  # the coarser, the wider the line at which ground meets sky
    around = np.linspace(0, 2 * np.pi, 40)
    towards = np.concatenate(
        [
            random_directions(400),
            direction(around, np.deg2rad(88)),
            direction(around, np.deg2rad(-88)),
            direction(np.pi, around / 4),
            direction(around, 0.0),
            [[0, 0, 1], [0, 0, -1]],
        ]
    ).astype(np.float64)
    opacity = opacity_seen(*surfels(SURFACES[surface](height), Lattice(height)), towards)
    assert opacity.min() > 0.95


def test_a_gap_in_the_lattice_would_show():
    """The compositor of this test does see a hole."""
    lattice = Lattice(HEIGHT)
    surface = surfels(ball(), lattice)
    here = np.array([[0.0, 1.0, 0.0]])
    kept = np.linalg.norm(surface[0] - 5 * here, axis=1) > 5 * 2.5 * lattice.spacing
    assert opacity_seen(*surface, here)[0] > 0.95
    position, rotation, scale = (array[kept] for array in surface)
    assert opacity_seen(position, rotation, scale, here)[0] < 0.1


# Still and moving


def moving_disc() -> PanoramaVideo:
    """Three frames of noise in a disc that lies over the seam, on noise that stands still."""
    random = np.random.default_rng(0)
    moves = directions(HEIGHT) @ direction(3.1, 0.3) > 0.8
    frames = np.repeat(random.random((1, HEIGHT, WIDTH, 3), np.float32) * 3, 3, axis=0)
    frames[1:, moves] = random.random((2, int(moves.sum()), 3), np.float32)
    return PanoramaVideo(frames, moves, 24.0)


@pytest.fixture(scope="module")
def lift() -> DirectLift:
    return DirectLift(moving_disc(), still_depth(corridor()))


def touches(moves: np.ndarray, row: int, count: int, index: int) -> bool:
    """Slow and obviously right: whether one sample's stretch of its row holds a part of a moving pixel."""
    reach = WIDTH / count
    first, last = index * reach, (index + 1) * reach
    return any(moves[row, column] for column in range(WIDTH) if min(column + 1, last) - max(column, first) > 1e-6)


def test_only_samples_that_touch_a_moving_pixel_move(lift):
    lattice = Lattice(HEIGHT)
    expected = [
        touches(moving_disc().moves, row, int(lattice.counts[row]), index)
        for row in range(HEIGHT)
        for index in range(lattice.counts[row])
    ]
    np.testing.assert_array_equal(lift.is_moving, expected)


def test_still_and_moving_together_are_the_whole_lattice(lift):
    moving = Gaussians.from_arrays(lift.still_arrays() | lift.frame(0))
    position, rotation, scale = surfels(corridor(), Lattice(HEIGHT))
    assert (len(lift.static), lift.moving_count) == ((~lift.is_moving).sum(), lift.is_moving.sum())
    assert lift.still_arrays().keys() == {"position", "rotation", "scale"}
    for part, chosen in ((lift.static, ~lift.is_moving), (moving, lift.is_moving)):
        np.testing.assert_array_equal(part.position, position[chosen])
        np.testing.assert_array_equal(part.rotation, rotation[chosen])
        np.testing.assert_array_equal(part.scale, scale[chosen])


@pytest.mark.parametrize("frame", [0, 1, 2])
def test_every_gaussian_has_the_mean_colour_of_the_pixels_under_it(lift, frame):
    means = Lattice(HEIGHT).means @ moving_disc().frames[frame].reshape(-1, 3)
    chosen = lift.is_moving
    np.testing.assert_allclose(colour_from_radiance(lift.frame(frame)["radiance:base"]), means[chosen], atol=1e-5)
    np.testing.assert_allclose(colour_from_radiance(lift.static.radiance), means[~chosen], atol=1e-5)
    assert (lift.frame(frame)["radiance:base"][:, 3] == np.float32(0.99)).all()


def test_the_moving_ones_change_from_frame_to_frame(lift):
    assert (lift.frame(1)["radiance:base"] != lift.frame(0)["radiance:base"]).any(axis=1).all()


def test_where_nothing_moves_all_are_still():
    still = PanoramaVideo(moving_disc().frames[:1], np.zeros((HEIGHT, WIDTH), bool), 24.0)
    lift = DirectLift(still, still_depth(ball()))
    assert lift.moving_count == 0 and len(lift.static) == len(Lattice(HEIGHT).rows)


# Distance that changes over time


def walker(frame: int, height: int = 96) -> np.ndarray:
    """A corridor, in it a box that comes nearer across ±180°."""
    towards = directions(height).astype(np.float64)
    distance = np.array([3, 10, 2]) / np.maximum(np.abs(towards), 1e-6)
    seen = (towards @ direction(np.pi, -0.1) > 0.95) & (distance.min(axis=-1) > 5 - frame)
    return np.where(seen, 5 - frame, distance.min(axis=-1)).astype(np.float32)


@pytest.fixture(scope="module")
def walk() -> tuple[PanoramaVideo, DepthVideo, DirectLift]:
    """Three frames; the picture moves in a disc elsewhere."""
    height = 96
    distance = np.stack([walker(frame) for frame in range(3)])
    random = np.random.default_rng(0)
    moves = directions(height) @ direction(0.3, 0.3) > 0.9
    frames = np.repeat(random.random((1, height, 2 * height, 3), np.float32), 3, axis=0)
    frames[1:, moves] = random.random((2, int(moves.sum()), 3), np.float32)
    video = PanoramaVideo(frames, moves, 24.0)
    depth = DepthVideo(distance, np.stack([depth_edges(frame) for frame in distance]))
    return video, depth, DirectLift(video, depth)


def frame_alone(walk, index: int) -> Gaussians:
    """The frame lifted as if there were no other: slow and obviously right."""
    video, depth, _ = walk
    still = PanoramaVideo(video.frames[index : index + 1], np.zeros_like(video.moves), 24.0)
    alone = DepthVideo(depth.distance[index : index + 1], depth.edges[index : index + 1])
    return DirectLift(still, alone).static


@pytest.mark.parametrize("index", [0, 1, 2])
def test_every_frame_is_as_if_it_were_lifted_alone(walk, index):
    """What is static as well as what moves, to the bit."""
    lift, alone = walk[2], frame_alone(walk, index).arrays()
    assert lift.still_arrays() == {}
    for name, array in lift.frame(index).items():
        np.testing.assert_array_equal(array, alone[name][lift.is_moving])
    for name, array in lift.static.arrays().items():
        np.testing.assert_array_equal(array, alone[name][~lift.is_moving])


def test_what_neither_moves_nor_changes_its_distance_is_static(walk):
    """Only next to what changes some more are taken along."""
    lift = walk[2]
    alone = [frame_alone(walk, index).arrays() for index in range(3)]
    must = np.any([(alone[0][name] != other[name]).any(axis=1) for other in alone[1:] for name in other], axis=0)
    assert not (must & ~lift.is_moving).any()
    assert must.sum() < lift.is_moving.sum() < 1.25 * must.sum()


def test_one_distance_said_three_times_is_one_distance(lift):
    thrice = DepthVideo(np.repeat(corridor()[None], 3, axis=0), np.repeat(depth_edges(corridor())[None], 3, axis=0))
    again = DirectLift(moving_disc(), thrice)
    np.testing.assert_array_equal(again.is_moving, lift.is_moving)
    assert again.still_arrays().keys() == lift.still_arrays().keys()
    for index in range(3):
        assert again.frame(index).keys() == {"radiance:base"}
        np.testing.assert_array_equal(again.frame(index)["radiance:base"], lift.frame(index)["radiance:base"])


def test_an_edge_that_comes_and_goes_changes_the_surface():
    """The distance is the same in both frames; in the second nothing may be stretched."""
    distance = np.repeat(ramp()[None], 2, axis=0)
    edges = np.stack([np.zeros((HEIGHT, WIDTH), bool), np.ones((HEIGHT, WIDTH), bool)])
    video = PanoramaVideo(np.ones((2, HEIGHT, WIDTH, 3), np.float32), np.zeros((HEIGHT, WIDTH), bool), 24.0)
    lift = DirectLift(video, DepthVideo(distance, edges))
    assert lift.moving_count == len(Lattice(HEIGHT).rows)
    before, after = lift.frame(0), lift.frame(1)
    np.testing.assert_array_equal(after["position"], before["position"])
    assert (after["scale"][:, 0] < 0.2 * before["scale"][:, 0]).mean() > 0.9


def test_a_package_keeps_a_changing_distance(walk, tmp_path):
    lift = walk[2]
    with SceneWriter(tmp_path / "walk.cyclorama") as writer:
        writer.static(lift.static)
        for index in range(3):
            writer.frame(index, lift.frame(index))
        about = Generator("test", "0", "test", {})
        info = writer.finish(generator=about, seed=0, frame_rate=24.0, frame_count=3, loops=True)
    scene = Scene(tmp_path / "walk.cyclorama")
    scene.validate()
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for index in range(3):
        moving = scene.moving(index)
        np.testing.assert_array_equal(moving.position, lift.frame(index)["position"])
        np.testing.assert_array_equal(moving.rotation, lift.frame(index)["rotation"])
        whole = np.concatenate([moving.position, lift.static.position])
        low, high = np.minimum(low, whole.min(axis=0)), np.maximum(high, whole.max(axis=0))
    np.testing.assert_allclose(info.bounds, (low, high), rtol=1e-6)


# Edges


def test_only_between_two_edge_pixels_a_surface_ends():
    """A steep ramp is followed where no edge is said to be, and broken where one is."""
    distance = ramp()
    none, all_over = np.zeros(distance.shape, bool), np.ones(distance.shape, bool)
    row, column = HEIGHT // 2, WIDTH // 4
    assert slopes(distance, none)[0][row, column] == pytest.approx(-6, rel=0.01)
    assert slopes(distance, all_over)[0][row, column] == 0
    one_side = none.copy()
    one_side[row, column] = True
    assert slopes(distance, one_side)[0][row, column] == pytest.approx(-6, rel=0.01)


def test_splats_follow_a_wall_seen_at_a_grazing_angle():
    """A street 4 m wide and 80 m long: at 1° steps its walls are followed up to 84°, to within 2°."""
    height = 180
    towards = directions(height).astype(np.float64)
    distance = (np.array([2, 40, 3]) / np.maximum(np.abs(towards), 1e-6)).min(axis=-1).astype(np.float32)
    lattice = Lattice(height)
    position, rotation, _ = surfels(distance, lattice)
    wall = (np.abs(np.abs(position[:, 0]) - 2) < 1e-3) & (np.abs(position[:, 1]) < 19) & (np.abs(position[:, 2]) < 0.5)
    tilt = np.rad2deg(np.arccos(np.clip(np.abs(turned(rotation)[wall, 0, 2]), 0, 1)))
    assert wall.sum() > 1000 and tilt.max() < 2


# Axes and quaternions


def test_a_quaternion_turns_as_its_matrix_does():
    matrices, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((200, 3, 3)))
    matrices *= np.linalg.det(matrices)[:, None, None]
    rotation = quaternion(matrices)
    np.testing.assert_allclose(np.linalg.norm(rotation, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(turned(rotation), matrices, atol=1e-9)


def test_a_quarter_turn_about_z_is_w_x_y_z():
    quarter = np.array([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]])  # x goes to y
    np.testing.assert_allclose(quaternion(quarter), [[np.sqrt(0.5), 0, 0, np.sqrt(0.5)]], atol=1e-12)


def test_principal_axes_are_the_longest_and_shortest_way_across_the_ellipse():
    random = np.random.default_rng(0)
    a, b = random.standard_normal((2, 200, 3))
    long, short = principal_axes(a, b)
    t = np.linspace(0, np.pi, 20_001)[:, None, None]
    radii = np.linalg.norm(np.cos(t[::20]) * a + np.sin(t[::20]) * b, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(long, axis=1), radii.max(axis=0), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(short, axis=1), radii.min(axis=0), rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose((long * short).sum(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(np.cross(long, short), np.cross(a, b), atol=1e-9)  # same plane, same side, same area


def test_principal_axes_of_a_circle_are_round():
    a, b = np.array([[2.0, 0, 0]]), np.array([[0, 2.0, 0]])
    np.testing.assert_allclose(np.linalg.norm(principal_axes(a, b), axis=-1), 2)
