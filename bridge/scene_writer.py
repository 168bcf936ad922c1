"""Writing a 4D scene package: into a hidden folder beside its place, renamed when whole."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from .errors import CycloramaError
from .gaussians import Gaussians
from .paths import checked_path
from .scene import INFO, MOVING, STATIC, FileInfo, Scene, SceneInfo, frame_name, header, is_package, sha256

_OWNER = "owner"
"""Inside the hidden folder while it is written: the process that writes it."""


def partial_path(output: Path) -> Path:
    """The hidden folder in which the package ``output`` is written until it is whole."""
    return output.parent / f".{output.name}.partial"


def discard_partial(output: Path) -> None:
    """Remove what an unfinished job left of ``output``, unless another process is writing it right now."""
    if _owner(partial_path(output)) is None:
        shutil.rmtree(partial_path(output), ignore_errors=True)


class SceneWriter:
    """Writes one package. Use as a context manager: leaving it without ``finish`` removes every trace.

    Raises:
        CycloramaError: ``output`` exists (and ``overwrite`` is off), cannot be written, or is being written.
    """

    def __init__(self, output: Path, overwrite: bool = False):
        self.output = checked_path(output)
        self._overwrite = overwrite
        self._folder = partial_path(output)
        self._files: dict[str, FileInfo] = {}
        self._static_count = 0
        self._moving_count = 0
        self._low = np.full(3, np.inf)
        self._high = np.full(3, -np.inf)
        self._made: list[Path] = []

    def __enter__(self) -> SceneWriter:
        try:
            _bring_back(self.output)
            _check_free(self.output, self._overwrite)
        except OSError as error:  # a name too long, a folder closed to us
            raise _unwritable(self.output, error) from error
        owner = _owner(self._folder)
        if owner is not None:
            raise CycloramaError(
                "output-busy", f"{self.output} is being written by process {owner}.", "Wait for it, or cancel it."
            )
        discard_partial(self.output)
        try:
            self._made = [folder for folder in self.output.parents if not folder.exists()]
            self._folder.mkdir(parents=True)
            (self._folder / _OWNER).write_text(str(os.getpid()))
        except OSError as error:
            raise _unwritable(self.output, error) from error
        return self

    def __exit__(self, *_exception) -> None:
        discard_partial(self.output)
        for folder in self._made:  # the innermost first; one that holds something now stays
            with contextlib.suppress(OSError):
                folder.rmdir()

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
        path = self._folder / name
        try:
            path.parent.mkdir(exist_ok=True)
            write(path)
            path.chmod(0o644)  # safetensors closes its files to others; a render farm may be another user
        except (OSError, SafetensorError) as error:
            raise _unwritable(self.output, error) from error
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
        try:
            (self._folder / INFO).write_bytes(msgspec.json.format(msgspec.json.encode(info), indent=1))
            (self._folder / _OWNER).unlink()
            Scene(self._folder)  # what could not be read is never put in place
            _put(self._folder, self.output, self._overwrite)
        except OSError as error:
            raise _unwritable(self.output, error) from error
        return info

    def _save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        whole = {key: np.ascontiguousarray(array, np.float32) for key, array in arrays.items()}
        if len(whole.get("position", ())):
            self._low = np.minimum(self._low, whole["position"].min(axis=0))
            self._high = np.maximum(self._high, whole["position"].max(axis=0))
        self.file(name, lambda path: save_file(whole, path))


def _check_free(output: Path, overwrite: bool) -> None:
    if not output.exists():
        return
    if not overwrite:
        raise CycloramaError(
            "output-exists", f"{output} exists already.", "Choose another name, or allow overwriting (--overwrite)."
        )
    if not is_package(output):
        raise CycloramaError(
            "output-not-a-package",
            f"{output} exists and is no Cyclorama scene, so it is not overwritten.",
            "Choose another name.",
        )


def _put(folder: Path, output: Path, overwrite: bool) -> None:
    """Rename into place; an older package there is set aside first, and comes back if that fails."""
    _check_free(output, overwrite)
    aside = _aside(output)
    shutil.rmtree(aside, ignore_errors=True)
    if output.exists():
        output.rename(aside)
    try:
        folder.rename(output)
    except OSError:
        if aside.exists():
            aside.rename(output)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _aside(output: Path) -> Path:
    return output.parent / f".{output.name}.replaced"


def _bring_back(output: Path) -> None:
    """If an earlier writer was killed between its two renames, the older package goes back to its place."""
    if _aside(output).exists() and not output.exists():
        _aside(output).rename(output)


def _corner(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) if np.isfinite(value) else 0.0 for value in values)
    return x, y, z


def _unwritable(output: Path, error: Exception) -> CycloramaError:
    reason = getattr(error, "strerror", None) or str(error)
    return CycloramaError(
        "output-not-writable", f"{output} cannot be written ({reason}).", "Choose another folder, or make room on it."
    )


def _owner(folder: Path) -> int | None:
    """The process that is writing there, if it is another one and alive."""
    try:
        process = int((folder / _OWNER).read_text())
    except (OSError, ValueError):
        return None
    return process if process != os.getpid() and _alive(process) else None


def _alive(process: int) -> bool:
    if sys.platform == "win32":  # there os.kill(…, 0) would end it
        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, process)
        return bool(handle and ctypes.windll.kernel32.CloseHandle(handle))
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
