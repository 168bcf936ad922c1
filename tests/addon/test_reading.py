"""Frames are read ahead of the playhead, in a thread that holds little and ends when told to."""

import threading

import bpy
import numpy as np
import pytest

from cyclorama.addon.stage import packages, playback
from cyclorama.addon.stage.importing import import_scene
from cyclorama.addon.stage.reading import FRAMES_AHEAD, Reader
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.scene import Scene, frame_name

from .packages import attribute, write_package


@pytest.fixture
def small(tmp_path):
    """A compressed package in which everything moves."""
    per_frame = {"position": 3, "scale": 3}
    return Scene(write_package(tmp_path / "small.cyclorama", per_frame=per_frame, video=False, compression="small"))


@pytest.fixture
def reader():
    reader = Reader()
    yield reader
    reader.stop()


def _threads():
    return [thread for thread in threading.enumerate() if thread.name == "cyclorama reading"]


def test_what_was_prepared_is_what_would_have_been_read(addon, small, reader):
    names = [frame_name(index) for index in (1, 2)]
    reader.prepare(small, names)
    reader.wait()
    for name in names:
        wanted = dict(small.stream(name))
        taken = dict(reader.take(small, name))
        assert taken.keys() == wanted.keys()
        assert all(np.array_equal(taken[key], wanted[key]) for key in wanted)


def test_it_holds_no_more_than_the_next_frames(addon, small, reader):
    a_frame = sum(array.nbytes for array in small.changes(1).values())
    for index in range(4):
        reader.prepare(small, [frame_name((index + n) % 5) for n in (1, 2)])
        reader.wait()
        assert reader.held_bytes() == FRAMES_AHEAD * a_frame


def test_of_an_uncompressed_package_it_holds_nothing(addon, tmp_path, reader):
    package = Scene(write_package(tmp_path / "lake.cyclorama"))
    reader.prepare(package, [frame_name(1)])
    reader.wait()
    assert reader.held_bytes() == 0
    assert np.array_equal(
        dict(reader.take(package, frame_name(1)))["radiance:base"], package.changes(1)["radiance:base"]
    )


def test_a_frame_that_is_not_ready_is_read_at_once(addon, small, reader):
    assert np.array_equal(dict(reader.take(small, frame_name(3)))["scale"], small.changes(3)["scale"])


def test_a_frame_that_cannot_be_read_is_complained_about_when_it_is_taken(addon, small, reader):
    (small.folder / frame_name(2)).unlink()
    reader.prepare(small, [frame_name(2)])
    reader.wait()
    with pytest.raises(CycloramaError, match=r"000002\.safetensors"):
        dict(reader.take(small, frame_name(2)))


def test_the_thread_ends_when_told_to_and_starts_again(addon, small, reader):
    for _ in range(3):
        reader.prepare(small, [frame_name(1)])
        assert len(_threads()) == 1
        reader.stop()
        assert _threads() == []
        assert reader.held_bytes() == 0


def test_playing_reads_the_next_frames_whichever_way_it_goes(scene, small):
    import_scene(bpy.context, small.folder, camera=False)
    for frame, ready in ((2, (2, 3)), (3, (3, 4)), (4, (4, 0)), (3, (1, 0)), (2, (0, 4))):
        scene.frame_set(frame)
        ((_, names),) = packages.reader._wanted.values()
        assert names == [frame_name(index) for index in ready]


def test_a_compressed_scene_played_from_what_was_read_ahead_is_the_same(scene, small):
    import_scene(bpy.context, small.folder, camera=False)
    for frame in (2, 3, 4, 5, 6, 5, 4, 1):
        scene.frame_set(frame)
        packages.reader.wait()
        mesh = bpy.data.objects["small moving"].data
        assert np.array_equal(attribute(mesh, "position"), small.changes((frame - 1) % 5)["position"])


def test_another_file_ends_the_thread(scene, small):
    import_scene(bpy.context, small.folder, camera=False)
    scene.frame_set(2)
    assert len(_threads()) == 1
    bpy.ops.wm.read_homefile(use_empty=True)
    assert _threads() == []
    assert playback.complaint(None) == ""
