"""Writing a 4D scene package: as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from .gaussians import Gaussians
from .scene import INFO, MOVING, STATIC, FileInfo, Scene, SceneInfo, frame_name, header, is_package, sha256
from .whole_folder import WholeFolder


class SceneWriter:
    """Writes one package. Use as a context manager: leaving it without ``finish`` removes every trace.

    Raises:
        CycloramaError: ``output`` exists (and ``overwrite`` is off), cannot be written, or is being written.
    """

    def __init__(self, output: Path, overwrite: bool = False):
        self._folder = WholeFolder(output, overwrite, is_package, "Cyclorama scene")
        self._files: dict[str, FileInfo] = {}
        self._static_count = 0
        self._moving_count = 0
        self._low = np.full(3, np.inf)
        self._high = np.full(3, -np.inf)

    def __enter__(self) -> SceneWriter:
        self._folder.__enter__()
        return self

    def __exit__(self, *exception) -> None:
        self._folder.__exit__(*exception)

    def static(self, gaussians: Gaussians) -> None:
        """The Gaussians that never change."""
        self._static_count = len(gaussians)
        self._save(STATIC, gaussians.arrays())

    def moving(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Arrays of the moving Gaussians that are the same in every frame, by the names of ``COLUMNS``."""
        self._save(MOVING, arrays)

    def frame(self, index: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Arrays of the moving Gaussians that differ from frame to frame, as they are in frame ``index``."""
        self._moving_count = len(next(iter(arrays.values())))
        self._save(frame_name(index), arrays)

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
        info = SceneInfo(
            static_count=self._static_count,
            moving_count=self._moving_count,
            bounds=(_corner(self._low), _corner(self._high)),
            files=self._files,
            **described,
        )
        text = msgspec.json.format(msgspec.json.encode(info), indent=1)
        self._folder.file(INFO, lambda path: path.write_bytes(text))
        self._folder.put(Scene)  # what could not be read is never put in place
        return info

    def _save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        whole = {key: np.ascontiguousarray(array, np.float32) for key, array in arrays.items()}
        if len(whole.get("position", ())):
            self._low = np.minimum(self._low, whole["position"].min(axis=0))
            self._high = np.maximum(self._high, whole["position"].max(axis=0))
        self.file(name, lambda path: _save_file(whole, path))


def _save_file(arrays: dict[str, np.ndarray], path: Path) -> None:
    try:
        save_file(arrays, path)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def _corner(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) if np.isfinite(value) else 0.0 for value in values)
    return x, y, z
