"""4K4DGen eq. 4 solved at once, the paper's optimiser beside it, and TiP4GEN's way: what they make of views."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cyclorama.backend.depth.adam import adam, optimised
from cyclorama.backend.depth.least_squares import Corrections, in_unit, least_squares
from cyclorama.backend.depth.linear import linear, solution
from cyclorama.backend.depth.predictions import Predictions
from cyclorama.backend.depth.tip4gen import tip4gen
from cyclorama.backend.sphere.charts import view_rays
from cyclorama.backend.sphere.icosphere import VIEW_FOV, view_rotations
from cyclorama.backend.sphere.views import rays
from cyclorama.bridge.errors import CycloramaError

sys.path.insert(0, str(Path(__file__).parent))
from simulated import simulated, street

SIZE = 24
METHODS = [linear, partial(adam, iterations=30, free_iterations=15), partial(tip4gen, iterations=3)]
METHOD_NAMES = ["linear", "adam", "tip4gen"]


def true_z(size: int = SIZE, frames: int = 1, smooth: bool = True) -> np.ndarray:
    """(frame, view, row, column) of a smooth cave around the viewer, or of a street."""
    towards = view_rays(view_rotations(), size)
    distance = 3 + towards @ [0.5, 0.9, -0.4] if smooth else street(towards)
    z = distance / np.linalg.norm(rays(size, size, VIEW_FOV), axis=-1)
    return np.repeat(z[None], frames, axis=0).astype(np.float32)


def corrected(alignment, predictions) -> np.ndarray:
    frames, views = predictions.values.shape[:2]
    return np.stack(
        [[alignment.corrected(predictions, frame, view) for view in range(views)] for frame in range(frames)]
    )


def test_shifts_of_views_that_share_a_panorama_are_found():
    """Then nothing is left of the objective, so that nothing else can be the solution."""
    truth = 1 / true_z(size=48)
    shift = np.random.default_rng(0).uniform(0.0, 0.3, (1, 20, 1, 1)).astype(np.float32)
    predictions = Predictions(truth + shift, "disparity")
    found = linear(predictions, iterations=100, tolerance=1e-6)
    ratio = corrected(found, predictions) / truth
    np.testing.assert_allclose(ratio / np.median(ratio), 1, atol=0.02)
    np.testing.assert_allclose(found.scale, found.scale.mean(), rtol=1e-3)
    assert np.abs(truth / (truth + shift) - 1).max() > 0.3
    assert found.disagreement < 0.005


@pytest.mark.parametrize("kind", ["disparity", "z-depth", "metric"])
def test_views_scaled_and_shifted_at_random_agree_afterwards(kind):
    predictions = simulated(true_z(size=48), kind, noise=0.0).predictions
    _, values = in_unit(predictions)
    problem = least_squares(values, kind)
    before = problem.disagreement(problem.start)
    assert linear(predictions).disagreement < before / 20


def test_the_linear_solution_is_no_worse_than_the_papers_optimiser():
    predictions = simulated(true_z(size=16, smooth=False), "disparity").predictions
    _, problem, found = solution(predictions)
    way: dict[int, float] = {}

    def keep(done: int, at: Corrections) -> None:
        if done % 250 == 0:
            way[done] = problem.objective(at)

    twin = optimised(problem, lambda done, steps: None, 500, 250, 0.1, keep)
    assert problem.objective(found) <= problem.objective(twin)
    assert problem.objective(twin) < 2 * problem.objective(found), "the twin minimises the same"
    assert way[250] > 1.5 * way[500], "without regularisers it does not yet"


def test_only_the_best_solution_counts_not_where_it_began():
    predictions = simulated(true_z(size=24, smooth=False), "disparity").predictions
    _, problem, coarse_to_fine = solution(predictions)
    from_nothing = problem.solved(problem.start, 200)
    assert problem.objective(coarse_to_fine) == pytest.approx(problem.objective(from_nothing), rel=1e-3)


def test_frames_that_are_the_same_are_corrected_the_same():
    one = simulated(true_z(), "disparity").predictions
    found = linear(Predictions(np.repeat(one.values, 4, axis=0), "disparity"), tolerance=1e-6)
    np.testing.assert_allclose(found.scale, np.repeat(found.scale[:1], 4, axis=0), rtol=1e-3)
    assert np.abs(np.diff(found.shift, axis=0)).max() < 1e-2 * np.abs(found.shift).max()


def test_the_unit_of_the_values_does_not_matter():
    one = simulated(true_z(), "disparity").predictions
    tenfold = Predictions(10 * one.values, "disparity")
    found, same = linear(one), linear(tenfold)
    np.testing.assert_allclose(10 * same.scale, found.scale, rtol=2e-3)
    np.testing.assert_allclose(corrected(same, tenfold), corrected(found, one), atol=5e-3)


def test_trust_that_falls_off_to_the_edge_is_a_choice():
    predictions = simulated(true_z(smooth=False), "disparity", bend=0.1).predictions
    plain, trusting = linear(predictions), linear(predictions, trust=True)
    assert np.abs(plain.scale - trusting.scale).max() > 1e-3


@pytest.mark.parametrize("method", METHODS, ids=METHOD_NAMES)
def test_a_view_that_says_nothing_is_hardly_trusted_and_harms_no_other(method):
    values = simulated(true_z(frames=2), "disparity").predictions.values
    values[1, 7] = np.nan
    values[0, 3, 4:9, 5:11] = np.nan
    values[0, 3, 0, 0] = np.inf
    predictions = Predictions(values, "disparity")
    found = method(predictions)
    assert found.trust[1, 7] < 0.01 and (np.delete(found.trust.ravel(), 27) == 1).all()
    assert "1" in found.notes[0]
    assert (found.scale > 0).all() and np.isfinite(found.shift).all()
    assert np.array_equal(np.isfinite(corrected(found, predictions)), np.isfinite(values))


@pytest.mark.parametrize("method", METHODS, ids=METHOD_NAMES)
def test_each_method_returns_a_correction_for_every_pixel_and_leaves_the_values_alone(method):
    predictions = simulated(true_z(size=20), "metric").predictions
    before = predictions.values.copy()
    found = method(predictions)
    assert found.scale.shape == found.trust.shape == (1, 20) and found.shift.shape == (1, 20, 20, 20)
    assert np.isfinite(found.disagreement) and not found.notes
    np.testing.assert_array_equal(predictions.values, before)


@pytest.mark.parametrize("method", METHODS, ids=METHOD_NAMES)
def test_a_report_that_raises_ends_the_work_at_once(method):
    class Stop(Exception):  # noqa: N818
        pass

    calls = []

    def report(done: int, steps: int) -> None:
        calls.append((done, steps))
        if len(calls) == 3:
            raise Stop

    predictions = simulated(true_z(size=12), "disparity").predictions
    with pytest.raises(Stop):
        method(predictions, report)
    assert len(calls) == 3


@pytest.mark.parametrize("method", METHODS, ids=METHOD_NAMES)
def test_reports_go_from_nothing_to_all(method):
    calls = []
    method(simulated(true_z(frames=2), "disparity").predictions, lambda done, steps: calls.append((done, steps)))
    done, steps = zip(*calls, strict=True)
    assert done[0] == 0 and list(done) == sorted(done) and set(steps) == {done[-1]}


@pytest.mark.parametrize("method", METHODS, ids=METHOD_NAMES)
def test_an_estimator_that_says_nothing_at_all_is_a_clear_error(method):
    with pytest.raises(CycloramaError, match="nothing"):
        method(Predictions(np.full((1, 20, 12, 12), np.nan, np.float32), "disparity"))


def test_tip4gen_makes_views_agree():
    predictions = simulated(true_z(size=16), "disparity", noise=0.0).predictions
    _, values = in_unit(predictions)
    problem = least_squares(values, "disparity")
    assert tip4gen(predictions, iterations=60).disagreement < problem.disagreement(problem.start) / 2


def test_tip4gen_is_the_same_every_time():
    predictions = simulated(true_z(size=16), "disparity").predictions
    found, again = (tip4gen(predictions, iterations=3) for _ in range(2))
    np.testing.assert_array_equal(found.scale, again.scale)
    np.testing.assert_array_equal(found.shift, again.shift)
