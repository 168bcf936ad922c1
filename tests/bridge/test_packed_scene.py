"""A compressed package shows what was written, to within what it states; a bad one is refused in a sentence."""

import json
import sys
import warnings
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zstandard
from safetensors import safe_open
from safetensors.numpy import save_file

from cyclorama.bridge import scene as scene_module
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.gaussians import Gaussians, colour_from_radiance
from cyclorama.bridge.packing import MOST
from cyclorama.bridge.rounding import ERROR
from cyclorama.bridge.scene import Generator, Scene, SceneInfo, frame_name, sha256
from cyclorama.bridge.scene_writer import SceneWriter

STATIC, MOVING, FRAMES = 300, 200, 4


def some(count: int, seed: int) -> Gaussians:
    """Gaussians all about, no two near each other in any array."""
    random = np.random.default_rng(seed)
    rotation = random.standard_normal((count, 4))
    return Gaussians(
        (10 * random.standard_normal((count, 3))).astype(np.float32),
        (rotation / np.linalg.norm(rotation, axis=1, keepdims=True)).astype(np.float32),
        random.uniform(0.01, 0.5, (count, 3)).astype(np.float32),
        random.random((count, 4), np.float32),
    )


def moved(index: int) -> Gaussians:
    """The moving Gaussians in frame ``index``: a little elsewhere, in another light."""
    still = some(MOVING, 1)
    return Gaussians(
        still.position * np.float32(1 + 0.01 * index), still.rotation, still.scale, some(MOVING, 2 + index).radiance
    )


def write(
    output: Path, compression="small", whole: bool = False, static: int = STATIC, moving: int = MOVING, **more
) -> SceneInfo:
    """``whole``: all arrays of the moving ones change from frame to frame; else the radiance does."""
    with SceneWriter(output, compression=compression) as writer:
        writer.static(some(static, 0))
        if moving and not whole:
            shared = moved(0).arrays()
            del shared["radiance:base"]
            writer.moving(shared)
        for index in range(FRAMES if moving else 0):
            writer.frame(index, moved(index).arrays() if whole else {"radiance:base": moved(index).radiance})
        generator = Generator("test", "0", "by hand", {})
        return writer.finish(generator=generator, seed=7, frame_rate=25.0, frame_count=FRAMES, loops=True, **more)


@pytest.fixture
def package(tmp_path) -> Path:
    write(tmp_path / "a.cyclorama", whole=True)
    return tmp_path / "a.cyclorama"


def assert_close(got: Gaussians, wanted: Gaussians) -> None:
    """The same Gaussians to within the stated error, in whatever order."""
    apart = np.linalg.norm(got.position[:, None] - wanted.position[None], axis=2)
    partner = apart.argmin(axis=1)
    assert sorted(partner) == list(range(len(wanted)))
    wanted = wanted[partner]
    distance = np.linalg.norm(wanted.position, axis=1)
    bound = np.hypot(np.radians(ERROR.direction_degrees), ERROR.distance_share)
    assert (np.linalg.norm(got.position - wanted.position, axis=1) < bound * distance).all()
    cosine = np.abs((got.rotation * wanted.rotation).sum(axis=1))
    assert (cosine > np.cos(np.radians(ERROR.rotation_degrees / 2)) - 1e-6).all()
    np.testing.assert_allclose(got.scale, wanted.scale, rtol=ERROR.scale_share)
    np.testing.assert_allclose(colour_from_radiance(got.radiance), colour_from_radiance(wanted.radiance), atol=0.002)
    np.testing.assert_allclose(got.radiance[:, 3], wanted.radiance[:, 3], atol=ERROR.opacity)


@pytest.mark.parametrize("whole", [False, True], ids=["the light moves", "all moves"])
def test_a_compressed_scene_is_what_was_written_to_within_its_stated_error(tmp_path, whole):
    info = write(tmp_path / "a.cyclorama", whole=whole)
    scene = Scene(tmp_path / "a.cyclorama")
    scene.validate()
    assert scene.info == info
    assert (info.static_count, info.moving_count, info.error, info.version) == (STATIC, MOVING, ERROR, 2)
    assert_close(scene.static(), some(STATIC, 0))
    for index in range(FRAMES):
        still = moved(index if whole else 0)
        wanted = Gaussians(still.position, still.rotation, still.scale, moved(index).radiance)
        assert_close(scene.moving(index), wanted)
        assert set(scene.changes(index)) == (set(wanted.arrays()) if whole else {"radiance:base"})


@pytest.mark.parametrize("whole", [False, True])
def test_a_moving_gaussian_is_the_same_one_in_every_frame(tmp_path, whole):
    write(tmp_path / "a.cyclorama", whole=whole)
    scene = Scene(tmp_path / "a.cyclorama")
    first = scene.moving(0)
    for index in range(1, FRAMES):
        later = scene.moving(index)
        stretched = first.position * (1 + 0.01 * index if whole else 1)
        np.testing.assert_allclose(later.position, stretched, atol=0.01)


@pytest.mark.parametrize("whole", [False, True])
def test_frames_are_read_in_any_order_with_the_same_result(tmp_path, whole):
    write(tmp_path / "a.cyclorama", whole=whole)
    in_order = Scene(tmp_path / "a.cyclorama")
    wanted = [in_order.changes(index) for index in range(FRAMES)]
    for order in ([3, 0, 2, 1], [2, 2, 3], [1]):
        jumping = Scene(tmp_path / "a.cyclorama")
        for index in order:
            for name, array in jumping.changes(index).items():
                np.testing.assert_array_equal(array, wanted[index][name])


@pytest.mark.parametrize(("static", "moving"), [(0, MOVING), (STATIC, 0), (0, 0), (1, MOVING)])
def test_a_compressed_scene_may_lack_still_or_moving_gaussians(tmp_path, static, moving):
    write(tmp_path / "a.cyclorama", static=static, moving=moving)
    scene = Scene(tmp_path / "a.cyclorama")
    scene.validate()
    assert (len(scene.static()), scene.info.moving_count) == (static, moving)


def test_what_stands_still_in_all_frames_takes_next_to_no_room_in_them(package):
    files = Scene(package).info.files
    rotation = [files[frame_name(index)].arrays["rotation"].shape[0] for index in range(FRAMES)]
    assert rotation[0] > MOVING and max(rotation[1:]) < 40


def test_an_uncompressed_package_says_nothing_that_its_first_readers_did_not_know(tmp_path):
    assert write(tmp_path / "a.cyclorama", "none").version == 1
    described = json.loads((tmp_path / "a.cyclorama" / "scene.json").read_text())
    assert described["version"] == 1 and described["error"] is None
    assert set(described["files"]["static.safetensors"]) == {"bytes", "sha256", "arrays"}
    with safe_open(tmp_path / "a.cyclorama" / "static.safetensors", framework="np") as file:
        assert not file.metadata()


def test_a_reader_of_version_1_refuses_a_compressed_package_by_its_version(package, monkeypatch):
    monkeypatch.setattr(scene_module, "VERSION", 1)
    with pytest.raises(CycloramaError, match="version 2; this Cyclorama reads versions up to 1") as caught:
        Scene(package)
    assert caught.value.hint == "Update Cyclorama."


def test_packages_from_before_safe_radii_are_read_and_those_with_them_too(tmp_path):
    radii = ((1.0, 0.0, 0.0, 0.5), (0.0, 0.0, -1.0, 0.25))
    write(tmp_path / "a.cyclorama", safe_radius=0.25, safe_radii=radii)
    assert Scene(tmp_path / "a.cyclorama").info.safe_radii == radii
    path = tmp_path / "a.cyclorama" / "scene.json"
    described = json.loads(path.read_text())
    del described["safe_radii"]
    path.write_text(json.dumps(described))
    assert Scene(tmp_path / "a.cyclorama").info.safe_radii == ()


@pytest.mark.parametrize(
    ("array", "column", "value", "why"),
    [
        ("position", 1, np.nan, "'position' holds NaN or infinity"),
        ("radiance:base", 0, np.inf, "'radiance:base' holds NaN or infinity"),
        ("radiance:base", 3, 1.5, "opacities outside"),
        ("scale", 0, -1, "negative"),
        ("rotation", 0, 3, "unit length"),
    ],
)
def test_what_cannot_be_rounded_is_told_when_it_is_written_and_leaves_nothing(tmp_path, array, column, value, why):
    gaussians = some(STATIC, 0)
    gaussians.arrays()[array][5, column] = value
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises(CycloramaError, match=why) as caught,
        SceneWriter(tmp_path / "a.cyclorama", compression="small") as writer,
    ):
        writer.static(gaussians)
    assert caught.value.code == "gaussians-damaged"
    assert list(tmp_path.iterdir()) == []


# Bad packages


def stored(package: Path, name: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of bytes in a file, and its metadata."""
    with safe_open(package / name, framework="np") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def exchange(package: Path, name: str, arrays: dict[str, np.ndarray], metadata: dict[str, str] | None) -> None:
    """Put other bytes into a file, and let scene.json agree."""
    save_file(arrays, package / name, metadata)
    path = package / "scene.json"
    described = json.loads(path.read_text())
    short = {"uint8": "U8", "float32": "F32", "uint16": "U16"}
    described["files"][name] |= {
        "bytes": (package / name).stat().st_size,
        "sha256": sha256(package / name),
        "arrays": {key: {"dtype": short[array.dtype.name], "shape": array.shape} for key, array in arrays.items()},
    }
    path.write_text(json.dumps(described))


def repacked(metadata: dict[str, str], change) -> dict[str, str]:
    """Metadata whose JSON was changed in place by ``change``."""
    described = json.loads(metadata["cyclorama"])
    change(described)
    return {"cyclorama": json.dumps(described)}


def refused(package: Path, name: str, code: str = "package-damaged", validate: bool = False) -> str:
    """The sentence by which the package is refused; it names the file."""
    with pytest.raises(CycloramaError) as caught:
        scene = Scene(package)
        assert validate, "opening should have refused it"
        scene.validate()
    assert caught.value.code == code
    assert str(package / name) in caught.value.sentence
    assert caught.value.sentence.endswith(".") and "\n" not in caught.value.sentence and caught.value.hint
    return caught.value.sentence


def set_count(count):
    return lambda described: described["arrays"]["scale"].update(count=count)


CHANGES = {
    "an unknown encoding": (lambda described: described.update(encoding="tiny"), "does not know ('tiny')"),
    "too few Gaussians": (set_count(STATIC - 1), "'scale'"),
    "more Gaussians than there can be": (set_count(MOST + 1), "how it is packed"),
    "fewer than none": (set_count(-1), "how it is packed"),
    "a column too few": (lambda described: described["arrays"]["scale"]["columns"].pop(), "'scale' of 2 columns"),
    "an unknown array": (lambda described: described["arrays"].update(smell=described["arrays"]["scale"]), "'smell'"),
    "an array that is not there": (lambda described: described["arrays"].pop("scale"), "'scale' as U8"),
    "bytes too wide": (
        lambda described: described["arrays"]["scale"]["columns"][0].update(width=5),
        "how it is packed",
    ),
    "an unknown neighbour": (
        lambda described: described["arrays"]["scale"]["columns"][0].update(after="tomorrow"),
        "how it is packed",
    ),
}


@pytest.mark.parametrize(("change", "why"), CHANGES.values(), ids=CHANGES)
def test_a_description_of_the_packing_that_makes_no_sense_is_named(package, change, why):
    arrays, metadata = stored(package, "static.safetensors")
    exchange(package, "static.safetensors", arrays, repacked(metadata, change))
    assert why in refused(package, "static.safetensors")


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000])
def test_a_description_of_the_packing_that_is_none_is_named(package, text):
    arrays, _ = stored(package, "static.safetensors")
    exchange(package, "static.safetensors", arrays, {"cyclorama": text})
    assert "how it is packed" in refused(package, "static.safetensors")


def test_packed_bytes_without_a_word_of_how_are_named(package):
    arrays, _ = stored(package, "static.safetensors")
    exchange(package, "static.safetensors", arrays, None)
    assert "other arrays" in refused(package, "static.safetensors")


@pytest.mark.parametrize(
    "array", [np.zeros(9, np.float32), np.zeros((3, 3), np.uint8), np.zeros(9, np.uint16)], ids=str
)
def test_packed_bytes_that_are_none_are_named(package, array):
    arrays, metadata = stored(package, "static.safetensors")
    exchange(package, "static.safetensors", arrays | {"scale": array}, metadata)
    assert "the bytes of its packed 'scale'" in refused(package, "static.safetensors")


@pytest.mark.parametrize("name", ["static.safetensors", frame_name(0), frame_name(2)])
@pytest.mark.parametrize("what", ["cut short", "empty", "a bomb", "noise"])
def test_damaged_bytes_are_named_though_the_checksum_is_right(package, name, what):
    arrays, metadata = stored(package, name)
    scale = arrays["scale"]
    bad = {
        "cut short": scale[: len(scale) // 2],
        "empty": scale[:0],
        "a bomb": np.frombuffer(zstandard.ZstdCompressor().compress(bytes(1 << 27)), np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, len(scale)).astype(np.uint8),
    }[what]
    exchange(package, name, arrays | {"scale": bad}, metadata)
    assert "damaged 'scale'" in refused(package, name, validate=True)


def test_values_that_no_writer_writes_are_named_though_the_checksum_is_right(package):
    arrays, metadata = stored(package, "static.safetensors")
    wild = np.zeros((STATIC, 12), np.uint8)
    wild[:, :] = 0x7E  # far beyond any logarithm
    bomb = zstandard.ZstdCompressor().compress(wild.tobytes())

    def widen(described):
        described["arrays"]["scale"]["columns"] = [{"after": "nothing", "width": 4}] * 3

    exchange(
        package, "static.safetensors", arrays | {"scale": np.frombuffer(bomb, np.uint8)}, repacked(metadata, widen)
    )
    assert "'scale' holds NaN or infinity" in refused(package, "static.safetensors", validate=True)


def test_a_first_frame_that_builds_on_itself_is_named(package):
    arrays, metadata = stored(package, frame_name(0))

    def build_on_first(described):
        described["arrays"]["scale"]["columns"][0]["after"] = "first"

    exchange(package, frame_name(0), arrays, repacked(metadata, build_on_first))
    assert "first frame that is not there" in refused(package, frame_name(0), validate=True)


def test_any_flipped_bit_is_refused_or_gives_arrays_of_the_right_shape(package):
    random = np.random.default_rng(0)
    path = package / frame_name(2)
    whole = path.read_bytes()
    refusals = 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            changes = Scene(package).changes(2)
        except CycloramaError as error:
            assert str(path) in error.sentence
            refusals += 1
        else:
            assert {name: array.shape for name, array in changes.items()} == {
                name: array.shape for name, array in moved(2).arrays().items()
            }
    assert refusals > 100
    path.write_bytes(damaged)
    refused(package, frame_name(2), validate=True)


def test_without_zstandard_a_compressed_scene_is_neither_read_nor_written_and_others_are(
    package, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    for attempt in (lambda: Scene(package), lambda: write(tmp_path / "b.cyclorama")):
        with pytest.raises(CycloramaError) as caught:
            attempt()
        assert caught.value.code == "zstandard-missing"
    write(tmp_path / "c.cyclorama", "none")
    Scene(tmp_path / "c.cyclorama").validate()
    assert not (tmp_path / "b.cyclorama").exists()


def test_the_stated_error_is_in_scene_json_with_its_units(package):
    described = json.loads((package / "scene.json").read_text())
    assert described["error"] == msgspec.to_builtins(ERROR)
    assert {file["encoding"] for file in described["files"].values()} == {"small"}
