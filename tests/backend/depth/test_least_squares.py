"""4K4DGen eq. 4 as least squares: the objective is the formula's, and the solution its least value."""

from itertools import pairwise

import numpy as np
import pytest

from cyclorama.backend.depth.least_squares import Corrections, LeastSquares, in_unit, least_squares
from cyclorama.backend.depth.overlaps import overlaps
from cyclorama.backend.depth.predictions import Predictions
from cyclorama.backend.sphere.icosphere import VIEW_FOV
from cyclorama.backend.sphere.views import rays
from cyclorama.bridge.errors import CycloramaError

SIZE, FRAMES = 6, 3


def noise(size: int = SIZE, frames: int = FRAMES, seed: int = 0) -> np.ndarray:
    """(frame, view, row, column) random values around 1."""
    return (1 + 0.3 * np.random.default_rng(seed).standard_normal((frames, 20, size, size))).astype(np.float32)


def anywhere(problem: LeastSquares, seed: int = 1) -> Corrections:
    chance = np.random.default_rng(seed)
    return Corrections(*(chance.standard_normal(part.shape).astype(np.float32) for part in problem.start))


def formula(values: np.ndarray, at: Corrections, power: int, trust: bool = False) -> float:
    """The module's formula, pair by pair in double precision."""
    frames, _, size, _ = values.shape
    scale = at.scale.T.astype(np.float64)
    shift = np.moveaxis(at.shift, 2, 0).reshape(values.shape).astype(np.float64)
    seen = overlaps(size)
    said: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for frame in range(frames):
        straight = scale[frame, :, None, None] * values[frame] + shift[frame]
        for pair in range(len(seen.sample)):
            picture = straight[seen.view[pair]]
            value = between(picture, (seen.y[pair] + 1) * size / 2 - 0.5, (seen.x[pair] + 1) * size / 2 - 0.5)
            if not np.isnan(value):
                weight = float(seen.trust[pair]) if trust else 1.0
                said.setdefault((frame, seen.sample[pair]), []).append((value * seen.cosine[pair] ** power, weight))
    squares = total = 0.0
    for views_say in said.values():
        y, weight = np.array(views_say).T
        squares += (weight * (y - np.average(y, weights=weight)) ** 2).sum()
        total += weight.sum()
    over_time = (np.diff(scale, axis=0) ** 2).mean() if frames > 1 else 0
    shift_over_time = (np.diff(shift, axis=0) ** 2).mean() if frames > 1 else 0
    varies = (np.diff(shift, axis=2) ** 2).mean() + (np.diff(shift, axis=3) ** 2).mean()
    return squares / total + 0.1 * (over_time + ((scale - 1) ** 2).mean()) + 0.01 * (varies + shift_over_time)


def between(picture: np.ndarray, row: float, column: float) -> float:
    """Bilinear; rows first along the columns, then between them."""
    places = np.arange(len(picture))
    low = int(np.clip(np.floor(column), 0, len(picture) - 2))
    along = [
        np.interp(row, places, picture[:, at]) if not np.isnan(picture[:, at]).any() else np.nan
        for at in (low, low + 1)
    ]
    return float(along[0] + np.clip(column - low, 0, 1) * (along[1] - along[0]))


@pytest.mark.parametrize(("kind", "power"), [("disparity", 1), ("z-depth", -1), ("metric", -1)])
def test_the_objective_is_the_formula(kind, power):
    values = noise()
    problem = least_squares(values, kind)
    at = anywhere(problem)
    assert problem.objective(at) == pytest.approx(formula(values, at, power), rel=1e-5)


def test_the_objective_is_the_formula_with_trust_with_one_frame_and_without_a_view():
    values = noise(frames=1)
    trusting = least_squares(values, "disparity", trust=True)
    at = anywhere(trusting)
    assert trusting.objective(at) == pytest.approx(formula(values, at, 1, trust=True), rel=1e-5)
    values = noise()
    values[1, 4] = np.nan
    partial = least_squares(values, "disparity")
    at = anywhere(partial)
    assert partial.objective(at) == pytest.approx(formula(values, at, 1), rel=1e-5)


@pytest.mark.parametrize("unknown", [False, True])
def test_the_gradient_is_the_objectives_slope(unknown):
    values = noise()
    if unknown:
        values[1, 4], values[0, 2, 1, 3] = np.nan, np.nan
    problem = least_squares(values, "disparity")
    at, along = anywhere(problem), anywhere(problem, seed=2)
    step = np.float32(0.5)  # the objective is quadratic: central differences are exact
    ahead, behind = (Corrections(*(a + sign * d for a, d in zip(at, along, strict=True))) for sign in (step, -step))
    slope = sum(float(np.vdot(g, d)) for g, d in zip(problem.gradient(at)[0], along, strict=True))
    assert 2 * slope == pytest.approx(problem.objective(ahead) - problem.objective(behind), rel=1e-4)


def test_the_panorama_is_where_its_own_gradient_vanishes():
    problem = least_squares(noise(), "disparity")
    at = anywhere(problem)
    best = problem.panorama(at)
    down, pull = problem.gradient(at, best)
    np.testing.assert_allclose(pull, 0, atol=1e-7)
    for given, eliminated in zip(down, problem.gradient(at)[0], strict=True):
        np.testing.assert_allclose(given, eliminated, atol=1e-7)
    assert (problem.gradient(at, best + 1)[1] > 0).all()


def nowhere(problem: LeastSquares) -> Corrections:
    return Corrections(*(np.zeros_like(part) for part in problem.start))


def along(problem: LeastSquares, direction: Corrections) -> float:
    """Half the objective's second derivative in a direction."""
    bent = problem.gradient(direction, anchor=0)[0]
    return sum(float(np.vdot(one, other)) for one, other in zip(direction, bent, strict=True))


def test_the_diagonal_is_the_hessians():
    """Of shifts, and of scales whose change the shifts undo; in the middle of three frames."""
    problem = least_squares(noise(size=4), "disparity")
    for view, pixel in ((2, 5), (7, 0)):
        one = nowhere(problem)
        one.shift[view, pixel, 1] = 1
        assert along(problem, one) == pytest.approx(problem._diagonal.shift[view, pixel, 0], rel=1e-4)
    one = nowhere(problem)
    one.scale[3, 1], one.shift[3, :, 1] = 1, -problem.values[3, :, 1]
    assert along(problem, one) == pytest.approx(problem._diagonal.scale[3, 1], rel=1e-4)


def test_the_preconditioner_is_symmetric_and_positive():
    problem = least_squares(noise(size=12), "disparity")
    one, other = anywhere(problem), anywhere(problem, seed=2)

    def both(left: Corrections, right: Corrections) -> float:
        answer = problem._preconditioned(right, nowhere(problem))
        return sum(float(np.vdot(a, b)) for a, b in zip(left, answer, strict=True))

    assert both(one, other) == pytest.approx(both(other, one), abs=1e-4 * both(one, one))
    assert both(one, one) > 0 and both(other, other) > 0


@pytest.mark.parametrize("kind", ["disparity", "metric"])
def test_smooth_fields_are_shifts_that_all_views_follow(kind):
    """So the data do not object: they would to the same shifts turned upside down in every view."""
    problem = least_squares(np.ones((1, 20, 24, 24), np.float32), kind)
    fields = problem._fields
    chance = np.random.default_rng(0)
    coarse = chance.standard_normal((len(fields.held[-1]), 1)).astype(np.float32)
    field = coarse
    for finer in fields.finer[::-1]:
        field = finer @ field
    followed = nowhere(problem)
    for view, look in enumerate(fields.looks):
        followed.shift[view] = look @ field
    contrary = Corrections(followed.scale, np.ascontiguousarray(followed.shift[:, ::-1]))
    data = [
        sum(float(np.vdot(away, away)) for away in problem._apart(at, problem.panorama(at)))
        for at in (followed, contrary)
    ]
    assert data[0] < 0.01 * data[1]


def test_conjugate_gradients_find_what_a_dense_solver_finds():
    problem = least_squares(noise(size=4, frames=2), "disparity")
    shapes = [part.shape for part in problem.start]
    split = np.prod(shapes[0])
    unknowns = split + np.prod(shapes[1])

    def corrections(flat):
        return Corrections(flat[:split].reshape(shapes[0]), flat[split:].reshape(shapes[1]))

    def flat(found):
        return np.concatenate([part.ravel() for part in found]).astype(np.float64)

    hessian = np.stack(
        [flat(problem.gradient(corrections(e), anchor=0)[0]) for e in np.eye(int(unknowns), dtype=np.float32)]
    )
    exact = np.linalg.solve(hessian, -flat(problem.gradient(corrections(np.zeros(unknowns, np.float32)))[0]))
    found = problem.solved(problem.start, 1000)
    np.testing.assert_allclose(flat(found), exact, atol=1e-4)


def test_more_iterations_never_raise_the_objective():
    problem = least_squares(noise(), "disparity")
    reached = [problem.objective(problem.solved(problem.start, n)) for n in (0, 1, 2, 5, 10, 30)]
    assert all(later <= before * (1 + 1e-6) for before, later in pairwise(reached))
    assert reached[-1] < reached[0] / 3


def test_a_tolerance_ends_it_early_and_reports_tell_how_far_it_is():
    problem, calls = least_squares(noise(), "disparity"), []
    problem.solved(problem.start, 200, 1e-2, calls.append)
    assert calls == list(range(len(calls))) and 0 < len(calls) < 50


def test_views_that_agree_are_left_as_they_are():
    problem = least_squares(np.ones((2, 20, SIZE, SIZE), np.float32) / cosines(), "disparity")
    found = problem.solved(problem.start, 50)
    np.testing.assert_allclose(found.scale, 1, atol=0.03)  # bilinear values of 1 / cosine are not quite 1 / cosine
    assert problem.objective(found) < 1e-3


def cosines() -> np.ndarray:
    return 1 / np.linalg.norm(rays(SIZE, SIZE, VIEW_FOV), axis=-1)


@pytest.mark.parametrize("factor", [1e-3, 50.0])
def test_the_unit_takes_any_factor_of_the_values_with_it(factor):
    one, values = in_unit(Predictions(noise(), "disparity"))
    other, same = in_unit(Predictions(np.float32(factor) * noise(), "disparity"))
    np.testing.assert_allclose(same, values, rtol=1e-4, atol=1e-5)
    assert other.one == pytest.approx(factor * one.one) and np.median(values) == pytest.approx(1, abs=1e-5)


def test_values_that_reach_below_zero_are_lifted_and_the_lift_is_undone():
    values = noise() - 2
    unit, lifted = in_unit(Predictions(values, "disparity"))
    assert np.quantile(lifted, 0.05) > 0
    problem = least_squares(lifted, "disparity")
    at = anywhere(problem)
    at.scale[:] = np.abs(at.scale)
    corrected = problem.alignment(unit, at).corrected(Predictions(values, "disparity"), 1, 3)
    expected = at.scale[3, 1] * lifted[1, 3] + at.shift[3, :, 1].reshape(SIZE, SIZE)
    np.testing.assert_allclose(corrected, expected, atol=1e-4)


def test_an_estimator_that_says_nothing_is_a_clear_error():
    with pytest.raises(CycloramaError, match="nothing"):
        in_unit(Predictions(np.full((1, 20, 4, 4), np.nan, np.float32), "disparity"))


def test_infinite_values_say_nothing_and_constant_ones_are_no_trouble():
    values = np.full((1, 20, 4, 4), 3, np.float32)
    values[0, 0, 0, 0] = np.inf
    _, found = in_unit(Predictions(values, "metric"))
    assert np.isnan(found[0, 0, 0, 0]) and np.nanmax(found) == np.nanmin(found) == 1
