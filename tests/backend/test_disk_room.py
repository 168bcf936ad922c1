"""What a job will write is known well enough beforehand, and a disk without room is told before the work."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cyclorama.backend import disk_room
from cyclorama.backend.disk_room import DiskRoom, check, lift_bytes, package_bytes, there
from cyclorama.backend.recipes import once
from cyclorama.backend.recipes.panorama_to_4d import panorama_to_4d
from cyclorama.backend.stage_cache import StageCache, kept
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import PanoramaTo4D

HEIGHT, WIDTH = 128, 256
FACTOR = 2.0
"""That estimates may be off by, either way."""


@pytest.fixture
def panorama(picture) -> Path:
    image = np.empty((HEIGHT, WIDTH, 3), np.float32)
    image[: HEIGHT // 2], image[HEIGHT // 2 :] = (0.35, 0.5, 0.9), (0.08, 0.12, 0.04)
    grain = np.exp(0.05 * np.random.default_rng(0).standard_normal((HEIGHT, WIDTH, 1)))
    return picture("meadow.exr", (image * grain).astype(np.float32), "float")


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def seen(monkeypatch) -> dict:
    """The video of the last run. Nobody looks around in its scene, which takes longer than all the rest."""
    last: dict = {}
    digest_of_video = once.digest_of_video

    def remembered(video):
        last["video"] = video
        return digest_of_video(video)

    from cyclorama.backend.lift.safe_radius import SafeRadii

    monkeypatch.setattr(once, "digest_of_video", remembered)
    monkeypatch.setattr(once, "safe_radii", lambda *_: SafeRadii((1.0,) * 10))
    return last


def test_estimates_are_near_what_is_written(panorama, tmp_path, seen):
    for lift, compression in (("direct", "none"), ("fast", "none"), ("fast", "small")):
        settings = PanoramaTo4D(frames=4, fps=2.0, lift=lift, compression=compression)
        output = tmp_path / f"{lift}-{compression}.cyclorama"
        cache = StageCache(tmp_path / "cache", 10**9)
        info = panorama_to_4d(panorama, output, settings, cache=cache)
        moving = info.moving_count / (info.static_count + info.moving_count)
        told, written = package_bytes(settings, WIDTH, 4, moving), bytes_in(output)
        print(f"{lift} {compression}: {told} bytes estimated, {written} written")
        assert 1 / FACTOR < told / written < FACTOR
        if lift == "fast":
            (entry,) = [entry for entry in kept(tmp_path / "cache") if entry.stage == "lift"]
            assert 1 / FACTOR < lift_bytes(settings, WIDTH, 4, moving) / entry.bytes < FACTOR


def with_free(monkeypatch, free: int) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(disk_room.shutil, "disk_usage", lambda _: usage._replace(free=free))


def test_a_job_without_room_is_refused_before_its_work(panorama, tmp_path, monkeypatch):
    with_free(monkeypatch, 1_000_000)
    heard = []
    with pytest.raises(CycloramaError) as caught:
        panorama_to_4d(panorama, tmp_path / "a.cyclorama", PanoramaTo4D(), lambda *told: heard.append(told[0]))
    assert caught.value.code == "disk-full"
    assert str(tmp_path) in caught.value.sentence and "0.001 GB are free" in caught.value.sentence
    assert caught.value.hint
    assert set(heard) <= {"read", "layout"}
    assert not (tmp_path / "a.cyclorama").exists()


def test_where_only_the_cache_has_no_room_the_job_goes_on_without_it(tmp_path, monkeypatch):
    settings = PanoramaTo4D(frames=4)
    cache = StageCache(tmp_path / "cache", 10**9)
    DiskRoom(tmp_path / "a.cyclorama", settings, WIDTH, cache, tmp_path / "unfinished").check_before()
    with_free(monkeypatch, cache.left_free_bytes + 100)
    DiskRoom(tmp_path / "a.cyclorama", settings, WIDTH, cache, tmp_path / "unfinished").check_before()
    with cache.begin("lift", "0" * 32, 1000) as entry:
        assert not entry.is_kept


def test_a_disk_that_does_not_tell_is_trusted(tmp_path, monkeypatch):
    def untold(_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(disk_room.shutil, "disk_usage", untold)
    check(tmp_path, 10**18, "The scene")


def test_of_a_folder_that_is_not_there_yet_the_disk_is_that_of_the_one_it_comes_into(tmp_path):
    assert there(tmp_path / "a" / "b" / "c.cyclorama") == tmp_path
