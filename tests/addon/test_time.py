"""The time mapping of a 4D scene: which of its frames shows when; in closed form, and set on its root."""

import bpy
import pytest

from cyclorama.addon.stage.clock import fcurves
from cyclorama.addon.stage.importing import import_scene
from cyclorama.addon.stage.time import HOLD, LOOP, PING_PONG, package_frame, travelled

from .packages import set_up, write_package
from .stage import moving, save_and_reload, shown, world_shown


def _first(count, at_the_end, reverse=False, of=3, start=0):
    return [package_frame(position, of, at_the_end, reverse) for position in range(start, start + count)]


def test_a_loop_starts_again():
    assert _first(7, LOOP) == [0, 1, 2, 0, 1, 2, 0]
    assert _first(4, LOOP, start=-4) == [2, 0, 1, 2]


def test_ping_pong_shows_its_ends_once():
    assert _first(9, PING_PONG) == [0, 1, 2, 1, 0, 1, 2, 1, 0]
    assert _first(3, PING_PONG, start=-3) == [1, 2, 1]


def test_hold_stays_on_both_ends():
    assert _first(8, HOLD, start=-3) == [0, 0, 0, 0, 1, 2, 2, 2]


@pytest.mark.parametrize("at_the_end", [LOOP, PING_PONG, HOLD])
def test_reversed_it_is_its_mirror_image(at_the_end):
    forwards, backwards = (_first(20, at_the_end, reverse, of=4, start=-8) for reverse in (False, True))
    assert backwards == [3 - index for index in forwards]


@pytest.mark.parametrize("at_the_end", [LOOP, PING_PONG, HOLD])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_single_frame_is_always_shown(at_the_end, reverse):
    assert set(_first(9, at_the_end, reverse, of=1, start=-4)) == {0}


@pytest.mark.parametrize("rate", [12, 23.976, 24, 25, 29.97, 30, 48, 50, 59.94, 60])
def test_equal_rates_never_slip(rate):
    assert all(package_frame((n / rate) * rate, 10**9) == n for n in range(20_000))


def test_a_constant_speed_travels_speed_times_time():
    assert travelled(1, 11, lambda frame: 0.5) == 5
    assert travelled(11, 1, lambda frame: 0.5) == -5
    assert travelled(2.25, 2.75, lambda frame: 2) == 1


def test_a_speed_that_grows_evenly_travels_half_its_square():
    for frame in (0, 0.5, 1, 7, 7.25, 100):
        assert travelled(0, frame, lambda f: f) == pytest.approx(frame**2 / 2)


def _root():
    return bpy.data.objects["lake"].cyclorama


def _played(scene, frames):
    found = []
    for frame in frames:
        scene.frame_set(frame)
        found += shown()
    return found


@pytest.mark.parametrize(
    "settings, wanted",
    [
        ({}, [0, 1, 2, 3, 4, 0, 1]),
        ({"start": 3}, [3, 4, 0, 1, 2, 3, 4]),
        ({"speed": 0.5}, [0, 0, 1, 1, 2, 2, 3]),
        ({"speed": 2}, [0, 2, 4, 1, 3, 0, 2]),
        ({"offset": 3}, [3, 4, 0, 1, 2, 3, 4]),
        ({"at_the_end": PING_PONG}, [0, 1, 2, 3, 4, 3, 2]),
        ({"at_the_end": HOLD, "start": 2}, [0, 0, 1, 2, 3, 4, 4]),
        ({"reverse": True}, [4, 3, 2, 1, 0, 4, 3]),
        ({"use_frame": True, "frame": 2}, [2] * 7),
    ],
)
def test_the_settings_on_the_root(imported, scene, settings, wanted):
    for name, value in settings.items():
        setattr(_root(), name, value)
    assert _played(scene, range(1, 8)) == wanted


def test_a_changed_setting_shows_at_once(imported, scene, tmp_path):
    _root().offset = 3
    assert shown() == [3]
    assert world_shown(scene, tmp_path) == 3


def _key(name, keys, interpolation="LINEAR"):
    root = bpy.data.objects["lake"]
    for frame, value in keys.items():
        setattr(root.cyclorama, name, value)
        root.keyframe_insert(f"cyclorama.{name}", frame=frame)
    for curve in fcurves(root.animation_data.action, root.animation_data):
        for key in curve.keyframe_points:
            key.interpolation = interpolation


def test_a_keyframed_frame_is_shown_as_it_is(imported, scene, tmp_path):
    """At the frame one goes to, not one late."""
    _root().use_frame = True
    _key("frame", {1: 4, 5: 0})
    assert _played(scene, (1, 2, 3, 5, 1, 4)) == [4, 3, 2, 0, 4, 1]
    scene.frame_set(2)
    assert world_shown(scene, tmp_path) == 3


def test_a_keyframed_speed_slows_down_without_a_jump(imported, scene):
    _root().at_the_end = HOLD
    _key("speed", {1: 1, 5: 0})
    # The integral of 1 - t/4 is t - t²/8: 0, 0.875, 1.5, 1.875, 2, and it stays there.
    assert _played(scene, range(1, 9)) == [0, 0, 1, 1, 2, 2, 2, 2]


def test_a_keyframed_switch_turns_it_round(imported, scene):
    _key("reverse", {1: False, 3: True}, "CONSTANT")
    assert _played(scene, range(1, 6)) == [0, 1, 2, 1, 0]


def test_a_driven_offset_is_followed(imported, scene):
    root = bpy.data.objects["lake"]
    root.driver_add("cyclorama.offset").driver.expression = "frame * 2"
    assert _played(scene, (1, 2, 3)) == [(2 + 0) % 5, (4 + 1) % 5, (6 + 2) % 5]


def test_a_keyframed_time_mapping_renders_as_it_shows(imported, scene, tmp_path):
    _root().use_frame = True
    _key("frame", {1: 4, 5: 0})
    seen = []
    bpy.app.handlers.render_post.append(note := lambda *_: seen.append(shown()))
    scene.frame_start, scene.frame_end = 2, 4
    set_up(scene, tmp_path / "shot_####", 4, 4)
    bpy.ops.render.render(animation=True)
    bpy.app.handlers.render_post.remove(note)
    assert seen == [[3], [2], [1]]


def test_two_scenes_have_each_their_own_time(imported, scene, tmp_path):
    import_scene(bpy.context, write_package(tmp_path / "pond.cyclorama"), world=False)
    bpy.data.objects["pond"].cyclorama.offset = 2
    scene.frame_set(2)
    assert (shown(), shown(moving("pond moving"))) == ([1], [3])


def test_the_time_mapping_is_saved_with_the_file(imported, tmp_path):
    _root().at_the_end, _root().start, _root().speed = PING_PONG, 10.5, 0.5
    save_and_reload(tmp_path / "film.blend")
    assert (_root().at_the_end, _root().start, _root().speed) == (PING_PONG, 10.5, 0.5)
