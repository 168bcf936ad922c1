"""The 4D scene package ``name.cyclorama/``: its layout on disk, reading and checking it. Writing: ``scene_writer``.

scene.json              what is in it (``SceneInfo``)
static.safetensors      the Gaussians that never change
moving.safetensors      of those that do: the arrays that are the same in every frame (may be missing)
frames/000000.safetensors …   of those that do: the arrays that change, one file a frame (missing when nothing moves)
points.safetensors      of the point cloud: the arrays that are the same in every frame (may be missing)
points/000000.safetensors …   of the point cloud: those that change, one file a frame (missing when there is none)
video/000000.exr …      the panoramic video, scene-linear (also the world light)
depth/000000.exr …      distance along the ray, metres; one file when it is the same in every frame
preview.webp            a small picture

Gaussians are float32 as they are (version 1), or rounded and packed (version 2: ``packing``, ``rounding``). A package
with a point cloud (``points``), float32 as it is, is of version 3.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from safetensors import SafetensorError, safe_open

from .errors import CycloramaError
from .gaussians import COLOUR, COLUMNS, Gaussians, faults
from .packing import Numbers, Packing, packing_of, unpack, zstandard
from .points import POINT_COLUMNS, Points, point_faults
from .rounding import Error, restored
from .stored_arrays import layout, numbers_at

FORMAT = "cyclorama-scene"
VERSION = 3
"""Version of the package's layout; a reader refuses newer ones. Packages that an older reader can read say an older."""

UNPACKED_VERSION = 1
"""Of packages whose arrays are float32 as they are."""

PACKED_VERSION = 2
"""Of packages whose Gaussians are packed and that have no points."""

SUFFIX = ".cyclorama"
INFO = "scene.json"
STATIC = "static.safetensors"
MOVING = "moving.safetensors"
POINTS = "points.safetensors"
PREVIEW = "preview.webp"

SPLAT_FRAMES = "frames"
POINT_FRAMES = "points"
"""Folders of what changes: names for ``frame_name``."""

_LEFT_BY_OPERATING_SYSTEMS = {".DS_Store", "Thumbs.db", "desktop.ini"}


class ArrayInfo(msgspec.Struct, frozen=True):
    """Type and shape of one array."""

    dtype: str
    shape: tuple[int, ...]


class FileInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file of the package; ``arrays`` is empty for pictures, else what is stored: bytes, where it is packed."""

    bytes: int
    sha256: str
    arrays: dict[str, ArrayInfo] = {}
    encoding: str = ""
    """How the arrays are packed; empty: they are not."""


class Generator(msgspec.Struct, frozen=True):
    """Who made the scene, and with what settings."""

    name: str
    version: str
    recipe: str
    settings: dict


class Model(msgspec.Struct, frozen=True):
    """Weights that were used, and under which licence."""

    id: str
    licence: str


class SceneInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``scene.json``."""

    format: str = FORMAT
    version: int = UNPACKED_VERSION
    generator: Generator
    seed: int
    models: tuple[Model, ...] = ()
    colour: str = COLOUR
    frame_rate: Annotated[float, Meta(gt=0)]
    frame_count: Annotated[int, Meta(ge=1, le=1_000_000)]
    loops: bool
    """Frame ``frame_count`` would be frame 0 again."""
    static_count: Annotated[int, Meta(ge=0)]
    moving_count: Annotated[int, Meta(ge=0)]
    point_count: Annotated[int, Meta(ge=0)] = 0
    """Of the point cloud, the same in every frame; 0: there is none."""
    bounds: tuple[tuple[float, float, float], tuple[float, float, float]]
    """Least and greatest corner of all positions, metres."""
    safe_radius: float | None = None
    """How far the camera may leave the origin before holes show, metres; None: not measured."""
    safe_radii: tuple[tuple[float, float, float, float], ...] = ()
    """The same by direction: x, y, z of unit vectors and metres; ``safe_radius`` is the least. Empty: not measured."""
    error: Error | None = None
    """How far any number may be off from what was made, where arrays are packed; None: not at all."""
    notes: tuple[str, ...] = ()
    """What the artist should know of how it was made, a sentence each."""
    files: dict[str, FileInfo]


def frame_name(index: int, folder: str = SPLAT_FRAMES, suffix: str = ".safetensors") -> str:
    """Path inside the package of one frame's file: ``frames/000000.safetensors``."""
    return f"{folder}/{index:06d}{suffix}"


class Scene:
    """A package opened for reading. Opening checks everything but the contents (see ``validate``).

    Raises:
        CycloramaError: not a package, of a newer version, a file missing, cut short, unknown, or of the wrong shape.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self.info = _read_info(self.folder)
        _check_files(self.folder, self.info)
        _check_arrays(self.folder, self.info)
        self._moving = self._arrays(MOVING) if MOVING in self.info.files else {}
        self._first_frame: Numbers | None = None

    def static(self) -> Gaussians:
        """The Gaussians that never change (``info.static_count`` of them)."""
        return Gaussians.from_arrays(self._arrays(STATIC))

    def moving(self, index: int) -> Gaussians:
        """The moving Gaussians as they are in frame ``index`` (``info.moving_count`` of them)."""
        return Gaussians.from_arrays(self._moving | self.changes(index))

    def changes(self, index: int) -> dict[str, np.ndarray]:
        """The arrays of the moving Gaussians that differ from frame to frame, as they are in frame ``index``."""
        return self._arrays(frame_name(index))

    def points(self, index: int) -> Points:
        """The point cloud as it is in frame ``index`` (``info.point_count`` points)."""
        shared = self._arrays(POINTS) if POINTS in self.info.files else {}
        return Points.from_arrays(shared | self._arrays(frame_name(index, POINT_FRAMES)))

    def video_frames(self) -> list[Path]:
        """The files of the panoramic video, in order."""
        return [self.folder / name for name in sorted(self.info.files) if name.startswith("video/")]

    def depth_frames(self) -> list[Path]:
        """The files of the distances, in order; one when they are the same in every frame."""
        return [self.folder / name for name in sorted(self.info.files) if name.startswith("depth/")]

    def validate(self) -> None:
        """Read every byte: checksums and values. Raises ``CycloramaError`` naming the first file that is wrong."""
        for name, expected in self.info.files.items():
            path = self.folder / name
            if sha256(path) != expected.sha256:
                raise _damaged(path, "does not match its checksum")
            wrong = point_faults if _is_of_points(name) else faults
            for fault in wrong(self._arrays(name)) if expected.arrays else ():
                raise _damaged(path, f"is damaged: {fault}")

    def stream(self, name: str) -> Iterator[tuple[str, np.ndarray]]:
        """The arrays of one of the package's files by name, read one after the other. Raises ``CycloramaError``."""
        path = self.folder / name
        try:
            metadata, places = layout(path, self.info.files[name].bytes)
            packing = packing_of(metadata)
            packed = packing.arrays if packing is not None else {}
            yield from numbers_at(path, {key: place for key, place in places.items() if key not in packed})
            if packing is not None:
                squeezed = dict(numbers_at(path, {key: places[key] for key in packed}))
                yield from self._unpack(name, squeezed, packing)
        except (OSError, KeyError) as error:
            raise _damaged(path, f"cannot be read ({getattr(error, 'strerror', None) or error})") from error
        except ValueError as error:
            raise _damaged(path, str(error)) from error

    def _arrays(self, name: str) -> dict[str, np.ndarray]:
        return dict(self.stream(name))

    def _unpack(self, name: str, stored: dict[str, np.ndarray], packing: Packing) -> Iterator[tuple[str, np.ndarray]]:
        if name == frame_name(0):
            self._first_frame = dict(unpack(stored, packing, {}))
            numbers = iter(self._first_frame.items())
        else:
            numbers = unpack(stored, packing, self._first() if name.startswith(f"{SPLAT_FRAMES}/") else {})
        for key, columns in numbers:
            yield key, restored(key, columns)

    def _first(self) -> Numbers:
        """What the packed arrays of later frames may build on: the first one's numbers, kept once they were read."""
        if self._first_frame is None:
            self._arrays(frame_name(0))
        return self._first_frame or {}


def is_package(folder: Path) -> bool:
    """Whether it looks like a package (nothing is checked)."""
    return (folder / INFO).is_file()


def _damaged(path: Path, what: str, code: str = "package-damaged") -> CycloramaError:
    return CycloramaError(code, f"{path} {what}.", "Generate the scene again, or copy the package again.")


def _read_info(folder: Path) -> SceneInfo:
    path = folder / INFO
    if not os.path.isdir(folder):  # noqa: PTH112 (Path.is_dir raises where a folder is closed to us, or a name too long)
        raise CycloramaError("package-missing", f"There is no folder {folder}.", "Choose a *.cyclorama folder.")
    try:
        text = path.read_bytes()
        head = msgspec.json.decode(text, type=dict)
    except FileNotFoundError as error:
        raise CycloramaError(
            "package-not-one", f"{folder} has no {INFO}, so it is no Cyclorama scene.", "Choose a *.cyclorama folder."
        ) from error
    except OSError as error:
        raise _damaged(path, f"cannot be read ({error.strerror})") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(path, f"is no valid JSON ({error})") from error
    if head.get("format") != FORMAT:
        raise _damaged(path, f"is of format {head.get('format')!r}, not {FORMAT!r}", "package-not-one")
    version = head.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise CycloramaError(
            "package-newer",
            f"{path} is of version {version}; this Cyclorama reads versions up to {VERSION}.",
            "Update Cyclorama.",
        )
    try:
        return msgspec.convert(head, SceneInfo)
    except msgspec.ValidationError as error:
        raise _damaged(path, f"does not describe a scene ({error})") from error


def _check_files(folder: Path, info: SceneInfo) -> None:
    for name, expected in info.files.items():
        if name.startswith("/") or ".." in Path(name).parts or "\\" in name or ":" in name:
            raise _damaged(folder / INFO, f"names a file outside the package ({name!r})")
        path = folder / name
        if not path.is_file():
            raise _damaged(path, "is missing")
        size = path.stat().st_size
        if size != expected.bytes:
            raise _damaged(path, f"is cut short or changed: {size} bytes where {expected.bytes} were written")
    for path in _files_below(folder):
        name = path.relative_to(folder).as_posix()
        if name not in info.files and name != INFO:
            raise CycloramaError(
                "package-unknown-file", f"{path} does not belong to the scene.", "Move it out of the package."
            )


def _files_below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if not path.is_dir() and path.name not in _LEFT_BY_OPERATING_SYSTEMS:
            yield path


def _check_arrays(folder: Path, info: SceneInfo) -> None:
    """The declared arrays and those in the files' own headers agree, and are the ones a scene is made of."""
    moving = [frame_name(index) for index in range(info.frame_count)] if info.moving_count else []
    points = [frame_name(index, POINT_FRAMES) for index in range(info.frame_count)] if info.point_count else []
    _check_kind(folder, info, [STATIC], "", COLUMNS, info.static_count)
    _check_kind(folder, info, moving, MOVING, COLUMNS, info.moving_count)
    _check_kind(folder, info, points, POINTS, POINT_COLUMNS, info.point_count)


def _check_kind(
    folder: Path, info: SceneInfo, names: list[str], shared: str, columns: dict[str, int], count: int
) -> None:
    """Files of one kind: each has all of ``columns``, but for those in the file ``shared``, if that is there."""
    common = set(info.files[shared].arrays) if shared in info.files else set()
    for name in [*([shared] if common else []), *names]:
        if name not in info.files:
            raise _damaged(folder / name, "is missing")
        arrays, packing = _header(folder / name)
        if arrays != info.files[name].arrays or (packing.encoding if packing else "") != info.files[name].encoding:
            raise _damaged(folder / name, "holds other arrays than scene.json says")
        arrays = _unpacked(folder / name, arrays, packing)
        for key, array in arrays.items():
            if key in columns and array != ArrayInfo("F32", (count, columns[key])):
                wanted = f"float32 of {count} x {columns[key]}"
                raise _damaged(folder / name, f"has '{key}' as {array.dtype} of shape {array.shape}, not {wanted}")
        lacking = set(columns) - set(arrays) - (common if name != shared else set())
        if name != shared and lacking:
            raise _damaged(folder / name, f"lacks {', '.join(sorted(lacking))}")


def _is_of_points(name: str) -> bool:
    return name == POINTS or name.startswith(f"{POINT_FRAMES}/")


def header(path: Path) -> dict[str, ArrayInfo]:
    """Types and shapes of the arrays in a safetensors file as they are stored, from its header alone."""
    return _header(path)[0]


def _header(path: Path) -> tuple[dict[str, ArrayInfo], Packing | None]:
    try:
        with safe_open(path, framework="np") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            arrays = {key: ArrayInfo(s.get_dtype(), tuple(s.get_shape())) for key, s in slices.items()}
            return arrays, packing_of(file.metadata())
    except (OSError, SafetensorError) as error:
        raise _damaged(path, f"cannot be read ({error})") from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def _unpacked(path: Path, arrays: dict[str, ArrayInfo], packing: Packing | None) -> dict[str, ArrayInfo]:
    """Types and shapes as they will be when unpacked; checks that what is packed can be."""
    if packing is None:
        return arrays
    zstandard()
    for key in packing.arrays:
        stored = arrays.get(key)
        if stored is None or stored.dtype != "U8" or len(stored.shape) != 1:
            raise _damaged(path, f"lacks the bytes of its packed '{key}'")
    packed = {key: ArrayInfo("F32", (array.count, len(array.columns))) for key, array in packing.arrays.items()}
    return arrays | packed


def sha256(path: Path) -> str:
    """Checksum of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
