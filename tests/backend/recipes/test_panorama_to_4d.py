"""A small real run of the embedded recipe makes a valid scene, the same one every time, or nothing at all."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from cyclorama.backend.depth import estimators
from cyclorama.backend.depth.skyline import skyline_distance
from cyclorama.backend.recipes import panorama_to_4d as recipe
from cyclorama.backend.recipes.motion import Motion
from cyclorama.backend.recipes.panorama_to_4d import panorama_to_4d, stages
from cyclorama.backend.recipes.progress import Clock
from cyclorama.backend.sphere.colour import linear_from_srgb
from cyclorama.backend.sphere.equirectangular import latitudes
from cyclorama.backend.sphere.lattice import Lattice
from cyclorama.backend.sphere.panorama import PanoramaVideo
from cyclorama.backend.sphere.periodic import dilate
from cyclorama.backend.sphere.skyline import MovingRegions, parse
from cyclorama.bridge.errors import Cancelled, CycloramaError
from cyclorama.bridge.gaussians import colour_from_radiance
from cyclorama.bridge.scene import Model, Scene
from cyclorama.bridge.settings import PanoramaTo4D, Stroke

from .truthful_network import Seer, brightness, hall

HEIGHT, WIDTH = 64, 128
SHORT = PanoramaTo4D(frames=3, lift="direct")
BRISK = PanoramaTo4D(frames=3, fps=1.0, lift="direct")
"""What is not about lifting is lifted in the fastest way."""


def meadow() -> np.ndarray:
    """Clouded sky over a meadow, scene-linear."""
    image = np.empty((HEIGHT, WIDTH, 3), np.float32)
    image[: HEIGHT // 2], image[HEIGHT // 2 :] = (0.35, 0.5, 0.9), (0.08, 0.12, 0.04)
    grain = np.exp(0.05 * np.random.default_rng(0).standard_normal((HEIGHT, WIDTH, 1)))
    return (image * grain).astype(np.float32)


def room() -> np.ndarray:
    """A warm ceiling, walls and a brick floor."""
    image = np.empty((HEIGHT, WIDTH, 3), np.float32)
    latitude = np.degrees(latitudes(HEIGHT))
    image[:] = (0.4, 0.4, 0.35)
    image[latitude > 30], image[latitude < -35] = (0.5, 0.42, 0.36), (0.30, 0.12, 0.07)
    return image


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


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "scenes" / "a.cyclorama"


@pytest.fixture(scope="module")
def layout():
    """Of the meadow; it takes longer to find than all the rest."""
    return parse(meadow())


@pytest.fixture
def panorama(picture, monkeypatch, layout) -> Path:
    """The meadow, looked at once for all runs."""
    monkeypatch.setattr(recipe, "parse", lambda image: layout if image.shape == meadow().shape else parse(image))
    return picture("meadow.exr", meadow(), "float")


def test_a_panorama_becomes_a_valid_scene(panorama, output):
    info = panorama_to_4d(panorama, output, SHORT)
    scene = Scene(output)
    scene.validate()
    assert scene.info.files == info.files
    assert info.static_count + info.moving_count == len(Lattice(HEIGHT).rows)
    assert 0.2 < info.moving_count / info.static_count < 1  # the sky, less its edge
    assert (info.frame_count, info.frame_rate, info.loops, info.notes) == (3, 24.0, True, ())
    assert {path.name for path in output.parent.iterdir()} == {output.name}


def test_the_scene_holds_video_distance_and_preview(panorama, output, frames_of, stored):
    panorama_to_4d(panorama, output, dataclasses.replace(SHORT, eye_height=2.5, far_distance=60.0))
    video = frames_of(output)
    assert video.shape == (3, HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(video[0], meadow(), rtol=1e-3)  # half floats
    distance = stored(output / "depth" / "000000.exr")[..., 0]
    np.testing.assert_allclose(distance[-1], 2.5, rtol=2e-3)
    np.testing.assert_allclose(distance[:20], 60, rtol=2e-3)
    assert stored(output / "preview.webp").shape[:2] == (256, 512)


def test_the_gaussians_have_the_colours_of_the_video(panorama, output, frames_of):
    panorama_to_4d(panorama, output, SHORT)
    scene, video = Scene(output), frames_of(output)
    for index in range(3):
        gaussians = scene.moving(index)
        sky = gaussians.position[:, 2] > 10
        colour = colour_from_radiance(gaussians.radiance)[sky]
        expected = video[index, : HEIGHT // 2].reshape(-1, 3)
        np.testing.assert_allclose(colour.mean(axis=0), expected.mean(axis=0), rtol=0.02)


def test_the_ground_stands_still_and_the_sky_moves(panorama, output, frames_of):
    panorama_to_4d(panorama, output, BRISK)
    video = frames_of(output)
    below, above = video[:, HEIGHT // 2 + 3 :], video[:, 5 : HEIGHT // 2 - 5]
    assert (below == below[0]).all()
    assert (above[1] != above[0]).any(axis=-1).mean() > 0.9


def test_the_settings_are_kept_with_the_scene(panorama, output):
    settings = dataclasses.replace(SHORT, strokes=(Stroke(10, 40, 20, 0, 3),), fps=12.0, seed=5)
    info = panorama_to_4d(panorama, output, settings)
    assert msgspec.convert(Scene(output).info.generator.settings, PanoramaTo4D) == settings
    assert (info.seed, info.frame_rate, info.generator.recipe) == (5, 12.0, "panorama_to_4d")


def arrays_of(output: Path) -> dict[str, str]:
    """Checksum of every file of arrays."""
    return {name: file.sha256 for name, file in Scene(output).info.files.items() if file.arrays}


def test_the_same_seed_makes_the_same_scene_byte_by_byte(panorama, tmp_path):
    for name in ("one", "other"):
        panorama_to_4d(panorama, tmp_path / name, SHORT)
    one, other = arrays_of(tmp_path / "one"), arrays_of(tmp_path / "other")
    assert len(one) == 5
    assert one == other


def test_another_seed_makes_another_motion_of_the_same_place(panorama, tmp_path):
    for seed in (0, 1, 2, 3):
        panorama_to_4d(panorama, tmp_path / str(seed), dataclasses.replace(BRISK, seed=seed))
    made = [arrays_of(tmp_path / str(seed)) for seed in range(4)]
    assert len({each["static.safetensors"] for each in made}) == 1
    assert len({each["frames/000000.safetensors"] for each in made}) == 1
    assert len({each["frames/000001.safetensors"] for each in made}) == 2  # to the left or to the right


# How far things are


def test_the_stage_set_s_distance_is_stored_to_the_bit(panorama, output, stored, layout):
    panorama_to_4d(panorama, output, dataclasses.replace(SHORT, eye_height=2.5, far_distance=60.0))
    expected = skyline_distance(layout, HEIGHT, eye_height=2.5, far_distance=60.0)
    np.testing.assert_array_equal(stored(output / "depth" / "000000.exr")[..., 0], expected)


def test_an_own_depth_image_shapes_the_scene(panorama, picture, output):
    own = np.full((HEIGHT, WIDTH, 1), 7, np.float32)
    own[:, : WIDTH // 2] = 20  # to the left
    depth_file = str(picture("shells.exr", own, "float"))
    info = panorama_to_4d(panorama, output, dataclasses.replace(SHORT, estimator="file", depth_file=depth_file))
    scene = Scene(output)
    for gaussians in (scene.static(), scene.moving(0), scene.moving(2)):
        radius = np.linalg.norm(gaussians.position, axis=1)
        np.testing.assert_allclose(radius, np.where(gaussians.position[:, 0] < 0, 20, 7), rtol=1e-5)
    assert info.models == ()


@pytest.fixture
def seer(monkeypatch) -> PanoramaTo4D:
    """Settings with which a network that sees truly is asked."""
    monkeypatch.setattr(estimators, "load", lambda *_args: Seer())
    return dataclasses.replace(BRISK, estimator="depth-anything", eye_height=2.0)


@pytest.fixture
def hall_picture(picture) -> Path:
    return picture("hall.png", brightness(hall(HEIGHT)), "uint16")


def test_under_a_flow_a_network_gives_one_distance_and_the_scene_loops(hall_picture, picture, seer, output, stored):
    mask = str(picture("mask.png", np.ones((HEIGHT, WIDTH, 1), np.float32)))
    report, heard = cancel_at(10_000)
    settings = dataclasses.replace(seer, mask=mask)
    info = panorama_to_4d(hall_picture, output, settings, report)
    scene = Scene(output)
    scene.validate()
    assert [name for name in info.files if name.startswith("depth/")] == ["depth/000000.exr"]
    distance = stored(output / "depth" / "000000.exr")[..., 0]
    assert np.abs(distance / hall(HEIGHT) - 1).mean() < 0.03
    assert "moving.safetensors" in info.files and set(scene.changes(1)) == {"radiance:base"}
    assert (info.loops, info.models) == (True, (Model("seer", "cc-by-nc-4.0"),))
    assert any("licence of seer is cc-by-nc-4.0" in note for note in info.notes)
    order = list(dict.fromkeys(stage for stage, _, _ in heard))
    assert order == list(stages(settings))
    assert order == ["read", "layout", "estimator", "depth", "animate", "lift", "look around", "write"]


def test_under_a_video_model_a_network_sees_every_frame(hall_picture, seer, output, stored, monkeypatch):
    where = np.zeros((HEIGHT, WIDTH), bool)
    where[26:38, 40:56] = True
    nearer = np.where(where, 3, hall(HEIGHT))

    def model_motion(_panorama, _proposed, _settings, report, _show):
        for stage in ("model", "animate", "decode", "finish"):
            report(stage, 0, 1)
            report(stage, 1, 1)
        frames = linear_from_srgb(np.stack([brightness(hall(HEIGHT)), brightness(nearer)])).astype(np.float32)
        return Motion(PanoramaVideo(frames, dilate(where, 4), 7.0), False, (Model("film", "mit"),))

    monkeypatch.setattr(recipe, "model_motion", model_motion)
    settings = dataclasses.replace(seer, animator="panoramic")
    report, heard = cancel_at(10_000)
    info = panorama_to_4d(hall_picture, output, settings, report)
    scene = Scene(output)
    scene.validate()
    first, second = (stored(output / "depth" / f"00000{index}.exr")[..., 0] for index in range(2))
    np.testing.assert_array_equal(first[:, 70:], second[:, 70:])
    middle = np.median(second[29:35, 44:52])
    assert middle == pytest.approx(3, rel=0.1) and np.median(first[29:35, 44:52]) > 4
    assert set(scene.changes(1)) == {"position", "rotation", "scale", "radiance:base"}
    radius = np.linalg.norm(scene.moving(1).position, axis=1)
    assert radius.min() == pytest.approx(3, rel=0.1) and np.linalg.norm(scene.moving(0).position, axis=1).min() > 3.3
    assert (info.loops, [model.id for model in info.models]) == (False, ["film", "seer"])
    order = list(dict.fromkeys(stage for stage, _, _ in heard))
    assert order == list(stages(settings)) and order.index("estimator") > order.index("finish")


@pytest.mark.parametrize("animator", ["flow", "panoramic"])
@pytest.mark.parametrize("estimator", ["skyline", "file", "dpt"])
@pytest.mark.parametrize("lift", ["direct", "fast", "4k4dgen", "tip4gen"])
def test_the_shares_of_the_stages_are_all_of_the_time(animator, estimator, lift):
    shares = stages(PanoramaTo4D(animator=animator, estimator=estimator, lift=lift))
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares)[-3:] == ["lift", "look around", "write"]


# What the artist chooses


def test_only_what_the_mask_shows_white_moves(panorama, output, picture, frames_of):
    painted = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    painted[5:50, 100:] = painted[5:50, :10] = 1
    mask = picture("mask.png", painted)
    panorama_to_4d(panorama, output, dataclasses.replace(BRISK, mask=str(mask)))
    video = frames_of(output)
    changes = (video != video[0]).any(axis=(0, 3))
    assert not changes[painted[..., 0] == 0].any()
    assert changes[painted[..., 0] > 0].mean() > 0.5


def test_water_outside_the_mask_stands_still(panorama, output, picture, frames_of, monkeypatch):
    upper = np.zeros((HEIGHT, WIDTH), np.float32)
    upper[: HEIGHT // 2] = 1
    monkeypatch.setattr(recipe, "propose", lambda layout: MovingRegions(sky=upper, water=1 - upper))
    mask = picture("mask.png", upper[..., None])
    panorama_to_4d(panorama, output, dataclasses.replace(BRISK, mask=str(mask)))
    changes = (np.diff(frames_of(output), axis=0) != 0).any(axis=(0, 3))
    assert changes[: HEIGHT // 2 - 3].mean() > 0.5
    assert not changes[HEIGHT // 2 :].any()


def test_a_stroke_tells_the_mask_where_to_move(panorama, output, picture, frames_of):
    mask = picture("mask.png", np.ones((HEIGHT, WIDTH, 1), np.float32))
    settings = dataclasses.replace(SHORT, mask=str(mask), strokes=(Stroke(0, 0, 0, 90, 90),), frames=4, fps=1.0)
    info = panorama_to_4d(panorama, output, settings)  # a quarter turn a frame, upwards: after four all is as it was
    assert (info.static_count, info.moving_count) == (0, len(Lattice(HEIGHT).rows))
    upside_down = frames_of(output)[2]
    assert upside_down[-10:, 40:88].mean() > 3 * upside_down[:10, 40:88].mean()


@pytest.mark.parametrize("changed", [{"strength": 0.0}, {"frames": 1}], ids=str)
def test_a_scene_in_which_nothing_should_move_is_valid_too(panorama, output, changed, frames_of):
    info = panorama_to_4d(panorama, output, dataclasses.replace(SHORT, **changed))
    Scene(output).validate()
    assert info.moving_count == 0 and len(Scene(output).video_frames()) == 1
    np.testing.assert_allclose(frames_of(output)[0], meadow(), rtol=1e-3)


def test_indoors_nothing_moves_and_the_scene_is_valid(picture, output):
    info = panorama_to_4d(picture("room.png", room()), output, SHORT)
    Scene(output).validate()
    assert (info.static_count, info.moving_count) == (len(Lattice(HEIGHT).rows), 0)
    assert not (output / "frames").exists()


def test_a_reduced_panorama_is_noted_with_both_sizes(picture, output):
    large = np.repeat(np.repeat(meadow(), 2, axis=0), 2, axis=1)
    info = panorama_to_4d(picture("large.exr", large, "float"), output, dataclasses.replace(SHORT, width=WIDTH))
    (note,) = info.notes
    assert "256 x 128" in note and "128 x 64" in note and "2.81°" in note
    assert Scene(output).info.notes == info.notes


# Stopping and failing


def cancel_at(number: int):
    """A report that raises at its ``number``-th call; and the calls it heard."""
    heard = []

    def report(stage, step, total):
        heard.append((stage, step, total))
        if len(heard) == number:
            raise Cancelled

    return report, heard


def test_cancelling_at_any_step_leaves_nothing(panorama, output):
    report, all_steps = cancel_at(10_000)
    panorama_to_4d(panorama, output, SHORT, report)
    others = output.parent / "other.cyclorama"
    for number in range(1, len(all_steps) + 1):
        report, heard = cancel_at(number)
        with pytest.raises(Cancelled):
            panorama_to_4d(panorama, others, SHORT, report)
        assert heard == all_steps[:number]
        assert {path.name for path in output.parent.iterdir()} == {output.name}, heard[-1]


def test_cancelling_while_overwriting_keeps_the_old_scene(panorama, output):
    panorama_to_4d(panorama, output, SHORT)
    before = arrays_of(output)
    report, all_steps = cancel_at(10_000)
    settings = dataclasses.replace(SHORT, fps=1.0, seed=9)
    panorama_to_4d(panorama, output.with_name("other"), settings, report)
    with pytest.raises(Cancelled):
        panorama_to_4d(panorama, output, settings, cancel_at(len(all_steps))[0], overwrite=True)
    Scene(output).validate()
    assert arrays_of(output) == before


def test_every_stage_is_reported_to_its_end_in_its_order(panorama, output):
    report, heard = cancel_at(10_000)
    panorama_to_4d(panorama, output, SHORT, report)
    order = list(dict.fromkeys(stage for stage, _, _ in heard))
    assert order == list(stages(SHORT))
    assert [stage for stage, step, total in heard if step == total] == order
    clock = Clock(stages(SHORT))
    fractions = [clock.advance(*each)[0] for each in heard]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1)


@pytest.mark.parametrize("changed", [{"mask": "/no/mask.png"}, {"strokes": (Stroke(0, -80, 10, 0, 5),)}], ids=str)
def test_what_cannot_be_made_leaves_nothing(panorama, output, changed):
    with pytest.raises(CycloramaError):
        panorama_to_4d(panorama, output, dataclasses.replace(SHORT, **changed))
    assert not output.parent.exists()


def test_what_an_earlier_run_did_does_not_make_the_clock_hopeful(monkeypatch):
    now = 100.0
    monkeypatch.setattr("cyclorama.backend.recipes.progress.time.monotonic", lambda: now)
    clock = Clock({"read": 0.1, "animate": 0.9})
    clock.advance("read", 0, 1)
    now += 1
    clock.advance("read", 1, 1)
    clock.advance("animate", 60, 100)  # goes on from there
    now += 10
    fraction, seconds_left = clock.advance("animate", 80, 100)
    assert fraction == pytest.approx(0.82)
    assert seconds_left == pytest.approx(11 * 0.18 / 0.28)
