"""Point clouds in a package: what was written is read, a bad one is refused in a sentence."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.gaussians import Gaussians
from cyclorama.bridge.package_checks import header
from cyclorama.bridge.points import Points
from cyclorama.bridge.scene import INFO, FileInfo, Generator, Scene, frame_name, sha256
from cyclorama.bridge.scene_writer import SceneWriter

COUNT, FRAMES = 6, 3
NO_SPLATS = Gaussians(*(np.zeros((0, columns), np.float32) for columns in (3, 4, 3, 4)))


def some(seed: int) -> Points:
    random = np.random.default_rng(seed)
    position, colour, radius = (random.random((COUNT, columns), np.float32) for columns in (3, 3, 1))
    return Points(position, colour, radius)


@pytest.fixture(params=["each frame whole", "radius shared"])
def package(request, tmp_path) -> Path:
    shared = ("radius",) if request.param == "radius shared" else ()
    with SceneWriter(tmp_path / "a.cyclorama") as writer:
        writer.static(NO_SPLATS)
        if shared:
            writer.points({"radius": some(0).radius[:, 0]})
        for index in range(FRAMES):
            writer.points_frame(index, {key: each for key, each in some(index).arrays().items() if key not in shared})
        writer.finish(generator=Generator("test", "0", "", {}), seed=0, frame_rate=24.0, frame_count=FRAMES, loops=True)
    return tmp_path / "a.cyclorama"


def test_the_points_of_every_frame_are_read_bit_by_bit(package):
    scene = Scene(package)
    assert scene.info.point_count == COUNT
    for index in range(FRAMES):
        read, written = scene.points(index), some(index)
        assert np.array_equal(read.position, written.position)
        assert np.array_equal(read.colour, written.colour)
    assert np.array_equal(scene.points(0).radius, some(0).radius)
    scene.validate()


def test_a_reader_that_knows_no_points_refuses_such_a_package(package):
    """It would show an empty scene."""
    assert json.loads((package / INFO).read_text())["version"] == 3


def test_points_are_within_the_bounds(package):
    low, high = map(np.array, Scene(package).info.bounds)
    for index in range(FRAMES):
        assert ((some(index).position >= low) & (some(index).position <= high)).all()


def _rewrite(package: Path, name: str, arrays: dict) -> None:
    """Another file in a package, described as it is."""
    save_file(arrays, package / name)
    told = json.loads((package / INFO).read_text())
    size, checksum = (package / name).stat().st_size, sha256(package / name)
    described = FileInfo(size, checksum, header(package / name))
    arrays_told = {key: {"dtype": a.dtype, "shape": list(a.shape)} for key, a in described.arrays.items()}
    told["files"][name] = {"bytes": size, "sha256": checksum, "arrays": arrays_told}
    (package / INFO).write_text(json.dumps(told))


@pytest.mark.parametrize("change", ["a point less", "no colour", "a flat radius"])
def test_a_frame_of_other_points_is_refused(package, change):
    arrays = {key: np.ascontiguousarray(array) for key, array in some(1).arrays().items()}
    if change == "a point less":
        arrays = {key: np.ascontiguousarray(array[:-1]) for key, array in arrays.items()}
    elif change == "no colour":
        del arrays["colour"]
    else:
        arrays["radius"] = arrays["radius"][:, 0].copy()
    _rewrite(package, frame_name(1, "points"), arrays)
    with pytest.raises(CycloramaError, match=r"000001\.safetensors"):
        Scene(package)


def test_a_missing_frame_is_named(package):
    (package / frame_name(2, "points")).unlink()
    with pytest.raises(CycloramaError, match=r"000002\.safetensors is missing"):
        Scene(package)


@pytest.mark.parametrize("name, value", [("position", np.nan), ("radius", -1), ("colour", -0.5)])
def test_values_that_are_no_points_are_found(package, name, value):
    arrays = {key: np.ascontiguousarray(array) for key, array in some(1).arrays().items()}
    arrays[name][0, 0] = value
    _rewrite(package, frame_name(1, "points"), arrays)
    with pytest.raises(CycloramaError, match=name):
        Scene(package).validate()


@pytest.mark.parametrize("spoil", ["shorter", "gone", "longer", "head"])
def test_a_file_that_changes_after_opening_is_an_error_not_a_crash(package, spoil):
    """A disk that goes away while a scene plays."""
    scene = Scene(package)
    path = package / frame_name(1, "points")
    content = path.read_bytes()
    if spoil == "gone":
        path.unlink()
    elif spoil == "head":
        path.write_bytes((10**12).to_bytes(8, "little") + content[8:])
    else:
        path.write_bytes(content[:-1] if spoil == "shorter" else content + b"0")
    with pytest.raises(CycloramaError, match=r"000001\.safetensors"):
        scene.points(1)
    assert len(scene.points(0)) == COUNT


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read anything")
def test_a_file_closed_to_us_is_an_error(package):
    scene = Scene(package)
    (package / frame_name(1, "points")).chmod(0)
    with pytest.raises(CycloramaError):
        scene.points(1)
