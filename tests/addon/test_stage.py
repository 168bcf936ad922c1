"""4D scenes as Blender data: what an import makes, and how the timeline plays it."""

import json
import math
import shutil

import bpy
import numpy as np
import pytest

import cyclorama
from cyclorama.addon.look.material import MATERIAL
from cyclorama.addon.look.surfels import JITTER, REACH, RISE, SIDES
from cyclorama.addon.stage import playback
from cyclorama.addon.stage.importing import import_scene
from cyclorama.addon.stage.splats import show, splat_object
from cyclorama.addon.stage.world_light import IMAGE_NODE
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.gaussians import Gaussians, colour_from_radiance
from cyclorama.bridge.scene import INFO, Scene, frame_name

from .packages import WORLD_STEP, attribute, facing, gaussians, pixels, radiance, render, set_up, write_package

MOVING, FRAMES = 4, 5
ATTRIBUTES = {"position": "position", "rotation": "rotation", "scale": "scale", "radiance": "radiance"}


@pytest.fixture
def scene(addon, capfd):
    """An empty scene at 24 frames a second; no handler of Blender's may fail in it (Blender only prints that)."""
    scene = bpy.context.scene
    scene.render.fps = 24
    yield scene
    assert "Traceback" not in capfd.readouterr().err


@pytest.fixture
def package(scene, tmp_path):
    return write_package(tmp_path / "lake.cyclorama", moving=MOVING, frames=FRAMES)


@pytest.fixture
def imported(scene, package):
    return import_scene(bpy.context, package)


def _moving(name="lake moving"):
    return bpy.data.objects[name]


def _shown(splats=None):
    """Which package frame the moving splats' radiance is, bit for bit."""
    now = attribute((splats or _moving()).data, "radiance")
    return [index for index in range(FRAMES) if np.array_equal(now, radiance(MOVING, index))]


def _world_shown(scene, tmp_path):
    """Which package frame lights the scene, as Cycles sees it."""
    return round(float(render(scene, tmp_path / "world.exr", 4, 4)[0, 0, 0]) / WORLD_STEP) - 1


def _evaluated(splats):
    return splats.evaluated_get(bpy.context.evaluated_depsgraph_get()).data


def _count():
    """How many data-blocks of each kind there are in the file."""
    kinds = (name for name in dir(bpy.data) if isinstance(getattr(bpy.data, name), bpy.types.bpy_prop_collection))
    return {kind: len(getattr(bpy.data, kind)) for kind in kinds}


# Import


@pytest.mark.parametrize("part", ["static", "moving"])
@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_attributes_are_the_packages_values_bit_for_bit(imported, package, part, name):
    opened = Scene(package)
    wanted = opened.static() if part == "static" else opened.moving(0)
    got = attribute(bpy.data.objects[f"lake {part}"].data, ATTRIBUTES[name])
    assert got.tobytes() == np.ascontiguousarray(getattr(wanted, name)).tobytes()


def test_a_collection_holds_all_and_one_empty_carries_the_splats(imported, scene):
    assert imported.name == "lake"
    assert imported.name in scene.collection.children
    root = bpy.data.objects["lake"]
    assert root.type == "EMPTY"
    assert {o.name for o in imported.objects} == {"lake", "lake static", "lake moving", "lake camera"}
    assert {o.name for o in root.children} == {"lake static", "lake moving"}


def test_the_camera_stands_where_the_panorama_was_taken_and_looks_at_its_centre(imported, scene):
    camera = scene.camera
    assert camera.name == "lake camera"
    assert tuple(camera.location) == (0, 0, 0)
    bpy.context.view_layer.update()
    assert tuple(-camera.matrix_world.col[2].xyz) == pytest.approx((0, 1, 0), abs=1e-6)
    assert tuple(camera.matrix_world.col[1].xyz) == pytest.approx((0, 0, 1), abs=1e-6)


def test_a_camera_that_is_there_stays_the_scenes(scene, package):
    mine = bpy.data.objects.new("Mine", bpy.data.cameras.new("Mine"))
    scene.collection.objects.link(mine)
    scene.camera = mine
    import_scene(bpy.context, package)
    assert scene.camera == mine


def test_the_world_is_the_panoramic_video_and_the_artists_own_stays_in_the_file(scene, package):
    mine = scene.world = bpy.data.worlds.new("Mine")
    import_scene(bpy.context, package)
    assert scene.world.name == "lake"
    assert bpy.data.worlds.get("Mine") == mine


def test_without_world_and_camera_neither_is_touched(scene, package):
    import_scene(bpy.context, package, world=False, camera=False)
    assert (scene.world, scene.camera, len(bpy.data.cameras)) == (None, None, 0)


def test_a_scene_in_which_nothing_moves(scene, tmp_path):
    write_package(tmp_path / "still.cyclorama", moving=0)
    import_scene(bpy.context, tmp_path / "still.cyclorama")
    for frame in (1, 7):
        scene.frame_set(frame)
        assert _world_shown(scene, tmp_path) == 0
    assert "still moving" not in bpy.data.objects


def test_a_scene_in_which_all_moves(scene, tmp_path):
    write_package(tmp_path / "sea.cyclorama", static=0)
    import_scene(bpy.context, tmp_path / "sea.cyclorama")
    assert "sea static" not in bpy.data.objects
    scene.frame_set(3)
    assert _shown(_moving("sea moving")) == [2]


def test_a_scene_without_a_video_leaves_the_world_alone(scene, tmp_path):
    write_package(tmp_path / "dark.cyclorama", video=False)
    import_scene(bpy.context, tmp_path / "dark.cyclorama")
    assert scene.world is None
    assert "dark moving" in bpy.data.objects


def _of_a_newer_version(folder):
    told = json.loads((folder / INFO).read_text())
    (folder / INFO).write_text(json.dumps(told | {"version": 99}))


def _cut_short(folder):
    file = folder / "moving.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def _gone(folder):
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "spoil, code",
    [(_of_a_newer_version, "package-newer"), (_cut_short, "package-damaged"), (_gone, "package-missing")],
)
def test_a_package_that_cannot_be_read_adds_nothing_to_the_file(scene, package, spoil, code):
    spoil(package)
    before = _count()
    with pytest.raises(CycloramaError) as raised:
        import_scene(bpy.context, package)
    assert raised.value.code == code
    assert _count() == before


# The timeline


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
    assert _shown() == [wanted]
    assert _world_shown(scene, tmp_path) == wanted


@pytest.mark.parametrize("rate", [12, 23.976, 24, 25, 29.97, 30, 48, 50, 59.94, 60])
def test_equal_rates_never_slip(rate):
    assert all(playback.package_frame(1 + n, 1, rate, rate, 10**9) == n for n in range(20_000))


def test_a_rate_with_a_base_counts_real_seconds(scene, tmp_path):
    folder = write_package(tmp_path / "lake.cyclorama", frame_rate=24000 / 1001)
    scene.render.fps, scene.render.fps_base = 24, 1.001
    import_scene(bpy.context, folder)
    for frame in (1, 2, 24 * 60 + 1):
        scene.frame_set(frame)
        assert _shown() == [(frame - 1) % FRAMES]


def test_between_frames_nothing_moves(imported, scene):
    for subframe in (0.0, 0.3, 0.99):
        scene.frame_set(3, subframe=subframe)
        assert _shown() == [2]


def test_the_static_splats_never_change(imported, package, scene):
    scene.frame_set(3)
    assert np.array_equal(attribute(bpy.data.objects["lake static"].data, "radiance"), Scene(package).static().radiance)


def test_whatever_differs_from_frame_to_frame_is_played(scene, tmp_path):
    folder = write_package(tmp_path / "lake.cyclorama", per_frame={"position": 3, "scale": 3})
    import_scene(bpy.context, folder)
    scene.frame_set(4)
    assert _shown() == [3]
    assert (attribute(_moving().data, "position") == 4).all()
    assert (attribute(_moving().data, "scale") == 4).all()


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
    assert playback.complaint(_moving("small moving")) == ""


def test_a_compressed_scene_without_its_first_frame_is_complained_about_and_keeps_what_it_shows(scene, tmp_path):
    folder = write_package(tmp_path / "small.cyclorama", per_frame={"position": 3}, video=False, compression="small")
    import_scene(bpy.context, folder, world=False, camera=False)
    scene.frame_set(3)
    playback.forget()
    (folder / frame_name(0)).unlink()
    scene.frame_set(4)
    assert str(folder / frame_name(0)) in playback.complaint(_moving("small moving"))
    assert (attribute(_moving("small moving").data, "position").round(2) == 3).all()


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
    assert _shown() == [3]


def test_imported_twice_both_play(imported, package, scene, tmp_path):
    second = import_scene(bpy.context, package)
    assert second.name == "lake.001"
    assert {o.name for o in bpy.data.objects["lake.001"].children} == {"lake static.001", "lake moving.001"}
    scene.frame_set(4)
    assert _shown(_moving("lake moving")) == _shown(_moving("lake moving.001")) == [3]
    assert _world_shown(scene, tmp_path) == 3
    assert len(bpy.data.node_groups) == 1
    assert [m.name for m in bpy.data.materials] == [MATERIAL]


def test_scenes_of_other_lengths_play_side_by_side(imported, scene, tmp_path):
    write_package(tmp_path / "pond.cyclorama", frames=3, frame_rate=12)
    import_scene(bpy.context, tmp_path / "pond.cyclorama", world=False)
    scene.frame_set(9)
    assert (_shown(), _shown(_moving("pond moving"))) == ([3], [1])


@pytest.mark.parametrize("kind", ["LINK_COPY", "FULL_COPY"])
def test_a_copied_scene_plays_too(imported, kind):
    bpy.ops.scene.new(type=kind)
    copied = bpy.context.scene
    copied.frame_set(4)
    splats = next(o for o in copied.objects if o.cyclorama.package)
    assert _shown(splats) == [3]


def test_a_duplicate_that_shares_its_mesh_plays_too(imported, scene):
    twin = _moving().copy()
    scene.collection.objects.link(twin)
    for frame in (4, 2):
        scene.frame_set(frame)
        assert _shown(twin) == [frame - 1]


def test_a_rendered_animation_plays(scene, tmp_path):
    """Splats and world, through Blender's own render loop."""
    import_scene(bpy.context, write_package(tmp_path / "lake.cyclorama"))
    for part in ("moving", "static"):
        bpy.data.objects[f"lake {part}"].hide_render = True
    scene.frame_start, scene.frame_end = 2, 4
    scene.render.use_persistent_data = True
    shown = []
    bpy.app.handlers.render_post.append(note := lambda *_: shown.append(_shown()))
    set_up(scene, tmp_path / "shot_####", 4, 4)
    bpy.ops.render.render(animation=True)
    bpy.app.handlers.render_post.remove(note)
    assert shown == [[1], [2], [3]]
    world = [float(pixels(tmp_path / f"shot_{frame:04d}.exr")[0, 0, 0]) for frame in (2, 3, 4)]
    assert world == pytest.approx([(frame + 1) * WORLD_STEP for frame in (1, 2, 3)], abs=1e-3)


# The file


def _save_and_reload(path):
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.open_mainfile(filepath=str(path))


def test_a_reloaded_file_plays(imported, tmp_path):
    bpy.context.scene.frame_set(2)
    _save_and_reload(tmp_path / "film.blend")
    assert _shown() == [1]
    bpy.context.scene.frame_set(4)
    assert _shown() == [3]
    assert _world_shown(bpy.context.scene, tmp_path) == 3


def test_a_file_saved_elsewhere_still_finds_its_package(scene, tmp_path):
    """Blender turns the relative paths of its own images; so must we."""
    (tmp_path / "film").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    import_scene(bpy.context, write_package(tmp_path / "lake.cyclorama"))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film" / "copy.blend"), copy=True)
    for frame in (3, 4):
        bpy.context.scene.frame_set(frame)
        assert _shown() == [frame - 1]
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "film" / "copy.blend"))
    assert playback.complaint(_moving()) == ""
    assert _world_shown(bpy.context.scene, tmp_path) == 0


def test_a_scene_linked_from_another_file_says_that_it_cannot_play(scene, tmp_path):
    library = tmp_path / "library" / "lake.blend"
    library.parent.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(library))
    import_scene(bpy.context, write_package(library.parent / "lake.cyclorama"))
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    with bpy.data.libraries.load(str(library), link=True) as (_there, wanted):
        wanted.collections = ["lake"]
    bpy.context.scene.collection.children.link(bpy.data.collections["lake"])
    bpy.context.scene.frame_set(4)
    assert "linked" in playback.complaint(_moving())


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
    assert playback.complaint(_moving()) == ""
    assert _shown() == [3]
    assert _world_shown(bpy.context.scene, tmp_path) == 3


def test_without_its_package_it_says_so_until_the_package_is_back(imported, package, scene, tmp_path):
    package.rename(tmp_path / "elsewhere")
    scene.frame_set(3)
    assert str(package) in playback.complaint(_moving())
    (tmp_path / "elsewhere").rename(package)
    scene.frame_set(4)
    assert playback.complaint(_moving()) == ""
    assert _shown() == [3]


def test_a_reloaded_file_whose_package_is_gone_says_so(imported, package, tmp_path):
    package.rename(tmp_path / "elsewhere")
    bpy.context.scene.frame_set(2)
    _save_and_reload(tmp_path / "film.blend")
    bpy.context.scene.frame_set(3)
    assert str(package) in playback.complaint(_moving())


def test_a_package_made_anew_with_other_splats_asks_to_be_imported_again(imported, package, scene):
    write_package(package, moving=MOVING + 2, frames=FRAMES, overwrite=True)
    scene.frame_set(3)
    assert "again" in playback.complaint(_moving())


@pytest.mark.parametrize("name", ["lake moving", "lake static", "lake", "lake camera"])
def test_deleted_objects_leave_the_rest_playing(imported, scene, name):
    bpy.data.objects.remove(bpy.data.objects[name])
    scene.frame_set(4)
    assert "lake moving" not in bpy.data.objects or _shown() == [3]


def test_a_world_whose_nodes_the_artist_cleared_leaves_the_rest_playing(imported, scene):
    scene.world.node_tree.nodes.clear()
    scene.frame_set(4)
    assert _shown() == [3]


# Undo


def test_undo_goes_back_to_the_frame_that_was_shown(imported, scene):
    bpy.ops.ed.undo_push(message="Import")
    scene.frame_set(3)
    bpy.ops.ed.undo_push(message="Frame")
    bpy.ops.ed.undo()
    assert _shown() == [bpy.context.scene.frame_current - 1]


@pytest.mark.parametrize("frame", [1, 2, 3])
def test_what_is_shown_after_an_undo_is_the_frame_one_goes_to(imported, scene, frame):
    """Playing makes no undo step: undo brings back some data-blocks as they were on the old frame, others not."""
    bpy.ops.ed.undo_push(message="Import")
    _moving().hide_select = True
    bpy.ops.ed.undo_push(message="Lock")
    scene.frame_set(3)
    bpy.ops.ed.undo()
    assert not _moving().hide_select
    bpy.context.scene.frame_set(frame)
    assert _shown() == [frame - 1]


# The surfels


def test_each_splat_becomes_a_tent_of_triangles_that_knows_its_radiance(imported, package):
    for part, wanted in (("static", Scene(package).static()), ("moving", Scene(package).moving(0))):
        mesh = _evaluated(bpy.data.objects[f"lake {part}"])
        assert len(mesh.vertices) == (SIDES + 1) * len(wanted)
        assert len(mesh.polygons) == SIDES * len(wanted)
        assert np.array_equal(attribute(mesh, "radiance"), np.repeat(wanted.radiance, SIDES + 1, axis=0))
        radius = np.linalg.norm(attribute(mesh, "splat_uv"), axis=1).reshape(-1, SIDES + 1)
        assert np.sort(radius, axis=1)[:, 0] == pytest.approx(0, abs=1e-6)
        assert np.sort(radius, axis=1)[:, 1:] == pytest.approx(REACH / math.cos(math.pi / SIDES), abs=1e-5)


def test_every_triangle_has_the_splats_material(imported):
    mesh = _evaluated(_moving())
    used = {mesh.materials[triangle.material_index].name for triangle in mesh.polygons}
    assert used == {MATERIAL}


def test_the_surfels_lie_where_the_gaussians_are(scene):
    """A corner's place is R·S·uv from the centre, but for the tent's slight rise along the normal."""
    wanted = gaussians(50)
    splats = splat_object("Splats", wanted)
    scene.collection.objects.link(splats)
    mesh = _evaluated(splats)
    offset = attribute(mesh, "position").reshape(50, SIDES + 1, 3) - wanted.position[:, None]
    uv = attribute(mesh, "splat_uv").reshape(50, SIDES + 1, 3)
    R = _matrices(wanted.rotation)
    local = np.einsum("nji,nkj->nki", R, offset)
    assert local[..., :2] == pytest.approx(uv[..., :2] * wanted.scale[:, None, :2], abs=1e-5)
    smaller = wanted.scale[:, :2].min(axis=1)[:, None]
    rise = local[..., 2] / smaller
    is_middle = np.linalg.norm(uv, axis=-1) < 0.5
    assert rise[is_middle] == pytest.approx(RISE, abs=JITTER + 1e-3)
    assert rise[~is_middle] == pytest.approx(0, abs=JITTER + 1e-3)


def test_the_middle_of_a_tent_is_nearest_to_who_sees_its_front(scene):
    """A splat at 5 m on +Y whose normal looks back at the origin."""
    place, scale = np.array([[0, 5, 0], [0.3, 0.3, 0.01]], np.float32)[:, None]
    one = Gaussians(place, facing((0, -1, 0)), scale, radiance(1, 0))
    splats = splat_object("Splats", one)
    scene.collection.objects.link(splats)
    mesh = _evaluated(splats)
    place = attribute(mesh, "position")
    middle = np.linalg.norm(attribute(mesh, "splat_uv"), axis=1) < 0.5
    assert (place[middle, 1] < place[~middle, 1].min() - 0.04).all()
    assert all(triangle.normal.y < -0.9 for triangle in mesh.polygons)


def test_a_scaled_scene_has_splats_as_much_larger(imported):
    before = _evaluated(_moving())
    root = bpy.data.objects["lake"]
    size = _tent_sizes(before, _moving().matrix_world)
    root.scale = (2, 2, 2)
    bpy.context.view_layer.update()
    assert _tent_sizes(_evaluated(_moving()), _moving().matrix_world) == pytest.approx(2 * size, rel=1e-4)


def _tent_sizes(mesh, matrix):
    """Edge lengths around the tents, in the world."""
    place = attribute(mesh, "position") @ np.array(matrix.to_3x3()).T
    corners = place.reshape(-1, SIDES + 1, 3)
    return np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)


def _matrices(quaternions):
    from mathutils import Quaternion

    return np.array([Quaternion(q).to_matrix() for q in quaternions])


# Registration


def test_an_addon_that_is_off_leaves_the_timeline_alone(no_backend, tmp_path, capfd):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    cyclorama.register()
    import_scene(bpy.context, write_package(tmp_path / "lake.cyclorama"))
    cyclorama.unregister()
    bpy.context.scene.frame_set(4)
    assert _shown() == [0]
    handlers = (*bpy.app.handlers.frame_change_pre, *bpy.app.handlers.load_post)
    assert not [handler for handler in handlers if "cyclorama" in handler.__module__]
    assert "Traceback" not in capfd.readouterr().err


def test_the_image_of_the_video_is_read_as_linear_light(imported, scene):
    image = scene.world.node_tree.nodes[IMAGE_NODE].image
    assert image.colorspace_settings.name == "Linear Rec.709"
