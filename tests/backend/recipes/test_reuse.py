"""A scene is the same to the bit with and without the stage cache, and only what depends on a change is done again."""

import ast
import dataclasses
import os
import shutil
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest

from cyclorama.backend import code_version as code
from cyclorama.backend.lift.safe_radius import SafeRadii
from cyclorama.backend.recipes import once
from cyclorama.backend.recipes import panorama_to_4d as recipe
from cyclorama.backend.recipes.panorama_to_4d import panorama_to_4d, stages
from cyclorama.backend.recipes.progress import Clock
from cyclorama.backend.recipes.reuse import _BELOW_ALL, ESTIMATOR, FIT, FLOW, LOOK_AROUND, VIDEO, Reuse
from cyclorama.backend.sphere.skyline import parse
from cyclorama.backend.stage_cache import StageCache
from cyclorama.bridge.errors import Cancelled
from cyclorama.bridge.settings import WITHOUT_LOSS, Box, PanoramaTo4D, Region, Stroke

from ...tiny_checkpoints import make_checkpoint
from ...tiny_depth import make_estimator
from ..conftest import write_picture

HEIGHT, WIDTH = 64, 128
MB = 1_000_000
FLOWING = PanoramaTo4D(frames=2, fps=1.0, lift="fast", gaussians=1500)


def meadow(brighter: float = 1.0, height: int = HEIGHT) -> np.ndarray:
    """Clouded sky over a meadow, scene-linear."""
    image = np.empty((height, 2 * height, 3), np.float32)
    image[: height // 2], image[height // 2 :] = (0.35, 0.5, 0.9), (0.08, 0.12, 0.04)
    grain = np.exp(0.05 * np.random.default_rng(0).standard_normal((height, 2 * height, 1)))
    return (image * grain * brighter).astype(np.float32)


@pytest.fixture(scope="module")
def layouts():
    return {height: parse(meadow(height=height)) for height in (HEIGHT, 2 * HEIGHT)}


@pytest.fixture(autouse=True)
def own_folder(tmp_path_factory, monkeypatch, layouts) -> Path:
    """Of the backend. The meadow is looked at once for all runs."""
    folder = tmp_path_factory.mktemp("backend")
    monkeypatch.setenv("CYCLORAMA_FOLDER", str(folder))
    monkeypatch.setattr(recipe, "parse", lambda image: layouts[len(image)])
    return folder


@pytest.fixture
def glance(monkeypatch):
    """Looking around takes longer than all the rest."""

    def safe_radii(shown, height, report):
        report("look around", 0, 1)
        return SafeRadii((float(np.float32(shown[0].position.max())),) * 10)

    monkeypatch.setattr(once, "safe_radii", safe_radii)


@pytest.fixture(scope="session")
def networks(tmp_path_factory) -> Path:
    """Tiny ones: ``svd``, ``dpt``."""
    folder = tmp_path_factory.mktemp("networks")
    make_checkpoint(folder / "svd")
    make_estimator(folder / "dpt", "dpt")
    return folder


@pytest.fixture
def by_models(networks) -> PanoramaTo4D:
    return PanoramaTo4D(
        animator="panoramic",
        model="tiny",
        checkpoint=str(networks / "svd"),
        frames=2,
        steps=2,
        spherical_steps=1,
        estimator="tiny",
        estimator_checkpoint=str(networks / "dpt"),
        align="none",  # untrained, it sees no common scene
        regions=(Region(box=Box(40, 25, 50, 30)),),
        lift="4k4dgen",
        iterations=2,
        semantic_checkpoint=WITHOUT_LOSS,
        gaussians=1500,
    )


@pytest.fixture
def large(picture) -> Path:
    """Wide enough for a video model."""
    return picture("large.exr", meadow(height=2 * HEIGHT), "float")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, layouts) -> dict[str, bytes]:
    """The scene of ``FLOWING``, made without a cache."""
    folder = tmp_path_factory.mktemp("undisturbed")
    panorama = write_picture(folder / "meadow.exr", meadow(), "float")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CYCLORAMA_FOLDER", str(folder))
        patch.setattr(recipe, "parse", lambda image: layouts[len(image)])
        panorama_to_4d(panorama, folder / "a.cyclorama", FLOWING)
    return content_of(folder / "a.cyclorama")


def content_of(scene: Path) -> dict[str, bytes]:
    return {str(path.relative_to(scene)): path.read_bytes() for path in scene.rglob("*") if path.is_file()}


@pytest.fixture
def panorama(picture) -> Path:
    return picture("meadow.exr", meadow(), "float")


@pytest.fixture
def make(tmp_path, panorama):
    """One run: what is in its scene, and the stages it did not have to do."""
    made = []

    def run(settings, cached=True, report=lambda *_: None, panorama=panorama, limit=100 * MB):
        cache = StageCache(tmp_path / "cache", limit, "job") if cached else None
        output = tmp_path / f"{len(made)}.cyclorama"
        made.append(output)
        panorama_to_4d(panorama, output, settings, report, cache=cache)
        return content_of(output), tuple(cache.reused) if cache else ()

    return run


def test_a_scene_of_a_flow_is_the_same_with_and_without_the_cache(make, undisturbed):
    first, nothing = make(FLOWING)
    again, reused = make(FLOWING)
    assert first == undisturbed and again == undisturbed
    assert nothing == () and reused == ("depth", "animate", "lift", "look around")


def test_a_scene_of_models_is_the_same_with_and_without_the_cache(make, by_models, large, glance):
    without, _ = make(by_models, cached=False, panorama=large)
    first, nothing = make(by_models, panorama=large)
    again, reused = make(by_models, panorama=large)
    assert first == without and again == without
    expected = ("check", "model", "animate", "decode", "finish", "estimator", "depth", "lift", "look around")
    assert nothing == () and sorted(reused) == sorted(expected)


@pytest.mark.parametrize(
    ("stopped_in", "reused"),
    [
        ("animate", {"depth"}),
        ("lift", {"depth", "animate"}),
        ("look around", {"depth", "animate", "lift"}),
        ("write", {"depth", "animate", "lift", "look around"}),
    ],
)
def test_a_job_goes_on_from_its_last_finished_stage_and_makes_the_same_scene(
    make, stopped_in, reused, undisturbed, tmp_path
):
    def stop(stage, step, total):
        if stage == stopped_in and (step or stage == "write"):
            raise Cancelled

    with pytest.raises(Cancelled):
        make(FLOWING, report=stop)
    resumed, found = make(FLOWING)
    assert resumed == undisturbed
    assert set(found) == reused
    assert not list((tmp_path / "cache").rglob("*.partial"))


MEADOW_OF_LATER = {
    "compression": {"depth", "animate", "lift", "look around"},
    "gaussians": {"depth", "animate"},
    "far_distance": {"animate"},
    "fps": {"depth"},
    "memory": {"depth", "animate", "lift", "look around"},
}


def test_a_changed_setting_redoes_only_what_depends_on_it(glance, make):
    make(FLOWING)
    for name, value in {
        "compression": "small",
        "gaussians": 2500,
        "far_distance": 60.0,
        "fps": 2.0,
        "memory": 8.0,
    }.items():
        changed = dataclasses.replace(FLOWING, **{name: value})
        content, reused = make(changed)
        assert set(reused) == MEADOW_OF_LATER[name], name
        if name in ("compression", "far_distance"):
            assert content == make(changed, cached=False)[0]


def test_a_changed_lift_keeps_what_models_made(glance, make, by_models, large):
    make(by_models, panorama=large)
    _, reused = make(dataclasses.replace(by_models, iterations=3), panorama=large)
    assert {"animate", "decode", "depth"} <= set(reused) and "lift" not in reused
    _, reused = make(dataclasses.replace(by_models, eye_height=1.7), panorama=large)
    assert "animate" in reused and "depth" not in reused


# What counts is what is in a file


def test_the_panorama_counts_by_its_pixels_not_by_its_path(glance, make, picture, tmp_path):
    make(FLOWING)
    elsewhere = shutil.copy(tmp_path / "meadow.exr", tmp_path / "other.exr")
    assert "lift" in make(FLOWING, panorama=Path(elsewhere))[1]
    assert make(FLOWING, panorama=picture("brighter.exr", meadow(1.01), "float"))[1] == ()


def test_a_mask_counts_by_its_content(glance, make, picture, tmp_path):
    upper = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    upper[5:20] = 255
    mask = picture("mask.png", upper)
    masked = dataclasses.replace(FLOWING, mask=str(mask), lift="direct", gaussians=0)
    make(masked)
    moved = str(shutil.copy(mask, tmp_path / "renamed.png"))
    assert "animate" in make(dataclasses.replace(FLOWING, mask=moved))[1]
    picture("mask.png", np.roll(upper, 3, axis=0))
    assert "animate" not in make(masked)[1]


def test_a_mask_that_is_painted_on_meanwhile_misleads_nobody(glance, make, picture):
    upper = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    upper[5:20] = 255
    mask = picture("mask.png", upper)
    masked = dataclasses.replace(FLOWING, mask=str(mask), lift="direct", gaussians=0)

    def paint(stage, step, total):
        if stage == "animate" and step == 1:  # after it was read
            picture("mask.png", np.roll(upper, 3, axis=0))

    make(masked, report=paint)
    picture("mask.png", upper)
    first, reused = make(masked)
    assert "animate" not in reused
    assert first == make(masked, cached=False)[0]


def test_other_weights_at_the_same_path_are_other_weights(glance, make, networks, tmp_path):
    own = shutil.copytree(networks / "dpt", tmp_path / "dpt")
    settings = dataclasses.replace(
        FLOWING, lift="direct", gaussians=0, estimator="tiny", estimator_checkpoint=str(own), align="none"
    )
    make(settings)
    assert "depth" in make(settings)[1]
    weights = own / "model.safetensors"
    os.utime(weights, ns=(1, 1))
    assert "depth" not in make(settings)[1]


def test_a_damaged_result_is_computed_anew(make, undisturbed, tmp_path):
    make(FLOWING)
    for entry in (tmp_path / "cache/entries").iterdir():
        file = max(entry.iterdir(), key=lambda path: path.stat().st_size)
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    content, reused = make(FLOWING)
    assert content == undisturbed
    assert reused == ()


def test_without_room_in_the_cache_the_scene_is_the_same(make, undisturbed):
    content, _ = make(FLOWING, limit=20_000)
    assert content == undisturbed


# Progress


def test_a_stage_that_is_found_is_reported_as_done(glance, make):
    make(FLOWING)
    clock, heard = Clock(stages(FLOWING)), []
    make(FLOWING, report=lambda *told: heard.append((told, *clock.advance(*told))))
    fractions = [fraction for _told, fraction, _left in heard]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1)
    firsts = {}
    for told, _fraction, _left in heard:
        firsts.setdefault(told[0], told[1:])
    assert all(firsts[stage] == (1, 1) for stage in ("depth", "animate", "lift", "look around"))


# Keys


@pytest.fixture
def watched(monkeypatch) -> list:
    """(stage, its settings) of all runs."""
    given, settings_of = [], Reuse.settings_of

    def remembered(self, stage):
        given.append((stage, settings_of(self, stage)))
        return given[-1][1]

    monkeypatch.setattr(Reuse, "settings_of", remembered)
    return given


def test_a_stage_reads_no_settings_but_those_that_it_declares(
    glance, make, by_models, watched, picture, large, panorama
):
    """And of these each in some way of doing it, or the key would change for nothing."""
    upper = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    upper[5:20] = 255
    mask = str(picture("mask.png", upper))
    stroke = Stroke(0, 40, 20, 0, 3)
    quick = dataclasses.replace(FLOWING, lift="direct", gaussians=0)
    for settings in (
        FLOWING,
        dataclasses.replace(quick, mask=mask, strokes=(stroke,)),
        dataclasses.replace(quick, mask=mask, prompt="wind"),
        dataclasses.replace(quick, strokes=(stroke,)),
        dataclasses.replace(quick, regions=(Region(mask=mask, prompt="wind"), Region(box=Box(0, 40, 30, 30)))),
        dataclasses.replace(quick, regions=(Region(box=Box(0, 40, 30, 30), stroke=stroke),), strokes=(stroke,)),
        by_models,
        dataclasses.replace(by_models, regions=(), mask=mask, prompt="wind", local_prompts=("a", "b", "c", "d")),
    ):
        make(settings, panorama=large if settings.animator == "panoramic" else panorama)
    read: dict = {}
    for stage, settings in watched:
        read.setdefault(stage, set()).update(settings.read)
    for stage in (FLOW, VIDEO, ESTIMATOR, FIT):
        assert read[stage] <= set(stage.reads), stage
        assert set(stage.reads) - read[stage] <= {"perceptual_checkpoint"}, stage


def test_a_result_that_read_more_than_its_key_tells_is_not_kept(glance, make, monkeypatch, caplog):
    forgetful = dataclasses.replace(FLOW, reads=tuple(name for name in FLOW.reads if name != "strength"))
    monkeypatch.setattr(recipe, "motion_stage", lambda settings: forgetful)
    make(FLOWING)
    assert "animate" not in make(FLOWING)[1]
    assert "does not declare: strength" in caplog.text


HOUSE = Path(code.__file__).parent.parent


def imported(file: Path) -> tuple[set[Path], set[str]]:
    """Files of our own that it may import, wherever in it; and the top names of others."""
    ours, others = set(), set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            others |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            others.add(str(node.module).partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            place = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            found = [place.with_suffix(".py"), place / "__init__.py", *(place / f"{one.name}.py" for one in node.names)]
            ours |= {each for each in found if each.is_file()}
    return ours, others


def closure(*names: str) -> tuple[set[Path], set[str]]:
    files, others, new = set(), set(), {HOUSE / "backend/recipes" / name for name in names}
    while new:
        file = new.pop()
        files.add(file)
        ours, foreign = imported(file)
        others |= foreign
        new |= ours - files
    return files, others


@pytest.mark.parametrize(
    ("stage", "module"),
    [
        (FLOW, "motion.py"),
        (VIDEO, "motion.py"),
        (ESTIMATOR, "geometry.py"),
        (FIT, "lifting.py"),
        (LOOK_AROUND, "lifting.py"),
    ],
    ids=lambda each: each if isinstance(each, str) else f"{each.name} {each.way}",
)
def test_all_code_that_a_stage_may_run_counts(stage, module):
    files, _ = closure(module)
    counted = set(code._files((*_BELOW_ALL, *stage.sources)))
    assert files <= counted, files - counted


WITHOUT_NUMBERS = {
    "cyclorama",
    "msgspec",
    "huggingface_hub",
    "yaml",
    "jaxtyping",
    "tqdm",
    "platformdirs",
    "psutil",
    "zmq",
}
"""Libraries that make no numbers. (Of psutil: how much memory is free.)"""


def test_all_libraries_that_compute_count():
    import sys

    _, others = closure("motion.py", "geometry.py", "lifting.py")
    foreign = others - set(sys.stdlib_module_names) - WITHOUT_NUMBERS - {"zstandard"}
    distributions = packages_distributions()
    for name in foreign:
        assert {each.lower() for each in distributions[name]} & set(code.LIBRARIES), name


def test_the_code_s_version_changes_with_any_file_and_any_library(monkeypatch, tmp_path):
    monkeypatch.setattr(code, "_HOUSE", tmp_path)
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage/a.py").write_text("a = 1")
    found = [code.code_version.__wrapped__(("stage",))]
    (tmp_path / "stage/a.py").write_text("a = 2")
    found.append(code.code_version.__wrapped__(("stage",)))
    (tmp_path / "stage/b.py").write_text("")
    found.append(code.code_version.__wrapped__(("stage",)))
    monkeypatch.setattr(code, "version", lambda name: "99")
    found.append(code.code_version.__wrapped__(("stage",)))
    assert len(set(found)) == len(found)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(FileNotFoundError):
        code.code_version.__wrapped__(("nothing",))
