"""Where views overlap: every direction is seen, and places in views are where cameras put them."""

import numpy as np
import pytest

from cyclorama.backend.depth.overlaps import between_nodes, edge_trust, overlaps
from cyclorama.backend.sphere.icosphere import VIEW_FOV, view_rotations
from cyclorama.backend.sphere.views import rays


def test_every_direction_is_seen_and_only_by_views_that_look_there():
    seen = overlaps(24)
    assert np.array_equal(np.unique(seen.sample), np.arange(len(seen.directions)))
    along = np.einsum("pi,pi->p", seen.directions[seen.sample], view_rotations()[seen.view][:, :, 2])
    np.testing.assert_allclose(along, seen.cosine, atol=1e-6)
    assert along.min() > 1 / np.sqrt(1 + 2 * np.tan(VIEW_FOV / 2) ** 2)
    assert max(np.abs(seen.x).max(), np.abs(seen.y).max()) <= 1


def test_a_view_sees_each_direction_where_its_ray_leads_there():
    seen = overlaps(16)
    there = np.stack([seen.x, seen.y, 1 / np.tan(VIEW_FOV / 2) + 0 * seen.x], axis=1)
    there /= np.linalg.norm(there, axis=1, keepdims=True)
    scene = np.einsum("pij,pj->pi", view_rotations()[seen.view], there)
    np.testing.assert_allclose(scene, seen.directions[seen.sample], atol=1e-6)


def test_the_pairs_of_a_view_are_together():
    seen = overlaps(16)
    assert [set(seen.view[pairs]) for pairs in seen.views] == [{view} for view in range(20)]
    assert sum(pairs.stop - pairs.start for pairs in seen.views) == len(seen.sample)


@pytest.mark.parametrize("nodes", [2, 5, 16])
def test_a_ramp_over_a_view_is_interpolated_exactly_inside_the_outermost_nodes(nodes):
    place = np.random.default_rng(0).uniform(-1, 1, (2, 100)).astype(np.float32) * (1 - 1 / nodes)
    middles = (np.arange(nodes) + 0.5) * 2 / nodes - 1
    ramp = (3 * middles[None, :] - 2 * middles[:, None]).ravel()
    np.testing.assert_allclose(between_nodes(place[0], place[1], nodes) @ ramp, 3 * place[0] - 2 * place[1], atol=1e-5)


def test_as_many_nodes_as_pixels_are_the_pixels():
    size = 8
    x, y = (rays(size, size, VIEW_FOV)[..., axis].ravel() / np.tan(VIEW_FOV / 2) for axis in (0, 1))
    np.testing.assert_allclose(between_nodes(x, y, size).toarray(), np.eye(size * size), atol=1e-5)


def test_nothing_is_made_up_beyond_the_outermost_nodes_and_one_node_is_the_same_everywhere():
    corner = np.array([-1.0, 1.0])
    np.testing.assert_allclose(between_nodes(corner, corner, 3) @ np.arange(9.0), [0, 8])
    np.testing.assert_allclose(between_nodes(corner, corner, 1) @ np.array([7.0]), 7)


def test_all_views_together_interpolate_as_each_does():
    seen = overlaps(12)
    values = np.random.default_rng(1).standard_normal((20, 25)).astype(np.float32)
    apart = [between_nodes(seen.x[p], seen.y[p], 5) @ of_view for p, of_view in zip(seen.views, values, strict=True)]
    np.testing.assert_allclose(seen.hats(5) @ values.ravel(), np.concatenate(apart), atol=1e-6)


def test_sums_add_up_what_is_said_of_each_direction():
    seen = overlaps(12)
    np.testing.assert_array_equal(seen.sums @ np.ones(len(seen.sample)), np.bincount(seen.sample))


def test_trust_is_whole_in_the_middle_and_next_to_nothing_at_the_edge():
    assert edge_trust(np.array([0.0]), np.array([0.4])) == 1
    x = np.linspace(0.5, 1, 20)
    assert np.all(np.diff(edge_trust(x, 0 * x)) <= 0)
    assert 0 < edge_trust(np.array([0.0]), np.array([1.0])) < 0.01
