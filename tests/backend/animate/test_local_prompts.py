"""Views are told the local prompt of the quarter they look at, beside their region's prompt."""

import dataclasses

import numpy as np
import pytest

from cyclorama.backend.animate.local_prompts import joined, local_prompt
from cyclorama.backend.animate.panoramic import Making, animate
from cyclorama.backend.animate.panoramic_denoiser import PanoramicDenoiser, Schedule
from cyclorama.backend.animate.regions import MotionRegion
from cyclorama.backend.models.memory import Budget
from cyclorama.backend.sphere.charts import TangentViews, charts_of
from cyclorama.backend.sphere.equirectangular import direction
from cyclorama.backend.sphere.panorama import Panorama
from cyclorama.backend.sphere.windows import WholePanorama, Windows

from .toy_models import ToyModel, restless, swaying

PROMPTS = ("a lake", "birches", "a mill", "sheep")


def towards(longitude: float, latitude: float = 0.0) -> np.ndarray:
    """(1, 1, 3) the one ray of a view in that direction, degrees."""
    return direction(np.deg2rad(longitude), np.deg2rad(latitude))[None, None]


@pytest.mark.parametrize(
    ("longitude", "told"),
    [
        (0, "a lake"),
        (29, "a lake"),
        (-29, "a lake"),
        (90, "birches"),
        (180, "a mill"),
        (-180, "a mill"),
        (-90, "sheep"),
    ],
)
@pytest.mark.parametrize("latitude", [-59, 0, 59])
def test_a_view_is_told_the_prompt_of_the_quarter_it_looks_at(longitude, latitude, told):
    assert local_prompt(towards(longitude, latitude), PROMPTS) == told


@pytest.mark.parametrize(
    ("longitude", "told"),
    [(45, "a lake, birches"), (31, "a lake, birches"), (135, "birches, a mill"), (-135, "a mill, sheep")],
)
def test_beside_a_border_it_is_told_both(longitude, told):
    assert local_prompt(towards(longitude), PROMPTS) == told


@pytest.mark.parametrize("latitude", [61, 90, -61, -90])
def test_towards_the_poles_it_is_told_none(latitude):
    assert local_prompt(towards(10, latitude), PROMPTS) == ""


@pytest.mark.parametrize(
    ("prompts", "whole"),
    [
        (("", ""), ""),
        (("wind", ""), "wind"),
        (("", "a lake"), "a lake"),
        (("wind", "a lake"), "wind, a lake"),
        (("Wind blows.", "A lake ripples"), "Wind blows. A lake ripples"),
        (("wind ", " "), "wind"),
    ],
)
def test_prompts_are_joined_like_text(prompts, whole):
    assert joined(*prompts) == whole


def test_the_same_words_for_two_quarters_are_said_once():
    assert local_prompt(towards(45), ("waves", "waves", "", "")) == "waves"


def test_every_quarter_is_told_to_as_many_views_and_to_as_many_windows():
    for family in (TangentViews, Windows):
        charts = charts_of(family, 32)
        told = [local_prompt(charts.rays(chart), PROMPTS) for chart in range(charts.count)]
        counts = [sum(prompt in words for words in told) for prompt in PROMPTS]
        assert min(counts) >= 4 and max(counts) - min(counts) <= 2, (family, counts)


def test_a_picture_of_all_directions_is_told_no_local_prompt():
    charts = charts_of(WholePanorama, 32)
    assert local_prompt(charts.rays(0), PROMPTS) == ""


HEIGHT = 32
EVERYWHERE = np.ones((8 * HEIGHT, 16 * HEIGHT), np.float32)


def shots(local_prompts, region_prompt="wind", model=None) -> list:
    """What the model is told of all views and windows."""
    import torch

    model = model or ToyModel(swaying)
    picture = torch.zeros(3, 8 * HEIGHT, 16 * HEIGHT)
    regions = (MotionRegion(EVERYWHERE, region_prompt, 1.0),)
    PanoramicDenoiser(model, picture, regions, 2, 7.0, 1, Schedule(2, 1), 8, local_prompts).run()
    return model.shots


def test_the_model_hears_the_region_s_prompt_and_the_view_s_own():
    told = {shot.prompt for shot in shots(PROMPTS)}
    assert {"wind", "wind, a lake", "wind, birches", "wind, a mill", "wind, sheep", "wind, a lake, birches"} <= told
    assert all(prompt.startswith("wind") for prompt in told)


def test_local_prompts_cost_no_further_runs_of_the_model():
    assert len(shots(PROMPTS)) == len(shots(("",) * 4))
    assert {shot.prompt for shot in shots(("",) * 4)} == {"wind"}


def test_a_model_that_reads_no_prompt_is_told_none():
    model = ToyModel(swaying)
    model.takes_prompt = False
    assert {shot.prompt for shot in shots(PROMPTS, model=model)} == {""}


def test_what_is_kept_of_other_local_prompts_is_not_gone_on_with(tmp_path, monkeypatch):
    import torch

    monkeypatch.setenv("CYCLORAMA_FOLDER", str(tmp_path))
    column = np.linspace(0, 2 * np.pi, 256, endpoint=False, dtype=np.float32)
    image = np.tile((0.5 + 0.4 * np.sin(column))[None, :, None], (128, 1, 3)).astype(np.float32)
    making = Making(2, 7.0, 5, Schedule(2, 1), Budget(64 * 10**9, torch.device("cpu")))

    def calls(local_prompts) -> int:
        model = ToyModel(restless)
        regions = (MotionRegion(np.ones((128, 256), np.float32), "", 1.0),)
        animate(Panorama(image, 256, 128), regions, model, dataclasses.replace(making, local_prompts=local_prompts))
        return sum(model.batches)

    assert calls(PROMPTS) > 0
    assert calls(PROMPTS) == 0
    assert calls(("a lake", "", "", "")) > 0
