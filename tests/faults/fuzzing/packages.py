"""Scene packages, small and sound; and ways to spoil one, in place."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import zstandard

from cyclorama.bridge.gaussians import Gaussians
from cyclorama.bridge.points import POINT_COLUMNS
from cyclorama.bridge.scene import Generator, frame_name, sha256
from cyclorama.bridge.scene_writer import SceneWriter

from .mutations import WILD, spoilt, warped

SECRET = "secret"
"""Beside each package lies a file of this name that nobody may read."""

FRAMES = 3


def write_all(folder: Path, paint: Callable[[Path], None], paint_exr: Callable[[Path], None]) -> list[Path]:
    """One package of each kind: plain, packed, and with a point cloud."""
    return [
        _write(folder / "plain.cyclorama", "none", False, paint, paint_exr),
        _write(folder / "packed.cyclorama", "small", False, paint, paint_exr),
        _write(folder / "points.cyclorama", "none", True, paint, paint_exr),
    ]


def _write(path: Path, compression: Any, points: bool, paint: Callable, paint_exr: Callable) -> Path:
    numbers = np.random.default_rng(0)
    with SceneWriter(path, compression=compression) as writer:
        writer.static(_some(30, numbers))
        shared = _some(20, numbers).arrays()
        del shared["radiance:base"]
        writer.moving(shared)
        for index in range(FRAMES):
            writer.frame(index, {"radiance:base": _some(20, numbers).radiance})
            writer.file(frame_name(index, "video", ".exr"), paint_exr)
            if points:
                writer.points_frame(index, {k: numbers.random((9, n), np.float32) for k, n in POINT_COLUMNS.items()})
        writer.file("depth/000000.exr", paint_exr)
        writer.file("preview.webp", paint)
        writer.finish(
            generator=Generator("fuzz", "0", "by hand", {"frames": FRAMES}),
            seed=7,
            frame_rate=24.0,
            frame_count=FRAMES,
            loops=True,
        )
    return path


def _some(count: int, numbers: np.random.Generator) -> Gaussians:
    rotation = numbers.standard_normal((count, 4))
    return Gaussians(
        numbers.standard_normal((count, 3)).astype(np.float32),
        (rotation / np.linalg.norm(rotation, axis=1, keepdims=True)).astype(np.float32),
        numbers.random((count, 3), np.float32),
        numbers.random((count, 4), np.float32),
    )


def spoil(chance: Random, package: Path) -> str:
    """Break a package in one way, and say which. Half of the time ``scene.json`` agrees with what was done."""
    way = chance.choice(_WAYS)
    way(chance, package)
    return way.__name__.strip("_")


def _info(package: Path) -> dict:
    return json.loads((package / "scene.json").read_bytes())


def _save(package: Path, info: Any) -> None:
    (package / "scene.json").write_text(json.dumps(info, default=repr))  # NaN and Infinity too, though no JSON


def _files(package: Path, ending: str = "") -> list[str]:
    return sorted(
        path.relative_to(package).as_posix()
        for path in package.rglob(f"*{ending}")
        if path.is_file() and path.name != "scene.json"
    )


def _agree(package: Path, name: str, arrays: dict | None = None) -> None:
    info = _info(package)
    path = package / name
    info["files"].setdefault(name, {}).update(bytes=path.stat().st_size, sha256=sha256(path))
    if arrays is not None:
        info["files"][name]["arrays"] = arrays
    _save(package, info)


def _bytes_of_the_description(chance: Random, package: Path) -> None:
    path = package / "scene.json"
    whole = path.read_bytes()
    path.write_bytes(spoilt(chance, whole, [whole]))


def _field_of_the_description(chance: Random, package: Path) -> None:
    info = warped(chance, _info(package))
    _save(package, json.loads(json.dumps(info, default=repr)))


_COUNTS = (
    *(-1, 0, 1, 2, 0.5, 1e300, -1e300, 10**6, 10**9, 1 << 31, 1 << 63, 10**400),
    *(float("nan"), float("inf"), None, True),
)
_SHAPES = (*([], [0], [-1, 3], [1 << 40, 3], [1 << 62, 1 << 62], [0, 1 << 62], [1] * 40, ["3"], [30, 3, 1]),)


def _number_in_the_description(chance: Random, package: Path) -> None:
    info = _info(package)
    name = chance.choice(
        ("static_count", "moving_count", "frame_count", "frame_rate", "seed", "version", "point_count", "safe_radius")
    )
    info[name] = chance.choice(_COUNTS)
    _save(package, info)


def _bounds_in_the_description(chance: Random, package: Path) -> None:
    info = _info(package)
    corners = info["bounds"] if chance.random() < 0.5 else info.setdefault("safe_radii", [[1.0, 0.0, 0.0, 1.0]])
    if corners:
        chance.choice(corners)[chance.randrange(3)] = chance.choice(WILD[:26])
    _save(package, json.loads(json.dumps(info, default=repr)))


NAMES = (
    *("../secret", "frames/../../secret", "/etc/passwd", "..", ".", "", "/", "//", "C:/x", "C:x", "..\\secret"),
    *("\\\\host\\share", "frames//000000.safetensors", "./preview.webp", "frames/./x", "STATIC.safetensors"),
    *("Preview.webp", "preview.webp.", "preview.webp ", "nul", "con.exr", "video/aux.exr", "COM1", "a\0b", "a\nb"),
    *("\x1b[2Jx", "x" * 300, "a/b/c", "é", "\u202egnp.exr", "~/x", "$(id)", "-rf", ".hidden", "scene.json", "frames"),
)


def _name_in_the_description(chance: Random, package: Path) -> None:
    info = _info(package)
    old, new = chance.choice(list(info["files"])), chance.choice(NAMES)
    info["files"][new] = info["files"][old] if chance.random() < 0.5 else info["files"].pop(old)
    _save(package, info)
    if chance.random() < 0.5:
        try:
            (package / new).parent.mkdir(parents=True, exist_ok=True)
            if (package / new).resolve().is_relative_to(package.resolve()) and not (package / new).exists():
                shutil.copyfile(package / old, package / new)
        except (OSError, ValueError):
            return


def _checksum(chance: Random, package: Path) -> None:
    info = _info(package)
    info["files"][chance.choice(list(info["files"]))]["sha256"] = chance.choice(("", "0" * 64, "A" * 64, "x", 5, None))
    _save(package, info)


def _size(chance: Random, package: Path) -> None:
    info = _info(package)
    file = info["files"][chance.choice(list(info["files"]))]
    file["bytes"] = chance.choice((-1, 0, file["bytes"] - 1, file["bytes"] + 1, 1 << 40, 1 << 63, 10**30, None, "9"))
    _save(package, info)


def _lost_file(chance: Random, package: Path) -> None:
    name = chance.choice(_files(package))
    (package / name).unlink()
    if chance.random() < 0.5:
        info = _info(package)
        del info["files"][name]
        _save(package, info)


def _new_file(chance: Random, package: Path) -> None:
    name = chance.choice(("evil.py", "frames/000003.safetensors", "a/b/c/d.bin", ".hidden", "video/x.pkl", "x" * 200))
    (package / name).parent.mkdir(parents=True, exist_ok=True)
    (package / name).write_bytes(chance.randbytes(40))


def _link(chance: Random, package: Path) -> None:
    """In the place of a file or folder, to a file outside, a folder outside, itself, a device, or nothing."""
    name = chance.choice([*_files(package), "frames", "video", "scene.json"])
    path = package / name
    outside = package.parent / SECRET
    target = chance.choice(
        (outside, outside.parent, path, Path("/dev/zero"), Path("/nowhere"), Path("/proc/self/fd/0"))
    )
    if path.is_file() and chance.random() < 0.5:
        shutil.copyfile(path, outside)  # what it leads to is as it should be
        target = outside
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    path.symlink_to(target)


def _pipe(chance: Random, package: Path) -> None:
    """Reading one waits for ever."""
    path = package / chance.choice([*_files(package), "scene.json"])
    path.unlink()
    os.mkfifo(path)


def _folder(chance: Random, package: Path) -> None:
    path = package / chance.choice([*_files(package), "scene.json"])
    path.unlink()
    path.mkdir()


def _bytes_of_a_file(chance: Random, package: Path) -> None:
    name = chance.choice(_files(package))
    path = package / name
    others = [(package / other).read_bytes() for other in _files(package)]
    path.write_bytes(spoilt(chance, path.read_bytes(), others))
    if chance.random() < 0.7:
        _agree(package, name)


def _parts(path: Path) -> tuple[dict, bytes]:
    whole = path.read_bytes()
    (length,) = struct.unpack_from("<Q", whole)
    return json.loads(whole[8 : 8 + length]), whole[8 + length :]


def _join(path: Path, head: Any, content: bytes, length: int | None = None) -> None:
    text = json.dumps(head, default=repr).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + content)


def _declared(head: dict) -> dict:
    return {
        key: {"dtype": value["dtype"], "shape": value["shape"]}
        for key, value in head.items()
        if key != "__metadata__" and isinstance(value, dict) and {"dtype", "shape"} <= set(value)
    }


def _head_of_a_file(chance: Random, package: Path) -> None:
    """Lengths, places, types and shapes that are not so; ``scene.json`` says the same, as far as it can."""
    name = chance.choice(_files(package, ".safetensors"))
    path = package / name
    head, content = _parts(path)
    way = chance.randrange(7)
    if way == 0:
        _join(path, head, content, chance.choice((0, 1, 1 << 20, 1 << 27, 1 << 40, (1 << 64) - 1)))
    elif way == 1:
        _join(path, {"x" * 1000 + str(number): 1 for number in range(2000)}, content)
    elif way == 2:
        _join(path, warped(chance, head), content)
    else:
        key = chance.choice([key for key in head if key != "__metadata__"])
        array = head[key]
        if way == 3:
            array["data_offsets"] = chance.choice(([0, 0], [0, 4], [-4, 8], [8, 0], [0, 1 << 60], [1 << 62, 1 << 63]))
        elif way == 4:
            array["dtype"] = chance.choice(("F64", "F16", "BF16", "U8", "I64", "BOOL", "F8_E4M3", "O", "", "float32"))
        elif way == 5:
            array["shape"] = chance.choice(_SHAPES)
        else:
            other = chance.choice([key for key in head if key != "__metadata__"])
            array["data_offsets"] = head[other]["data_offsets"]
        _join(path, head, content)
    try:
        _agree(package, name, _declared(_parts(path)[0]))
    except (ValueError, KeyError, AttributeError):
        _agree(package, name)


def _numbers_in_a_file(chance: Random, package: Path) -> None:
    """Not finite, huge, negative, zero; the checksums are right."""
    name = chance.choice(_files(package, ".safetensors"))
    path = package / name
    head, content = _parts(path)
    changed = bytearray(content)
    for _ in range(chance.choice((1, 5, 50))):
        at = 4 * chance.randrange(max(len(changed) // 4, 1))
        changed[at : at + 4] = struct.pack(
            "<f", chance.choice((np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, -1.0, 0.0, 2.0))
        )[: len(changed) - at]
    _join(path, head, bytes(changed))
    _agree(package, name)


def _packing(chance: Random, package: Path) -> None:
    """How the arrays of a file are said to be packed, and the bytes that are unpacked: bombs among them."""
    name = chance.choice(_files(package, ".safetensors"))
    path = package / name
    head, _ = _parts(path)
    packing = json.loads(head.get("__metadata__", {}).get("cyclorama", "{}"))
    if not packing:
        _numbers_in_a_file(chance, package)
        return
    way = chance.random()
    arrays = _squeezed(path)
    if way < 0.4:
        packing = warped(chance, packing)
    elif way < 0.6:
        _claim_millions(chance, package, name == "static.safetensors")
        return
    else:
        key = chance.choice(list(arrays))
        arrays[key] = chance.choice(
            (
                b"",
                zstandard.compress(bytes(1 << 24)),
                zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 20)),
                arrays[key] + arrays[key],
                spoilt(chance, arrays[key], [arrays[key]]),
                # a frame that claims 2^62 bytes
                b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 1 << 62) + b"\x01\x00\x00",
            )
        )
    _save_squeezed(path, arrays, packing)
    _agree(package, name, _declared(_parts(path)[0]))


def _claim_millions(chance: Random, package: Path, static: bool) -> None:
    """All that is still, or all that moves, is said to be so many; of no bytes, or of those that are there."""
    count = chance.choice((1 << 17, 1 << 20, 1 << 24, 1 << 26, (1 << 26) + 1, 1 << 40))
    empty = chance.random() < 0.7
    for name in _files(package, ".safetensors"):
        if (name == "static.safetensors") == static:
            path = package / name
            packing = json.loads(_parts(path)[0]["__metadata__"]["cyclorama"])
            arrays = _squeezed(path)
            for key, array in packing["arrays"].items():
                array["count"] = count
                if empty:
                    array["columns"] = [{"after": "nothing", "width": 0} for _ in array["columns"]]
                    arrays[key] = zstandard.compress(b"")
            _save_squeezed(path, arrays, packing)
            _agree(package, name, _declared(_parts(path)[0]))
    info = _info(package)
    info["static_count" if static else "moving_count"] = count
    _save(package, info)


def _squeezed(path: Path) -> dict[str, bytes]:
    head, content = _parts(path)
    return {key: content[slice(*value["data_offsets"])] for key, value in head.items() if key != "__metadata__"}


def _save_squeezed(path: Path, arrays: dict[str, bytes], packing: Any) -> None:
    head: dict[str, Any] = {"__metadata__": {"cyclorama": json.dumps(packing, default=repr)}}
    end = 0
    for key, content in arrays.items():
        head[key] = {"dtype": "U8", "shape": [len(content)], "data_offsets": [end, end + len(content)]}
        end += len(content)
    _join(path, head, b"".join(arrays.values()))


def _picture(chance: Random, package: Path) -> None:
    """A picture that says it is larger than any memory."""
    name = chance.choice(_files(package, ".exr"))
    path = package / name
    content = bytearray(path.read_bytes())
    at = content.find(b"dataWindow\0box2i\0\x10\0\0\0")
    window = chance.choice(
        ((0, 0, 999_999, 499_999), (-(1 << 31), 0, (1 << 31) - 1, 9), (9, 9, 0, 0), (0, 0, 20000, 9))
    )
    struct.pack_into("<4i", content, at + 22, *window)
    path.write_bytes(content if chance.random() < 0.8 else content[: chance.randrange(len(content))])
    _agree(package, name)


def _nesting(chance: Random, package: Path) -> None:
    opening = chance.choice(('{"x":', "[", '{"format":', '{"format": "cyclorama-scene", "version": 1, "generator": ['))
    (package / "scene.json").write_text(opening * chance.choice((50, 5000, 200_000)))


def _length(chance: Random, package: Path) -> None:
    """A description of 20 MB."""
    info = _info(package)
    info["notes"] = ["x" * 1000] * chance.choice((20, 20_000))
    _save(package, info)


_WAYS: tuple[Callable[[Random, Path], None], ...] = (
    *(_bytes_of_the_description, _field_of_the_description, _field_of_the_description, _number_in_the_description),
    *(_bounds_in_the_description, _name_in_the_description, _name_in_the_description, _checksum, _size, _lost_file),
    *(_new_file, _link, _link, _pipe, _folder, _bytes_of_a_file, _bytes_of_a_file, _head_of_a_file, _head_of_a_file),
    *(_numbers_in_a_file, _packing, _packing, _packing, _picture, _nesting, _length),
)
