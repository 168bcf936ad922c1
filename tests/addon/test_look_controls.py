"""The artist's controls of a 4D scene: what they do to pictures and splats, animated, copied, without the add-on."""

import math
import subprocess
import sys

import bpy
import numpy as np
import pytest
from mathutils import Euler

import cyclorama
from cyclorama.addon.look import dress, light
from cyclorama.addon.look.controls import CONTROLS, get_input
from cyclorama.addon.look.dressing import ON_PARTS, join_for_eevee, shown_by
from cyclorama.addon.look.surfels import SIDES
from cyclorama.addon.stage.scene_object import MOVING, SCENE, STATIC
from cyclorama.bridge.gaussians import radiance_from_colour

from .packages import attribute, set_up
from .splat_pictures import SIZE, WORLD, add_splats, gaussian, look_along_y, pictured

COLOUR = np.array((0.6, 0.3, 0.05))
OPACITY = 0.8
LUMINANCE = (0.2126, 0.7152, 0.0722)


@pytest.fixture
def scene(addon, capfd):
    """No driver, handler or modifier may fail in it (Blender only prints that)."""
    look_along_y(bpy.context.scene)
    yield bpy.context.scene
    printed = capfd.readouterr()
    assert "Traceback" not in printed.err
    assert "cycle" not in printed.out + printed.err


@pytest.fixture
def root(scene):
    """The root of an empty 4D scene."""
    root = bpy.data.objects.new("lake", None)
    root.cyclorama.role = SCENE
    scene.collection.objects.link(root)
    return root


def _part(scene, root, position=(0, 0, 0), colour=COLOUR, opacity=OPACITY, role=STATIC, **shape):
    part = add_splats(scene, position, colour, opacity, **shape)
    part.parent, part.cyclorama.role = root, role
    dress(part, root)
    return part


def _count(part):
    """How many splats the viewport shows."""
    graph = bpy.context.evaluated_depsgraph_get()
    graph.update()
    return len(part.evaluated_get(graph).data.polygons) // SIDES


def _places(part):
    """(n, 3) where they are, in the viewport."""
    graph = bpy.context.evaluated_depsgraph_get()
    graph.update()
    mesh = part.evaluated_get(graph).data
    return attribute(mesh, "position").reshape(-1, SIDES + 1, 3).mean(axis=1)


def _over_the_world(colour, world=WORLD):
    falloff, inside, _ = gaussian()
    alpha = OPACITY * falloff
    return alpha * np.asarray(colour) + (1 - alpha) * world, inside


# Colour


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("exposure", 0.0, COLOUR),
        ("exposure", 1.0, 2 * COLOUR),
        ("exposure", -2.0, COLOUR / 4),
        ("saturation", 0.0, np.full(3, COLOUR @ LUMINANCE)),
        ("saturation", 0.5, (COLOUR + COLOUR @ LUMINANCE) / 2),
        ("tint", (0.5, 1.0, 2.0), COLOUR * (0.5, 1.0, 2.0)),
    ],
)
def test_the_controls_change_scene_linear_colour_by_their_formulas(scene, root, tmp_path, name, value, wanted):
    _part(scene, root)
    setattr(root.cyclorama_look, name, value)
    picture, inside = _over_the_world(wanted)
    assert pictured(scene, tmp_path)[inside] == pytest.approx(picture[inside], rel=3e-3, abs=3e-3)


def test_colour_may_not_become_less_than_black(scene, root, tmp_path):
    _part(scene, root, colour=(1.0, 0.0, 0.0))
    root.cyclorama_look.saturation = 2.0
    picture, inside = _over_the_world((2 - LUMINANCE[0], 0.0, 0.0))
    assert pictured(scene, tmp_path)[inside] == pytest.approx(picture[inside], rel=3e-3, abs=3e-3)


def test_the_world_light_is_graded_as_the_splats(scene, root, tmp_path):
    light(scene.world, root)
    look = root.cyclorama_look
    look.exposure, look.saturation, look.tint = 1.0, 0.5, (1.0, 0.5, 0.25)
    wanted = (WORLD + WORLD @ LUMINANCE) / 2 * 2 * (1.0, 0.5, 0.25)
    assert pictured(scene, tmp_path)[0, 0] == pytest.approx(wanted, rel=1e-4)
    nodes = len(scene.world.node_tree.nodes)
    light(scene.world, root)
    assert len(scene.world.node_tree.nodes) == nodes


def test_controls_can_be_animated(scene, root, tmp_path):
    _part(scene, root)
    for frame, stops in ((1, 0.0), (11, 2.0)):
        root.cyclorama_look.exposure = stops
        root.keyframe_insert(CONTROLS["exposure"].path, frame=frame)
    scene.frame_set(6)  # in the middle, by symmetry of the curve
    picture, inside = _over_the_world(2 * COLOUR)
    assert pictured(scene, tmp_path)[inside] == pytest.approx(picture[inside], rel=5e-3, abs=5e-3)


RENDER = """
import bpy
bpy.ops.wm.open_mainfile(filepath={file!r})
assert not hasattr(bpy.types.Object, "cyclorama_look")
bpy.context.scene.frame_set(6)
bpy.ops.render.render(write_still=True)
"""


def test_a_farm_without_the_addon_renders_the_same(scene, root, tmp_path):
    part = _part(scene, root, [(0, 0, 0), (2.5, 0, 0)])
    box = bpy.data.objects.new("Box", None)
    box.location, box.scale = (2.5, 0, 0), (0.5, 0.5, 0.5)
    scene.collection.objects.link(box)
    look = root.cyclorama_look
    look.crop, look.crop_outside, look.tint = box, True, (1.0, 0.5, 0.5)
    for frame, stops in ((1, 0.0), (11, 2.0)):
        look.exposure = stops
        root.keyframe_insert(CONTROLS["exposure"].path, frame=frame)
    scene.frame_set(6)
    with_addon = pictured(scene, tmp_path)
    assert part.name and with_addon[SIZE // 2, SIZE // 2, 0] > 2 * WORLD[0]
    set_up(scene, tmp_path / "farm.exr", SIZE, SIZE)
    scene.frame_set(1)
    file = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(file))
    subprocess.run([sys.executable, "-c", RENDER.format(file=str(file))], check=True, timeout=120)
    from .packages import pixels

    assert pixels(tmp_path / "farm.exr")[..., :3] == pytest.approx(with_addon, abs=1e-5)


def test_undo_and_redo_of_a_control(scene, root):
    _part(scene, root)
    bpy.ops.ed.undo_push(message="Before")
    root.cyclorama_look.exposure = 2.0
    bpy.ops.ed.undo_push(message="Exposure")
    for step, wanted in ((bpy.ops.ed.undo, 0.0), (bpy.ops.ed.redo, 3.0)):
        step()
        bpy.context.view_layer.update()
        (part,) = bpy.data.objects["lake"].children
        assert part[ON_PARTS][0] == wanted


def test_a_linked_scene_looks_as_its_file_says_and_can_be_overridden(scene, root, tmp_path):
    _part(scene, root)
    collection = bpy.data.collections.new("lake")
    scene.collection.children.link(collection)
    for thing in (root, *root.children):
        collection.objects.link(thing)
    root.cyclorama_look.exposure = 2.0
    library = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=library)
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(library, link=True) as (_there, wanted):
        wanted.collections = ["lake"]
    linked = bpy.data.collections["lake"]
    bpy.context.scene.collection.children.link(linked)
    own = linked.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer)
    found = next(thing for thing in own.all_objects if thing.type == "EMPTY")
    assert found.cyclorama_look.exposure == 2.0
    found.cyclorama_look.exposure = 1.0
    bpy.context.view_layer.update()
    assert [part[ON_PARTS][0] for part in found.children] == [1.0]


def test_a_copied_scene_follows_its_own_root(scene, root):
    parts = [_part(scene, root, role=role) for role in (STATIC, MOVING)]
    bpy.ops.cyclorama.setup_render(quality="EEVEE_SORTED")
    join_for_eevee(root, for_render=True)
    bpy.ops.object.select_all(action="DESELECT")
    for thing in (root, *parts):
        thing.select_set(True)
    bpy.ops.object.duplicate()
    copy = next(thing for thing in bpy.context.selected_objects if thing.parent is None)
    copy.cyclorama_look.exposure = 3.0
    bpy.context.view_layer.update()
    assert [thing[ON_PARTS][0] for thing in copy.children] == [7.0, 7.0]
    assert [thing[ON_PARTS][0] for thing in parts] == [0.0, 0.0]
    others = [get_input(shown_by(thing), "Others") for thing in copy.children]
    assert {thing for thing in others if thing} and {thing for thing in others if thing} < set(copy.children)


def test_a_root_that_was_there_before_its_controls_is_read_rightly(scene, root):
    bpy.context.view_layer.update()
    part = _part(scene, root)
    bpy.context.view_layer.update()
    assert list(part[ON_PARTS]) == [0.0] * 4
    assert _count(part) == 1


def test_values_are_kept_within_their_limits(root):
    look = root.cyclorama_look
    look.density, look.floater_opacity, look.saturation = 0.0, 7.0, -1.0
    assert look.density == pytest.approx(0.01)
    assert (look.floater_opacity, look.saturation) == (1.0, 0.0)


def test_an_object_that_is_no_scene_reads_as_generated(scene):
    look = scene.camera.cyclorama_look
    assert (look.exposure, look.saturation, tuple(look.tint), look.density) == (0.0, 1.0, (1.0, 1.0, 1.0), 1.0)
    assert not [control.key for control in CONTROLS.values() if control.key in scene.camera]


def test_dressing_twice_doubles_nothing(scene, root):
    part = _part(scene, root)
    drivers, modifiers = len(part.animation_data.drivers), len(part.modifiers)
    dress(part, root)
    assert (len(part.animation_data.drivers), len(part.modifiers)) == (drivers, modifiers)


def test_all_drivers_are_understood_without_python(scene, root):
    part = _part(scene, root)
    light(scene.world, root)
    bpy.context.view_layer.update()
    for holder in (part, scene.world.node_tree):
        for curve in holder.animation_data.drivers:
            assert curve.driver.is_valid
            assert curve.driver.type != "SCRIPTED" or curve.driver.is_simple_expression


# Density


def _cloud(count, seed=0):
    return np.random.default_rng(seed).uniform(-3, 3, (count, 3))


def test_density_thins_the_viewport_and_keeps_the_cover(scene, root):
    part = _part(scene, root, _cloud(4000))
    assert _count(part) == 4000
    root.cyclorama_look.density = 0.25
    assert 900 < _count(part) < 1100
    graph = bpy.context.evaluated_depsgraph_get()
    opacity = attribute(part.evaluated_get(graph).data, "radiance")[:, 3]
    assert opacity == pytest.approx(1 - (1 - OPACITY) ** 4, abs=1e-5)


def test_the_choice_of_splats_does_not_shimmer(scene, root):
    """The fewer are among the more; and new colours or a crop box change nothing in it."""
    part = _part(scene, root, _cloud(500))
    root.cyclorama_look.density = 0.5
    half = {tuple(place) for place in _places(part).round(2)}
    root.cyclorama_look.density = 0.25
    quarter = {tuple(place) for place in _places(part).round(2)}
    assert quarter < half
    part.data.attributes["radiance"].data.foreach_set("color", radiance_from_colour(np.ones((500, 3)), 0.5).ravel())
    part.data.update_tag()
    assert {tuple(place) for place in _places(part).round(2)} == quarter
    root.cyclorama_look.crop = _box(scene, (0, 0, 0), size=(2, 9, 9))
    assert {tuple(place) for place in _places(part).round(2)} < quarter


def test_renders_show_all_splats(scene, root, tmp_path):
    _part(scene, root)
    root.cyclorama_look.density = 0.01
    picture, inside = _over_the_world(COLOUR)
    assert pictured(scene, tmp_path)[inside] == pytest.approx(picture[inside], rel=3e-3, abs=3e-3)


# Crop


def _box(scene, place, turn=(0, 0, 0), size=(1, 1, 1)):
    box = bpy.data.objects.new("Box", None)
    box.location, box.rotation_euler, box.scale = place, turn, size
    scene.collection.objects.link(box)
    return box


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("moved", [False, True])
def test_the_crop_box_cuts_in_its_own_space(scene, root, outside, moved):
    """A box that is moved, turned and stretched; and a 4D scene that is too."""
    place = _cloud(2000)
    part = _part(scene, root, place, scale=(0.01, 0.01, 0.001))
    if moved:
        root.location, root.rotation_euler, root.scale = (3, 1, -2), (0.3, 0.8, 0.1), (2, 2, 2)
    box = _box(scene, (1.5, 0.2, 0.1), (0.4, 0.5, 0.6), (4.0, 1.7, 2.3))
    root.cyclorama_look.crop, root.cyclorama_look.crop_outside = box, outside
    bpy.context.view_layer.update()
    local = _world(root, place)
    turn = np.array(Euler(box.rotation_euler).to_matrix())
    inside = (np.abs((local - np.array(box.location)) @ turn / np.array(box.scale)) <= 1).all(axis=1)
    wanted = inside != outside
    assert 20 < wanted.sum() < 1980
    assert _places(part) == pytest.approx(place[wanted], abs=0.02)


def _world(root, place):
    matrix = np.array(root.matrix_world)
    return place @ matrix[:3, :3].T + matrix[:3, 3]


def test_without_its_box_a_scene_is_whole_again(scene, root):
    part = _part(scene, root, _cloud(200))
    root.cyclorama_look.crop = _box(scene, (50, 0, 0))
    assert _count(part) == 0
    root.cyclorama_look.crop = None
    assert _count(part) == 200


# Floaters


def test_faint_splats_are_left_out(scene, root):
    part = _part(scene, root, _cloud(100), opacity=np.linspace(0.0, 0.99, 100))
    root.cyclorama_look.floater_opacity = 0.255
    assert _count(part) == 74


def test_splats_that_look_large_are_left_out(scene, root):
    """Of one size, near and far: of those one sees from the origin under more than 5 degrees none is left."""
    part = _part(scene, root, [(0, y, 0) for y in range(1, 21)], scale=(0.5, 0.2, 0.01))
    root.cyclorama_look.floater_size = math.radians(5)
    assert _count(part) == sum(math.degrees(math.atan(0.5 / y)) <= 5 for y in range(1, 21))


def test_splats_that_hang_alone_are_left_out(scene, root):
    near = [(x / 10, 0, 0) for x in range(10)]
    part = _part(scene, root, [*near, (0, 5, 0)], scale=(0.1, 0.1, 0.01))
    root.cyclorama_look.floater_alone = 3.0
    assert _count(part) == 10


# Parts


def test_all_but_one_hand_their_splats_over_for_eevee(scene, root):
    bpy.ops.cyclorama.setup_render(quality="EEVEE_SORTED")
    first, second, third = (_part(scene, root, role=role) for role in (STATIC, MOVING, MOVING))
    join_for_eevee(root, for_render=True)
    inputs = [(get_input(shown_by(part), "Others"), get_input(shown_by(part), "Yields")) for part in root.children]
    assert sorted(yields for _others, yields in inputs) == [False, True, True]
    assert {others for others, _yields in inputs} < {first, second, third, None}


@pytest.mark.parametrize("loss", ["deleted", "hidden"])
def test_the_chain_is_mended_before_rendering(scene, root, loss):
    bpy.ops.cyclorama.setup_render(quality="EEVEE_SORTED")
    for role in (STATIC, MOVING):
        _part(scene, root, role=role)
    join_for_eevee(root, for_render=True)
    leader, follower = root.children
    if loss == "deleted":
        bpy.data.objects.remove(leader)
    else:
        leader.hide_render = True
    for handler in bpy.app.handlers.render_init:
        handler(scene, None)
    assert get_input(shown_by(follower), "Yields") is False


@pytest.mark.parametrize(
    ("quality", "event", "sorts"),
    [
        ("EEVEE_SORTED", "render_init", True),
        ("EEVEE_SORTED", "save_pre", True),
        ("EEVEE", "render_init", False),
        ("CYCLES_FINAL", "render_init", False),
        ("CYCLES_FINAL", "save_pre", False),
    ],
)
def test_parts_hang_on_the_camera_and_each_other_only_while_eevee_renders(scene, root, quality, event, sorts):
    """Else all splats would be computed anew whenever the camera or some of them move."""
    parts = [_part(scene, root, role=role) for role in (STATIC, MOVING)]
    bpy.ops.cyclorama.setup_render(quality=quality)
    after = {"render_init": "render_complete", "save_pre": "save_post"}[event]
    for happened, wanted in ((after, False), (event, sorts), (after, False)):
        for handler in getattr(bpy.app.handlers, happened):
            handler(scene if "render" in happened else "", None)
        kinds = {node.bl_idname for part in parts for node in shown_by(part).node_group.nodes}
        assert ("GeometryNodeInputActiveCamera" in kinds) == wanted
        assert any(get_input(shown_by(part), "Others") for part in parts) == wanted
        assert all(get_input(shown_by(part), "Density") == 1.0 for part in parts)


def test_the_file_survives_the_addon(scene, root):
    part = _part(scene, root)
    root.cyclorama_look.exposure = 2.0
    cyclorama.unregister()
    root[CONTROLS["exposure"].key] = 1.0
    root.update_tag()
    bpy.context.view_layer.update()
    assert part[ON_PARTS][0] == 1.0
    cyclorama.register()
    assert root.cyclorama_look.exposure == 1.0
    join_for_eevee(root, for_render=True)


# Operators


@pytest.mark.parametrize("quality", ["CYCLES_FINAL", "CYCLES_PREVIEW", "EEVEE", "EEVEE_SORTED"])
def test_each_way_to_render_sets_its_engine_and_standard_colours(scene, quality):
    bpy.ops.cyclorama.setup_render(quality=quality)
    assert (scene.render.engine == "CYCLES") == quality.startswith("CYCLES")
    assert scene.view_settings.view_transform == "Standard"


def test_the_view_transform_is_changed_as_asked(scene):
    for view in ("AgX", "KEEP"):
        bpy.ops.cyclorama.setup_render(view=view)
        assert scene.view_settings.view_transform == "AgX"


def test_one_click_adds_a_crop_box(scene, root):
    part = _part(scene, root, _cloud(300) * 3)
    assert bpy.ops.cyclorama.add_crop_box() == {"FINISHED"}
    box = root.cyclorama_look.crop
    assert (box.parent, bpy.context.object) == (root, box)
    inside = _count(part)
    assert 0 < inside < 300
    box.scale = (3.5, 3.5, 3.5)
    assert 0 < _count(part) < inside


def test_without_a_scene_there_is_nothing_to_crop(scene):
    assert not bpy.ops.cyclorama.add_crop_box.poll()
