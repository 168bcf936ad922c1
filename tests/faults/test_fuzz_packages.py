"""However a scene package was spoilt, it is refused in one sentence that names the file, or read rightly."""

import gc
import shutil
import time
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from cyclorama.backend.inspection import facts, in_words
from cyclorama.backend.sphere.pictures import write_exr, write_preview
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.gaussians import COLUMNS
from cyclorama.bridge.points import POINT_COLUMNS
from cyclorama.bridge.scene import Scene, is_package

from .fuzzing import packages
from .fuzzing.flood import Tally, assert_none_took_long
from .fuzzing.watch import files_touched, resident_bytes

pytestmark = pytest.mark.timeout(3600)

FULL = 10_000
MOST_MEMORY = 600 << 20
"""Bytes by which reading any of them may grow this process."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    image = np.random.default_rng(0).random((16, 32, 3), np.float32)
    folder = tmp_path_factory.mktemp("sound")
    return packages.write_all(
        folder, lambda path: write_preview(path, image, 32), lambda path: write_exr(path, image, half=True)
    )


def read_all(package: Path) -> str:
    """As the add-on and ``cyclorama inspect`` do; what is read is as it is described."""
    assert is_package(package) in (True, False)
    scene = Scene(package)
    info = scene.info
    assert scene.static().position.shape == (info.static_count, 3)
    for index in range(info.frame_count if info.moving_count else 0):
        for name, array in scene.moving(index).arrays().items():
            assert (array.shape, array.dtype) == ((info.moving_count, COLUMNS[name]), np.float32)
    for index in range(info.frame_count if info.point_count else 0):
        for name, array in scene.points(index).arrays().items():
            assert array.shape == (info.point_count, POINT_COLUMNS[name])
    pictures = [*scene.video_frames(), *scene.depth_frames()]
    assert all(path.resolve().is_relative_to(package.resolve()) for path in pictures)
    scene.validate()
    words = in_words(facts(scene))
    assert words.replace("\n", "").isprintable(), "a terminal would be commanded"
    return "read"


def outcome_of(package: Path, way: str) -> str:
    try:
        return f"{read_all(package)} after {way}"
    except CycloramaError as error:
        assert str(package) in error.sentence and error.sentence.endswith("."), error.sentence
        assert error.sentence.isprintable() and len(error.sentence) < 1000 and error.hint, error.sentence
        return error.code


def test_a_spoilt_package_is_refused_in_a_sentence_or_read(sound, tmp_path, times, figures):
    chance = Random(0)
    tally = Tally()
    ways = Counter()
    place = tmp_path / "scenes"
    before, most = resident_bytes(), 0
    for number in range(times(FULL)):
        package = place / f"{number}.cyclorama"
        shutil.copytree(sound[number % len(sound)], package)
        (place / packages.SECRET).write_bytes(b"for nobody's eyes")
        way = packages.spoil(chance, package)
        began = time.thread_time(), time.monotonic()
        try:
            with files_touched(package, reading=True) as touched:
                outcome = outcome_of(package, way)
        except Exception as error:
            raise AssertionError(f"package {number}, {way}: {type(error).__name__}: {error}") from error
        tally.took(time.thread_time() - began[0], time.monotonic() - began[1], f"package {number}, {way}")
        assert_none_took_long(tally)
        tally.note(outcome)
        ways[way] += 1
        assert touched == [], f"package {number}, {way}"
        most = max(most, resident_bytes() - before)
        shutil.rmtree(place)
    gc.collect()
    figures(f"{tally.told()}; memory grew by {most >> 20} MB at most")
    assert most < MOST_MEMORY
    assert len(ways) > 15
