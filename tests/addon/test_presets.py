"""Draft, Preview and Final are Blender presets, and the artist's own stand beside them."""

from pathlib import Path

import bpy
import pytest

from cyclorama.addon import quality
from cyclorama.addon.request import recipe_settings
from cyclorama.bridge.estimate import Device, estimate
from cyclorama.bridge.settings import PanoramaTo4D

from .conftest import ROOT

SHIPPED = ROOT / "presets" / "cyclorama" / "generate"
NAMES = ("Draft", "Preview", "Final")


@pytest.fixture
def own_scripts(tmp_path, monkeypatch) -> Path:
    """Blender's folder for what the artist adds."""
    monkeypatch.setenv("BLENDER_USER_SCRIPTS", str(tmp_path / "scripts"))
    monkeypatch.setenv("BLENDER_USER_RESOURCES", str(tmp_path / "scripts"))
    real = bpy.utils.user_resource
    monkeypatch.setattr(
        bpy.utils,
        "user_resource",
        lambda kind, path="", create=False: _made(tmp_path / "scripts" / path) if kind == "SCRIPTS" else real(kind),
    )
    paths = bpy.utils.script_paths
    monkeypatch.setattr(
        bpy.utils,
        "script_paths",
        lambda **how: [*paths(**how), *([str(tmp_path / "scripts" / "presets")] if how.get("subdir") else [])],
    )
    return tmp_path / "scripts" / "presets" / "cyclorama" / "generate"


def _made(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


@pytest.fixture
def settings(addon):
    quality.forget()
    return bpy.context.scene.cyclorama


def choose(name: str) -> None:
    path = bpy.utils.preset_find(name, quality.SUBFOLDER)
    assert path, f"Blender does not find {name}"
    bpy.ops.script.execute_preset(filepath=path, menu_idname="CYCLORAMA_PT_presets")


def test_the_shipped_presets_are_found_by_blender(settings):
    assert set(NAMES) <= set(quality.presets())
    assert {file.stem for file in SHIPPED.glob("*.py")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_sets_what_it_says_and_is_then_the_chosen_one(settings, name):
    settings.width, settings.lift = 333, "tip4gen"
    assert quality.chosen(settings) == ""
    choose(name)
    assert quality.chosen(settings) == name
    assert recipe_settings(settings)
    settings.width = 334
    assert quality.chosen(settings) == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_leaves_what_is_no_question_of_quality(settings, name):
    kept = {"animator": "panoramic", "model": "wan", "prompt": "wind", "frames": 33, "seed": 7, "estimator": "dpt"}
    for setting, value in kept.items():
        setattr(settings, setting, value)
    choose(name)
    assert {setting: getattr(settings, setting) for setting in kept} == kept
    assert set(quality.presets()[name]) <= set(quality.VALUES)


def test_each_preset_takes_longer_than_the_one_before(settings):
    seconds = []
    for name in NAMES:
        choose(name)
        seconds.append(estimate(recipe_settings(settings), 4096, Device()).seconds)
    assert seconds == sorted(seconds) and seconds[0] < seconds[1] / 2 < seconds[2] / 4


def test_final_is_what_untouched_settings_are(settings):
    assert quality.chosen(settings) == "Final"
    choose("Final")
    assert recipe_settings(settings) == PanoramaTo4D()


def test_an_artist_s_own_preset_is_kept_found_and_removed(settings, own_scripts):
    settings.width, settings.strength, settings.animator = 1536, 0.35, "panoramic"
    assert bpy.ops.cyclorama.add_preset(name="Night shots") == {"FINISHED"}
    (file,) = own_scripts.iterdir()
    assert set(quality.values_of(file)) == set(quality.VALUES)
    assert quality.chosen(settings) == "Night shots"
    choose("Draft")
    assert quality.chosen(settings) == "Draft"
    bpy.ops.script.execute_preset(filepath=str(file), menu_idname="CYCLORAMA_PT_presets")
    assert (settings.width, settings.animator) == (1536, "panoramic") and quality.chosen(settings) == "Night shots"
    assert bpy.ops.cyclorama.add_preset(name="Night_shots", remove_name=True) == {"FINISHED"}
    assert not list(own_scripts.iterdir()) and quality.chosen(settings) == ""


def test_every_value_of_a_preset_is_a_setting(settings):
    assert set(quality.VALUES) <= set(settings.bl_rna.properties.keys())


@pytest.mark.parametrize(
    "text", ["", "import bpy\n", "settings.width =", "x" * 100, "settings.width = __import__('os')"]
)
def test_a_file_that_is_no_preset_is_passed_over(tmp_path, text):
    file = tmp_path / "odd.py"
    file.write_text(text)
    assert quality.values_of(file) == {}


def test_switched_off_the_addon_leaves_no_path_behind(addon):
    import cyclorama

    cyclorama.unregister()
    try:
        assert not bpy.utils.preset_paths(quality.SUBFOLDER)
    finally:
        cyclorama.register()
