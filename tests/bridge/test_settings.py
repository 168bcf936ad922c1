"""Every setting is checked against its range, and the one that is off is named."""

import dataclasses
import math
import typing

import pytest

from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import (
    BY_DESCENT,
    DEPTH_SETTINGS,
    DESCENT_SETTINGS,
    IN_METRES,
    Box,
    PanoramaTo4D,
    Region,
    Stroke,
    checked,
)

STROKE = Stroke(10, 20, 30, -40, 5)
BOX = Box(longitude=170, latitude=80, width=360, height=40)
FIELDS = [field.name for field in dataclasses.fields(PanoramaTo4D)]


def test_the_defaults_are_allowed():
    assert checked(PanoramaTo4D()) == PanoramaTo4D()


def test_allowed_settings_stay_as_they_are():
    settings = PanoramaTo4D(
        animator="panoramic",
        model="animate-anything",
        checkpoint="someone/weights",
        agreement="views",
        prompt="w" * 1000,
        local_prompts=("l" * 1000, "", "Wölkchen", ""),
        steps=200,
        spherical_steps=0,
        memory=4096.0,
        frames=1000,
        fps=240.0,
        mask="/m.png",
        regions=(Region(mask="/r.png", prompt="clouds", strength=10.0), Region(box=BOX)) * 16,
        strokes=(STROKE, STROKE),
        strength=10.0,
        estimator="depth-anything",
        estimator_checkpoint="e" * 4096,
        depth_file_kind="disparity",
        align="tip4gen",
        metric_reference="someone/metres",
        eye_height=0.1,
        far_distance=10_000.0,
        lift="tip4gen",
        gaussians=100_000_000,
        inpainter="i" * 4096,
        iterations=100_000,
        densify="mcmc",
        semantic_checkpoint="none",
        perceptual_checkpoint="someone/eye",
        compression="small",
        width=8192,
        seed=2**31 - 1,
    )
    assert checked(settings) == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("animator", value) for value in ("", "Flow", 1)),
        ("model", "gpt"),
        ("agreement", "none"),
        ("estimator", "midas"),
        ("depth_file_kind", "z"),
        ("align", ""),
        *(("lift", value) for value in ("", "4K4DGen", None)),
        ("densify", "3dgs"),
        ("compression", "zip"),
        *(("gaussians", value) for value in (-1, 100_000_001, 0.5)),
        *(("iterations", value) for value in (-1, 100_001, math.inf)),
        *((name, "c" * 4097) for name in ("checkpoint", "estimator_checkpoint", "depth_file", "metric_reference")),
        *((name, "c" * 4097) for name in ("inpainter", "semantic_checkpoint", "perceptual_checkpoint")),
        ("prompt", "w" * 1001),
        *(("local_prompts", value) for value in (("", "", ""), ("",) * 5, ("", "", "", "w" * 1001), ("", 1, "", ""))),
        *(("steps", value) for value in (0, 201)),
        *(("spherical_steps", value) for value in (-1, 201)),
        *(("memory", value) for value in (-0.1, math.nan, math.inf)),
        ("regions", (Region(box=BOX),) * 33),
        *(("regions", (Region(box=BOX, **part),)) for part in ({"strength": 10.1}, {"prompt": "w" * 1001})),
        *(
            ("regions", (Region(box=dataclasses.replace(BOX, **part)),))
            for part in ({"width": 361}, {"height": math.nan})
        ),
        *(("frames", value) for value in (-1, 1001, 10**20, 1.5)),
        *(("fps", value) for value in (-1, -0.1, 241, math.nan, math.inf)),
        *(("strength", value) for value in (-0.1, 10.1, math.nan, math.inf, -math.inf)),
        *(("eye_height", value) for value in (0, -1.6, 1001, math.nan)),
        *(("far_distance", value) for value in (9, 10_001, math.nan)),
        *(("width", value) for value in (-1, 8193)),
        *(("seed", value) for value in (-1, 2**31)),
        ("mask", 3),
        ("strokes", (STROKE,) * 257),
        *(("strokes", (STROKE, dataclasses.replace(STROKE, **{part: math.nan}))) for part in ("longitude", "speed")),
        *(("strokes", (dataclasses.replace(STROKE, **part),)) for part in ({"latitude": 91}, {"speed": 0})),
    ],
)
def test_a_setting_out_of_range_is_named(name, value):
    with pytest.raises(CycloramaError) as caught:
        checked(dataclasses.replace(PanoramaTo4D(), **{name: value}))
    assert caught.value.code == "setting-out-of-range"
    assert f"'{name}" in caught.value.sentence


def test_the_stroke_that_is_off_is_named_with_its_part():
    with pytest.raises(CycloramaError, match=r"strokes\[1\]\.latitude"):
        checked(PanoramaTo4D(strokes=(STROKE, dataclasses.replace(STROKE, latitude=-91))))


def test_the_region_that_is_off_is_named_with_its_part():
    with pytest.raises(CycloramaError, match=r"regions\[1\]\.box\.latitude"):
        checked(PanoramaTo4D(regions=(Region(box=BOX), Region(box=dataclasses.replace(BOX, latitude=91)))))


@pytest.mark.parametrize(("parts", "said"), [({}, "has neither"), ({"mask": "/m.png", "box": BOX}, "not both")])
def test_a_region_is_either_painted_or_a_box(parts, said):
    with pytest.raises(ValueError, match=f"A region needs a box or a mask, (and )?{said}"):
        Region(**parts)


@pytest.mark.parametrize(
    ("chosen", "code", "named"),
    [
        ({"estimator": "file"}, "depth-file-not-chosen", "no depth file"),
        ({"depth_file": "d.exr"}, "depth-file-not-used", "the estimator is 'skyline'"),
        ({"estimator": "dpt", "depth_file": "d.exr"}, "depth-file-not-used", "the estimator is 'dpt'"),
        ({"estimator_checkpoint": "Intel/dpt-large"}, "estimator-checkpoint-not-used", "estimator 'skyline'"),
        ({"metric_reference": "w"}, "metric-reference-not-used", "estimator 'skyline'"),
        (
            {"estimator": "file", "depth_file": "d.exr", "estimator_checkpoint": "w"},
            "estimator-checkpoint-not-used",
            "estimator 'file'",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_an_estimator_gets_what_it_reads_and_nothing_else(chosen, code, named):
    with pytest.raises(CycloramaError) as caught:
        checked(PanoramaTo4D(**chosen))
    assert caught.value.code == code and named in caught.value.sentence


FOR_LIFTS = {
    "gaussians": 500_000,
    "inpainter": "someone/painter",
    "iterations": 3000,
    "densify": "none",
    "semantic_checkpoint": "none",
    "perceptual_checkpoint": "someone/eye",
}
"""A value for each setting that only some lifts read, none of them the default."""


@pytest.mark.parametrize(
    ("lift", "read"),
    [
        ("direct", ()),
        ("fast", ("gaussians", "inpainter")),
        ("4k4dgen", ("gaussians", "inpainter", "iterations", "densify", "semantic_checkpoint")),
        ("tip4gen", tuple(FOR_LIFTS)),
    ],
)
def test_a_lift_gets_what_it_reads_and_nothing_else(lift, read):
    for name, value in FOR_LIFTS.items():
        settings = PanoramaTo4D(lift=lift, **{name: value})
        if name in read:
            assert checked(settings) == settings
        else:
            with pytest.raises(CycloramaError) as caught:
                checked(settings)
            assert caught.value.code == "lift-setting-not-used"
            assert f"'{name}'" in caught.value.sentence and f"'{lift}'" in caught.value.sentence


@pytest.mark.parametrize("lift", ["direct", "fast", "4k4dgen", "tip4gen"])
def test_every_lift_can_compress(lift):
    settings = PanoramaTo4D(lift=lift, compression="small")
    assert checked(settings) == settings


def test_only_lifts_that_descend_read_the_settings_of_descent():
    for lift in ("direct", "fast", "4k4dgen", "tip4gen"):
        settings = PanoramaTo4D(lift=lift, iterations=1)
        assert (lift in BY_DESCENT) == _allowed(settings)
    assert set(DESCENT_SETTINGS) < set(FIELDS)


def _allowed(settings):
    try:
        return checked(settings) == settings
    except CycloramaError:
        return False


def test_estimators_that_know_metres_say_so():
    _kind, meta = typing.get_args(typing.get_type_hints(PanoramaTo4D, include_extras=True)["estimator"])
    said = {value for value, (_name, description) in meta.extra.items() if "metres" in description.lower()}
    assert said == set(IN_METRES)


def test_a_depth_file_goes_with_its_estimator():
    settings = PanoramaTo4D(estimator="file", depth_file="d.exr")
    assert checked(settings) == settings


def test_depth_alone_takes_settings_of_the_recipe():
    assert set(DEPTH_SETTINGS) < set(FIELDS)


CHOICES = ("animator", "model", "agreement", "estimator", "depth_file_kind", "align", "lift", "densify", "compression")


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_has_a_name_and_a_description(name):
    kind, meta = typing.get_args(typing.get_type_hints(PanoramaTo4D, include_extras=True)[name])
    assert list(meta.extra) == list(typing.get_args(kind))
    assert all(name and said for name, said in meta.extra.values())


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_describes_itself(name):
    kind = PanoramaTo4D.__annotations__[name]
    assert "description=" in kind
