"""A panoramic distance is brought to the metres of a perspective view, or to those of its first frame."""

import numpy as np
import pytest
import torch

from cyclorama.backend.depth.reference import (
    METRIC_FOV,
    Geometry,
    MetricPerFrame,
    first_frame_reference,
    metric_view,
    to_metric,
    video_geometry,
)
from cyclorama.backend.depth.temporal import aligned, scale_and_shift
from cyclorama.backend.sphere.equirectangular import direction, directions
from cyclorama.backend.sphere.views import look, rays
from cyclorama.bridge.errors import CycloramaError

HEIGHT, SIZE, FRAMES = 96, 48, 3
CPU = torch.device("cpu")


def room(towards: np.ndarray) -> np.ndarray:
    """Distance to the walls of a box around the viewer."""
    with np.errstate(divide="ignore"):
        return (np.array([3.0, 7.0, 2.0]) / np.abs(towards)).min(axis=-1)


def z_of_room(size: int, fov: float) -> np.ndarray:
    towards = rays(size, size, fov) @ look(0, 0).T
    return room(towards)  # rays with z = 1: so many of them reach the wall, which is z


class Surveyor:
    """A video-geometry model that knows the room, and a camera that turns and walks."""

    name, licence, size, device = "surveyor", "cc0-1.0", SIZE, CPU

    def __init__(self):
        self.seen = torch.empty(0)

    def geometry(self, pictures, fov):
        self.seen = pictures
        turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # to the right: what was right is ahead
        position = np.array([[0, 0, 0], [0, 0, 2], [1, -3, 0]])  # two metres ahead; one right and three up
        z_depth = np.tile(z_of_room(SIZE, fov), (len(pictures), 1, 1))
        return Geometry(z_depth, np.stack([np.eye(3), turn, np.eye(3)]), position)


class Estimator:
    """A metric estimator of single pictures: as far as they are bright."""

    licence, fingerprint, size, device = "cc0-1.0", "", SIZE, CPU

    def __init__(self, kind="metric"):
        self.name, self.kind = "bright", kind

    def estimate(self, pictures):
        return torch.where(pictures[:, 0] > 0.9, torch.inf, 10 * pictures[:, 0])

    def estimate_bytes(self, pictures):
        return 0

    def release(self):
        pass


def black() -> np.ndarray:
    return np.zeros((FRAMES, HEIGHT, 2 * HEIGHT, 3), np.float32)


def test_the_model_is_shown_the_middle_of_the_panorama_in_srgb():
    frames = black()
    frames[...] = 0.5 + 0.5 * directions(HEIGHT)[..., :1]  # bright to the right
    frames[1, : HEIGHT // 2] = 0  # dark above the horizon
    model = Surveyor()
    metric_view(frames, model)
    assert model.seen.shape == (FRAMES, 3, SIZE, SIZE)
    middle = model.seen[0, 0, SIZE // 2].numpy()
    assert (np.diff(middle) > 0).all()
    assert np.interp(0.5, (np.arange(SIZE) + 0.5) / SIZE, middle) == pytest.approx(0.7354, abs=2e-3)  # of 0.5 linear
    assert model.seen[1, 0, : SIZE // 2 - 2].max() == 0 and model.seen[1, 0, SIZE // 2 + 2 :].min() > 0.1


def test_the_cameras_poses_are_told_in_scene_space():
    found = metric_view(black() + 0.2, Surveyor())
    np.testing.assert_allclose(found.R_scene_from_camera[0], look(0, 0), atol=1e-6)
    np.testing.assert_allclose(found.R_scene_from_camera[1][:, 2], direction(np.pi / 2, 0.0), atol=1e-6)
    np.testing.assert_allclose(found.position, [[0, 0, 0], [0, 2, 0], [1, 0, 3]], atol=1e-6)
    assert found.fov == METRIC_FOV


@pytest.mark.parametrize("method", ["medians", "robust"])
def test_each_frame_gets_the_metres_of_the_view(method):
    truth = room(directions(HEIGHT))
    unaligned = truth / np.array([0.3, 1.0, 4.0])[:, None, None]
    found = to_metric(unaligned, metric_view(black() + 0.2, Surveyor()), method=method)
    np.testing.assert_allclose(found.alpha, [0.3, 1.0, 4.0], rtol=5e-3)  # a nearest pixel is not the very place
    assert (found.beta == 0).all() and found.measured.all()
    np.testing.assert_allclose(aligned(unaligned, found)[1:], np.tile(truth, (2, 1, 1)), rtol=5e-3)


def test_a_shift_is_measured_along_the_ray_where_it_is_applied():
    truth = room(directions(4 * HEIGHT))
    unaligned = ((truth - 1.5) / 2)[None]
    reference = metric_view(black()[:1] + 0.2, Still())
    found = to_metric(unaligned, reference, shift=True)
    assert found.alpha[0] == pytest.approx(2, rel=0.01) and found.beta[0] == pytest.approx(1.5, abs=0.05)


class Still(Surveyor):
    def geometry(self, pictures, fov):
        eye = np.tile(np.eye(3), (len(pictures), 1, 1))
        return Geometry(np.tile(z_of_room(SIZE, fov), (len(pictures), 1, 1)), eye, np.zeros((len(pictures), 3)))


class Silent(Surveyor):
    def geometry(self, pictures, fov):
        known = super().geometry(pictures, fov)
        return Geometry(known.z_depth * np.nan, known.R_first_from_camera, known.position)


def test_a_model_that_knows_nothing_is_named():
    with pytest.raises(CycloramaError, match="surveyor") as error:
        metric_view(black() + 0.2, Silent())
    assert error.value.code == "video-geometry-answer"


def test_a_metric_estimator_is_a_video_model_whose_camera_stands_still():
    frames = black()
    frames[...] = np.array([0.05, 0.1, 0.2])[:, None, None, None]
    frames[2, :, HEIGHT:] = 1.0
    found = metric_view(frames, MetricPerFrame(Estimator()))
    srgb = 1.055 * np.array([0.05, 0.1, 0.2]) ** (1 / 2.4) - 0.055
    np.testing.assert_allclose(found.z_depth[:, 5, 5], 10 * srgb, rtol=1e-4)
    assert np.isnan(found.z_depth[2, 5, -5])  # half precision may overflow: not known
    np.testing.assert_allclose(found.R_scene_from_camera, np.tile(look(0, 0), (FRAMES, 1, 1)), atol=1e-6)
    assert (found.position == 0).all()


@pytest.mark.parametrize("kind", ["disparity", "z-depth"])
def test_an_estimator_without_metres_is_no_reference(kind):
    with pytest.raises(CycloramaError, match="bright") as error:
        MetricPerFrame(Estimator(kind))
    assert error.value.code == "estimator-not-metric"


@pytest.mark.parametrize("checkpoint", ["Junyi42/MonST3R", "facebook/VGGT-1B", ""])
def test_an_unknown_video_model_is_refused_with_what_can_be_used(checkpoint):
    with pytest.raises(CycloramaError) as error:
        video_geometry(checkpoint, CPU)
    assert error.value.code == "unknown-video-geometry"
    assert checkpoint in error.value.sentence and "depth-anything-metric" in error.value.hint


def test_the_first_frame_is_a_reference_where_things_stand_still():
    truth = room(directions(HEIGHT))
    video = truth / np.array([1.0, 2.0, 0.5])[:, None, None]
    still = directions(HEIGHT)[..., 1] < 0.5
    video[1, ~still] = 0.01  # something moved
    found = scale_and_shift(video, *first_frame_reference(video, still), shift=False)
    np.testing.assert_allclose(found.alpha, [1, 2, 0.5], rtol=1e-6)


def test_a_first_frame_that_is_not_known_is_passed_over():
    video = np.tile(room(directions(HEIGHT)), (3, 1, 1)) * np.array([5.0, 1.0, 2.0])[:, None, None]
    video[0] = np.nan
    still = np.ones(video.shape[1:], bool)
    found = scale_and_shift(video, *first_frame_reference(video, still), shift=False)
    np.testing.assert_allclose(found.alpha[1:], [1, 0.5], rtol=1e-6)
    assert found.measured.tolist() == [False, True, True]


def test_without_anything_still_frames_stay_as_they_are():
    video = np.tile(room(directions(HEIGHT)), (2, 1, 1))
    found = scale_and_shift(video, *first_frame_reference(video, np.zeros(video.shape[1:], bool)), shift=False)
    assert found.alpha.tolist() == [1, 1] and not found.measured.any()
