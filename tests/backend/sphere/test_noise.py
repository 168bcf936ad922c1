"""White noise on the sphere, as views and images are shown it."""

import numpy as np
import pytest
import torch

from cyclorama.backend.sphere.charts import SeparateViews, TangentViews, charts_of
from cyclorama.backend.sphere.icosphere import VIEW_FOV, frequency_for
from cyclorama.backend.sphere.noise import EquirectangularCells, WhiteNoise
from cyclorama.backend.sphere.windows import Windows

HEIGHT, FRAMES, CHANNELS = 32, 40, 20
NOISE = WhiteNoise(7, frequency_for(VIEW_FOV / (HEIGHT // 2)))


@pytest.fixture(scope="module")
def in_views():
    return charts_of(TangentViews, HEIGHT).noise(NOISE, FRAMES, CHANNELS)


@pytest.fixture(scope="module")
def in_windows():
    return charts_of(Windows, HEIGHT).noise(NOISE, FRAMES, CHANNELS)


def test_every_view_has_unit_variance(in_views):
    variance = in_views.var(dim=(1, 2, 3, 4))
    assert (variance - 1).abs().max() < 0.01


def test_every_window_and_both_polar_caps_have_unit_variance(in_windows):
    assert (in_windows.var(dim=(1, 2, 3, 4)) - 1).abs().max() < 0.01


def test_even_single_pixels_have_unit_variance(in_views):
    """Corners too, where a pixel covers five times less of the sphere; 800 draws each."""
    per_pixel = in_views.var(dim=(1, 2))
    assert per_pixel.mean() == pytest.approx(1, abs=0.005)
    assert per_pixel.std() < 1.15 * np.sqrt(2 / (FRAMES * CHANNELS))  # what chance alone makes of it


def test_the_noise_at_the_poles_is_white():
    cells = EquirectangularCells.of(NOISE.points, HEIGHT)
    noise = torch.stack([cells.noise(NOISE, frame, 500) for frame in range(8)]).reshape(8, HEIGHT, 2 * HEIGHT, 500)
    for row in (0, 1, HEIGHT - 1):
        at_pole = noise[:, row]
        assert at_pole.var() == pytest.approx(1, abs=0.01)
        for distance in (1, 2, 5):
            assert float((at_pole * at_pole.roll(distance, dims=1)).mean()) == pytest.approx(0, abs=0.01)


def test_neighbours_within_a_view_are_independent(in_views):
    for dim in (3, 4):
        alike = (in_views * in_views.roll(1, dims=dim)).narrow(dim, 1, in_views.shape[dim] - 1).mean()
        assert float(alike) == pytest.approx(0, abs=0.003)


def test_views_that_overlap_see_the_same_noise(in_views):
    """As far as their pixels cover the same ground; noise of their own would agree nowhere."""
    views = charts_of(TangentViews, HEIGHT)
    assert isinstance(views, TangentViews)
    rays = [views.rays(view).reshape(-1, 3) for view in range(views.count)]
    flat = in_views.permute(0, 3, 4, 1, 2).flatten(1, 2).flatten(2)
    agreement = []
    for other in range(1, views.count):
        nearest = (rays[0] @ rays[other].T).max(axis=1), (rays[0] @ rays[other].T).argmax(axis=1)
        shared = np.flatnonzero(np.arccos(np.clip(nearest[0], -1, 1)) < 0.2 * VIEW_FOV / views.size[0])
        agreement += [float((flat[0, i] * flat[other, nearest[1][i]]).mean()) for i in shared]
    assert len(agreement) > 20
    assert np.mean(agreement) > 0.5


def test_the_same_seed_gives_the_same_noise_and_another_does_not():
    again = WhiteNoise(7, NOISE.frequency).frame(3, 4)
    assert torch.equal(NOISE.frame(3, 4), again)
    assert not torch.equal(NOISE.frame(3, 4), NOISE.frame(2, 4))
    assert not torch.equal(WhiteNoise(8, NOISE.frequency).frame(3, 4), again)


def test_separate_views_start_from_the_noise_they_share(in_views):
    separate = charts_of(SeparateViews, HEIGHT).noise(NOISE, 1, CHANNELS)
    assert torch.equal(separate[:, 0], in_views[:, 0])
