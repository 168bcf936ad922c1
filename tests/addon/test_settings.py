import dataclasses
import typing
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest

from cyclorama.addon import request
from cyclorama.addon.properties import LOCAL_PROMPTS, RECIPE_SETTINGS, GenerateSettings
from cyclorama.addon.request import generate_request, recipe_settings
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import Box, PanoramaTo4D, Region

from .conftest import PANORAMA


def _declared(name):
    """The type, the ``Meta`` and the default of a setting, as declared in the bridge."""
    kind, meta = typing.get_args(typing.get_type_hints(PanoramaTo4D, include_extras=True)[name])
    return kind, meta, PanoramaTo4D.__dataclass_fields__[name].default


@pytest.fixture
def settings(addon) -> GenerateSettings:
    return bpy.context.scene.cyclorama


def test_every_setting_but_what_is_drawn_is_in_the_file(settings):
    others = {"strokes", "regions", "local_prompts"}
    assert set(RECIPE_SETTINGS) == {field.name for field in dataclasses.fields(PanoramaTo4D)} - others
    assert set(LOCAL_PROMPTS) <= set(settings.bl_rna.properties.keys())
    assert set(RECIPE_SETTINGS) <= set(settings.bl_rna.properties.keys())


@pytest.mark.parametrize("name", RECIPE_SETTINGS)
def test_a_setting_is_declared_once(settings, name):
    kind, meta, default = _declared(name)
    shown = settings.bl_rna.properties[name]
    choices = typing.get_args(kind)
    assert shown.description == meta.description
    assert shown.type == ("ENUM" if choices else {int: "INT", float: "FLOAT", str: "STRING"}[kind])
    if kind in (int, float):
        assert shown.default == pytest.approx(default)
        assert (shown.hard_min, shown.hard_max) == pytest.approx((meta.ge, meta.le))
    else:
        assert shown.default == default
    if choices:
        items = {item.identifier: (item.name, item.description) for item in shown.enum_items}
        assert items == meta.extra and set(items) == set(choices)
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


def test_every_choice_reaches_the_request(settings):
    settings.animator, settings.model, settings.agreement = "panoramic", "animate-anything", "views"
    settings.checkpoint, settings.prompt, settings.memory = "someone/weights", "Wölkchen ziehen", 23.5
    asked = recipe_settings(settings)
    assert (asked.animator, asked.model, asked.agreement) == ("panoramic", "animate-anything", "views")
    assert (asked.checkpoint, asked.prompt, asked.memory) == ("someone/weights", "Wölkchen ziehen", 23.5)


WEIGHTS = ("checkpoint", "estimator_checkpoint", "metric_reference", "inpainter")


@pytest.mark.parametrize("name", [*WEIGHTS, "semantic_checkpoint", "perceptual_checkpoint"])
def test_weights_beside_the_file_are_found(addon, tmp_path, name):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    settings = bpy.context.scene.cyclorama
    settings.estimator, settings.lift = "dpt", "tip4gen"
    setattr(settings, name, "//weights")
    assert getattr(recipe_settings(settings), name) == str(tmp_path / "weights")
    setattr(settings, name, "someone/weights")
    assert getattr(recipe_settings(settings), name) == "someone/weights"


def test_a_depth_image_beside_the_file_is_found(addon, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    settings = bpy.context.scene.cyclorama
    settings.estimator, settings.depth_file, settings.depth_file_kind = "file", "//depth.exr", "disparity"
    asked = recipe_settings(settings)
    assert (asked.depth_file, asked.depth_file_kind) == (str(tmp_path / "depth.exr"), "disparity")


def test_without_a_depth_image_the_estimator_of_images_is_refused(settings):
    settings.estimator = "file"
    with pytest.raises(CycloramaError, match="no depth file is given"):
        recipe_settings(settings)


def test_what_was_set_for_another_estimator_is_kept_but_not_sent(settings):
    settings.estimator, settings.estimator_checkpoint = "depth-pro", "someone/weights"
    settings.depth_file, settings.metric_reference = "/a/depth.exr", "someone/metres"
    network = PanoramaTo4D(
        estimator="depth-pro", estimator_checkpoint="someone/weights", metric_reference="someone/metres"
    )
    assert recipe_settings(settings) == network
    settings.estimator = "file"
    assert recipe_settings(settings) == PanoramaTo4D(estimator="file", depth_file="/a/depth.exr")
    settings.estimator = "skyline"
    assert recipe_settings(settings) == PanoramaTo4D()
    assert (settings.depth_file, settings.estimator_checkpoint) == ("/a/depth.exr", "someone/weights")


LIFTED = {
    "gaussians": 500_000,
    "inpainter": "someone/painter",
    "iterations": 3000,
    "densify": "mcmc",
    "semantic_checkpoint": "none",
    "perceptual_checkpoint": "someone/eye",
    "compression": "small",
}
"""A value for each setting of the panel of Gaussians, none of them the default."""


@pytest.mark.parametrize(
    ("lift", "read"),
    [
        ("direct", {"compression"}),
        ("fast", {"gaussians", "inpainter", "compression"}),
        ("4k4dgen", set(LIFTED) - {"perceptual_checkpoint"}),
        ("tip4gen", set(LIFTED)),
    ],
)
def test_what_was_set_for_another_lift_is_kept_but_not_sent(settings, lift, read):
    for name, value in LIFTED.items():
        setattr(settings, name, value)
    settings.lift = lift
    assert recipe_settings(settings) == PanoramaTo4D(lift=lift, **{name: LIFTED[name] for name in read})
    assert {name: getattr(settings, name) for name in LIFTED} == LIFTED


def test_an_eye_height_that_is_not_shown_is_not_sent(settings):
    settings.animator, settings.estimator, settings.eye_height = "panoramic", "zoedepth", 900
    assert recipe_settings(settings).eye_height == PanoramaTo4D().eye_height
    settings.animator = "flow"
    with pytest.raises(CycloramaError, match="the eye's height 900 m"):
        recipe_settings(settings)


class Paper:
    """A layout that notes which settings are drawn on it."""

    def __init__(self):
        self.names: list[str] = []

    def prop(self, _settings, name, **_how):
        self.names.append(name)

    def label(self, **_how):
        pass

    def operator(self, *_which, **_how):
        pass

    def column(self, **_how):
        return self

    row = split = column


def drawn(panel: str) -> list[str]:
    paper = Paper()
    getattr(bpy.types, panel).draw(SimpleNamespace(layout=paper), bpy.context)
    return paper.names


@pytest.mark.parametrize(
    ("estimator", "read", "advanced"),
    [
        ("skyline", [], []),
        ("file", ["depth_file", "depth_file_kind"], []),
        ("depth-anything", ["estimator_checkpoint"], ["align", "metric_reference", "memory"]),
    ],
)
def test_the_panel_shows_what_the_estimator_reads(settings, estimator, read, advanced):
    settings.estimator = estimator
    assert drawn("CYCLORAMA_PT_depth") == ["estimator", *read, "eye_height", "far_distance"]
    assert bpy.types.CYCLORAMA_PT_depth_advanced.poll(bpy.context) == bool(advanced)
    if advanced:
        assert drawn("CYCLORAMA_PT_depth_advanced") == advanced


@pytest.mark.parametrize(
    ("animator", "estimator", "reference", "shown"),
    [
        ("panoramic", "depth-pro", "", False),
        ("panoramic", "dpt", "someone/metres", False),
        ("panoramic", "dpt", "", True),
        ("panoramic", "skyline", "someone/metres", True),
        ("flow", "depth-pro", "", True),
    ],
    ids=["metric", "relative by a metric one", "relative", "stage set", "water drifts by it"],
)
def test_the_eye_s_height_is_shown_where_it_is_read(settings, animator, estimator, reference, shown):
    settings.animator, settings.estimator, settings.metric_reference = animator, estimator, reference
    assert ("eye_height" in drawn("CYCLORAMA_PT_depth")) == shown


@pytest.mark.parametrize(
    ("lift", "read", "advanced"),
    [
        ("direct", [], []),
        ("fast", ["gaussians", "inpainter", "memory"], []),
        ("4k4dgen", ["gaussians", "inpainter", "memory"], ["iterations", "densify", "semantic_checkpoint"]),
        (
            "tip4gen",
            ["gaussians", "inpainter", "memory"],
            ["iterations", "densify", "semantic_checkpoint", "perceptual_checkpoint"],
        ),
    ],
)
def test_the_panel_shows_what_the_lift_reads(settings, lift, read, advanced):
    settings.lift = lift
    assert drawn("CYCLORAMA_PT_gaussians") == ["width", "lift", *read]
    assert drawn("CYCLORAMA_PT_output") == ["output_folder", "compression"]
    assert bpy.types.CYCLORAMA_PT_gaussians_advanced.poll(bpy.context) == bool(advanced)
    if advanced:
        assert drawn("CYCLORAMA_PT_gaussians_advanced") == advanced


@pytest.mark.parametrize("lift", ["direct", "fast"])
@pytest.mark.parametrize(
    ("animator", "estimator", "place"),
    [
        ("panoramic", "dpt", "video_model"),
        ("panoramic", "skyline", "video_model"),
        ("flow", "dpt", "depth_advanced"),
        ("flow", "skyline", "gaussians"),
    ],
)
def test_memory_is_shown_once(settings, animator, estimator, place, lift):
    settings.animator, settings.estimator, settings.lift = animator, estimator, lift
    panels = ("video_model", "depth_advanced", "gaussians")
    shown = [panel for panel in panels if "memory" in drawn(f"CYCLORAMA_PT_{panel}")]
    assert shown == ([] if (place, lift) == ("gaussians", "direct") else [place])


@pytest.mark.parametrize("name", RECIPE_SETTINGS)
def test_no_tooltip_is_a_sentence_with_a_stop_or_longer_than_two_lines(settings, name):
    shown = settings.bl_rna.properties[name]
    said = [shown.description, *(item.description for item in getattr(shown, "enum_items", ()))]
    assert not any(text.endswith(".") or len(text) > 120 for text in said)


@pytest.mark.parametrize("name", ["estimator", "align", "lift", "densify", "compression"])
def test_the_names_of_choices_fit_into_the_panel(settings, name):
    assert all(len(item.name) <= 17 for item in settings.bl_rna.properties[name].enum_items)


def test_a_prompt_is_cut_where_the_backend_would_refuse_it(settings):
    settings.animator, settings.model = "panoramic", "wan"
    settings.prompt = settings.prompt_left = "w" * 2000
    asked = recipe_settings(settings)
    assert (asked.prompt, asked.local_prompts) == ("w" * 1000, ("", "", "", "w" * 1000))


def test_prompts_are_sent_where_the_model_reads_them_and_kept_where_not(settings):
    settings.prompt, settings.prompt_front, settings.prompt_back = "wind", "a lake", "Birken"
    settings.animator, settings.model = "panoramic", "wan"
    asked = recipe_settings(settings)
    assert (asked.prompt, asked.local_prompts) == ("wind", ("a lake", "", "Birken", ""))
    for settings.animator, settings.model in (("panoramic", "svd"), ("flow", "wan")):
        assert (recipe_settings(settings).prompt, recipe_settings(settings).local_prompts) == ("", ("",) * 4)
        assert not bpy.types.CYCLORAMA_PT_prompts.poll(bpy.context)
    assert settings.prompt == "wind"


def test_regions_are_asked_for_with_the_settings(settings, monkeypatch):
    drawn = (Region(box=Box(0, 0, 90, 40), prompt="smoke"),)
    monkeypatch.setattr(request, "regions_of", lambda scene: drawn if scene == settings.id_data else ())
    assert recipe_settings(settings).regions == drawn


def test_a_region_that_cannot_be_used_is_refused_by_name(settings, monkeypatch):
    off = (Region(box=Box(0, 91, 90, 40)),)
    monkeypatch.setattr(request, "regions_of", lambda scene: off)
    with pytest.raises(CycloramaError, match=r"regions\[0\]\.box\.latitude"):
        recipe_settings(settings)


@pytest.mark.parametrize("name", ["recipe", "panorama_source", "panorama_image", "viewpoint", *LOCAL_PROMPTS])
def test_nothing_that_is_read_once_is_animated_by_accident(settings, name):
    shown = settings.bl_rna.properties[name]
    assert not shown.is_animatable and shown.description and not shown.description.endswith(".")


def test_the_dice_never_throw_the_same_seed_twice(settings):
    for _ in range(20):
        before = settings.seed
        assert bpy.ops.cyclorama.randomise_seed() == {"FINISHED"}
        assert settings.seed != before and 0 <= settings.seed < 10_000


def test_a_recipe_that_the_backend_does_not_have_is_not_offered(settings, monkeypatch):
    from cyclorama.addon import device

    monkeypatch.setattr(device, "recipes", lambda: ("text_to_4d", "panorama_to_4d"))
    assert settings.recipe == "panorama_to_4d"
    monkeypatch.setattr(device, "recipes", lambda: ("text_to_4d",))
    assert settings.recipe == "panorama_to_4d", "there is always something to choose"


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
