"""How the timeline plays 4D scenes: frames, files, undo, copies."""

import math
import subprocess
import sys

import bpy
import numpy as np
import pytest

import cyclorama
from cyclorama.addon.stage import playback
from cyclorama.addon.stage.importing import import_scene
from cyclorama.addon.stage.scene_object import MOVING as MOVING_ROLE
from cyclorama.addon.stage.splats import show, splat_object
from cyclorama.bridge.gaussians import Gaussians, colour_from_radiance
from cyclorama.bridge.scene import Scene, frame_name

from .packages import WORLD_STEP, attribute, gaussians, pixels, set_up, write_package
from .stage import ATTRIBUTES, FRAMES, MOVING, moving, parts_of, save_and_reload, shown, world_shown


@pytest.mark.parametrize(
    "frame, start, scene_fps, frame_rate",
    [
        *[(frame, 1, 24, 24) for frame in (1, 2, 5, 6, 23, 1001)],  # one to one, over several loops
        *[(frame, 1, 24, 24) for frame in (0, -3, -49)],  # before the start it loops too
        *[(frame, 1, 60, 24) for frame in (1, 2, 3, 4, 5, 6, 61)],
        *[(frame, 1, 12, 24) for frame in (1, 2, 3)],
        *[(frame, 10, 25, 30) for frame in (10, 15, 16, 9)],
        *[(frame, 1, 24, 23.976) for frame in (1, 2, 24)],
    ],
)
def test_a_frame_shows_the_package_frame_of_its_second(scene, tmp_path, frame, start, scene_fps, frame_rate):
    folder = write_package(tmp_path / "lake.cyclorama", frames=FRAMES, frame_rate=frame_rate)
    scene.frame_start, scene.render.fps = start, scene_fps
    import_scene(bpy.context, folder)
    scene.frame_set(frame)
    seconds = (frame - start) / scene_fps
    wanted = math.floor(seconds * frame_rate + 1e-3) % FRAMES
    assert shown() == [wanted]
    assert world_shown(scene, tmp_path) == wanted


def test_a_rate_with_a_base_counts_real_seconds(scene, tmp_path):
    folder = write_package(tmp_path / "lake.cyclorama", frame_rate=24000 / 1001)
    scene.render.fps, scene.render.fps_base = 24, 1.001
    import_scene(bpy.context, folder)
    for frame in (1, 2, 24 * 60 + 1):
        scene.frame_set(frame)
        assert shown() == [(frame - 1) % FRAMES]


def test_between_frames_nothing_moves(imported, scene):
    for subframe in (0.0, 0.3, 0.99):
        scene.frame_set(3, subframe=subframe)
        assert shown() == [2]


def test_the_static_splats_never_change(imported, package, scene):
    scene.frame_set(3)
    assert np.array_equal(attribute(bpy.data.objects["lake static"].data, "radiance"), Scene(package).static().radiance)


def test_whatever_differs_from_frame_to_frame_is_played(scene, tmp_path):
    folder = write_package(tmp_path / "lake.cyclorama", per_frame={"position": 3, "scale": 3})
    import_scene(bpy.context, folder)
    scene.frame_set(4)
    assert shown() == [3]
    assert (attribute(moving().data, "position") == 4).all()
    assert (attribute(moving().data, "scale") == 4).all()


def test_a_compressed_scene_plays_as_the_same_scene_does_uncompressed_to_within_its_stated_error(scene, tmp_path):
    for compression in ("none", "small"):
        folder = tmp_path / f"{compression}.cyclorama"
        write_package(folder, per_frame={"position": 3}, video=False, compression=compression)
        import_scene(bpy.context, folder, world=False, camera=False)
    error = Scene(tmp_path / "small.cyclorama").info.error
    for frame in (1, 4, 2, 5):  # forwards and back
        scene.frame_set(frame)
        for part, count in (("static", 3), ("moving", MOVING)):
            plain, small = (bpy.data.objects[f"{compression} {part}"].data for compression in ("none", "small"))
            wanted, got = (Gaussians(*(attribute(mesh, name) for name in ATTRIBUTES)) for mesh in (plain, small))
            got = got[np.linalg.norm(wanted.scale[:, None] - got.scale, axis=2).argmin(axis=1)]  # it may be reordered
            assert len(got) == count
            assert np.allclose(got.scale, wanted.scale, rtol=error.scale_share)
            assert np.allclose(got.position, wanted.position, rtol=1e-4, atol=1e-3)
            assert np.allclose(np.abs((got.rotation * wanted.rotation).sum(axis=1)), 1, atol=1e-6)
            roots = [np.sqrt(np.maximum(colour_from_radiance(each.radiance), 0)) for each in (got, wanted)]
            assert np.allclose(*roots, atol=error.colour_srgb)
            assert np.allclose(got.radiance[:, 3], wanted.radiance[:, 3], atol=error.opacity)
    assert playback.complaint(moving("small moving")) == ""


def test_a_compressed_scene_without_its_first_frame_is_complained_about_and_keeps_what_it_shows(scene, tmp_path):
    folder = write_package(tmp_path / "small.cyclorama", per_frame={"position": 3}, video=False, compression="small")
    import_scene(bpy.context, folder, world=False, camera=False)
    scene.frame_set(3)
    playback.forget()
    (folder / frame_name(0)).unlink()
    scene.frame_set(4)
    assert str(folder / frame_name(0)) in playback.complaint(moving("small moving"))
    assert (attribute(moving("small moving").data, "position").round(2) == 3).all()


def test_splats_that_move_away_take_their_bounds_along():
    start = gaussians(20, seed=1)
    splats = splat_object("splats", start)
    bpy.context.scene.collection.objects.link(splats)
    bpy.context.view_layer.update()
    _ = list(splats.bound_box)
    show(splats.data, {"position": start.position + np.float32(100)})
    bpy.context.view_layer.update()
    assert np.array(splats.bound_box).min() > 50


def test_an_import_on_a_later_frame_shows_that_frame(scene, package):
    scene.frame_set(4)
    import_scene(bpy.context, package)
    assert shown() == [3]


def test_imported_twice_both_play(imported, package, scene, tmp_path):
    made = len(bpy.data.node_groups), len(bpy.data.materials)
    second = import_scene(bpy.context, package)
    assert second.name == "lake.001"
    assert parts_of("lake.001") == {"lake static.001", "lake moving.001"}
    scene.frame_set(4)
    assert shown(moving("lake moving")) == shown(moving("lake moving.001")) == [3]
    assert world_shown(scene, tmp_path) == 3
    assert (len(bpy.data.node_groups), len(bpy.data.materials)) == made


def test_scenes_of_other_lengths_play_side_by_side(imported, scene, tmp_path):
    write_package(tmp_path / "pond.cyclorama", frames=3, frame_rate=12)
    import_scene(bpy.context, tmp_path / "pond.cyclorama", world=False)
    scene.frame_set(9)
    assert (shown(), shown(moving("pond moving"))) == ([3], [1])


@pytest.mark.parametrize("kind", ["LINK_COPY", "FULL_COPY"])
def test_a_copied_scene_plays_too(imported, kind):
    bpy.ops.scene.new(type=kind)
    copied = bpy.context.scene
    copied.frame_set(4)
    splats = next(o for o in copied.objects if o.cyclorama.role == MOVING_ROLE)
    assert shown(splats) == [3]


def test_a_duplicate_that_shares_its_mesh_plays_too(imported, scene):
    twin = moving().copy()
    scene.collection.objects.link(twin)
    for frame in (4, 2):
        scene.frame_set(frame)
        assert shown(twin) == [frame - 1]


def _twin(linked):
    """What Shift+D, or Alt+D, makes of the whole 4D scene."""
    for thing in bpy.context.scene.objects:
        thing.select_set(thing.name in ("lake", "lake static", "lake moving"))
    bpy.context.view_layer.objects.active = bpy.data.objects["lake"]
    bpy.ops.object.duplicate(linked=linked)
    return bpy.data.objects["lake.001"]


@pytest.mark.parametrize("linked", [False, True])
def test_a_duplicated_scene_plays_in_its_own_time(imported, scene, linked):
    twin = _twin(linked)
    assert {part.parent for part in bpy.data.objects if part.name.endswith(".001") and part != twin} == {twin}
    scene.frame_set(2)
    assert shown() == shown(moving("lake moving.001")) == [1]
    assert (moving().data == moving("lake moving.001").data) == linked
    twin.cyclorama.offset = 2
    for frame in (3, 1, 2):
        scene.frame_set(frame)
        assert (shown(), shown(moving("lake moving.001"))) == ([frame - 1], [(frame + 1) % FRAMES])


def test_scenes_at_other_frames_show_each_its_own(imported):
    bpy.ops.scene.new(type="FULL_COPY")
    copied = bpy.context.scene
    own = next(o for o in copied.objects if o.cyclorama.role == MOVING_ROLE)
    copied.frame_set(4)
    bpy.data.scenes["Scene"].frame_set(2)
    assert (shown(), shown(own)) == ([1], [3])
    assert copied.world != bpy.data.scenes["Scene"].world
    assert copied.world.cyclorama.root == own.parent


@pytest.mark.parametrize("position", ["CENTER", "START", "END"])
def test_motion_blur_sees_the_frame_that_is_rendered_at_all_its_moments(imported, scene, tmp_path, position):
    seen = []

    def note(scene, _depsgraph):
        seen.append((scene.frame_current + scene.frame_subframe, *shown()))

    scene.render.use_motion_blur = True
    scene.render.motion_blur_shutter = 0.5
    scene.render.motion_blur_position = position
    set_up(scene, tmp_path / "blurred.exr", 4, 4)
    scene.frame_set(3)
    bpy.app.handlers.frame_change_post.append(note)
    bpy.ops.render.render()
    bpy.app.handlers.frame_change_post.remove(note)
    assert len({moment for moment, _ in seen}) > 1, "Cycles looks at several moments"
    assert {index for _, index in seen} == {2}
    scene.frame_set(5)
    assert shown() == [4]


def test_a_render_of_another_scene_leaves_this_one_at_its_frame(imported, scene, tmp_path):
    bpy.ops.scene.new(type="EMPTY")
    other = bpy.context.scene
    import_scene(bpy.context, write_package(tmp_path / "pond.cyclorama"))
    scene.frame_set(2)
    other.frame_set(4)
    set_up(other, tmp_path / "other.exr", 4, 4)
    bpy.ops.render.render(scene=other.name)
    assert (shown(), shown(moving("pond moving"))) == ([1], [3])


def test_a_rendered_animation_plays(scene, tmp_path):
    """Splats and world, through Blender's own render loop."""
    import_scene(bpy.context, write_package(tmp_path / "lake.cyclorama"))
    for part in ("moving", "static"):
        bpy.data.objects[f"lake {part}"].hide_render = True
    scene.frame_start, scene.frame_end = 2, 4
    scene.render.use_persistent_data = True
    seen = []
    bpy.app.handlers.render_post.append(note := lambda *_: seen.append(shown()))
    set_up(scene, tmp_path / "shot_####", 4, 4)
    bpy.ops.render.render(animation=True)
    bpy.app.handlers.render_post.remove(note)
    assert seen == [[1], [2], [3]]
    world = [float(pixels(tmp_path / f"shot_{frame:04d}.exr")[0, 0, 0]) for frame in (2, 3, 4)]
    assert world == pytest.approx([(frame + 1) * WORLD_STEP for frame in (1, 2, 3)], abs=1e-3)


# The file


def test_a_reloaded_file_plays(imported, tmp_path):
    bpy.context.scene.frame_set(2)
    save_and_reload(tmp_path / "film.blend")
    assert shown() == [1]
    bpy.context.scene.frame_set(4)
    assert shown() == [3]
    assert world_shown(bpy.context.scene, tmp_path) == 3


def test_a_file_saved_elsewhere_still_finds_its_package(scene, tmp_path):
    """Blender turns the relative paths of its own images; so must we."""
    (tmp_path / "film").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    import_scene(bpy.context, write_package(tmp_path / "lake.cyclorama"))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film" / "copy.blend"), copy=True)
    for frame in (3, 4):
        bpy.context.scene.frame_set(frame)
        assert shown() == [frame - 1]
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "film" / "copy.blend"))
    assert playback.complaint(moving()) == ""
    assert world_shown(bpy.context.scene, tmp_path) == 0


@pytest.fixture
def library(scene, tmp_path):
    """A file with a scene "lake", and an open other one."""
    path = tmp_path / "library" / "lake.blend"
    path.parent.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    import_scene(bpy.context, write_package(path.parent / "lake.cyclorama"))
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    return path


def _bring(library, link, instance=False):
    with bpy.data.libraries.load(str(library), link=link) as (_there, wanted):
        wanted.collections = ["lake"]
    here = bpy.context.scene.collection
    if instance:
        empty = bpy.data.objects.new("instance", None)
        empty.instance_type, empty.instance_collection = "COLLECTION", wanted.collections[0]
        here.objects.link(empty)
        bpy.context.view_layer.objects.active = empty
    else:
        here.children.link(wanted.collections[0])


@pytest.mark.parametrize("instance", [False, True])
def test_a_scene_linked_from_another_file_says_that_it_cannot_play_and_can_be_made_to(library, tmp_path, instance):
    _bring(library, link=True, instance=instance)
    bpy.context.scene.frame_set(4)
    assert "linked" in playback.complaint(bpy.data.objects["lake moving"])
    assert bpy.ops.cyclorama.make_playable() == {"FINISHED"}
    (own,) = [o for o in bpy.data.objects if o.cyclorama.role == MOVING_ROLE and o.library is None]
    for frame in (4, 2):
        bpy.context.scene.frame_set(frame)
        assert shown(own) == [frame - 1]
    assert playback.complaint(own) == ""
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    (own,) = [o for o in bpy.data.objects if o.cyclorama.role == MOVING_ROLE and o.library is None]
    bpy.context.scene.frame_set(5)
    assert shown(own) == [4]


def test_a_scene_appended_from_another_file_plays(library):
    _bring(library, link=False)
    bpy.context.scene.frame_set(4)
    assert playback.complaint(moving()) == ""
    assert shown() == [3]


def test_an_instance_of_a_scenes_collection_plays(imported):
    other = bpy.data.scenes.new("Other")
    empty = bpy.data.objects.new("instance", None)
    empty.instance_type, empty.instance_collection = "COLLECTION", imported
    other.collection.objects.link(empty)
    other.frame_set(4)
    assert shown() == [3]


@pytest.mark.parametrize("saved_first", [True, False])
def test_file_and_package_moved_together_still_play(scene, tmp_path, saved_first):
    old, new = tmp_path / "old", tmp_path / "new"
    package = write_package(old / "lake.cyclorama")
    if saved_first:
        bpy.ops.wm.save_as_mainfile(filepath=str(old / "film.blend"))
    import_scene(bpy.context, package)
    bpy.ops.wm.save_as_mainfile(filepath=str(old / "film.blend"))
    bpy.ops.wm.read_homefile(use_empty=True)
    old.rename(new)
    bpy.ops.wm.open_mainfile(filepath=str(new / "film.blend"))
    bpy.context.scene.frame_set(4)
    assert playback.complaint(moving()) == ""
    assert shown() == [3]
    assert world_shown(bpy.context.scene, tmp_path) == 3


def test_without_its_package_it_says_so_until_the_package_is_back(imported, package, scene, tmp_path):
    package.rename(tmp_path / "elsewhere")
    scene.frame_set(3)
    assert str(package) in playback.complaint(moving())
    (tmp_path / "elsewhere").rename(package)
    scene.frame_set(4)
    assert playback.complaint(moving()) == ""
    assert shown() == [3]


def test_a_reloaded_file_whose_package_is_gone_says_so(imported, package, tmp_path):
    package.rename(tmp_path / "elsewhere")
    bpy.context.scene.frame_set(2)
    save_and_reload(tmp_path / "film.blend")
    bpy.context.scene.frame_set(3)
    assert str(package) in playback.complaint(moving())


def test_a_package_made_anew_with_other_splats_asks_to_be_linked_again(imported, package, scene):
    write_package(package, moving=MOVING + 2, frames=FRAMES, overwrite=True)
    scene.frame_set(3)
    assert "Relink" in playback.complaint(moving())


@pytest.mark.parametrize("name", ["lake moving", "lake static", "lake camera"])
def test_deleted_objects_leave_the_rest_playing(imported, scene, name):
    bpy.data.objects.remove(bpy.data.objects[name])
    scene.frame_set(4)
    assert "lake moving" not in bpy.data.objects or shown() == [3]


def test_without_its_root_nothing_plays_and_nothing_fails(imported, scene):
    bpy.data.objects.remove(bpy.data.objects["lake"])
    scene.frame_set(4)
    assert shown() == [0]
    assert scene.world.cyclorama.root is None


def test_a_world_whose_nodes_the_artist_cleared_leaves_the_rest_playing(imported, scene):
    scene.world.node_tree.nodes.clear()
    scene.frame_set(4)
    assert shown() == [3]


def test_blender_plays_from_the_command_line(scene, tmp_path):
    """``blender -b film.blend -a``: the add-on is registered, the file opened, the animation rendered."""
    import_scene(bpy.context, write_package(tmp_path / "lake.cyclorama"))
    scene.frame_start, scene.frame_end = 2, 4
    scene.render.film_transparent = False
    for part in ("moving", "static"):
        bpy.data.objects[f"lake {part}"].hide_render = True
    set_up(scene, tmp_path / "shot_####", 4, 4)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    command = [sys.executable, "-c", _COMMAND_LINE, str(tmp_path / "film.blend")]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    world = [float(pixels(tmp_path / f"shot_{frame:04d}.exr")[0, 0, 0]) for frame in (2, 3, 4)]
    assert world == pytest.approx([(frame + 1) * WORLD_STEP for frame in (1, 2, 3)], abs=1e-3)


_COMMAND_LINE = """
import sys, bpy, cyclorama
cyclorama.register()
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
bpy.ops.render.render(animation=True)
cyclorama.unregister()
"""


# Undo


def test_undo_and_redo_of_an_import(scene, package):
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.cyclorama.import_scene(directory=str(package))
    bpy.ops.ed.undo_push(message="Import")
    bpy.ops.ed.undo()
    assert "lake" not in bpy.data.objects
    bpy.ops.ed.redo()
    bpy.context.scene.frame_set(4)
    assert shown() == [3]


def test_a_deleted_scene_leaves_nothing_that_fails(imported, scene, tmp_path):
    for thing in list(imported.all_objects):
        bpy.data.objects.remove(thing)
    bpy.data.collections.remove(imported)
    scene.frame_set(4)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "film.blend"))
    bpy.context.scene.frame_set(3)
    assert not [mesh for mesh in bpy.data.meshes if mesh.name.startswith("lake")]


def test_undo_goes_back_to_the_frame_that_was_shown(imported, scene):
    bpy.ops.ed.undo_push(message="Import")
    scene.frame_set(3)
    bpy.ops.ed.undo_push(message="Frame")
    bpy.ops.ed.undo()
    assert shown() == [bpy.context.scene.frame_current - 1]


@pytest.mark.parametrize("frame", [1, 2, 3])
def test_what_is_shown_after_an_undo_is_the_frame_one_goes_to(imported, scene, frame):
    """Playing makes no undo step: undo brings back some data-blocks as they were on the old frame, others not."""
    bpy.ops.ed.undo_push(message="Import")
    moving().hide_select = True
    bpy.ops.ed.undo_push(message="Lock")
    scene.frame_set(3)
    bpy.ops.ed.undo()
    assert not moving().hide_select
    bpy.context.scene.frame_set(frame)
    assert shown() == [frame - 1]


# Registration


def test_an_addon_that_is_off_leaves_the_timeline_alone(no_backend, tmp_path, capfd):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    cyclorama.register()
    import_scene(bpy.context, write_package(tmp_path / "lake.cyclorama"))
    cyclorama.unregister()
    bpy.context.scene.frame_set(4)
    assert shown() == [0]
    handlers = (*bpy.app.handlers.frame_change_pre, *bpy.app.handlers.load_post)
    assert not [handler for handler in handlers if "cyclorama" in handler.__module__]
    assert "Traceback" not in capfd.readouterr().err
