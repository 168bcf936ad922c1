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
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from .errors import CycloramaError, quotable
from .gaussians import COLOUR, Gaussians, faults
from .package_checks import as_described, check_arrays, check_files, damaged, is_of_points
from .package_files import INFO, MOVING, POINT_FRAMES, POINTS, SPLAT_FRAMES, STATIC, frame_name, leads_out
from .packing import Numbers, Packing, unpack
from .points import Points, point_faults
from .rounding import Error, restored
from .stored_arrays import ArrayInfo, numbers_at

FORMAT = "cyclorama-scene"
VERSION = 3
"""Version of the package's layout; a reader refuses newer ones. Packages that an older reader can read say an older."""

UNPACKED_VERSION = 1
"""Of packages whose arrays are float32 as they are."""

PACKED_VERSION = 2
"""Of packages whose Gaussians are packed and that have no points."""

SUFFIX = ".cyclorama"
PREVIEW = "preview.webp"

LARGEST_INFO_BYTES = 1 << 24
"""Of ``scene.json``: room for some 40,000 files. A longer one is refused before it is read."""

_Count = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
_Metres = Annotated[float, Meta(ge=-1e38, le=1e38)]
_Corner = tuple[_Metres, _Metres, _Metres]


class FileInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file of the package; ``arrays`` is empty for pictures, else what is stored: bytes, where it is packed."""

    bytes: Annotated[int, Meta(ge=0)]
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
    frame_rate: Annotated[float, Meta(ge=0.01, le=1000)]
    frame_count: Annotated[int, Meta(ge=1, le=1_000_000)]
    loops: bool
    """Frame ``frame_count`` would be frame 0 again."""
    static_count: _Count
    moving_count: _Count
    point_count: _Count = 0
    """Of the point cloud, the same in every frame; 0: there is none."""
    bounds: tuple[_Corner, _Corner]
    """Least and greatest corner of all positions, metres."""
    safe_radius: Annotated[float, Meta(ge=0, le=1e38)] | None = None
    """How far the camera may leave the origin before holes show, metres; None: not measured."""
    safe_radii: tuple[tuple[_Metres, _Metres, _Metres, _Metres], ...] = ()
    """The same by direction: x, y, z of unit vectors and metres; ``safe_radius`` is the least. Empty: not measured."""
    error: Error | None = None
    """How far any number may be off from what was made, where arrays are packed; None: not at all."""
    notes: tuple[str, ...] = ()
    """What the artist should know of how it was made, a sentence each."""
    files: dict[str, FileInfo]


class Scene:
    """A package opened for reading. Opening checks everything but the contents (see ``validate``).

    Raises:
        CycloramaError: not a package, of a newer version, a file missing, cut short, unknown, or of the wrong shape.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self.info = _read_info(self.folder)
        check_files(self.folder, self.info)
        check_arrays(self.folder, self.info)
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
            if _sha256(path) != expected.sha256:
                raise damaged(path, "does not match its checksum")
            wrong = point_faults if is_of_points(name) else faults
            for fault in wrong(self._arrays(name)) if expected.arrays else ():
                raise damaged(path, f"is damaged: {fault}")

    def stream(self, name: str) -> Iterator[tuple[str, np.ndarray]]:
        """The arrays of one of the package's files by name, read one after the other. Raises ``CycloramaError``."""
        path = self.folder / name
        try:
            places, packing = as_described(path, self.info.files[name])
            packed = packing.arrays if packing is not None else {}
            yield from numbers_at(path, {key: place for key, place in places.items() if key not in packed})
            if packing is not None:
                squeezed = dict(numbers_at(path, {key: places[key] for key in packed}))
                yield from self._unpack(name, squeezed, packing)
        except (OSError, KeyError) as error:
            raise damaged(path, f"cannot be read ({getattr(error, 'strerror', None) or error})") from error
        except ValueError as error:
            raise damaged(path, str(error)) from error

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


class _Head(msgspec.Struct):
    """What of ``scene.json`` says whether the rest can be read."""

    format: Any = None
    version: Any = None


def _read_info(folder: Path) -> SceneInfo:
    path = folder / INFO
    if not os.path.isdir(folder):  # noqa: PTH112 (Path.is_dir raises where a folder is closed to us, or a name too long)
        raise CycloramaError("package-missing", f"There is no folder {folder}.", "Choose a *.cyclorama folder.")
    text = _read_text(folder)
    try:
        head = msgspec.json.decode(text, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(path, f"is no valid JSON ({error})") from error
    if head.format != FORMAT:
        raise damaged(path, f"is of format {_short(head.format)!r}, not {FORMAT!r}", "package-not-one")
    if not isinstance(head.version, int) or head.version > VERSION:
        raise CycloramaError(
            "package-newer",
            f"{path} is of version {_short(head.version)}; this Cyclorama reads versions up to {VERSION}.",
            "Update Cyclorama.",
        )
    try:
        return msgspec.json.decode(text, type=SceneInfo)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(path, f"does not describe a scene ({error})") from error


def _read_text(folder: Path) -> bytes:
    """Of ``scene.json``, if it is a file of this folder and not too long."""
    path = folder / INFO
    try:
        if not path.exists():
            raise CycloramaError(
                "package-not-one",
                f"{folder} has no {INFO}, so it is no Cyclorama scene.",
                "Choose a *.cyclorama folder.",
            )
        if not path.is_file() or leads_out(folder, INFO):  # reading a pipe would never end
            raise damaged(path, "is no file of this folder")
        with path.open("rb") as file:
            text = file.read(LARGEST_INFO_BYTES + 1)
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})") from error
    if len(text) > LARGEST_INFO_BYTES:
        raise damaged(path, f"is longer than {LARGEST_INFO_BYTES} bytes")
    return text


def _short(value: object) -> str | None:
    """For a sentence."""
    return value if value is None else quotable(str(value), 40)


def sha256(path: Path) -> str:
    """Checksum of a file, hexadecimal. Raises ``OSError``."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})") from error
