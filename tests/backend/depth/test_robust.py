"""What aligned views promise: one scene, whatever scale, shift and bend each of them came with."""

import numpy as np
import pytest

from cyclorama.backend.depth.align import align, unaligned
from cyclorama.backend.depth.alignment import Alignment
from cyclorama.backend.depth.fuse import fused_distance
from cyclorama.backend.depth.predictions import Predictions
from cyclorama.backend.sphere.charts import view_rays
from cyclorama.backend.sphere.equirectangular import directions, latitudes
from cyclorama.backend.sphere.icosphere import VIEW_FOV, view_rotations
from cyclorama.backend.sphere.views import rays
from cyclorama.bridge.errors import CycloramaError

from .simulated import Simulated, simulated, street, z_of_views

HEIGHT, SIZE = 128, 128
WEIGHT = np.broadcast_to(np.cos(latitudes(HEIGHT))[:, None], (HEIGHT, 2 * HEIGHT))


@pytest.fixture(scope="module")
def true_distance():
    return street(directions(HEIGHT).astype(np.float64), car=3.0)


@pytest.fixture(scope="module")
def true_z():
    """(1, view, row, column)"""
    along = np.linalg.norm(rays(SIZE, SIZE, VIEW_FOV), axis=-1)
    return (street(view_rays(view_rotations(), SIZE).astype(np.float64), car=3.0) / along).astype(np.float32)[None]


def error(found, true):
    """Mean relative error up to one factor, over the sphere, and its median."""
    scaled = found * np.exp(np.median(np.log(true / found)))
    relative = np.abs(scaled - true) / true
    return np.average(relative, weights=WEIGHT), np.median(relative)


def known(wrong: Simulated) -> Alignment:
    """By an oracle that knows every scale and shift."""
    flat = np.zeros((*wrong.scale.shape, 1, 1), np.float32)
    shift = (-wrong.shift / wrong.scale).astype(np.float32)[:, :, None, None]
    return Alignment((1 / wrong.scale).astype(np.float32), shift, flat, np.ones(wrong.scale.shape), 0.0)


@pytest.mark.parametrize("kind", ["disparity", "z-depth", "metric"])
def test_scales_and_shifts_by_chance_are_undone_as_if_they_were_known(true_z, true_distance, kind):
    wrong = simulated(true_z, kind, noise=0.02)
    ours, _ = error(fused_distance(wrong.predictions, align(wrong.predictions, "robust"), 0, HEIGHT), true_distance)
    oracle, _ = error(fused_distance(wrong.predictions, known(wrong), 0, HEIGHT), true_distance)
    assert ours < 1.03 * oracle


@pytest.mark.parametrize("kind", ["disparity", "z-depth", "metric"])
def test_without_noise_the_scene_itself_comes_back(true_z, true_distance, kind):
    wrong = simulated(true_z, kind, noise=0.0)
    found = fused_distance(wrong.predictions, align(wrong.predictions, "robust"), 0, HEIGHT)
    assert error(found, true_distance)[1] < 0.003


@pytest.mark.parametrize("kind", ["disparity", "z-depth", "metric"])
def test_smooth_bends_of_each_view_hardly_cost_more_than_an_oracle_pays(true_z, true_distance, kind):
    ratios = []
    for seed in (1, 2, 3):
        wrong = simulated(true_z, kind, bend=0.1, seed=seed)
        ours, _ = error(fused_distance(wrong.predictions, align(wrong.predictions, "robust"), 0, HEIGHT), true_distance)
        oracle, _ = error(fused_distance(wrong.predictions, known(wrong), 0, HEIGHT), true_distance)
        ratios.append(ours / oracle)
    assert np.mean(ratios) < 1.1


def test_unaligned_views_would_not_do(true_z, true_distance):
    wrong = simulated(true_z, "disparity")
    found = fused_distance(wrong.predictions, unaligned(wrong.predictions), 0, HEIGHT)
    assert error(found, true_distance)[1] > 0.1


def test_a_view_that_says_nonsense_is_left_out_and_named(true_z, true_distance):
    wrong = simulated(true_z, "disparity")
    values = wrong.predictions.values.copy()
    values[0, 7] = values[0, 7].max() + values[0, 7].min() - values[0, 7]  # near is far
    alignment = align(Predictions(values, "disparity"), "robust")
    assert alignment.trust[0, 7] < 0.01 and (np.delete(alignment.trust[0], 7) == 1).all()
    assert len(alignment.notes) == 1 and "view 8" in alignment.notes[0]
    good = fused_distance(wrong.predictions, align(wrong.predictions, "robust"), 0, HEIGHT)
    found = fused_distance(Predictions(values, "disparity"), alignment, 0, HEIGHT)
    assert error(found, true_distance)[1] < error(good, true_distance)[1] + 0.002


def test_views_of_different_scenes_are_refused(true_z):
    chance = np.random.default_rng(0)
    values = np.stack([np.roll(view, chance.integers(20, 100, 2), (0, 1)) for view in true_z[0]])[None]
    values *= np.exp(chance.standard_normal(values.shape)).astype(np.float32)
    with pytest.raises(CycloramaError, match="contradict each other") as refused:
        align(Predictions(values, "z-depth"), "robust")
    assert refused.value.code == "views-disagree"


def test_the_same_depth_everywhere_is_refused():
    with pytest.raises(CycloramaError, match="one and the same depth") as refused:
        align(Predictions(np.full((1, 20, 64, 64), 0.7, np.float32), "disparity"), "robust")
    assert refused.value.code == "no-depth-seen"


def test_nothing_said_is_refused():
    with pytest.raises(CycloramaError) as refused:
        align(Predictions(np.full((1, 20, 64, 64), np.nan, np.float32), "disparity"), "robust")
    assert refused.value.code == "no-values"


def test_holes_in_the_answers_are_filled_by_other_views(true_z, true_distance):
    wrong = simulated(true_z, "disparity")
    values = wrong.predictions.values.copy()
    values[0, 3, 20:90, 30:100] = np.nan
    values[0, 11] = np.nan
    found = fused_distance(
        Predictions(values, "disparity"), align(Predictions(values, "disparity"), "robust"), 0, HEIGHT
    )
    assert np.isfinite(found).all() and error(found, true_distance)[1] < 0.01


def test_frames_do_not_touch_each_other(true_z):
    both = np.concatenate([simulated(true_z, "disparity", seed=seed).predictions.values for seed in (1, 2)])
    together = align(Predictions(both, "disparity"), "robust")
    alone = align(Predictions(both[1:], "disparity"), "robust")
    np.testing.assert_array_equal(together.scale[1], alone.scale[0])
    np.testing.assert_array_equal(together.bend[1], alone.bend[0])


def test_an_edge_of_a_house_stays_an_edge(true_z, true_distance):
    wrong = simulated(true_z, "disparity", noise=0.0)
    found = fused_distance(wrong.predictions, known(wrong), 0, HEIGHT)
    between = np.abs(np.log(found / true_distance)) > 0.1
    assert np.average(between, weights=WEIGHT) < 0.01  # only where a pixel's middle is on the edge itself


def test_stopping_goes_through(true_z):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        align(simulated(true_z, "disparity").predictions, "robust", stop)


def test_views_looked_up_in_a_panorama_are_those_that_look_that_way(true_distance, true_z):
    looked_up = z_of_views(true_distance[None], SIZE)
    assert np.median(np.abs(looked_up / true_z - 1)) < 0.02


@pytest.mark.parametrize("farthest", [60, 10, 5])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_network_that_ends_at_0_for_what_is_far_still_tells_the_rest(true_z, true_distance, farthest, seed):
    """As Depth Anything's does with the sky: one exact 0, in some views nothing else."""
    wrong = simulated(true_z, "disparity", bend=0.05, seed=seed)
    along = np.linalg.norm(rays(SIZE, SIZE, VIEW_FOV), axis=-1)
    values = np.maximum(wrong.predictions.values - wrong.shift[..., None, None], 0).astype(np.float32)
    values[true_z * along > farthest] = 0
    predictions = Predictions(values, "disparity")
    found = fused_distance(predictions, align(predictions, "robust"), 0, HEIGHT)
    near = true_distance < 0.8 * farthest
    scaled = found * np.median(true_distance[near] / found[near])
    assert np.median(np.abs(scaled / true_distance - 1)[near]) < 0.05
    assert np.median(scaled[true_distance > 1.2 * farthest]) > 5 * farthest and np.isfinite(found).all()


def test_constant_views_among_others_do_no_harm(true_z, true_distance):
    wrong = simulated(true_z, "disparity", seed=1)
    values = wrong.predictions.values.copy()
    values[0, [5, 12]] = values[0, [5, 12]].mean()
    predictions = Predictions(values, "disparity")
    found = fused_distance(predictions, align(predictions, "robust"), 0, HEIGHT)
    assert error(found, true_distance)[1] < 0.015


def test_disparity_said_to_be_metres_is_refused(true_z):
    with pytest.raises(CycloramaError) as refused:
        align(Predictions(1 / true_z, "metric"), "robust")
    assert refused.value.code == "views-disagree"


def test_a_frame_whose_views_disagree_takes_its_neighbours_corrections_and_says_so(true_z):
    good = simulated(true_z, "disparity", seed=1).predictions.values
    bad = np.random.default_rng(0).permutation(good[0])[None]
    alignment = align(Predictions(np.concatenate([good, good, bad]), "disparity"), "robust")
    np.testing.assert_array_equal(alignment.scale[2], alignment.scale[1])
    assert any("frame 3" in note and "neighbour" in note for note in alignment.notes)
