"""All views of a panoramic video are estimated, as the artist's panorama shows them, and what stands still once."""

import numpy as np
import pytest
import torch

from cyclorama.backend.depth import predicting
from cyclorama.backend.depth.estimators import load
from cyclorama.backend.depth.predicting import exposure_for, predict
from cyclorama.backend.models.memory import Budget
from cyclorama.backend.sphere.colour import srgb_from_linear
from cyclorama.backend.sphere.equirectangular import directions
from cyclorama.backend.sphere.icosphere import VIEW_FOV, view_rotations
from cyclorama.backend.sphere.views import rays
from cyclorama.bridge.errors import CycloramaError

from ...tiny_depth import make_estimator

CPU = torch.device("cpu")
MEGABYTE, GIGABYTE = 10**6, 10**9
HEIGHT = 64


class GreyIsDeep:
    """Says a picture's grey. Counts what it is asked; needs 100 MB for a picture."""

    name, licence, fingerprint, kind, size, device = "grey", "", "", "disparity", 24, CPU

    def __init__(self):
        self.asked, self.released = [], False

    def estimate(self, pictures):
        self.asked.append(len(pictures))
        return pictures.mean(dim=1)

    def estimate_bytes(self, pictures):
        return pictures * MEGABYTE * 100

    def release(self):
        self.released = True


def budget(left=GIGABYTE):
    empty = Budget(0, CPU)
    return Budget(left - empty.left(), CPU)


def grey(value, frames=1):
    return np.full((frames, HEIGHT, 2 * HEIGHT, 3), value, np.float32)


def noise(frames=1):
    return np.random.default_rng(0).random((frames, HEIGHT, 2 * HEIGHT, 3), np.float32)


def towards(view, size):
    return rays(size, size, VIEW_FOV) @ view_rotations()[view].T


def test_each_view_shows_its_part_of_the_panorama_in_srgb():
    brightness = (0.6 + 0.3 * directions(HEIGHT)).astype(np.float32)  # red to the right, green ahead, blue above

    found = predict(brightness[None], GreyIsDeep(), budget())

    assert found.kind == "disparity" and found.values.shape == (1, 20, 24, 24)
    for view in range(20):
        looking = towards(view, 24)
        looking /= np.linalg.norm(looking, axis=-1, keepdims=True)
        expected = srgb_from_linear(0.6 + 0.3 * looking).mean(axis=-1)
        assert np.abs(found.values[0, view] - expected).max() < 0.003


def test_light_that_is_brighter_than_white_is_white():
    sun = grey(0.2)
    sun[:, 20:30, 40:60] = 5000.0

    values = predict(sun, GreyIsDeep(), budget()).values

    assert values.max() <= 1 and values.min() >= 0
    assert values.max() == pytest.approx(1, abs=1e-3) and np.median(values) == pytest.approx(srgb_from_linear(0.2))


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
def test_a_panorama_in_any_unit_is_exposed_as_a_photograph(unit):
    values = predict(unit * (0.05 + 0.3 * noise()), GreyIsDeep(), budget()).values

    assert 0.3 < np.median(values) < 0.6 and values.std() > 0.01


def test_the_whole_video_has_one_exposure():
    fading = np.concatenate([grey(10.0), grey(30.0)])

    values = predict(fading, GreyIsDeep(), budget()).values

    assert exposure_for(fading) == pytest.approx(0.18 / 20)
    assert np.allclose(values[0], srgb_from_linear(0.09)) and np.allclose(values[1], srgb_from_linear(0.27))


def test_what_was_exposed_well_and_what_is_all_black_stay_as_they_are():
    assert exposure_for(grey(0.01)) == exposure_for(grey(0.5)) == exposure_for(grey(0.0)) == 1


# Batches


@pytest.mark.parametrize(("left", "most"), [(200, 1), (450, 3), (1000, 4)])
def test_as_many_views_at_once_as_the_memory_allows(left, most):
    estimator = GreyIsDeep()

    found = predict(noise(2), estimator, budget(left * MEGABYTE)).values

    assert max(estimator.asked) == most and sum(estimator.asked) == 40
    assert np.array_equal(found, predict(noise(2), GreyIsDeep(), budget()).values)
    assert estimator.released


@pytest.mark.parametrize("kind", ["depth-anything", "zoedepth"])
def test_a_network_s_answers_do_not_depend_on_how_many_are_computed_at_once(tmp_path, kind, monkeypatch):
    estimator = load("tiny", str(make_estimator(tmp_path, kind)), CPU)
    frames = noise()
    together = predict(frames, estimator, budget(8 * GIGABYTE)).values

    monkeypatch.setitem(predicting._MOST_AT_ONCE, "cpu", 1)
    alone = predict(frames, estimator, budget(8 * GIGABYTE)).values

    assert np.abs(together / alone - 1).max() < 1e-4


def test_pictures_that_are_made_in_parts_are_the_same(monkeypatch):
    whole = predict(noise(), GreyIsDeep(), budget()).values
    monkeypatch.setattr(predicting, "_VIEWS_BYTES", 3 * 3 * 24 * 24 * 4)

    assert np.array_equal(predict(noise(), GreyIsDeep(), budget()).values, whole)


def test_too_little_memory_is_said_with_how_much_is_needed():
    with pytest.raises(CycloramaError) as refused:
        predict(noise(), GreyIsDeep(), budget(100 * MEGABYTE))

    assert refused.value.code == "memory-too-small" and "GB" in refused.value.sentence


class RunsOut(GreyIsDeep):
    """Has memory for two pictures at once, though it thought otherwise."""

    fits = 2

    def estimate(self, pictures):
        if len(pictures) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().estimate(pictures)


def test_when_memory_runs_out_fewer_views_are_computed_at_once():
    estimator = RunsOut()

    found = predict(noise(), estimator, budget()).values

    assert estimator.asked == [2] * 10
    assert np.array_equal(found, predict(noise(), GreyIsDeep(), budget()).values)


def test_when_there_is_no_memory_for_a_single_view_it_is_said():
    estimator = RunsOut()
    estimator.fits = 0

    with pytest.raises(CycloramaError) as refused:
        predict(noise(), estimator, budget())

    assert refused.value.code == "out-of-memory" and estimator.released


# What stands still


class Moody(GreyIsDeep):
    """Never says the same thing twice."""

    def estimate(self, pictures):
        return super().estimate(pictures) + torch.rand(len(pictures), 1, 1)


def test_frames_that_stand_still_are_computed_once():
    estimator = Moody()

    values = predict(noise().repeat(4, axis=0), estimator, budget()).values

    assert sum(estimator.asked) == 20
    assert np.array_equal(values, values[:1].repeat(4, axis=0))


def test_only_views_that_see_what_moves_are_computed_again():
    frames = noise().repeat(3, axis=0)
    frames[1, 30:33, 20:23] = 1 - frames[1, 30:33, 20:23]
    corner = directions(HEIGHT)[31, 21]
    near, sees = [], []
    for view, R in enumerate(view_rotations()):
        x, y, z = R.T @ corner
        reach = max(abs(x), abs(y)) / z if z > 0 else np.inf
        near += [view] if reach < 1.2 * np.tan(VIEW_FOV / 2) else []
        sees += [view] if reach < 0.8 * np.tan(VIEW_FOV / 2) else []
    estimator = Moody()

    values = predict(frames, estimator, budget()).values

    moved = [view for view in range(20) if not np.array_equal(values[1, view], values[0, view])]
    assert set(sees) <= set(moved) <= set(near) and 0 < len(moved) < 12
    assert sum(estimator.asked) == 20 + 2 * len(moved)  # there and back


def test_a_change_too_slow_to_see_is_not_lost():
    """Views are held against the one whose answer they got, not against the last."""
    slow = np.concatenate([grey(0.2 + 0.0003 * step) for step in range(30)])

    values = predict(slow, GreyIsDeep(), budget()).values

    truth = srgb_from_linear(slow[:, 0, 0, 0])
    assert np.abs(values[:, 0, 0, 0] - truth).max() < 1.1 * predicting.SAME
    assert 1 < len(np.unique(values[:, 0, 0, 0])) < 30


# What is no number


class Fails(GreyIsDeep):
    """Says what half precision may."""

    def __init__(self, kind, *views):
        super().__init__()
        self.kind, self._views, self._seen = kind, views, 0

    def estimate(self, pictures):
        answers = super().estimate(pictures)
        for answer in answers:
            if self._seen in self._views:
                answer[0, :4] = torch.tensor([float("nan"), float("inf"), -float("inf"), -1.0])
                answer[1] = 0
            self._seen += 1
        return answers


@pytest.mark.parametrize(("kind", "nothing"), [("disparity", 3), ("metric", 3 + 1 + 24)])
def test_where_a_network_says_no_number_nothing_is_said(kind, nothing):
    values = predict(0.1 + 0.5 * noise(), Fails(kind, 7), budget()).values

    assert np.isnan(values[0, 7]).sum() == nothing == np.isnan(values).sum()
    assert not np.isinf(values).any()


def test_a_network_that_says_no_number_at_all_is_refused():
    estimator = GreyIsDeep()
    estimator.estimate = lambda pictures: torch.full_like(pictures[:, 0], float("nan"))

    with pytest.raises(CycloramaError) as refused:
        predict(noise(), estimator, budget())

    assert refused.value.code == "estimates-not-finite" and "grey" in refused.value.sentence


def test_fewer_pixels_can_be_kept_without_mixing_near_and_far():
    whole = predict(noise(), GreyIsDeep(), budget()).values
    kept = predict(noise(), GreyIsDeep(), budget(), kept_size=8).values

    assert kept.shape == (1, 20, 8, 8)
    assert np.array_equal(kept, whole[:, :, 1::3, 1::3])


def test_no_pixels_are_made_up_where_more_are_asked_for_than_the_network_gives():
    assert predict(noise(), GreyIsDeep(), budget(), kept_size=500).size == GreyIsDeep().size


# Progress


def test_progress_is_told_and_whoever_hears_it_can_stop():
    told = []
    predict(noise().repeat(2, axis=0), GreyIsDeep(), budget(), lambda done, total: told.append((done, total)))

    assert told[0] == (0, 40) and told[-1] == (40, 40)
    assert [done for done, _ in told] == sorted(done for done, _ in told) and len(told) > 5

    class StoppedError(Exception):
        pass

    def stop(done, total):
        if done > 4:
            raise StoppedError

    estimator = GreyIsDeep()
    with pytest.raises(StoppedError):
        predict(noise(2), estimator, budget(), stop)
    assert estimator.released and sum(estimator.asked) == 8
