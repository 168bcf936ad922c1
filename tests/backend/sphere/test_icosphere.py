"""The icosahedron, its points and its views."""

import numpy as np
import pytest

from cyclorama.backend.sphere.icosphere import VIEW_FOV, frequency_for, icosahedron, icosphere, view_rotations


def test_the_icosahedron_is_regular():
    corners, faces = icosahedron()
    assert faces.shape == (20, 3)
    assert np.allclose(np.linalg.norm(corners, axis=1), 1)
    edges = corners[faces] - corners[np.roll(faces, 1, axis=1)]
    assert np.allclose(np.linalg.norm(edges, axis=2), 4 / np.sqrt(10 + 2 * np.sqrt(5)))


@pytest.mark.parametrize("frequency", [1, 2, 7, 26])
def test_an_icosphere_has_each_point_once(frequency):
    points = icosphere(frequency)
    assert len(points) == 10 * frequency**2 + 2
    assert np.allclose(np.linalg.norm(points, axis=1), 1)


def test_the_points_are_as_dense_as_asked_for():
    spacing = np.deg2rad(2.5)
    points = icosphere(frequency_for(spacing))
    assert 4 * np.pi / len(points) == pytest.approx(spacing**2, rel=0.05)
    nearest = np.sort(np.arccos(np.clip(points @ points[::50].T, -1, 1)), axis=0)[1]
    assert nearest.max() < 1.6 * nearest.min()  # pushed out from flat faces: denser at their corners


def test_the_views_are_upright_and_look_through_the_faces():
    corners, faces = icosahedron()
    rotations = view_rotations()
    assert np.allclose(rotations @ np.swapaxes(rotations, 1, 2), np.eye(3), atol=1e-6)
    middles = corners[faces].mean(axis=1)
    assert np.allclose(rotations[:, :, 2], middles / np.linalg.norm(middles, axis=1, keepdims=True), atol=1e-6)
    assert np.allclose(rotations[:, 2, 0], 0, atol=1e-6), "a view's horizontal axis is not level"


def test_the_views_cover_the_sphere_with_what_they_see_best():
    """Even the circle inside each view does; with the 53.1° of the paper's main text it would not."""
    random = np.random.default_rng(0).normal(size=(20000, 3))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    off_axis = np.arccos((random @ view_rotations()[:, :, 2].T).max(axis=1))
    assert off_axis.max() < VIEW_FOV / 2
    assert off_axis.max() > np.deg2rad(53.1) / 2
