"""A package that was made to do harm is refused before anything of it is read, in a sentence that names the file."""

import json
import os
import resource
import shutil
import struct
from pathlib import Path

import pytest
import zstandard

from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.scene import LARGEST_INFO_BYTES, Scene, frame_name, sha256

from .test_scene import FRAMES, describe, refused, write


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "a.cyclorama"


_EXR = b"\x76\x2f\x31\x01\2\0\0\0dataWindow\0box2i\0\x10\0\0\0"


def exr(width: int, height: int) -> bytes:
    return _EXR + struct.pack("<4i", 0, 0, width - 1, height - 1)


@pytest.mark.parametrize("name", ["static.safetensors", frame_name(1), "preview.webp"])
def test_a_link_out_of_the_package_is_refused_though_what_it_leads_to_is_as_it_should_be(output, name):
    write(output)
    (output / name).rename(output.parent / "outside")
    (output / name).symlink_to(output.parent / "outside")
    assert "link out of the package" in refused(output, name)


def test_a_folder_that_is_a_link_out_of_the_package_is_refused(output):
    write(output)
    (output / "frames").rename(output.parent / "outside")
    (output / "frames").symlink_to(output.parent / "outside")
    assert "link out of the package" in refused(output, frame_name(0))


def test_a_description_that_is_a_link_out_of_the_package_is_refused(output):
    write(output)
    (output / "scene.json").rename(output.parent / "outside")
    (output / "scene.json").symlink_to(output.parent / "outside")
    assert "no file of this folder" in refused(output, "scene.json")


def test_a_package_that_lies_behind_a_link_is_read(output):
    write(output)
    (output.parent / "b.cyclorama").symlink_to(output)
    Scene(output.parent / "b.cyclorama").validate()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such pipes")
@pytest.mark.parametrize("name", ["scene.json", "static.safetensors", "preview.webp"])
def test_nobody_waits_for_a_pipe(output, name):
    write(output)
    (output / name).unlink()
    os.mkfifo(output / name)
    refused(output, name)


@pytest.mark.parametrize("name", ["STATIC.safetensors", "preview.WEBP", "nul", "a/b/c.exr"])
def test_a_name_that_means_another_file_on_other_systems_is_refused(output, name):
    write(output)
    files = json.loads((output / "scene.json").read_text())["files"]
    describe(output, files=files | {name: files["preview.webp"]})
    assert "not every system" in refused(output, "scene.json")


def test_a_description_longer_than_any_scene_s_is_refused_unread(output):
    write(output)
    describe(output, notes=["x" * LARGEST_INFO_BYTES])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "longer than" in refused(output, "scene.json")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize("version", ["a\0b", "\x1b[2J", "x" * 10_000, [[]] * 1000])
def test_what_a_package_says_is_quoted_neither_at_length_nor_as_a_command(output, version):
    write(output)
    describe(output, version=version)
    sentence = refused(output, "scene.json", "package-newer")
    assert sentence.isprintable() and len(sentence) < 500


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("frame_rate", 1e-300), ("frame_rate", 1e300), ("static_count", 1 << 40), ("moving_count", 1 << 63)),
        *(("safe_radius", -1.0), ("bounds", [[-1e300, 0, 0], [1, 1, 1]]), ("safe_radii", [[1e300, 0, 0, 1]])),
    ],
)
def test_a_number_that_nothing_can_have_is_refused(output, field, value):
    write(output)
    describe(output, **{field: value})
    assert field in refused(output, "scene.json")


def test_a_million_frames_of_which_the_first_is_missing_are_refused_at_once(output):
    write(output, moving=0)
    describe(output, frame_count=1_000_000, moving_count=5)
    assert refused(output, frame_name(0)).endswith("is missing.")


def with_pictures(output: Path, names: list[str], content: bytes = b"picture") -> None:
    """A sound package, but for these files that were added."""
    write(output)
    files = json.loads((output / "scene.json").read_text())["files"]
    for name in names:
        (output / name).parent.mkdir(exist_ok=True)
        (output / name).write_bytes(content)
        files[name] = {"bytes": len(content), "sha256": sha256(output / name)}
    describe(output, files=files)


def test_pictures_are_none_or_one_or_one_for_each_frame(output):
    for count in (1, FRAMES):
        with_pictures(output, [frame_name(index, "video", ".exr") for index in range(count)])
        Scene(output).validate()
        shutil.rmtree(output)


@pytest.mark.parametrize(("there", "named"), [((0, 2), 1), ((1, 2), 0), ((1,), 0), ((0, 1, 2, 3), 3)])
def test_a_gap_in_the_video_is_named(output, there, named):
    with_pictures(output, [frame_name(index, "video", ".exr") for index in there])
    refused(output, frame_name(named, "video", ".exr"))


@pytest.mark.parametrize("size", [(999_999, 499_999), (16385, 8192), (64, 1 << 30)])
@pytest.mark.parametrize("name", ["video/000000.exr", "depth/000000.exr"])
def test_a_picture_that_would_fill_memory_is_refused(output, name, size):
    with_pictures(output, [name], exr(*size))
    assert f"{size[0]} x {size[1]} pixels, more than 16384 x 8192" in refused(output, name)


def test_the_largest_picture_is_not(output):
    with_pictures(output, ["video/000000.exr"], exr(16384, 8192))
    Scene(output)


@pytest.mark.parametrize("count", [1 << 20, 1 << 26])
@pytest.mark.parametrize("width", [0, 4])
def test_a_few_bytes_that_unpack_to_millions_of_gaussians_are_refused(tmp_path, count, width):
    package = tmp_path / "a.cyclorama"
    package.mkdir()
    columns = {"position": 3, "rotation": 4, "scale": 3, "radiance:base": 4}
    packed = {
        name: {"count": count, "columns": [{"after": "nothing", "width": width}] * wide}
        for name, wide in columns.items()
    }
    bomb = zstandard.compress(b"")
    head = {"__metadata__": {"cyclorama": json.dumps({"encoding": "small", "arrays": packed})}}
    for index, name in enumerate(columns):
        head[name] = {"dtype": "U8", "shape": [len(bomb)], "data_offsets": [index * len(bomb), (index + 1) * len(bomb)]}
    text = json.dumps(head).encode()
    path = package / "static.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bomb * 4)
    arrays = {name: {"dtype": "U8", "shape": [len(bomb)]} for name in columns}
    size = path.stat().st_size
    described = {
        **{"format": "cyclorama-scene", "version": 2, "seed": 0, "frame_rate": 24, "frame_count": 1, "loops": True},
        **{"generator": {"name": "", "version": "", "recipe": "", "settings": {}}, "bounds": [[0, 0, 0], [0, 0, 0]]},
        **{"static_count": count, "moving_count": 0},
        "files": {path.name: {"bytes": size, "sha256": sha256(path), "arrays": arrays, "encoding": "small"}},
    }
    (package / "scene.json").write_text(json.dumps(described))
    assert f"claims to hold {count} Gaussians" in refused(package, path.name)


def test_a_file_that_is_exchanged_after_the_package_was_opened_is_not_taken_for_the_old_one(output):
    write(output)
    scene = Scene(output)
    path = output / "static.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"F32"', b'"I32"'))
    with pytest.raises(CycloramaError, match="other arrays"):
        scene.static()
