"""The panel tells what a scene will take, by the panorama that is chosen and the jobs that are done."""

from types import SimpleNamespace

import bpy
import pytest

from cyclorama.addon import estimating, link
from cyclorama.addon.ui.sentences import duration, gigabytes
from cyclorama.bridge.messages import Generate
from cyclorama.bridge.settings import PanoramaTo4D

from .conftest import PANORAMA
from .packages import write_package


@pytest.fixture
def settings(addon):
    estimating.forget()
    yield bpy.context.scene.cyclorama
    estimating.forget()


def job(name="a", seconds=None, settings=None, output="", state="done", factor=1.0, reused=()):
    asked = settings and Generate(job=name, panorama=str(PANORAMA), output="/s.cyclorama", settings=settings)
    taken = seconds or {"lift": 15.0 * factor, "look around": 11.0 * factor, "animate": 3.0 * factor}
    return SimpleNamespace(
        name=name,
        state=state,
        seconds=taken,
        peak_bytes=10**9,
        asked=asked,
        panorama=str(PANORAMA),
        output=output,
        reused=reused,
    )


def done(monkeypatch, *jobs) -> None:
    monkeypatch.setattr(link, "jobs", lambda: list(jobs))


def told_of(settings):
    found = estimating.current(settings)
    assert found
    return found


def test_without_a_panorama_nothing_is_told(settings, tmp_path):
    assert estimating.current(settings) is None
    settings.panorama = str(tmp_path / "gone.exr")
    assert estimating.current(settings) is None


def test_settings_that_do_not_go_together_are_no_reason_for_a_traceback(settings):
    settings.panorama, settings.estimator = str(PANORAMA), "file"
    assert estimating.current(settings) is None


def test_a_larger_panorama_takes_longer_wherever_it_comes_from(settings):
    settings.panorama = str(PANORAMA)
    assert estimating.panorama_width(settings) == 1024
    (of_file, _) = told_of(settings)
    settings.panorama_source = "IMAGE"
    assert estimating.current(settings) is None
    settings.panorama_image = bpy.data.images.new("small", 256, 128)
    (of_image, _) = told_of(settings)
    settings.panorama_source, settings.render_width = "SCENE", 4096
    (of_scene, _) = told_of(settings)
    assert of_image.seconds < of_file.seconds < of_scene.seconds


def test_a_file_is_not_read_at_every_drawing(settings, monkeypatch):
    settings.panorama = str(PANORAMA)
    estimating.current(settings)
    monkeypatch.setattr(estimating, "picture_size", lambda path: pytest.fail("read again"))
    estimating.current(settings)


def test_jobs_of_this_session_teach_what_this_machine_is_like(settings, monkeypatch):
    settings.panorama = str(PANORAMA)
    (usual, _) = told_of(settings)
    done(monkeypatch, job(settings=PanoramaTo4D(), factor=5.0), job("b", state="running", settings=PanoramaTo4D()))
    (told, _) = told_of(settings)
    assert told.basis == "learned" and told.seconds > 3 * usual.seconds


def test_stages_that_were_there_already_teach_nothing(settings, monkeypatch):
    taken = {"animate": 3.0, "lift": 0.001, "look around": 0.001}
    done(monkeypatch, job(settings=PanoramaTo4D(), seconds=taken, reused=("lift", "look around")))
    settings.panorama = str(PANORAMA)
    told_of(settings)
    (past,) = estimating.past_jobs()
    assert past.seconds == {"animate": 3.0} and past.peak_bytes == 0


def test_jobs_of_earlier_sessions_teach_by_the_scene_they_made(settings, monkeypatch, tmp_path):
    """The package does not tell settings of ours here, so nothing is learned of it, and nothing goes wrong."""
    settings.panorama = str(PANORAMA)
    package = write_package(tmp_path / "s.cyclorama")
    done(monkeypatch, job(output=str(package)), job("gone", output=str(tmp_path / "gone.cyclorama")))
    for _ in range(3):
        (told, _) = told_of(settings)
    assert [past.settings for past in estimating.past_jobs()] == [PanoramaTo4D()]
    assert told.basis == "learned"


def test_where_memory_is_short_the_panel_says_what_to_lower(settings, monkeypatch):
    from cyclorama.addon import device
    from cyclorama.bridge.estimate import Device

    settings.panorama_source, settings.render_width, settings.width = "SCENE", 8192, 8192
    monkeypatch.setattr(estimating, "device", lambda: Device(4, memory_bytes=4 * 10**9))
    (told, fitting) = told_of(settings)
    assert told.peak_bytes > 4e9 and fitting == 2048
    assert device.device().cores >= 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (15.4, "15 s"), (99, "99 s"), (100, "2 min"), (1800, "30 min"), (9000, "2 h"), (400_000, "5 days")],
)
def test_times_are_told_in_words(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(("size", "words"), [(1.24e9, "1.2 GB"), (6.8e9, "6.8 GB"), (31.3e9, "31 GB")])
def test_memory_is_told_in_words(size, words):
    assert gigabytes(size) == words
