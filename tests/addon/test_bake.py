"""A baked scene plays without the add-on: in another Blender, from the command line, frame for frame the same."""

import os
import subprocess
import sys

import bpy
import numpy as np
import pytest

from cyclorama.addon.stage import playback
from cyclorama.addon.stage.importing import import_scene

from .packages import attribute, pixels, radiance, set_up, write_package
from .stage import evaluated, moving, shown, world_shown

FRAMES = range(1, 8)

_RENDER = """
import sys, bpy
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
assert not hasattr(bpy.types.Object, "cyclorama")
bpy.context.scene.render.filepath = sys.argv[2]
bpy.ops.render.render(animation=True)
"""


@pytest.fixture
def film(scene, tmp_path):
    """A saved file with a scene of moving splats, points and a world, of which a camera sees something."""
    folder = write_package(tmp_path / "lake.cyclorama", frames=5, points=1, per_frame={"scale": 3})
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    import_scene(bpy.context, folder)
    scene.frame_start, scene.frame_end = FRAMES.start, FRAMES.stop - 1
    return tmp_path / "film.blend"


def _bake():
    bpy.context.view_layer.objects.active = bpy.data.objects["lake"]
    assert bpy.ops.cyclorama.bake_scene() == {"FINISHED"}


def _tents(name):
    mesh = evaluated(bpy.data.objects[name])
    return attribute(mesh, "radiance"), attribute(mesh, "position")


def test_baked_frames_are_bit_for_bit_those_that_were_played(film, scene):
    bpy.data.objects["lake"].cyclorama.offset = 2
    played = {}
    for frame in FRAMES:
        scene.frame_set(frame)
        played[frame] = _tents("lake moving")
    _bake()
    for frame in (*FRAMES, *reversed(FRAMES)):
        scene.frame_set(frame)
        for now, before in zip(_tents("lake moving"), played[frame], strict=True):
            assert np.array_equal(now, before)


def test_a_baked_scene_renders_the_same_without_the_addon(film, scene, tmp_path):
    """Splats, points and the world's light."""
    scene.camera.data.lens = 10
    set_up(scene, tmp_path / "with_####", 16, 16)
    bpy.ops.render.render(animation=True)
    _bake()
    bpy.ops.wm.save_mainfile()
    command = [sys.executable, "-c", _RENDER, str(film), str(tmp_path / "without_####")]
    subprocess.run(command, check=True, capture_output=True, timeout=200, env=os.environ | {"CYCLORAMA": "off"})
    pictures = [[pixels(tmp_path / f"{kind}_{f:04d}.exr") for f in FRAMES] for kind in ("with", "without")]
    for with_addon, without in zip(*pictures, strict=True):
        assert np.allclose(with_addon, without, atol=1e-4)
    assert np.ptp([picture.mean() for picture in pictures[1]]) > 0.1


def test_motion_blur_sees_a_baked_frame_held(film, scene):
    _bake()
    scene.frame_set(3)
    radiance = _tents("lake moving")[0]
    for frame, subframe in ((2, 0.75), (3, 0.25)):
        scene.frame_set(frame, subframe=subframe)
        assert np.array_equal(_tents("lake moving")[0], radiance)


def test_a_bake_writes_each_frame_of_the_package_once(film, scene, tmp_path):
    scene.frame_end = 200
    _bake()
    blobs = tmp_path / "baked" / "lake_moving.baked" / "blobs"
    assert sorted(file.name for file in blobs.iterdir()) == [*(f"frame_{i:06d}.blob" for i in range(5)), "shared.blob"]


def test_without_its_bake_cyclorama_plays_again(film, scene, tmp_path):
    _bake()
    assert bpy.ops.cyclorama.unbake_scene() == {"FINISHED"}
    scene.frame_set(4)
    assert shown() == [3]
    assert world_shown(scene, tmp_path) == 3
    assert [modifier.name for modifier in moving().modifiers] == ["Surfels"]


def test_a_scene_is_baked_anew_over_its_older_bake(film, scene):
    _bake()
    bpy.ops.cyclorama.unbake_scene()
    bpy.data.objects["lake"].cyclorama.offset = 1
    _bake()
    scene.frame_set(1)
    moving().modifiers["Surfels"].show_viewport = False
    now = attribute(evaluated(moving()), "radiance")
    assert np.array_equal(now, attribute(moving().data, "radiance"))


def test_a_full_disk_leaves_nothing_half_and_the_scene_as_it_was(film, scene, tmp_path, monkeypatch):
    from cyclorama.bridge import whole_folder

    written = whole_folder.WholeFolder.file

    def full(self, name, write):
        if name.endswith("000003.blob"):
            raise self._unwritable(OSError(28, "No space left on device"))
        return written(self, name, write)

    monkeypatch.setattr(whole_folder.WholeFolder, "file", full)
    bpy.context.view_layer.objects.active = bpy.data.objects["lake"]
    with pytest.raises(RuntimeError, match="No space left on device"):
        bpy.ops.cyclorama.bake_scene()
    assert not (tmp_path / "baked").exists()
    scene.frame_set(4)
    assert shown() == [3]
    assert playback.complaint(moving()) == ""


def test_a_scene_deleted_while_it_is_baked_is_an_error_not_a_crash(film, scene):
    from cyclorama.addon.stage.baking import planned, put_in_place
    from cyclorama.bridge.errors import CycloramaError

    bake = planned(bpy.data.objects["lake"], scene)
    steps = bake.write()
    next(steps)
    bpy.data.objects.remove(bpy.data.objects["lake"])
    assert [*steps][-1] == 1
    with pytest.raises(CycloramaError, match="deleted"):
        put_in_place(bake)


def test_a_bake_that_is_given_up_leaves_no_trace(film, scene, tmp_path):
    from cyclorama.addon.stage.baking import planned

    steps = planned(bpy.data.objects["lake"], scene).write()
    next(steps)
    steps.close()
    assert not (tmp_path / "baked").exists()


def test_keyframed_and_driven_time_is_baked_as_it_played(film, scene):
    root = bpy.data.objects["lake"]
    root.cyclorama.use_frame = True
    root.driver_add("cyclorama.frame").driver.expression = "frame * frame"
    _bake()
    for frame in FRAMES:
        scene.frame_set(frame)
        tents = _tents("lake moving")[0]
        assert np.array_equal(tents[:: len(tents) // 4], radiance(4, frame * frame % 5))


def test_a_file_that_was_never_saved_says_so(imported):
    assert not bpy.ops.cyclorama.bake_scene.poll()
