"""Scenes are given out file by file, and nothing that is not theirs; how much of a guest's is kept."""

import os
import threading

import pytest

from cyclorama.backend.server import scenes as scenes_module
from cyclorama.backend.server.errands import Errands
from cyclorama.backend.server.job import Job
from cyclorama.backend.server.scenes import Scenes
from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.frames import checksum
from cyclorama.bridge.settings import PanoramaTo4D

from .small_scene import write_scene


@pytest.fixture
def errands():
    errands = Errands(lambda: None)
    yield errands
    errands.end()


@pytest.fixture
def scenes(tmp_path, errands):
    return Scenes(tmp_path, errands)


def done(scenes, name="job", guest="anna") -> Job:
    asked = messages.Generate(job=name, panorama="/p", output="/elsewhere/out", settings=PanoramaTo4D())
    job = Job(asked, guest, state="done")
    scenes.prepare(job)
    write_scene(scenes.place(job))
    return job


def settled(errands):
    """All that was sent to the disk has been done."""
    finished = threading.Event()
    errands.send(finished.set)
    assert finished.wait(20)


def code_of(do, *arguments) -> str:
    with pytest.raises(CycloramaError) as caught:
        do(*arguments)
    assert caught.value.hint
    return caught.value.code


def test_what_a_scene_takes_is_known_though_it_was_asked_for_while_it_was_made(scenes, monkeypatch):
    job = done(scenes, "made")
    scenes.place(job).rename(scenes.place(job).with_name("aside"))
    scenes.prepare(job)  # as when its worker died and it is tried again
    scenes.place(job).with_name("aside").rename(scenes.place(job))
    (scenes.place(job).parent / "large").write_bytes(bytes(100_000))
    monkeypatch.setattr(scenes_module, "MOST_BYTES", 100_000)
    assert code_of(scenes.prepare, job) == "outputs-full"


def test_a_scene_is_given_out_to_the_byte(scenes):
    job = done(scenes)
    package = scenes.browse(job)
    for name, file in package.files.items():
        if file.size:
            fetched = scenes.fetched(job, messages.Fetch(job="job", name=name, offset=0))
            true = (scenes.place(job) / name).read_bytes()
            assert fetched.content == true[: messages.PIECE_BYTES]
            assert fetched.checksum == checksum(fetched.content)
    assert package.scene == ""
    middle = scenes.fetched(job, messages.Fetch(job="job", name="video/000003.exr", offset=1000, length=10))
    assert middle.content == bytes([3]) * 10


NAMES = ["../../../keys.json", "/etc/passwd", "video", "owner", "video/../scene.json", "video//000003.exr", "fetched"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_file_of_the_scene_is_not_given_out(scenes, name):
    job = done(scenes)
    assert code_of(scenes.fetched, job, messages.Fetch(job="job", name=name, offset=0)) == "scene-not-there"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("where", ["video/000003.exr", "video", "scene.json"])
def test_a_link_out_of_a_scene_is_not_followed(scenes, tmp_path, where):
    job = done(scenes)
    away = tmp_path / "away"
    (scenes.place(job) / where).rename(away)
    (scenes.place(job) / where).symlink_to(away)
    name = where if "." in where else "video/000003.exr"
    assert code_of(scenes.fetched, job, messages.Fetch(job="job", name=name, offset=0)) == "scene-not-there"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names there")
def test_a_pipe_in_the_place_of_a_file_does_not_stop_the_server(scenes):
    job = done(scenes)
    file = scenes.place(job) / "preview.webp"
    file.unlink()
    os.mkfifo(file)
    assert code_of(scenes.fetched, job, messages.Fetch(job="job", name="preview.webp", offset=0)) == "scene-not-there"


def test_beyond_the_end_of_a_file_there_is_nothing(scenes):
    job = done(scenes)
    request = messages.Fetch(job="job", name="scene.json", offset=1 << 40)
    assert code_of(scenes.fetched, job, request) == "scene-not-there"


def test_a_job_that_is_not_done_has_no_scene(scenes):
    job = done(scenes)
    job.state = "running"
    assert code_of(scenes.browse, job) == "scene-not-there"


def test_a_scene_that_was_forgotten_is_gone_at_once_and_soon_from_the_disk(scenes, errands, tmp_path):
    job = done(scenes)
    scenes.browse(job)
    scenes.forget(job)
    assert code_of(scenes.fetched, job, messages.Fetch(job="job", name="scene.json", offset=0)) == "scene-not-there"
    settled(errands)
    assert list((tmp_path / "outputs").iterdir()) == []


def test_beyond_a_guests_limit_its_fetched_scenes_go_and_the_others_stay(scenes, errands, monkeypatch):
    fetched, waiting = done(scenes, "fetched"), done(scenes, "waiting")
    scenes.fetched(fetched, messages.Fetch(job="fetched", name="scene.json", offset=0))
    monkeypatch.setattr(scenes_module, "MOST_BYTES", 1_000_000)  # one has 0.7 MB
    done(scenes, "next")
    assert not scenes.place(fetched).exists() and scenes.place(waiting).exists()
    asked = messages.Generate(job="more", panorama="/p", output="/o", settings=PanoramaTo4D())
    assert code_of(scenes.prepare, Job(asked, "anna")) == "outputs-full"
    scenes.prepare(Job(asked, "bert"))


def test_at_the_start_of_a_server_only_scenes_of_jobs_stay(scenes, errands, tmp_path):
    kept, gone = done(scenes, "kept"), done(scenes, "gone", "bert")
    (tmp_path / "outputs" / ".half-removed").mkdir()
    scenes.sweep([kept])
    settled(errands)
    assert scenes.place(kept).exists() and not scenes.place(gone).exists()
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == {"anna"}
