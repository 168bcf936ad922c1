import dataclasses
import typing
from pathlib import Path

import bpy
import pytest

from cyclorama.addon.properties import RECIPE_SETTINGS, GenerateSettings
from cyclorama.addon.request import generate_request, recipe_settings
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import PanoramaTo4D

from .conftest import PANORAMA


def _declared(name):
    """The type, the ``Meta`` and the default of a setting, as declared in the bridge."""
    kind, meta = typing.get_args(typing.get_type_hints(PanoramaTo4D, include_extras=True)[name])
    return kind, meta, PanoramaTo4D.__dataclass_fields__[name].default


@pytest.fixture
def settings(addon) -> GenerateSettings:
    return bpy.context.scene.cyclorama


def test_every_setting_but_the_strokes_is_in_the_panel(settings):
    assert set(RECIPE_SETTINGS) == {field.name for field in dataclasses.fields(PanoramaTo4D)} - {"strokes"}
    assert set(RECIPE_SETTINGS) <= set(settings.bl_rna.properties.keys())


@pytest.mark.parametrize("name", RECIPE_SETTINGS)
def test_a_setting_is_declared_once(settings, name):
    kind, meta, default = _declared(name)
    shown = settings.bl_rna.properties[name]
    assert shown.description == meta.description
    assert shown.type == {int: "INT", float: "FLOAT", str: "STRING"}[kind]
    assert shown.default == pytest.approx(default)
    if kind is not str:
        assert (shown.hard_min, shown.hard_max) == pytest.approx((meta.ge, meta.le))
    assert not shown.is_animatable


def test_untouched_settings_are_the_recipe_s_defaults(settings):
    assert recipe_settings(settings) == PanoramaTo4D()


def test_a_request_carries_what_was_set(settings, tmp_path):
    settings.panorama = str(PANORAMA)
    settings.output_folder = str(tmp_path / "scenes")
    settings.frames, settings.strength = 12, 0.35
    asked = generate_request(settings)
    assert asked.panorama == str(PANORAMA)
    assert asked.output == str(tmp_path / "scenes" / "sunset.cyclorama")
    assert asked.settings == PanoramaTo4D(frames=12, strength=0.35)


def test_a_scene_that_is_there_already_is_never_overwritten(settings, tmp_path):
    settings.panorama, settings.output_folder = str(PANORAMA), str(tmp_path)
    (tmp_path / "sunset.cyclorama").mkdir()
    assert Path(generate_request(settings).output).name == "sunset 2.cyclorama"


def test_before_the_file_is_saved_scenes_go_below_the_backend_s_folder(settings, no_backend):
    settings.panorama = str(PANORAMA)
    assert Path(generate_request(settings).output).parent == no_backend / "scenes"


def test_beside_the_file_once_it_is_saved(settings, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    settings = bpy.context.scene.cyclorama
    settings.panorama = str(PANORAMA)
    assert Path(generate_request(settings).output).parent == tmp_path


def test_an_output_folder_that_cannot_be_made_is_named(settings, tmp_path):
    (tmp_path / "file").touch()
    settings.panorama, settings.output_folder = str(PANORAMA), str(tmp_path / "file" / "scenes")
    with pytest.raises(CycloramaError, match="output folder"):
        generate_request(settings)
