"""A scene package holds exactly what was written, appears only when whole, and a bad one is refused in a sentence."""

import errno
import json
import math
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cyclorama.bridge import whole_folder
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.gaussians import Gaussians
from cyclorama.bridge.scene import ArrayInfo, Generator, Scene, SceneInfo, frame_name, sha256
from cyclorama.bridge.scene_writer import SceneWriter
from cyclorama.bridge.whole_folder import discard_partial, partial_path

STATIC, MOVING, FRAMES = 50, 40, 3


def some(count: int, seed: int) -> Gaussians:
    random = np.random.default_rng(seed)
    rotation = random.standard_normal((count, 4))
    return Gaussians(
        random.standard_normal((count, 3)).astype(np.float32),
        (rotation / np.linalg.norm(rotation, axis=1, keepdims=True)).astype(np.float32),
        random.random((count, 3), np.float32),
        random.random((count, 4), np.float32),
    )


def described(frames: int = FRAMES) -> dict:
    generator = Generator("test", "0", "by hand", {"frames": frames, "mask": "/m.png"})
    return {"generator": generator, "seed": 7, "frame_rate": 25.0, "frame_count": frames, "loops": True}


def paint(path: Path) -> None:
    path.write_bytes(b"picture")


def fill(writer: SceneWriter, static: int = STATIC, moving: int = MOVING, frames: int = FRAMES, seed: int = 0) -> None:
    """A still set, and a moving one of which only the radiance changes."""
    writer.static(some(static, seed))
    writer.file("preview.webp", paint)
    if moving:
        shared = some(moving, seed + 1).arrays()
        del shared["radiance:base"]
        writer.moving(shared)
        for index in range(frames):
            writer.frame(index, {"radiance:base": some(moving, seed + 2 + index).radiance})


def write(output: Path, overwrite: bool = False, **sizes) -> SceneInfo:
    with SceneWriter(output, overwrite) as writer:
        fill(writer, **sizes)
        return writer.finish(**described(sizes.get("frames", FRAMES)))


def assert_same(one: Gaussians, other: Gaussians) -> None:
    for name, array in one.arrays().items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, other.arrays()[name], err_msg=name)


def assert_is_seed(scene: Scene, seed: int) -> None:
    assert_same(scene.static(), some(STATIC, seed))


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "scenes" / "a.cyclorama"


@pytest.fixture
def package(output) -> Path:
    write(output)
    return output


def beside(output: Path) -> list[str]:
    """Names of all there is in the folder of ``output``."""
    return sorted(path.name for path in output.parent.iterdir()) if output.parent.exists() else []


# Round trip


@pytest.mark.parametrize("moving", [MOVING, 0], ids=["some move", "nothing moves"])
@pytest.mark.parametrize("static", [STATIC, 0], ids=["some stand still", "nothing stands still"])
def test_what_was_written_is_read_bit_by_bit(output, static, moving):
    info = write(output, static=static, moving=moving)
    scene = Scene(output)
    scene.validate()
    assert scene.info == info
    assert (info.static_count, info.moving_count, info.frame_count) == (static, moving, FRAMES)
    assert_same(scene.static(), some(static, 0))
    for index in range(FRAMES if moving else 0):
        expected = some(moving, 1).arrays() | {"radiance:base": some(moving, 2 + index).radiance}
        assert_same(scene.moving(index), Gaussians.from_arrays(expected))
        assert set(scene.changes(index)) == {"radiance:base"}


def test_whole_gaussians_may_change_from_frame_to_frame(output):
    with SceneWriter(output) as writer:
        writer.static(some(STATIC, 0))
        for index in range(FRAMES):
            writer.frame(index, some(MOVING, 10 + index).arrays())
        writer.finish(**described())
    scene = Scene(output)
    scene.validate()
    for index in range(FRAMES):
        assert_same(scene.moving(index), some(MOVING, 10 + index))


def test_the_bounds_hold_all_positions_of_all_frames(output):
    with SceneWriter(output) as writer:
        writer.static(some(STATIC, 0))
        for index in range(FRAMES):
            writer.frame(index, some(MOVING, 10 + index).arrays())
        info = writer.finish(**described())
    positions = np.concatenate([some(STATIC, 0).position, *(some(MOVING, 10 + i).position for i in range(FRAMES))])
    np.testing.assert_array_equal(info.bounds, [positions.min(axis=0), positions.max(axis=0)])


def test_an_empty_scene_has_bounds_too(output):
    assert write(output, static=0, moving=0).bounds == ((0, 0, 0), (0, 0, 0))


def test_the_description_says_which_arrays_each_file_holds(package):
    files = Scene(package).info.files
    assert files["static.safetensors"].arrays["radiance:base"] == ArrayInfo("F32", (STATIC, 4))
    assert files[frame_name(2)].arrays == {"radiance:base": ArrayInfo("F32", (MOVING, 4))}
    assert files["preview.webp"].arrays == {} and files["preview.webp"].bytes == 7


def test_the_video_frames_are_listed_in_order(output):
    with SceneWriter(output) as writer:
        fill(writer)
        for index in (2, 0, 1):
            writer.file(frame_name(index, "video", ".exr"), paint)
        writer.finish(**described())
    assert [path.name for path in Scene(output).video_frames()] == ["000000.exr", "000001.exr", "000002.exr"]


def test_other_users_may_read_the_package(package):
    for path in package.rglob("*.*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444, path


@pytest.mark.parametrize("name", [".DS_Store", "frames/Thumbs.db"])
def test_what_operating_systems_leave_behind_is_no_unknown_file(package, name):
    (package / name).write_bytes(b"thumbs")
    Scene(package).validate()


# Whole or not at all


def test_the_package_appears_only_when_it_is_whole(output):
    with SceneWriter(output) as writer:
        fill(writer)
        assert not output.exists()
        writer.finish(**described())
        Scene(output).validate()
    assert beside(output) == [output.name]


def test_leaving_the_writer_early_leaves_nothing(output):
    with SceneWriter(output) as writer:
        fill(writer)
        assert partial_path(output).exists()
    assert beside(output) == []


def test_being_stopped_while_it_begins_leaves_nothing(output, monkeypatch):
    def stopped(*_):
        raise SystemExit

    monkeypatch.setattr(whole_folder, "HeldFile", stopped)  # who writes here is noted after the folder is made
    with pytest.raises(SystemExit), SceneWriter(output):
        pass
    assert not output.parent.exists()


def test_an_error_while_writing_leaves_nothing_and_is_passed_on(output):
    with pytest.raises(ZeroDivisionError), SceneWriter(output) as writer:
        fill(writer)
        raise ZeroDivisionError
    assert beside(output) == []


def test_a_full_disk_is_told_and_leaves_nothing(output):
    def write_too_much(path):
        path.write_bytes(b"a part")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(CycloramaError, match="No space left on device") as caught, SceneWriter(output) as writer:
        writer.file("preview.webp", write_too_much)
    assert caught.value.code == "disk-full"
    assert str(output) in caught.value.sentence
    assert beside(output) == []


def test_an_existing_scene_is_not_overwritten_unasked(package):
    with pytest.raises(CycloramaError) as caught, SceneWriter(package):
        pass
    assert caught.value.code == "output-exists"
    assert str(package) in caught.value.sentence
    assert_is_seed(Scene(package), 0)


def test_overwriting_keeps_the_old_scene_until_the_new_one_is_whole(package):
    with SceneWriter(package, overwrite=True) as writer:
        fill(writer, seed=100)
        assert_is_seed(Scene(package), 0)
        writer.finish(**described())
        assert_is_seed(Scene(package), 100)
    assert beside(package) == [package.name]


def test_giving_up_overwriting_keeps_the_old_scene(package):
    with SceneWriter(package, overwrite=True) as writer:
        fill(writer, seed=100)
    Scene(package).validate()
    assert_is_seed(Scene(package), 0)
    assert beside(package) == [package.name]


def test_if_the_new_scene_cannot_take_its_place_the_old_one_comes_back(package, monkeypatch):
    rename = Path.rename

    def fails_for_the_new(self, target):
        if self == partial_path(package):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_for_the_new)
    with pytest.raises(CycloramaError, match="Input/output error"):
        write(package, overwrite=True, seed=100)
    assert_is_seed(Scene(package), 0)
    assert beside(package) == [package.name]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_scene_is_never_overwritten(output, overwrite):
    output.mkdir(parents=True)
    (output / "holiday.jpg").write_bytes(b"picture")
    with pytest.raises(CycloramaError) as caught, SceneWriter(output, overwrite):
        pass
    assert caught.value.code == ("output-not-a-package" if overwrite else "output-exists")
    assert str(output) in caught.value.sentence
    assert (output / "holiday.jpg").read_bytes() == b"picture"
    assert beside(output) == [output.name]


def test_a_folder_that_came_meanwhile_is_not_overwritten(output):
    with pytest.raises(CycloramaError) as caught, SceneWriter(output) as writer:
        fill(writer)
        output.mkdir()
        writer.finish(**described())
    assert caught.value.code == "output-exists"
    assert list(output.iterdir()) == []
    assert beside(output) == [output.name]


def test_a_file_is_not_overwritten_either(output):
    output.parent.mkdir()
    output.write_text("mine")
    with pytest.raises(CycloramaError) as caught, SceneWriter(output, overwrite=True):
        pass
    assert caught.value.code == "output-not-a-package"
    assert output.read_text() == "mine"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    output = tmp_path / "file" / "a.cyclorama"
    with pytest.raises(CycloramaError) as caught, SceneWriter(output):
        pass
    assert caught.value.code == "output-not-writable"
    assert str(output) in caught.value.sentence
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208


def test_a_name_too_long_for_the_disk_is_told(tmp_path):
    output = tmp_path / ("a" * 300)
    with pytest.raises(CycloramaError, match="name too long") as caught, SceneWriter(output):
        pass
    assert caught.value.code == "output-not-writable"
    with pytest.raises(CycloramaError) as caught:
        Scene(output)
    assert caught.value.code == "package-missing"


# Other writers, dead and alive


WRITES = """
import sys
from pathlib import Path
from cyclorama.bridge.whole_folder import WholeFolder
with WholeFolder(Path(sys.argv[1]), False, Path.is_dir, "folder") as folder:
    folder.file("static.safetensors", lambda path: path.write_bytes(b"half"))
    print(flush=True)
    input()
"""


@pytest.fixture
def other_process(output):
    """That writes the same scene."""
    command = [sys.executable, "-c", WRITES, str(output)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process.pid
        process.kill()


@pytest.fixture
def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def leave_partial(output: Path, owner: object) -> None:
    """As another process would."""
    partial_path(output).mkdir(parents=True)
    (partial_path(output) / "owner").write_text(str(owner))
    (partial_path(output) / "static.safetensors").write_bytes(b"half")


def test_a_scene_that_another_process_writes_is_left_to_it(output, other_process):
    with pytest.raises(CycloramaError) as caught, SceneWriter(output):
        pass
    assert caught.value.code == "output-busy"
    assert str(output) in caught.value.sentence and str(other_process) in caught.value.sentence
    discard_partial(output)
    assert (partial_path(output) / "static.safetensors").read_bytes() == b"half"


def test_what_a_dead_process_left_makes_room(output, dead_process):
    leave_partial(output, dead_process)
    write(output)
    Scene(output).validate()
    assert beside(output) == [output.name]


def test_what_a_dead_process_left_makes_room_though_its_number_is_another_one_s_now(output):
    """As after a restart; in a container always."""
    leave_partial(output, os.getppid())
    write(output)
    assert beside(output) == [output.name]


@pytest.mark.parametrize("owner", ["", "me", "\0"])
def test_what_nobody_owns_makes_room(output, owner):
    leave_partial(output, owner)
    write(output)
    assert beside(output) == [output.name]


def test_what_a_dead_process_left_can_be_discarded(output, dead_process):
    leave_partial(output, dead_process)
    discard_partial(output)
    assert beside(output) == []


KILLED_BETWEEN_RENAMES = """
import os, sys
from pathlib import Path
from cyclorama.bridge import scene_writer
from cyclorama.bridge.gaussians import Gaussians
from cyclorama.bridge.scene import Generator
import numpy as np
rename = Path.rename
def killed_after(self, target):
    rename(self, target)
    os._exit(9)
with scene_writer.SceneWriter(Path(sys.argv[1]), overwrite=True) as writer:
    writer.static(Gaussians(*(np.zeros((0, width), np.float32) for width in (3, 4, 3, 4))))
    Path.rename = killed_after
    writer.finish(generator=Generator("", "", "", {}), seed=0, frame_rate=1.0, frame_count=1, loops=True)
"""


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_writer_killed_between_its_two_renames_loses_no_scene(package, overwrite):
    killed = subprocess.run([sys.executable, "-c", KILLED_BETWEEN_RENAMES, package])
    assert killed.returncode == 9 and not package.exists()
    with pytest.raises(CycloramaError if not overwrite else ZeroDivisionError), SceneWriter(package, overwrite):
        raise ZeroDivisionError
    Scene(package).validate()
    assert_is_seed(Scene(package), 0)
    if overwrite:
        assert beside(package) == [package.name]


def test_an_old_scene_set_aside_does_not_return_over_a_new_one(package):
    write(whole_folder._aside(package), seed=100)
    write(package, overwrite=True, seed=200)
    assert_is_seed(Scene(package), 200)
    assert beside(package) == [package.name]


# Bad packages: each gets one sentence that names the file


def refused(package: Path, about: str, code: str = "package-damaged", validate: bool = False) -> str:
    """The sentence by which ``package`` is refused; it names ``about``, a file in the package."""
    with pytest.raises(CycloramaError) as caught:
        scene = Scene(package)
        assert validate, "opening should have refused it"
        scene.validate()
    assert caught.value.code == code
    assert str(package / about) in caught.value.sentence
    assert caught.value.sentence.endswith(".") and "\n" not in caught.value.sentence
    assert caught.value.hint
    return caught.value.sentence


def describe(package: Path, **changed) -> None:
    """Change fields of scene.json."""
    path = package / "scene.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def redescribe(package: Path, name: str, arrays: dict | None = None) -> None:
    """Make scene.json agree with a file that was changed."""
    path = package / name
    files = json.loads((package / "scene.json").read_text())["files"]
    files[name] |= {"bytes": path.stat().st_size, "sha256": sha256(path)}
    if arrays is not None:
        files[name]["arrays"] = arrays
    describe(package, files=files)


def exchange(package: Path, name: str, arrays: dict[str, np.ndarray]) -> None:
    """Put other arrays into a file, and let scene.json agree."""
    save_file(arrays, package / name)
    short = {"float32": "F32", "float64": "F64", "float16": "F16"}
    declared = {key: {"dtype": short[array.dtype.name], "shape": array.shape} for key, array in arrays.items()}
    redescribe(package, name, declared)


@pytest.mark.parametrize("name", ["notes.txt", "frames/000003.safetensors", "video/evil.pkl", ".owner"])
def test_a_file_that_does_not_belong_to_the_scene_is_named(package, name):
    (package / name).parent.mkdir(exist_ok=True)
    (package / name).write_bytes(b"")
    refused(package, name, "package-unknown-file")


@pytest.mark.parametrize("name", ["static.safetensors", "moving.safetensors", frame_name(1), "preview.webp"])
def test_a_missing_file_is_named(package, name):
    (package / name).unlink()
    assert refused(package, name).endswith("is missing.")


@pytest.mark.parametrize("name", ["static.safetensors", frame_name(2)])
def test_a_file_missing_from_the_description_too_is_named(package, name):
    (package / name).unlink()
    files = json.loads((package / "scene.json").read_text())["files"]
    del files[name]
    describe(package, files=files)
    assert refused(package, name).endswith("is missing.")


CUTS = [0, 4, 8, 30, "half", "last"]


def cut(path: Path, at: int | str) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: {"half": len(whole) // 2, "last": len(whole) - 1}.get(at, at)])  # pyright: ignore


@pytest.mark.parametrize("at", CUTS)
@pytest.mark.parametrize("name", ["static.safetensors", "moving.safetensors", frame_name(1)])
def test_a_file_cut_short_is_named(package, name, at):
    cut(package / name, at)
    assert "cut short" in refused(package, name)


@pytest.mark.parametrize("at", CUTS)
def test_a_file_cut_short_before_it_was_described_is_named(package, at):
    cut(package / "static.safetensors", at)
    redescribe(package, "static.safetensors")
    assert "cannot be read" in refused(package, "static.safetensors")


@pytest.mark.parametrize("length", [0, 3, 1 << 40, (1 << 64) - 1])
def test_a_file_with_an_absurd_header_is_named(package, length):
    path = package / "static.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + path.read_bytes()[8:])
    refused(package, "static.safetensors")


def test_a_description_cut_short_is_named_wherever_it_is_cut(package):
    path = package / "scene.json"
    whole = path.read_bytes()
    for at in (0, 1, len(whole) // 3, len(whole) - 1):
        path.write_bytes(whole[:at])
        assert "is no valid JSON" in refused(package, "scene.json")


NO_DESCRIPTIONS = {
    "a list": b"[]",
    "nothing": b"null",
    "not UTF-8": b'{"format": "\xff"}',
    "a pickle": b"\x80\x04N.",
    "nested beyond measure": b'{"x":' + b"[" * 100_000,
}


@pytest.mark.parametrize("text", NO_DESCRIPTIONS.values(), ids=NO_DESCRIPTIONS)
def test_a_description_that_is_none_is_named(package, text):
    (package / "scene.json").write_bytes(text)
    refused(package, "scene.json")


def test_a_description_of_something_else_is_no_scene(package):
    describe(package, format="gltf")
    assert "gltf" in refused(package, "scene.json", "package-not-one")


@pytest.mark.parametrize(
    "changed",
    [
        {"frame_count": "three"},
        {"frame_count": -1},
        {"frame_rate": None},
        {"frame_rate": 0},
        {"static_count": -1},
        {"moving_count": 0.5},
        {"bounds": [[0, 0, 0]]},
        {"files": {"static.safetensors": 3}},
        {"generator": {}},
    ],
    ids=str,
)
def test_a_description_that_makes_no_sense_is_named(package, changed):
    describe(package, **changed)
    refused(package, "scene.json")


def test_an_absurd_number_of_frames_is_refused_at_once(package):
    describe(package, frame_count=10**15)
    assert "frame_count" in refused(package, "scene.json")


@pytest.mark.parametrize("version", [4, 1000, "1", 1.5, None])
def test_a_newer_version_is_named_with_what_to_do(package, version):
    describe(package, version=version)
    sentence = refused(package, "scene.json", "package-newer")
    assert f"version {version}" in sentence


OUTSIDE = ["../x", "frames/../../x", "/etc/passwd", "..", "C:/x", "C:x", "..\\x", "\\\\server\\x"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_file_outside_the_package_is_refused_before_it_is_touched(package, name):
    (package.parent / "x").write_bytes(b"secret")
    files = json.loads((package / "scene.json").read_text())["files"]
    files[name] = {"bytes": 6, "sha256": sha256(package.parent / "x")}
    describe(package, files=files)
    sentence = refused(package, "scene.json")
    assert "outside the package" in sentence and repr(name) in sentence


def test_no_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("nothing", "file"):
        with pytest.raises(CycloramaError, match=str(tmp_path / name)) as caught:
            Scene(tmp_path / name)
        assert caught.value.code == "package-missing"


def test_a_folder_without_description_is_no_scene(tmp_path):
    with pytest.raises(CycloramaError, match=str(tmp_path)) as caught:
        Scene(tmp_path)
    assert caught.value.code == "package-not-one"


@pytest.mark.parametrize("name", ["static.safetensors", "moving.safetensors"])
@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.zeros((STATIC + 1, 3), np.float32), "shape"),
        (np.zeros((STATIC, 2), np.float32), "shape"),
        (np.zeros((STATIC * 3,), np.float32), "shape"),
        (np.zeros((STATIC, 3), np.float64), "F64"),
        (np.zeros((STATIC, 3), np.float16), "F16"),
    ],
    ids=["too many", "too narrow", "flat", "float64", "float16"],
)
def test_an_array_of_another_shape_or_type_is_named(package, name, array, why):
    arrays = some(STATIC, 0).arrays() if name.startswith("static") else some(MOVING, 1).arrays()
    exchange(package, name, arrays | {"scale": array})
    sentence = refused(package, name)
    assert "'scale'" in sentence and why in sentence


def test_frames_of_unlike_size_are_named(package):
    exchange(package, frame_name(1), {"radiance:base": some(MOVING - 1, 0).radiance})
    assert "'radiance:base'" in refused(package, frame_name(1))


def test_arrays_that_the_description_does_not_know_are_named(package):
    save_file(some(STATIC - 1, 0).arrays(), package / "static.safetensors")
    redescribe(package, "static.safetensors")
    assert "other arrays" in refused(package, "static.safetensors")


@pytest.mark.parametrize("name", ["static.safetensors", frame_name(0)])
def test_an_array_that_is_lacking_is_named(package, name):
    exchange(package, name, {"position": some(STATIC if name.startswith("static") else MOVING, 0).position})
    assert "lacks radiance:base" in refused(package, name)


@pytest.mark.parametrize("name", ["static.safetensors", "moving.safetensors", frame_name(2), "preview.webp"])
@pytest.mark.parametrize("share", [0.3, 0.999])
def test_one_flipped_byte_is_noticed(package, name, share):
    path = package / name
    content = bytearray(path.read_bytes())
    place = int(share * len(content)) if name == "preview.webp" or share > 0.5 else len(content) // 2
    content[place] ^= 1
    path.write_bytes(content)
    refused(package, name, validate=True)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("index", range(FRAMES))
def test_nan_in_any_frame_is_noticed_though_the_checksum_is_right(package, index, value):
    radiance = some(MOVING, 0).radiance
    radiance[7, 2] = value
    exchange(package, frame_name(index), {"radiance:base": radiance})
    assert "'radiance:base' holds NaN or infinity" in refused(package, frame_name(index), validate=True)


def test_a_pickle_is_never_opened(package, tmp_path):
    (package / "static.safetensors").write_bytes(b"cposix\nsystem\n(S'touch " + str(tmp_path).encode() + b"/x'\ntR.")
    redescribe(package, "static.safetensors")
    assert "cannot be read" in refused(package, "static.safetensors")
    assert not (tmp_path / "x").exists()


def test_what_could_not_be_read_again_is_never_put_in_place(package):
    new = package.with_name("new.cyclorama")
    with pytest.raises(CycloramaError, match="is missing"), SceneWriter(new) as writer:
        writer.finish(generator=Generator("", "", "", {}), seed=0, frame_rate=1.0, frame_count=1, loops=True)
    assert beside(package) == [package.name]


def test_folders_made_on_the_way_go_again_when_nothing_comes_of_it(tmp_path):
    with pytest.raises(ZeroDivisionError), SceneWriter(tmp_path / "a" / "b" / "c.cyclorama"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
