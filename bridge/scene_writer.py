"""Writing a 4D scene package: as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from .errors import CycloramaError
from .gaussians import Gaussians, faults
from .package_checks import header
from .packing import SMALL, Compression, Numbers, order, pack, zstandard
from .points import POINT_COLUMNS
from .rounding import ERROR
from .scene import (
    INFO,
    MOVING,
    PACKED_VERSION,
    POINT_FRAMES,
    POINTS,
    STATIC,
    UNPACKED_VERSION,
    VERSION,
    FileInfo,
    Scene,
    SceneInfo,
    frame_name,
    is_package,
    sha256,
)
from .whole_folder import WholeFolder


class SceneWriter:
    """Writes one package. Use as a context manager: leaving it without ``finish`` removes every trace.

    Args:
        compression: of the Gaussians. "small" rounds them (by no more than ``rounding.ERROR``) and may change their
            order, the moving ones' in all frames alike. Write frame 0 first then: the others build on it.

    Raises:
        CycloramaError: ``output`` exists (and ``overwrite`` is off), cannot be written, or is being written.
    """

    def __init__(self, output: Path, overwrite: bool = False, compression: Compression = "none"):
        self._packs = compression == SMALL
        if self._packs:
            zstandard()
        self._folder = WholeFolder(output, overwrite, is_package, "Cyclorama scene")
        self._files: dict[str, FileInfo] = {}
        self._static_count = 0
        self._moving_count = 0
        self._point_count = 0
        self._low = np.full(3, np.inf)
        self._high = np.full(3, -np.inf)
        self._order: np.ndarray | None = None
        self._first_frame: Numbers = {}

    def __enter__(self) -> SceneWriter:
        self._folder.__enter__()
        return self

    def __exit__(self, *exception) -> None:
        self._folder.__exit__(*exception)

    def static(self, gaussians: Gaussians) -> None:
        """The Gaussians that never change."""
        self._static_count = len(gaussians)
        self._save(STATIC, gaussians[order(gaussians.position)].arrays() if self._packs else gaussians.arrays())

    def moving(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Arrays of the moving Gaussians that are the same in every frame, by the names of ``COLUMNS``."""
        self._save(MOVING, self._ordered(arrays))

    def frame(self, index: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Arrays of the moving Gaussians that differ from frame to frame, as they are in frame ``index``."""
        self._moving_count = len(next(iter(arrays.values())))
        numbers = self._save(frame_name(index), self._ordered(arrays), self._first_frame)
        if index == 0:
            self._first_frame = numbers

    def points(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Arrays of the point cloud that are the same in every frame, by the names of ``POINT_COLUMNS``."""
        self._save_points(POINTS, arrays)

    def points_frame(self, index: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Arrays of the point cloud that differ from frame to frame, as they are in frame ``index``."""
        self._point_count = len(next(iter(arrays.values())))
        self._save_points(frame_name(index, POINT_FRAMES), arrays)

    def file(self, name: str, write: Callable[[Path], None]) -> None:
        """Any other file: ``write`` is given the path to write to."""
        path = self._folder.file(name, write)
        arrays = header(path) if path.suffix == ".safetensors" else {}
        self._files[name] = FileInfo(path.stat().st_size, sha256(path), arrays)

    def finish(self, **described) -> SceneInfo:
        """Write ``scene.json`` and put the package in its place.

        Args:
            described: the fields of ``SceneInfo`` that the writer does not know itself (generator, seed, …).
        """
        packed = PACKED_VERSION if self._packs else UNPACKED_VERSION
        info = SceneInfo(
            version=VERSION if self._point_count else packed,
            error=ERROR if self._packs else None,
            static_count=self._static_count,
            moving_count=self._moving_count,
            point_count=self._point_count,
            bounds=(_corner(self._low), _corner(self._high)),
            files=self._files,
            **described,
        )
        text = msgspec.json.format(msgspec.json.encode(info), indent=1)
        self._folder.file(INFO, lambda path: path.write_bytes(text))
        self._folder.put(Scene)  # what could not be read is never put in place
        return info

    def _ordered(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Arrays of the moving Gaussians in the order that the first of them (that has positions) asked for."""
        if not self._packs:
            return arrays
        if self._order is None:
            some = next(iter(arrays.values()))
            self._order = order(arrays["position"]) if "position" in arrays else np.arange(len(some))
        return {key: array[self._order] for key, array in arrays.items()}

    def _save(self, name: str, arrays: Mapping[str, np.ndarray], first: Numbers | None = None) -> Numbers:
        whole = {key: np.ascontiguousarray(array, np.float32) for key, array in arrays.items()}
        self._widen(whole)
        if not self._packs:
            self.file(name, lambda path: _save_file(whole, path))
            return {}
        for fault in faults(whole):  # rounding would hide it
            raise CycloramaError("gaussians-damaged", f"The Gaussians cannot be compressed: {fault}.")
        stored, metadata, numbers = pack(whole, first or {})
        self.file(name, lambda path: _save_file(stored, path, metadata))
        self._files[name] = msgspec.structs.replace(self._files[name], encoding=SMALL)
        return numbers

    def _save_points(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        whole = {
            key: np.ascontiguousarray(array, np.float32).reshape(len(array), POINT_COLUMNS[key])
            for key, array in arrays.items()
        }
        self._widen(whole)
        self.file(name, lambda path: _save_file(whole, path))

    def _widen(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take positions into the bounds."""
        if len(arrays.get("position", ())):
            self._low = np.minimum(self._low, arrays["position"].min(axis=0))
            self._high = np.maximum(self._high, arrays["position"].max(axis=0))


def _save_file(arrays: dict[str, np.ndarray], path: Path, metadata: dict[str, str] | None = None) -> None:
    try:
        save_file(arrays, path, metadata)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def _corner(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) if np.isfinite(value) else 0.0 for value in values)
    return x, y, z
