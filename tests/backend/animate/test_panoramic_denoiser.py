"""The panoramic denoiser, with models simple enough to know what it must give."""

import weakref
from typing import Any

import numpy as np
import pytest
import torch

from cyclorama.backend.animate.panoramic_denoiser import PanoramicDenoiser, Schedule, State
from cyclorama.backend.animate.regions import MotionRegion
from cyclorama.backend.sphere.equirectangular import directions
from cyclorama.bridge.errors import Cancelled, CycloramaError

from ..sphere.fields import apart, relative, waves
from .toy_models import ToyModel, restless, swaying

HEIGHT = 32
"""Of the latents; the views are 16 x 16."""

FRAMES = 3
SHORT = Schedule(steps=5, spherical_steps=2)
EVERYWHERE = (MotionRegion(np.ones((8 * HEIGHT, 16 * HEIGHT), np.float32), "", 1.0),)


def picture(length=60.0):
    """A panorama of smooth waves, (3, height, width) in -1..1."""
    towards = directions(8 * HEIGHT)
    channels = [
        waves(towards.reshape(-1, 3), np.deg2rad(length), seed=seed).reshape(towards.shape[:2]) for seed in range(3)
    ]
    return (0.3 * torch.stack(channels)).clamp(-1, 1)


def denoiser(clean, regions=EVERYWHERE, schedule=SHORT, image=None, seed=1, at_once=3) -> Any:
    image = picture() if image is None else image
    return PanoramicDenoiser(ToyModel(clean), image, regions, FRAMES, 7.0, seed, schedule, at_once)


def region(west, east, prompt="", strength=1.0):
    """All that lies between two longitudes, and not within 60° of the horizon's poles."""
    mask = np.zeros((8 * HEIGHT, 16 * HEIGHT), np.float32)
    columns = slice(round((west / 360 + 0.5) * 16 * HEIGHT), round((east / 360 + 0.5) * 16 * HEIGHT))
    mask[3 * HEIGHT : 5 * HEIGHT, columns] = 1
    return MotionRegion(mask, prompt, strength)


def still_latents(image):
    return ToyModel(swaying).encode_still(image, FRAMES)


def test_the_video_is_what_the_model_sees_in_every_view():
    latents = denoiser(swaying).run()
    wanted = still_latents(picture()) * (1 + 0.3 * torch.sin(torch.arange(FRAMES))).reshape(-1, 1, 1, 1)
    assert latents.shape == (FRAMES, 4, HEIGHT, 2 * HEIGHT)
    assert relative(latents, wanted) < 5e-3  # each view's own means of 8 x 8 pixels


@pytest.mark.parametrize("agreement", ["sphere", "views", "panorama"])
def test_all_ways_to_agree_give_the_same_where_nothing_can_be_disagreed_about(agreement):
    latents = denoiser(swaying, schedule=Schedule(3, 1, agreement)).run()
    assert relative(latents, denoiser(swaying).run()) < 1e-2


@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_the_batching_changes_nothing(batch):
    made = denoiser(restless, at_once=batch)
    assert torch.equal(made.run(), denoiser(restless).run())
    assert max(made.model.batches) == min(batch, 20)


def test_the_same_seed_gives_the_same_video_and_another_does_not():
    assert torch.equal(denoiser(restless).run(), denoiser(restless).run())
    assert relative(denoiser(restless, seed=2).run(), denoiser(restless).run()) > 0.5


@pytest.mark.parametrize("schedule", [SHORT, Schedule(4, 0), Schedule(4, 4), Schedule(3, 1, "views")])
def test_a_run_goes_on_from_any_step(schedule):
    kept: list[State] = []
    whole = denoiser(restless, schedule=schedule).run(keep=kept.append)
    assert [state.step for state in kept] == list(range(1, schedule.steps + 1))
    for state in kept:
        assert torch.equal(denoiser(restless, schedule=schedule).run(state), whole)


def test_a_run_can_be_stopped_between_any_two_calls_of_the_model():
    made = denoiser(restless, at_once=1)
    total = made.calls()
    assert total == 2 * 20 + 3 * 18
    for stop_after in (0, 1, 21, 45, total - 1):
        made = denoiser(restless, at_once=1)

        def report(done, total, stop_after=stop_after):
            if done >= stop_after:
                raise Cancelled

        with pytest.raises(Cancelled):
            made.run(report=report)
        assert sum(made.model.batches) == stop_after


def test_progress_rises_to_the_end():
    heard = []
    made = denoiser(restless)
    made.run(report=lambda done, total: heard.append((done, total)))
    assert heard[-1] == (made.calls(), made.calls())
    assert heard == sorted(heard)


def test_pictures_are_shown_on_the_way():
    shown = []
    denoiser(swaying, schedule=Schedule(8, 4)).run(show=shown.append)
    assert len(shown) == 7
    for small in shown:
        assert small.dtype == np.uint8
        assert small.shape[1] == 2 * small.shape[0]
    assert shown[-1].std() > 5


def test_every_view_is_shown_noise_of_unit_variance_from_the_first_spherical_step_to_the_last():
    """A model that predicts nothing leaves the noise alone."""
    made = denoiser(lambda noisy, level, told: torch.zeros_like(noisy), schedule=Schedule(6, 4))
    made._frames = made._latent_frames = 400
    made.run()
    levels = made.levels
    for step in (0, 3, 4, 5):
        views = torch.cat([noisy for at, noisy in made.model.noisy if at == step]) / levels[step]
        assert (views.var(dim=(1, 2, 3, 4)) - 1).abs().max() < 0.01
        assert views.mean().abs() < 0.01


def test_views_agree_after_each_spherical_step():
    """Two views' values in the same direction differ by less than a thousandth of their spread."""
    made = denoiser(swaying, schedule=Schedule(6, 6), image=picture(90))
    state = made.start()
    for step in range(1, 6):
        scenery = made.scenery(state.step)
        predicted = made.predictions(scenery, state)
        state = made._stepped(scenery, state, made.agreed(scenery, predicted))
        assert state.step == step
        assert apart(scenery.charts, scenery.charts.project(state.signal)) < 1e-3


def test_views_animated_for_themselves_do_not_agree():
    def alone(agreement):
        made = denoiser(restless, schedule=Schedule(6, 6, agreement), image=picture(30))
        kept = []
        made.run(keep=kept.append)
        scenery = made.scenery(5)
        predicted = made.predictions(scenery, State(5, kept[4].signal))
        views = made.schedule.charts(0, HEIGHT) if agreement == "sphere" else scenery.charts._views
        return float((views.project(views.fuse(predicted)) - predicted).square().mean().sqrt() / predicted.std())

    assert alone("sphere") < 0.75 * alone("views")


def test_turning_the_panorama_by_90_degrees_turns_the_video():
    quarter = 4 * HEIGHT
    plain = denoiser(swaying).run()
    turned = denoiser(swaying, image=picture().roll(quarter, dims=2)).run().roll(-quarter // 8, dims=3)
    assert relative(turned, plain) < 1e-3


def test_windows_turn_with_the_panorama_and_its_noise_whatever_the_model(monkeypatch):
    from cyclorama.backend.sphere.noise import EquirectangularCells

    schedule, quarter = Schedule(3, 0), HEIGHT // 2
    original = EquirectangularCells.noise
    middle = slice(HEIGHT // 5, -HEIGHT // 5)

    def zeros(noisy, level, told):  # the caps' noise is not turned here: no model looks at them
        return restless(noisy, level, told)

    plain = denoiser(zeros, regions=(region(-180, 180),), schedule=schedule).run()

    def turned_noise(self, white, frame, channels):
        noise = original(self, white, frame, channels).unflatten(0, (HEIGHT, 2 * HEIGHT))
        return noise.roll(quarter, dims=1).flatten(0, 1)

    monkeypatch.setattr(EquirectangularCells, "noise", turned_noise)
    image = picture().roll(8 * quarter, dims=2)
    turned = denoiser(zeros, regions=(region(-180, 180),), schedule=schedule, image=image).run()
    assert relative(turned.roll(-quarter, dims=3)[..., middle, :], plain[..., middle, :]) < 1e-3


def test_there_is_no_seam_at_180_degrees():
    latents = torch.cat([denoiser(restless, schedule=Schedule(6, 2), seed=seed).run() for seed in range(6)])
    across = (latents - latents.roll(1, dims=3)).abs().mean(dim=(0, 1, 2))
    assert float(across[0] / across[1:].mean()) == pytest.approx(1, abs=0.05)


def test_what_no_region_covers_is_the_still_picture():
    latents = denoiser(restless, regions=(region(-60, 20),)).run()
    outside = torch.nn.functional.max_pool2d(torch.from_numpy(region(-60, 20).mask)[None, None], 8)[0, 0] == 0
    windows = torch.zeros_like(outside)
    windows[HEIGHT // 5 : -HEIGHT // 5] = True
    still = still_latents(picture())
    assert torch.allclose(latents[..., outside & windows], still[..., outside & windows], atol=1e-6)
    assert relative(latents[..., outside], still[..., outside]) < 0.01  # the poles are encoded as views of them
    inside = torch.nn.functional.avg_pool2d(torch.from_numpy(region(-60, 20).mask)[None, None], 8)[0, 0] == 1
    assert relative(latents[..., inside], still_latents(picture())[..., inside]) > 0.3


def test_views_in_which_nothing_moves_are_not_computed():
    everything, some = denoiser(restless), denoiser(restless, regions=(region(-20, 20),))
    some.run()
    assert sum(some.model.batches) == some.calls() < everything.calls() / 2


def test_each_region_moves_with_its_own_prompt_and_strength():
    def told(noisy, level, conditions):
        return torch.full_like(noisy, 0.1 * float(conditions["prompt"])) * conditions["strength"]

    latents = denoiser(told, regions=(region(-90, 0, "abc"), region(20, 90, "abcdef", 0.5))).run()
    middle = HEIGHT // 2
    assert torch.allclose(latents[..., middle, HEIGHT // 2 + 4 : HEIGHT - 3], torch.tensor(0.3), atol=0.01)
    assert torch.allclose(latents[..., middle, HEIGHT + 7 : HEIGHT + 12], torch.tensor(0.3), atol=0.01)
    model = denoiser(told, regions=(region(-90, 0, "abc"), region(20, 90, "abcdef", 0.5))).model
    assert model.takes_prompt


def test_regions_that_are_the_same_to_the_model_are_one():
    two = denoiser(restless, regions=(region(-90, 0, "same"), region(0, 90, "same")))
    assert two.calls() == denoiser(restless, regions=(region(-90, 90, "same"),)).calls()


def test_each_shot_shows_its_view_and_where_it_may_move():
    made = denoiser(swaying, regions=(region(-60, 20, "waves", 2.0),), schedule=Schedule(1, 1))
    made.run()
    for shot in made.model.shots:
        assert shot.image.shape == (3, 8 * HEIGHT // 2, 8 * HEIGHT // 2)
        assert shot.mask.shape == (HEIGHT // 2, HEIGHT // 2)
        assert shot.mask.max() > 0
        assert (shot.prompt, shot.strength) == ("waves", 2.0)
    assert len({shot.seed for shot in made.model.shots}) == len(made.model.shots)


def test_values_that_are_no_numbers_stop_the_run_and_name_the_step():
    def broken(noisy, level, told):
        return torch.where(torch.tensor(level < 5), torch.nan, noisy)

    made = denoiser(broken)
    step = next(index for index, level in enumerate(made.levels) if level < 5) + 1
    with pytest.raises(CycloramaError, match=f"step {step} of 5") as raised:
        made.run()
    assert raised.value.code == "latents-not-finite"


def test_less_is_computed_at_once_when_memory_runs_out():
    """And what the failed call had made is given back before the next."""
    made = denoiser(restless, at_once=8)
    plain_predict = made.model.predict
    alive = []

    def predict(noisy, *others):
        assert not any(tensor() is not None for tensor in alive)
        if len(noisy) > 2:
            activation = torch.zeros(10)
            alive.append(weakref.ref(activation))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain_predict(noisy, *others)

    made.model.predict = predict
    assert torch.equal(made.run(), denoiser(restless).run())
    assert len(alive) == 2
    assert max(made.model.batches) == 2


def test_a_still_picture_that_is_no_number_is_named():
    made = denoiser(restless)
    made.model.encode_still = lambda image, frames: torch.full(
        (frames, 4, *(s // 8 for s in image.shape[1:])), torch.nan
    )
    with pytest.raises(CycloramaError, match="encoded the panorama"):
        made.run()


def test_progress_goes_on_where_it_was():
    kept = []
    denoiser(restless).run(keep=kept.append)
    for state in kept[:-1]:
        heard = []
        made = denoiser(restless)
        made.run(state, report=lambda done, total, heard=heard: heard.append(done))
        assert heard[0] == made.calls(state.step)
        assert heard[-1] == made.calls()
