"""However a panorama is lifted, the scene is valid, small enough, safe to move in, and made whole or not at all."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cyclorama.backend.lift.descent import Descent
from cyclorama.backend.recipes import panorama_to_4d as recipe
from cyclorama.backend.recipes.panorama_to_4d import panorama_to_4d, stages
from cyclorama.backend.recipes.progress import Clock
from cyclorama.backend.sphere.skyline import parse
from cyclorama.bridge.errors import Cancelled, CycloramaError
from cyclorama.bridge.gaussians import colour_from_radiance
from cyclorama.bridge.scene import Scene
from cyclorama.bridge.settings import WITHOUT_LOSS, PanoramaTo4D

from ...tiny_features import make_features

HEIGHT, WIDTH = 32, 64
DIRECT = PanoramaTo4D(frames=3, fps=1.0, lift="direct")
FITTED = PanoramaTo4D(frames=3, fps=1.0)
DESCENDED = PanoramaTo4D(
    frames=2,
    fps=1.0,
    lift="4k4dgen",
    iterations=4,
    semantic_checkpoint=WITHOUT_LOSS,
    perceptual_checkpoint=WITHOUT_LOSS,
)


def meadow() -> np.ndarray:
    """Clouded sky over a meadow, scene-linear."""
    image = np.empty((HEIGHT, WIDTH, 3), np.float32)
    image[: HEIGHT // 2], image[HEIGHT // 2 :] = (0.35, 0.5, 0.9), (0.08, 0.12, 0.04)
    grain = np.exp(0.05 * np.random.default_rng(0).standard_normal((HEIGHT, WIDTH, 1)))
    return (image * grain).astype(np.float32)


@pytest.fixture(scope="module")
def layout():
    return parse(meadow())


@pytest.fixture
def panorama(picture, monkeypatch, layout) -> Path:
    monkeypatch.setattr(recipe, "parse", lambda image: layout)
    return picture("meadow.exr", meadow(), "float")


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "scenes" / "a.cyclorama"


@pytest.fixture(autouse=True)
def unfinished(tmp_path_factory, monkeypatch) -> Path:
    """Where work that is not finished is kept."""
    folder = tmp_path_factory.mktemp("backend")
    monkeypatch.setenv("CYCLORAMA_FOLDER", str(folder))
    return folder / "unfinished"


@pytest.fixture
def frames_of(stored) -> Callable[[Path], np.ndarray]:
    """The video of a scene: (frame, height, width, 3)."""
    return lambda output: np.stack([stored(path) for path in Scene(output).video_frames()])


def arrays_of(output: Path) -> dict[str, str]:
    """Checksum of every file of arrays."""
    return {name: file.sha256 for name, file in Scene(output).info.files.items() if file.arrays}


def cancel_at(number: int):
    """A report that raises at its ``number``-th call; and the calls it heard."""
    heard = []

    def report(stage, step, total):
        heard.append((stage, step, total))
        if len(heard) == number:
            raise Cancelled

    return report, heard


@pytest.fixture(params=[DIRECT, FITTED, DESCENDED], ids=lambda settings: settings.lift)
def lifted(request) -> PanoramaTo4D:
    return request.param


def test_in_all_ways_a_panorama_becomes_a_valid_scene_with_the_video_s_colours(panorama, output, frames_of, lifted):
    info = panorama_to_4d(panorama, output, lifted)
    scene, video = Scene(output), frames_of(output)
    scene.validate()
    assert info.moving_count > 20 and info.static_count > 200 and info.loops
    for index in range(lifted.frames):
        gaussians = scene.moving(index)
        sky = gaussians.position[:, 2] > 10
        colour = colour_from_radiance(gaussians.radiance)[sky]
        expected = video[index, : HEIGHT // 2].reshape(-1, 3)
        np.testing.assert_allclose(colour.mean(axis=0), expected.mean(axis=0), rtol=0.05)
    assert {path.name for path in output.parent.iterdir()} == {output.name}


def test_how_far_the_camera_may_go_is_told_by_direction(panorama, output, lifted):
    info = panorama_to_4d(panorama, output, lifted)
    assert info.safe_radius == min(metres for *_, metres in info.safe_radii)
    directions = np.array(info.safe_radii)[:, :3]
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-3)
    assert {(0, 1, 0), (1, 0, 0), (0, 0, 1), (0, 0, -1)} <= {tuple(each) for each in directions.round().tolist()}
    assert Scene(output).info.safe_radii == info.safe_radii
    down = next(metres for _, _, z, metres in info.safe_radii if z == -1)
    assert 0 <= down < 1.6  # the eye is no higher above the ground


def test_stored_small_the_scene_is_smaller_and_nearly_the_same(panorama, tmp_path, lifted):
    scenes = []
    for compression in ("none", "small"):
        panorama_to_4d(panorama, tmp_path / compression, dataclasses.replace(lifted, compression=compression))
        scenes.append(Scene(tmp_path / compression))
        scenes[-1].validate()
    sizes = [sum(file.bytes for file in scene.info.files.values() if file.arrays) for scene in scenes]
    assert sizes[1] < 0.5 * sizes[0]
    whole, small = scenes
    assert (whole.info.static_count, whole.info.moving_count) == (small.info.static_count, small.info.moving_count)
    for one, other in ((whole.static(), small.static()), (whole.moving(1), small.moving(1))):
        middles = [np.median(each.position, axis=0) for each in (one, other)]
        np.testing.assert_allclose(middles[0], middles[1], atol=0.05)
        colours = [colour_from_radiance(each.radiance).mean(axis=0) for each in (one, other)]
        np.testing.assert_allclose(colours[0], colours[1], rtol=0.02)


def test_a_fitted_scene_has_at_most_as_many_gaussians_as_allowed(panorama, output):
    for settings in (FITTED, DESCENDED):
        few = dataclasses.replace(settings, gaussians=1200)
        info = panorama_to_4d(panorama, output, few, overwrite=True)
        assert 900 < info.static_count + info.moving_count <= 1200


def test_too_few_gaussians_are_refused_clearly(panorama, output):
    with pytest.raises(CycloramaError, match="budget of 500 Gaussians") as caught:
        panorama_to_4d(panorama, output, dataclasses.replace(FITTED, gaussians=500))
    assert caught.value.code == "budget-too-small" and "at least 1000" in caught.value.hint
    assert not output.exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -3.0], ids=str)
def test_a_distance_that_is_none_is_refused_or_mended_and_never_lifted(panorama, picture, output, value):
    own = np.full((HEIGHT, WIDTH, 1), 7, np.float32)
    own[20, 30] = value
    depth_file = str(picture("own.exr", own, "float"))
    settings = dataclasses.replace(FITTED, estimator="file", depth_file=depth_file)
    try:
        panorama_to_4d(panorama, output, settings)
    except CycloramaError as error:
        assert "own.exr" in error.sentence
        assert not output.exists()
    else:
        Scene(output).validate()
        assert np.isfinite(Scene(output).static().position).all()


def test_previews_of_the_fit_are_shown(panorama, output):
    shown = []
    panorama_to_4d(panorama, output, FITTED, show=shown.append)
    assert len(shown) == 4  # of what stands still and of each frame
    for preview in shown:
        assert preview.dtype == np.uint8 and preview.shape[1] == 2 * preview.shape[0]
        upper, lower = preview[: len(preview) // 3].mean((0, 1)), preview[2 * len(preview) // 3 :].mean((0, 1))
        assert upper[2] > lower[2] + 50  # sky over meadow


@pytest.mark.parametrize("settings", [FITTED, DESCENDED], ids=lambda settings: settings.lift)
def test_stopped_while_fitting_it_goes_on_there_and_makes_the_same_scene(panorama, tmp_path, unfinished, settings):
    report, undisturbed = cancel_at(10_000)
    panorama_to_4d(panorama, tmp_path / "whole", settings, report)
    assert list(unfinished.iterdir()) == []
    fitting = [number for number, (stage, _, _) in enumerate(undisturbed, 1) if stage == "lift"]
    with pytest.raises(Cancelled):
        panorama_to_4d(panorama, tmp_path / "stopped", settings, cancel_at(fitting[-3])[0])
    assert not (tmp_path / "stopped").exists() and list(unfinished.iterdir())
    report, heard = cancel_at(10_000)
    panorama_to_4d(panorama, tmp_path / "stopped", settings, report)
    assert list(unfinished.iterdir()) == []
    assert len(heard) < len(undisturbed) - 3
    fractions = [Clock(stages(settings)).advance(*each)[0] for each in heard]
    assert fractions == sorted(fractions)
    assert arrays_of(tmp_path / "whole") == arrays_of(tmp_path / "stopped")


@pytest.mark.parametrize("settings", [FITTED, DESCENDED], ids=lambda settings: settings.lift)
def test_a_fit_can_be_stopped_at_every_step_and_leaves_no_package(panorama, output, settings):
    report, all_steps = cancel_at(10_000)
    output.parent.mkdir()
    panorama_to_4d(panorama, output.parent / "whole", settings, report)
    steps = [n for n, (stage, _, _) in enumerate(all_steps, 1) if stage in ("lift", "look around")]
    for number in steps[:: max(len(steps) // 6, 1)]:
        settings = dataclasses.replace(settings, seed=number)  # each from the start
        with pytest.raises(Cancelled):
            panorama_to_4d(panorama, output, settings, cancel_at(number)[0])
        assert {path.name for path in output.parent.iterdir()} == {"whole"}


def test_an_exploding_fit_is_noted_in_the_scene(panorama, output, monkeypatch):
    monkeypatch.setattr(Descent, "_is_sound", lambda self, loss, iteration: iteration < 2)
    info = panorama_to_4d(panorama, output, DESCENDED)
    Scene(output).validate()
    assert any("stopped after 2 of 4 iterations" in note for note in info.notes)


@pytest.mark.parametrize(
    "settings",
    [
        DIRECT,
        dataclasses.replace(DIRECT, strength=0.0),
        FITTED,
        dataclasses.replace(FITTED, strength=0.0),
        DESCENDED,
        dataclasses.replace(DESCENDED, strength=0.0),
    ],
    ids=lambda settings: f"{settings.lift} {settings.strength:g}",
)
def test_every_stage_is_reported_to_its_end_once_in_its_order(panorama, output, settings):
    report, heard = cancel_at(10_000)
    panorama_to_4d(panorama, output, settings, report)
    order = list(dict.fromkeys(stage for stage, _, _ in heard))
    assert order == list(stages(settings))
    assert [stage for stage, step, total in heard if step == total] == order
    assert sum(stages(settings).values()) == pytest.approx(1)
    clock = Clock(stages(settings))
    fractions = [clock.advance(*each)[0] for each in heard]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1)


# Networks


@pytest.fixture(scope="module")
def dino(tmp_path_factory) -> Path:
    return make_features(tmp_path_factory.mktemp("hub") / "tiny-dinov2", "dinov2")


def test_the_semantic_loss_s_network_is_named_with_its_licence(panorama, output, dino):
    settings = dataclasses.replace(DESCENDED, semantic_checkpoint=str(dino))
    info = panorama_to_4d(panorama, output, settings)
    assert [model.licence for model in info.models] == ["cc0-1.0"]
    assert "tiny-dinov2" in info.models[0].id


def test_the_fast_fit_and_losses_that_are_left_out_need_no_network(panorama, output):
    for settings in (FITTED, DESCENDED):
        assert panorama_to_4d(panorama, output, settings, overwrite=True).models == ()


def test_a_network_that_cannot_be_had_is_named_and_leaves_no_package(panorama, output, tmp_path):
    missing = str(tmp_path / "nowhere")
    with pytest.raises(CycloramaError, match="nowhere"):
        panorama_to_4d(panorama, output, dataclasses.replace(DESCENDED, semantic_checkpoint=missing))
    assert not output.exists()


@pytest.mark.parametrize(
    "missing",
    [
        {"lift": "fast", "inpainter": "/nowhere"},
        {"lift": "4k4dgen", "semantic_checkpoint": "/nowhere"},
        {"lift": "tip4gen", "semantic_checkpoint": WITHOUT_LOSS, "perceptual_checkpoint": "/nowhere"},
    ],
    ids=lambda changed: changed["lift"],
)
def test_a_network_of_the_lift_that_is_missing_is_named_before_a_video_model_works(
    panorama, output, monkeypatch, missing
):
    monkeypatch.setattr(recipe, "model_motion", lambda *_: pytest.fail("a video model worked first"))
    settings = PanoramaTo4D(animator="panoramic", **missing)
    assert "check" in stages(settings)
    with pytest.raises(CycloramaError, match="/nowhere"):
        panorama_to_4d(panorama, output, settings)
    assert not output.exists()


def test_what_was_fitted_with_another_network_is_not_gone_on_with(panorama, output, dino, unfinished):
    report, steps = cancel_at(10_000)
    panorama_to_4d(panorama, output, DESCENDED, report)
    fitting = [number for number, (stage, _, _) in enumerate(steps, 1) if stage == "lift"]
    with pytest.raises(Cancelled):
        panorama_to_4d(panorama, output.parent / "b", DESCENDED, cancel_at(fitting[-2])[0])
    kept = set(unfinished.iterdir())
    with pytest.raises(Cancelled):
        other = dataclasses.replace(DESCENDED, semantic_checkpoint=str(dino))
        panorama_to_4d(panorama, output.parent / "b", other, cancel_at(fitting[-2])[0])
    assert kept and kept < set(unfinished.iterdir())


def test_tip4gen_s_way_makes_a_valid_scene_too(panorama, output):
    settings = dataclasses.replace(DESCENDED, lift="tip4gen", iterations=2, frames=1)
    panorama_to_4d(panorama, output, settings)
    Scene(output).validate()


def test_the_names_of_the_built_in_inpainter_need_no_model(panorama, output):
    info = panorama_to_4d(panorama, output, dataclasses.replace(FITTED, inpainter="opencv"))
    assert info.models == ()
