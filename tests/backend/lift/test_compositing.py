"""With the geometry held, pictures are linear in the colours: both ways through that map, and parts of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cyclorama.backend.lift.compositing import (
    JointCompositing,
    RepeatedCompositing,
    SparseCompositing,
    compositing,
)
from cyclorama.backend.lift.cover import Cover
from cyclorama.backend.raster.rasterize import rasterize
from cyclorama.backend.raster.splats import Splats

CAMERAS = Cover(12).cameras()
RAYS = 6 * 12 * 12
SMALL_BUDGET = 1000


def random_splats(count: int = 60) -> Splats:
    """All around, round, tilted and stretched ones, some so thin that a pixel is wider."""
    draw = np.random.default_rng(0)
    towards = draw.standard_normal((count, 3))
    position = 3 * towards / np.linalg.norm(towards, axis=1, keepdims=True) * draw.uniform(0.5, 2, (count, 1))
    arrays = (
        position,
        draw.standard_normal((count, 4)),
        draw.uniform(0.02, 0.8, (count, 3)),
        draw.uniform(0.2, 0.99, count),
        draw.random((count, 3)),
    )
    return Splats(*(torch.from_numpy(array.astype(np.float32)) for array in arrays))


def dot(one: np.ndarray, other: np.ndarray) -> float:
    return float((one.astype(np.float64) * other).sum())


def rows(pictures: torch.Tensor) -> np.ndarray:
    return pictures.numpy().reshape(-1, pictures.shape[-1])


def averaged(fine: torch.Tensor) -> np.ndarray:
    """(6, 24, 24, channels) -> (6 · 12 · 12, channels), the mean of four pixels each."""
    return fine.numpy().reshape(6, 12, 2, 12, 2, -1).mean(axis=(2, 4)).reshape(RAYS, -1)


def colours(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 3), np.float32)


def sparse_and_repeated(splats: Splats, mode="surfels"):
    return compositing(splats, CAMERAS, mode), compositing(splats, CAMERAS, mode, SMALL_BUDGET)


@pytest.mark.parametrize("mode", ["surfels", "classic", "tents"])
@pytest.mark.parametrize("budget", [None, SMALL_BUDGET], ids=["matrix", "repeated"])
def test_pictures_are_those_of_the_rasterizer_at_twice_the_pixels(mode, budget):
    splats, chosen = random_splats(), colours(60)
    maps = compositing(splats, CAMERAS, mode, budget)
    fine = Cover(24).cameras()
    expected = rasterize(replace(splats, colour=torch.from_numpy(chosen)), fine, mode, low_pass=False)
    np.testing.assert_allclose(maps.pictures(chosen), averaged(expected.colour), atol=1e-5)
    np.testing.assert_allclose(maps.alpha, averaged(expected.alpha[..., None])[:, 0], atol=1e-5)


def test_the_matrix_is_not_made_where_it_would_take_more_than_there_is():
    matrix, repeated = sparse_and_repeated(random_splats())
    assert isinstance(matrix, SparseCompositing) and isinstance(repeated, RepeatedCompositing)


@pytest.mark.parametrize("mode", ["surfels", "classic", "tents"])
def test_with_and_without_a_matrix_the_maps_are_the_same(mode):
    matrix, repeated = sparse_and_repeated(random_splats(), mode)
    chosen, values = colours(60), colours(RAYS)
    np.testing.assert_allclose(matrix.pictures(chosen), repeated.pictures(chosen), atol=1e-5)
    np.testing.assert_allclose(matrix.gathered(values), repeated.gathered(values), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(matrix.alpha, repeated.alpha, atol=1e-5)


# <W c, v> = <c, Wᵀ v> for all c and v


@pytest.fixture(params=["matrix", "repeated", "columns", "part of the matrix", "joint", "joint of repeated"])
def maps(request):
    """A compositing and how many colours it has."""
    splats, chosen = random_splats(), np.arange(5, 60, 2)
    matrix, repeated = sparse_and_repeated(splats)
    other = compositing(replace(splats, position=splats.position * 1.2), CAMERAS)
    return {
        "matrix": (matrix, 60),
        "repeated": (repeated, 60),
        "columns": (repeated.of(chosen)[0], len(chosen)),
        "part of the matrix": (matrix.of(chosen)[0], len(chosen)),
        "joint": (JointCompositing([matrix, other], 40, 20), 80),
        "joint of repeated": (JointCompositing([repeated, other], 40, 20), 80),
    }[request.param]


def test_gathering_is_the_transpose_of_compositing(maps):
    compositing_of, count = maps
    chosen, values = colours(count), colours(len(compositing_of.alpha), 2)
    forwards, backwards = dot(compositing_of.pictures(chosen), values), dot(chosen, compositing_of.gathered(values))
    assert forwards > 1
    assert forwards == pytest.approx(backwards, rel=1e-5)


def test_some_gaussians_part_is_what_they_add_to_the_picture_the_others_before_them():
    splats, chosen = random_splats(), np.array([3, 4, 30])
    black = np.zeros((60, 3), np.float32)
    black[chosen] = colours(3)
    for whole in sparse_and_repeated(splats):
        part, rays = whole.of(chosen)
        picture = np.zeros((RAYS, 3), np.float32)
        picture[rays] = part.pictures(colours(3))
        np.testing.assert_allclose(picture, whole.pictures(black), atol=1e-6)
        np.testing.assert_allclose(part.alpha, whole.alpha[rays])


def test_rays_that_meet_none_of_them_are_left_out():
    matrix, repeated = sparse_and_repeated(random_splats())
    part, rays = matrix.of(np.array([7]))
    assert 0 < len(rays) < RAYS / 2 and len(part.alpha) == len(rays)
    assert (part.pictures(np.ones((1, 3), np.float32)) > 0).all()
    assert len(repeated.of(np.array([7]))[1]) == RAYS


def test_a_part_has_parts():
    splats = random_splats()
    for whole in sparse_and_repeated(splats):
        part, rays = whole.of(np.arange(10, 30))
        smaller, inside = part.of(np.array([2, 5]))
        direct, direct_rays = whole.of(np.array([12, 15]))
        np.testing.assert_array_equal(rays[inside], direct_rays)
        np.testing.assert_allclose(smaller.pictures(colours(2)), direct.pictures(colours(2)), atol=1e-6)


def test_of_none_there_is_no_picture():
    part, rays = compositing(random_splats(), CAMERAS).of(np.zeros(0, int))
    assert len(rays) == 0 and part.pictures(np.zeros((0, 3), np.float32)).shape == (0, 3)


def test_jointly_frames_share_the_first_colours_and_have_the_others_for_themselves():
    splats = random_splats()
    one, other = compositing(splats, CAMERAS), compositing(replace(splats, position=splats.position * 1.2), CAMERAS)
    joint = JointCompositing([one, other], 40, 20)
    shared, first, second = colours(40), colours(20, 2), colours(20, 3)
    seen = joint.pictures(np.concatenate([shared, first, second]))
    np.testing.assert_allclose(seen[:RAYS], one.pictures(np.concatenate([shared, first])))
    np.testing.assert_allclose(seen[RAYS:], other.pictures(np.concatenate([shared, second])))


def test_where_nothing_is_nothing_is_seen():
    nothing = random_splats()[:0]
    for maps in sparse_and_repeated(nothing):
        assert maps.pictures(np.zeros((0, 3), np.float32)).shape == (RAYS, 3)
        assert not maps.alpha.any()
        assert maps.gathered(colours(RAYS)).shape == (0, 3)
