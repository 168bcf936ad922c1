"""Every setting is checked against its range, and the one that is off is named."""

import dataclasses
import math

import pytest

from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import PanoramaTo4D, Stroke, checked

STROKE = Stroke(10, 20, 30, -40, 5)
FIELDS = [field.name for field in dataclasses.fields(PanoramaTo4D)]


def test_the_defaults_are_allowed():
    assert checked(PanoramaTo4D()) == PanoramaTo4D()


def test_allowed_settings_stay_as_they_are():
    settings = PanoramaTo4D(1000, 240.0, "/m.png", (STROKE, STROKE), 10.0, 0.1, 10_000.0, 8192, 2**31 - 1)
    assert checked(settings) == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("frames", value) for value in (0, -1, 1001, 10**20, 1.5)),
        *(("fps", value) for value in (0, 0.5, 241, math.nan, math.inf)),
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


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_describes_itself(name):
    kind = PanoramaTo4D.__annotations__[name]
    assert "description=" in kind
