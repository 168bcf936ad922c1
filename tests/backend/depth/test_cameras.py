"""The camera of a 360° video is found as it was: still among moving things, turned, or carried through a room."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from cyclorama.backend.depth.bearings import angle_of, turn, turn_and_move, unit
from cyclorama.backend.depth.cameras import Cameras, cameras_of, turned_back
from cyclorama.backend.sphere.colour import linear_from_srgb, psnr, srgb_from_linear
from cyclorama.backend.sphere.equirectangular import directions
from cyclorama.backend.sphere.pictures import read_panorama
from cyclorama.backend.sphere.sampling import sample
from cyclorama.bridge.errors import Cancelled

PRESETS = Path(__file__).parents[3] / "presets" / "panoramas"
HEIGHT = 256

ROOM_HALF = np.array([3.0, 4.0, 1.6])
"""Metres from the middle of the room to its walls, floor and ceiling."""
ROOM_MIDDLE = np.array([0.0, 0.0, 0.2])


@pytest.fixture(scope="module")
def city() -> np.ndarray:
    return read_panorama(PRESETS / "city.exr", 2 * HEIGHT).image


@pytest.fixture(scope="module")
def sunset() -> np.ndarray:
    return read_panorama(PRESETS / "sunset.exr", 2 * HEIGHT).image


def turned_camera(image: np.ndarray, R_scene_from_camera: np.ndarray) -> np.ndarray:
    """What a camera turned like this sees of the world that ``image`` shows."""
    towards = directions(len(image)).astype(np.float64) @ R_scene_from_camera.T
    planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))
    seen = sample(planes, torch.from_numpy(towards.astype(np.float32)), "lanczos")
    return np.maximum(np.moveaxis(seen.numpy(), 0, -1), 0)


def turns(*degrees: tuple[float, float, float]) -> np.ndarray:
    """Rotations by yaw, pitch and roll."""
    return Rotation.from_euler("zxy", np.array(degrees), degrees=True).as_matrix()


def wander(count: int) -> np.ndarray:
    """Up to 3° between frames and 20° in total, about all axes."""
    return turns(*[(2.0 * i, 0.8 * i, -1.2 * i) for i in range(count)])


def room(R_scene_from_camera: np.ndarray, position: np.ndarray, height: int = HEIGHT) -> tuple[np.ndarray, np.ndarray]:
    """Ray-traced: a box with random patterns on its six sides, as seen from a place in it, and the true distance."""
    towards = directions(2 * height).astype(np.float64) @ R_scene_from_camera.T
    wall = np.where(towards > 0, ROOM_MIDDLE + ROOM_HALF, ROOM_MIDDLE - ROOM_HALF)
    lengths = (wall - position) / np.where(np.abs(towards) < 1e-12, 1e-12, towards)
    side = lengths.argmin(axis=-1)
    distance = np.take_along_axis(lengths, side[..., None], -1)[..., 0]
    hit = position + towards * distance[..., None]
    random, image = np.random.default_rng(3), np.zeros(hit.shape, np.float32)
    for axis in range(3):
        for forwards in (True, False):
            sizes = [random.random((cells, cells)).astype(np.float32) for cells in (8, 24, 64)]
            pattern = sum(cv2.resize(size, (512, 512), interpolation=cv2.INTER_CUBIC) for size in sizes) / 3
            here = (side == axis) & ((towards[..., axis] > 0) == forwards)
            place = np.delete(hit[here], axis, axis=1) * 61 + 256
            image[here] = map_coordinates(pattern, place.T[::-1], order=1, mode="mirror")[:, None]
    image = cv2.resize(np.maximum(image, 0), (2 * height, height), interpolation=cv2.INTER_AREA)
    return image, distance[::2, ::2].astype(np.float32)


def filmed(R: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pictures = [room(*pose) for pose in zip(R, position, strict=True)]
    return np.stack([image for image, _ in pictures]), np.stack([distance for _, distance in pictures])


def worst_turn(cameras: Cameras, R: np.ndarray) -> float:
    """Degrees."""
    return float(np.rad2deg(max(angle_of(a.T @ b) for a, b in zip(cameras.R_scene_from_camera, R, strict=True))))


def angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees between vectors."""
    return np.rad2deg(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(axis=-1)))


def assert_exactly_still(cameras: Cameras) -> None:
    assert cameras.still and not cameras.turns and not cameras.moves
    np.testing.assert_array_equal(cameras.R_scene_from_camera, np.tile(np.eye(3), (len(cameras.position), 1, 1)))
    np.testing.assert_array_equal(cameras.position, 0)


# A camera that turns


@pytest.fixture(scope="module")
def turning(city) -> tuple[np.ndarray, np.ndarray]:
    R = wander(8)
    return np.stack([turned_camera(city, each) for each in R]), R


def test_a_turned_camera_is_found_to_a_twentieth_of_a_degree(turning):
    frames, R = turning
    cameras = cameras_of(frames)
    assert cameras.turns and not cameras.still and not cameras.moves and not cameras.notes
    assert worst_turn(cameras, R) < 0.05
    np.testing.assert_array_equal(cameras.position, 0)


def test_a_turned_camera_is_turned_back(turning):
    frames, _ = turning
    back = turned_back(frames, cameras_of(frames).R_scene_from_camera)
    first = srgb_from_linear(frames[0])
    np.testing.assert_array_equal(back[0], frames[0])
    assert min(psnr(srgb_from_linear(frame), first) for frame in back) > 32
    assert max(psnr(srgb_from_linear(frame), first) for frame in frames[1:]) < 25  # as it was


def test_no_dark_ring_appears_around_a_light_that_is_turned_back():
    sun = np.full((64, 128, 3), 0.5, np.float32)
    sun[20:23, 60:63] = 1000
    back = turned_back(np.stack([sun, sun]), turns((0, 0, 0), (7.3, 2.1, 1.7)))
    assert back.min() >= 0.499 and back.max() <= 1000


def test_noise_and_exposure_of_the_camera_do_not_matter(turning):
    frames, R = turning
    random = np.random.default_rng(0)
    brighter = frames * 2.0 ** random.uniform(-1, 1, (len(frames), 1, 1, 1))
    noisy = np.maximum(brighter + random.normal(0, 0.02, frames.shape) * np.sqrt(brighter), 0).astype(np.float32)
    cameras = cameras_of(noisy)
    assert cameras.turns and not cameras.moves
    assert worst_turn(cameras, R) < 0.05


def test_a_slow_pan_is_no_standstill(city):
    R = turns(*[(0.02 * i, 0, 0) for i in range(10)])
    cameras = cameras_of(np.stack([turned_camera(city, each) for each in R]))
    assert cameras.turns and worst_turn(cameras, R) < 0.02


def test_things_that_move_do_not_bend_a_turn(city):
    """The upper 40% of the world turn by themselves, and the tripod turns with the camera."""
    R, up = wander(8), directions(HEIGHT)[..., 2:]
    frames = []
    for number, each in enumerate(R):
        world = np.where(up > 0.2, turned_camera(city, turns((1.5 * number, 0, 0))[0]), city)
        frames.append(np.where(up < -0.9, city, turned_camera(world, each)))
    cameras = cameras_of(np.stack(frames))
    assert cameras.turns and not cameras.moves
    assert worst_turn(cameras, R) < 0.05


def test_a_flash_is_bridged_and_said(turning):
    frames, R = turning
    frames = frames.copy()
    frames[3] = 5.0
    cameras = cameras_of(frames)
    assert worst_turn(cameras, R) < 0.1  # evenly turned, so what lies between its neighbours is right
    assert len(cameras.notes) == 1 and cameras.notes[0].startswith("Frame 4 shows nothing")


# A rig that stands still


@pytest.mark.parametrize("name", ["city", "sunset"])
@pytest.mark.parametrize("speed", [0.05, 1.2])
def test_a_drifting_sky_moves_no_camera(request, name, speed):
    image, up = request.getfixturevalue(name), directions(HEIGHT)[..., 2:]
    drifted = [turned_camera(image, turns((speed * i, 0, 0))[0]) for i in range(8)]
    assert_exactly_still(cameras_of(np.stack([np.where(up > 0.2, frame, image) for frame in drifted])))


def test_cars_on_forty_percent_of_the_sphere_move_no_camera(city, sunset):
    x, y = np.moveaxis(directions(HEIGHT)[..., :2], -1, 0)
    street = (np.abs(np.arctan2(x, y)) < 0.4 * np.pi)[..., None]
    cameras = cameras_of(np.stack([np.where(street, np.roll(sunset, 3 * i, axis=1), city) for i in range(8)]))
    assert_exactly_still(cameras)


def test_noise_moves_no_camera(city):
    noise = np.random.default_rng(0).normal(0, 0.03, (6, *city.shape)) * np.sqrt(city)
    assert_exactly_still(cameras_of(np.maximum(city + noise, 0).astype(np.float32)))


def test_a_video_that_shows_nothing_to_follow_is_taken_as_still_and_that_is_said(city):
    for frames in (np.full((4, 128, 256, 3), 0.3, np.float32), np.zeros((4, 128, 256, 3), np.float32)):
        cameras = cameras_of(frames)
        assert_exactly_still(cameras)
        assert "too little that can be followed" in cameras.notes[0]


def test_pure_noise_is_taken_as_still_and_that_is_said():
    frames = np.random.default_rng(0).uniform(0.2, 0.4, (3, 128, 256, 3)).astype(np.float32)
    cameras = cameras_of(frames)
    assert_exactly_still(cameras)
    assert len(cameras.notes) == 1


def test_one_frame_has_a_camera_that_stands_still(city):
    cameras = cameras_of(city[None])
    assert_exactly_still(cameras)
    assert not cameras.notes


# A camera that is carried about


def path(count: int) -> np.ndarray:
    return np.stack([[0.05 * i, 0.10 * i + 0.03 * np.sin(i), 0.03 * np.cos(i) - 0.03] for i in range(count)])


@pytest.fixture(scope="module", params=["moves", "moves and turns"])
def walked(request):
    position = path(8)
    R = np.tile(np.eye(3), (8, 1, 1)) if request.param == "moves" else wander(8)
    frames, distance = filmed(R, position)
    return frames, distance, R, position, cameras_of(frames)


def test_a_walk_is_found_up_to_its_scale(walked):
    _, _, R, position, cameras = walked
    assert cameras.moves and not cameras.still and not cameras.metric and not cameras.notes
    assert cameras.turns == (angle_of(R[-1]) > 0)
    assert worst_turn(cameras, R) < 0.1
    assert angles(cameras.position[1:], position[1:]).max() < 1
    steps, true_steps = (np.diff(each, axis=0) for each in (cameras.position, position))
    assert np.linalg.norm(steps[0]) == pytest.approx(1)
    lengths = np.linalg.norm(steps, axis=1) * np.linalg.norm(true_steps[0])
    np.testing.assert_allclose(lengths, np.linalg.norm(true_steps, axis=1), rtol=0.03)


def test_with_distances_a_walk_is_measured_in_metres(walked):
    frames, distance, _, position, _ = walked
    cameras = cameras_of(frames, distance[0])
    assert cameras.metric
    np.testing.assert_allclose(cameras.position, position, atol=0.01)


def test_noise_does_not_hide_a_walk():
    """A tenth of white: far more than a track may miss by at first."""
    R, position = wander(6), path(6)
    frames, distance = filmed(R, position)
    noise = np.random.default_rng(0).normal(0, 0.1, frames.shape)
    noisy = linear_from_srgb(np.clip(srgb_from_linear(frames) + noise, 0, 1))
    cameras = cameras_of(noisy, distance[0])
    assert cameras.moves and cameras.metric and not cameras.notes
    assert worst_turn(cameras, R) < 0.2
    np.testing.assert_allclose(cameras.position, position, atol=0.02)


def test_a_long_walk_keeps_its_scale_over_keyframes():
    """The camera leaves behind what it saw first; what it sees next is measured by what both places see."""
    position = np.stack([[0.0, 0.5 * i, 0.0] for i in range(10)])
    frames, distance = filmed(np.tile(np.eye(3), (10, 1, 1)), position - [0.0, 2.9, 0.0])
    cameras = cameras_of(frames, distance[0])
    assert cameras.metric
    np.testing.assert_allclose(cameras.position, position, atol=0.05)


def test_a_camera_that_sets_off_late_stands_still_before(city):
    position = np.stack([[0.0, 0.08 * max(i - 3, 0), 0.0] for i in range(8)])
    frames, distance = filmed(np.tile(np.eye(3), (8, 1, 1)), position)
    cameras = cameras_of(frames, distance)
    np.testing.assert_allclose(cameras.position, position, atol=0.005)


def test_finding_cameras_can_be_stopped(turning):
    def stop(done: int, frames: int) -> None:
        assert frames == 8
        raise Cancelled

    with pytest.raises(Cancelled):
        cameras_of(turning[0], report=stop)


# Bearings


def seen_from(points: np.ndarray, R: np.ndarray, p: np.ndarray, noise: float, random) -> np.ndarray:
    return unit(unit((points - p) @ R) + random.normal(0, noise, points.shape))


@pytest.mark.parametrize("flat", [False, True])
def test_motion_follows_from_bearings_of_which_a_third_are_wrong(flat):
    """In a cloud of points, and where all lie in one plane; noise 0.03° each."""
    random = np.random.default_rng(1)
    points = random.normal(0, 3, (600, 3))
    if flat:
        points[:, 2] = -1.6
    R, p = turns((4.0, -2.0, 3.0))[0], np.array([0.1, 0.3, 0.05])
    b, o = (seen_from(points, *pose, 5e-4, random) for pose in ((np.eye(3), np.zeros(3)), (R, p)))
    o[:200] = unit(random.normal(size=(200, 3)))
    weight = np.full(600, 1 / 600)
    rough = turn(b, o, weight, np.deg2rad(2), random)
    found_R, found_p = turn_and_move(b, o, weight, rough, 2e-3, random)
    assert np.rad2deg(angle_of(found_R.T @ R)) < 0.1
    assert angles(found_p, p) < 1


def test_a_turn_follows_from_bearings_of_which_forty_percent_follow_another():
    random = np.random.default_rng(2)
    b = unit(random.normal(size=(500, 3)))
    R, other = turns((3.0, 1.0, -2.0), (1.0, 0.0, 0.0))
    o = np.concatenate([b[:300] @ R, b[300:] @ other])
    found = turn(b, o, np.full(500, 1 / 500), 2e-3, random)
    assert np.rad2deg(angle_of(found.T @ R)) < 1e-3
