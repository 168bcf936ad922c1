"""Packages that moved: found again, copied beside the file, or said to be missing."""

import shutil

import bpy
import numpy as np
import pytest

from cyclorama.addon.stage import playback
from cyclorama.addon.stage.importing import import_scene
from cyclorama.bridge.scene import INFO, Scene

from .packages import attribute, write_package
from .stage import moving, parts_of, save_and_reload, shown, world_shown


def _choose(name="lake"):
    bpy.context.view_layer.objects.active = bpy.data.objects[name]


def test_a_moved_package_is_found_again(imported, package, scene, tmp_path):
    elsewhere = tmp_path / "other disk" / "lake.cyclorama"
    elsewhere.parent.mkdir()
    package.rename(elsewhere)
    scene.frame_set(2)
    assert str(package) in playback.complaint(moving())
    assert shown() == [0]
    _choose()
    assert bpy.ops.cyclorama.relink(directory=str(elsewhere)) == {"FINISHED"}
    scene.frame_set(4)
    assert playback.complaint(moving()) == ""
    assert shown() == [3]
    assert world_shown(scene, tmp_path) == 3


def test_another_package_takes_the_place_of_the_old_one_and_the_objects_stay(imported, scene, tmp_path):
    other = write_package(tmp_path / "pond.cyclorama", static=7, moving=9, frames=3, frame_rate=12, points=2)
    before = moving()
    before["mine"] = 1
    _choose()
    bpy.ops.cyclorama.relink(directory=str(other))
    assert moving() == before and before["mine"] == 1
    assert np.array_equal(attribute(bpy.data.objects["lake static"].data, "position"), Scene(other).static().position)
    scene.frame_set(3)
    assert np.array_equal(attribute(moving().data, "radiance"), Scene(other).moving(1).radiance)
    assert parts_of("lake") == {"lake static", "lake moving", "lake points"}
    assert not [mesh for mesh in bpy.data.meshes if not mesh.users]


def test_a_package_in_which_nothing_moves_takes_the_moving_part_away(imported, tmp_path):
    still = write_package(tmp_path / "still.cyclorama", moving=0, frames=1)
    _choose()
    bpy.ops.cyclorama.relink(directory=str(still))
    assert "lake moving" not in bpy.data.objects


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_that_is_no_package_changes_nothing(imported, scene, tmp_path, name):
    (tmp_path / "empty").mkdir()
    _choose()
    with pytest.raises(RuntimeError, match="Choose a"):
        bpy.ops.cyclorama.relink(directory=str(tmp_path / name))
    scene.frame_set(4)
    assert shown() == [3]


def test_packed_scenes_lie_beside_the_file_and_move_with_it(scene, tmp_path):
    film = tmp_path / "film"
    film.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(film / "film.blend"))
    for part in ("a", "b"):  # two of the same name, and one of them twice
        write_package(tmp_path / part / "lake.cyclorama", static=2 if part == "a" else 3)
    for part in ("a", "b", "b"):
        import_scene(bpy.context, tmp_path / part / "lake.cyclorama")
    assert bpy.ops.cyclorama.pack_scenes() == {"FINISHED"}
    assert sorted(path.name for path in (film / "scenes").iterdir()) == ["lake.001.cyclorama", "lake.cyclorama"]
    assert [bpy.data.objects[name].cyclorama.package for name in ("lake", "lake.001", "lake.002")] == [
        f"//scenes/{name}.cyclorama" for name in ("lake", "lake.001", "lake.001")
    ]
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.read_homefile(use_empty=True)
    for gone in ("a", "b"):
        shutil.rmtree(tmp_path / gone)
    film.rename(tmp_path / "farm")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "farm" / "film.blend"))
    bpy.context.scene.frame_set(4)
    assert [shown(moving(f"lake moving{end}")) for end in ("", ".001", ".002")] == [[3]] * 3
    assert world_shown(bpy.context.scene, tmp_path) == 3
    Scene(tmp_path / "farm" / "scenes" / "lake.cyclorama").validate()


def test_what_is_packed_already_is_not_copied_again(imported, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    bpy.ops.cyclorama.pack_scenes()
    stamp = (tmp_path / "scenes" / "lake.cyclorama" / INFO).stat().st_mtime_ns
    bpy.ops.cyclorama.pack_scenes()
    assert (tmp_path / "scenes" / "lake.cyclorama" / INFO).stat().st_mtime_ns == stamp
    assert len(list((tmp_path / "scenes").iterdir())) == 1


def test_a_full_disk_leaves_no_half_copy_and_the_scene_as_it_was(imported, package, scene, tmp_path, monkeypatch):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    copyfile = shutil.copyfile

    def full(source, target):
        if "000003" in str(source):
            raise OSError(28, "No space left on device")
        return copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(RuntimeError, match="No space left on device"):
        bpy.ops.cyclorama.pack_scenes()
    assert not (tmp_path / "scenes").exists()
    scene.frame_set(4)
    assert shown() == [3]
    assert playback.complaint(moving()) == ""


def test_too_little_room_is_said_before_anything_is_copied(imported, tmp_path, monkeypatch):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(RuntimeError, match="MB free"):
        bpy.ops.cyclorama.pack_scenes()
    assert not (tmp_path / "scenes").exists()


def test_a_file_without_a_scene_says_so(scene):
    assert not bpy.ops.cyclorama.pack_scenes.poll()
    assert not bpy.ops.cyclorama.relink.poll()
    assert not bpy.ops.cyclorama.bake_scene.poll()
    assert not bpy.ops.cyclorama.unbake_scene.poll()
    assert not bpy.ops.cyclorama.make_playable.poll()


def test_a_reloaded_file_with_a_deleted_frame_says_so_and_goes_on(imported, package, tmp_path):
    bpy.context.scene.frame_set(2)
    (package / "frames" / "000003.safetensors").unlink()
    bpy.context.scene.frame_set(4)
    assert "000003.safetensors" in playback.complaint(moving())
    assert shown() == [1]
    bpy.context.scene.frame_set(3)
    assert shown() == [2]
    assert playback.complaint(moving()) == ""
    save_and_reload(tmp_path / "film.blend")
    bpy.context.scene.frame_set(5)
    assert "000003.safetensors" in playback.complaint(moving())
