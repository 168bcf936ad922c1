"""What the import of a 4D scene makes."""

import json
import shutil

import bpy
import numpy as np
import pytest

from cyclorama.addon.stage.importing import import_scene
from cyclorama.addon.stage.world_light import IMAGE_NODE
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.scene import INFO, Scene

from .packages import attribute, write_package
from .stage import ATTRIBUTES, moving, parts_of, shown, world_shown


def count():
    """How many data-blocks of each kind there are in the file."""
    kinds = (name for name in dir(bpy.data) if isinstance(getattr(bpy.data, name), bpy.types.bpy_prop_collection))
    return {kind: len(getattr(bpy.data, kind)) for kind in kinds}


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
    assert {o.name for o in imported.all_objects} >= {
        "lake",
        "lake static",
        "lake moving",
        "lake camera",
        "lake camera rig",
    }
    assert parts_of("lake") == {"lake static", "lake moving"}


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
        assert world_shown(scene, tmp_path) == 0
    assert "still moving" not in bpy.data.objects


def test_a_scene_in_which_all_moves(scene, tmp_path):
    write_package(tmp_path / "sea.cyclorama", static=0)
    import_scene(bpy.context, tmp_path / "sea.cyclorama")
    assert "sea static" not in bpy.data.objects
    scene.frame_set(3)
    assert shown(moving("sea moving")) == [2]


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
    before = count()
    with pytest.raises(CycloramaError) as raised:
        import_scene(bpy.context, package)
    assert raised.value.code == code
    assert count() == before


def test_the_image_of_the_video_is_read_as_linear_light(imported, scene):
    image = scene.world.node_tree.nodes[IMAGE_NODE].image
    assert image.colorspace_settings.name == "Linear Rec.709"
