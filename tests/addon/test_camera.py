"""Cameras in a 4D scene: the room they have, and flights that stay in it."""

import itertools
from math import pi, radians

import bpy
import numpy as np
import pytest
from mathutils import Matrix, Quaternion, Vector

from cyclorama.addon.stage import flight, room
from cyclorama.addon.stage.importing import import_scene
from cyclorama.addon.stage.scene_object import is_root

from .packages import write_package

AHEAD = Vector((0, 1, 0)).to_track_quat("-Z", "Y")
TABLE = [(0, 1, 0, 0.5), (1, 0, 0, 0.3), (0, -1, 0, 0.4), (-1, 0, 0, 0.2), (0, 0, 1, 0.6), (0, 0, -1, 0.1)]


@pytest.fixture
def scene(addon, tmp_path):
    """A file with a 4D scene whose room is ``TABLE``, 24 frames long."""
    import_scene(bpy.context, write_package(tmp_path / "lake.cyclorama"))
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 24
    _root(scene)["cyclorama_safe_radii"] = [float(number) for row in TABLE for number in row]
    return scene


def _root(scene):
    return next(filter(is_root, scene.objects))


def _camera_path(scene):
    """Where the camera is in each frame, in the 4D scene's own space."""
    places = []
    for frame in range(scene.frame_start, scene.frame_end + 1):
        scene.frame_set(frame)
        places.append(room.own_space(_root(scene)) @ scene.camera.matrix_world.translation)
    return places


# The room


@pytest.mark.parametrize(("x", "y", "z", "metres"), TABLE)
def test_in_a_measured_direction_the_room_is_as_measured(scene, x, y, z, metres):
    assert room.safe_radius(_root(scene), Vector((x, y, z))) == pytest.approx(metres, rel=1e-3)


def test_between_two_directions_the_room_is_between_theirs(scene):
    between = room.safe_radius(_root(scene), Vector((1, 1, 0)))
    assert 0.3 < between < 0.5


def test_a_moved_and_scaled_scene_takes_its_room_along(scene):
    root = _root(scene)
    root.matrix_world = Matrix.Translation((7, 0, 0)) @ Matrix.Scale(10, 4)
    bpy.context.view_layer.update()
    assert not room.leaves(root, Vector((7, 4.9, 0)))
    assert room.leaves(root, Vector((7, 5.1, 0)))


def test_who_has_left_the_room_is_told(scene):
    scene.camera.location = (0, 0.45, 0)
    bpy.context.view_layer.update()
    assert room.left_by(scene) == []
    scene.camera.location = (0, 0.55, 0)
    bpy.context.view_layer.update()
    assert room.left_by(scene) == [_root(scene)]


def test_the_outline_reaches_as_far_as_the_room(scene):
    lines = room.outline(_root(scene)).reshape(-1, 3)
    lengths = np.linalg.norm(lines, axis=1)
    assert lengths.min() == pytest.approx(0.1, rel=0.01) and lengths.max() == pytest.approx(0.6, rel=0.01)


def test_a_scene_without_measured_room_has_a_cautious_one(scene):
    del _root(scene)["cyclorama_safe_radii"]
    assert not room.measured(_root(scene))
    assert room.safe_radius(_root(scene), Vector((1, 2, 3))) == pytest.approx(room.UNMEASURED_M)


# Flights


def test_an_orbit_looks_at_its_focus_all_the_way_and_closes():
    stops = flight.orbit(lambda direction: 0.5, AHEAD, focus=4.0)
    for stop in stops:
        assert stop.place.length == pytest.approx(0.5)
        looks = stop.rotation @ Vector((0, 0, -1))
        assert looks.angle(Vector((0, 4, 0)) - stop.place) < 1e-3
    assert (stops[0].place - stops[-1].place).length < 1e-6


def test_a_dolly_goes_straight_ahead():
    back, front = flight.dolly(lambda direction: 0.25 if direction.y > 0 else 0.5, AHEAD)
    assert (back.place - Vector((0, -0.5, 0))).length < 1e-6
    assert (front.place - Vector((0, 0.25, 0))).length < 1e-6
    assert back.rotation == front.rotation


def test_a_hand_sways_by_its_seed_and_never_jerks():
    one, same, other = (flight.drift(lambda direction: 1.0, AHEAD, 10.0, seed) for seed in (1, 1, 2))
    assert [stop.place for stop in one] == [stop.place for stop in same] != [stop.place for stop in other]
    assert max(stop.place.length for stop in one) <= 1
    turns = [stop.rotation.rotation_difference(AHEAD).angle for stop in one]
    assert 0 < max(turns) < radians(0.5) * 3**0.5 + 1e-6
    steps = [(after.place - before.place).length for before, after in itertools.pairwise(one)]
    assert max(steps) < 0.5  # 2 pi * (0.11 + 0.45 * 0.29 + 0.12 * 0.83) / 1.57 / 5 steps a second = 0.27 on each axis


def test_a_curve_is_flown_at_an_even_speed_and_looked_along():
    corner = [Vector((0, 0, 0)), Vector((1, 0, 0)), Vector((1, 3, 0))]
    stops = flight.along(corner, lambda direction: 9.0, AHEAD, "AHEAD")
    lengths = [(after.place - before.place).length for before, after in itertools.pairwise(stops)]
    assert lengths[0] == pytest.approx(0.5) and lengths[-1] == pytest.approx(0.5)
    assert (stops[0].rotation @ Vector((0, 0, -1)) - Vector((1, 0, 0))).length < 1e-3
    assert (stops[-1].rotation @ Vector((0, 0, -1)) - Vector((0, 1, 0))).length < 1e-3


def test_a_curve_without_length_is_none():
    with pytest.raises(ValueError, match="no length"):
        flight.along([Vector((1, 1, 1))] * 2, lambda direction: 9.0, Quaternion(), "KEEP")


@pytest.mark.parametrize("kind", ["ORBIT", "DOLLY", "DRIFT"])
def test_a_flight_stays_in_the_room_and_moves(scene, kind):
    assert bpy.ops.cyclorama.fly_through(kind=kind) == {"FINISHED"}
    root, path = _root(scene), _camera_path(scene)
    assert max((place - path[0]).length for place in path) > 0.01
    for place in path:
        assert place.length <= room.safe_radius(root, place) + 1e-4


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ"])
def test_a_flight_turns_with_the_scene_and_never_spins(scene, mode):
    root = _root(scene)
    root.matrix_world = Matrix.Translation((0, 0, 50)) @ Matrix.Rotation(pi / 2, 4, "Z")
    scene.camera.rotation_mode = mode
    bpy.context.view_layer.update()
    bpy.ops.cyclorama.fly_through(kind="ORBIT", focus=3.0)
    before = None
    for frame in range(1, 25):
        scene.frame_set(frame)
        turned = scene.camera.matrix_world.to_quaternion()
        if before is not None:
            assert turned.rotation_difference(before).angle < radians(20)
        before = turned


def test_a_second_flight_replaces_the_first(scene):
    bpy.ops.cyclorama.fly_through(kind="DRIFT")
    bpy.ops.cyclorama.fly_through(kind="DOLLY")
    path = _camera_path(scene)
    straight = (path[-1] - path[0]).normalized()
    assert max((place - path[0]).cross(straight).length for place in path) < 1e-3


def test_a_drawn_curve_is_followed_and_pulled_into_the_room(scene):
    bpy.ops.curve.primitive_bezier_circle_add(radius=2.0)
    assert bpy.ops.cyclorama.fly_through(kind="CURVE", look="AHEAD") == {"FINISHED"}
    root = _root(scene)
    for place in _camera_path(scene):
        assert place.length <= 0.85 * room.safe_radius(root, place)


def test_without_a_curve_it_says_what_to_select(scene):
    bpy.ops.object.select_all(action="DESELECT")
    with pytest.raises(RuntimeError, match="select a curve"):
        bpy.ops.cyclorama.fly_through(kind="CURVE")


def test_without_a_scene_there_is_nothing_to_fly_through(addon):
    assert not bpy.ops.cyclorama.fly_through.poll()
    assert not bpy.ops.cyclorama.look_through_panorama.poll()


def test_the_scene_s_own_camera_is_one_click_away_and_comes_back_when_deleted(scene):
    own = bpy.data.objects["lake camera"]
    other = bpy.data.objects.new("other", bpy.data.cameras.new("other"))
    scene.collection.objects.link(other)
    scene.camera = other
    assert bpy.ops.cyclorama.use_camera() == {"FINISHED"}
    assert scene.camera == own and not bpy.ops.cyclorama.use_camera.poll()
    bpy.data.objects.remove(own)
    assert bpy.ops.cyclorama.use_camera() == {"FINISHED"}
    assert is_root(scene.camera.parent.parent) and scene.camera.matrix_world.translation.length == 0


def test_the_rig_takes_the_camera_along_and_the_scene_takes_the_rig(scene):
    camera = scene.camera
    camera.parent.location = (0, 0, 0.2)
    _root(scene).location = (10, 0, 0)
    bpy.context.view_layer.update()
    assert (camera.matrix_world.translation - Vector((10, 0, 0.2))).length < 1e-5


def test_no_camera_that_flies_cuts_the_sky_off(scene):
    scene.camera.data.clip_end = 1.0
    bpy.ops.cyclorama.fly_through(kind="DOLLY")
    assert scene.camera.data.clip_end >= room.reach(_root(scene)) > 0


def test_the_scene_s_own_camera_still_sees_the_sky_of_a_scene_three_times_as_large(scene):
    _root(scene).scale = (3, 3, 3)
    bpy.context.view_layer.update()
    assert scene.camera.data.clip_end > room.reach(_root(scene))


def test_of_several_scenes_one_click_selects_one(scene, tmp_path):
    first = _root(scene)
    bpy.ops.cyclorama.import_scene(directory=str(tmp_path / "lake.cyclorama"))
    assert bpy.context.object != first, "what was imported is selected"
    bpy.ops.cyclorama.select_scene(name=first.name)
    assert bpy.context.object == first and bpy.context.selected_objects == [first]


def test_a_reach_of_one_s_own_goes_beyond_what_is_safe(scene):
    bpy.ops.cyclorama.fly_through(kind="DOLLY", room=1.0, reach=2.0)
    path = _camera_path(scene)
    assert (path[-1] - path[0]).length == pytest.approx(4.0, abs=1e-3)


def test_a_flight_through_a_scaled_scene_leaves_the_size_of_another_camera(scene):
    other = bpy.data.objects.new("other", bpy.data.cameras.new("other"))
    scene.collection.objects.link(other)
    scene.camera = other
    _root(scene).scale = (5, 5, 5)
    bpy.context.view_layer.update()
    bpy.ops.cyclorama.fly_through(kind="DOLLY")
    assert tuple(other.scale) == pytest.approx((1, 1, 1))
