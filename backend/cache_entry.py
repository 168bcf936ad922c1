"""One entry of the stage cache on disk: a folder of safetensors files, and a manifest that says what is right in it.

``manifest.json`` names each file's size and SHA-256 and is sealed by one of its own. All is written aside, waited for
until it is on the disk, and renamed; so an entry in its place is whole, unless its disk is damaged. That is found out
at reading, where every byte is checked.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..bridge.durable import flush_folder
from ..bridge.held_file import HeldFile

MANIFEST = "manifest.json"
OWNER = "owner"
"""In a folder that is being written: held by whoever does."""

_LARGEST_MANIFEST = 16_000_000
_STEP = 1 << 22
"""Bytes that are checked at a time."""

Between = Callable[[], None]
"""Called between two steps of reading or writing; may raise to stop."""


class DamagedError(Exception):
    """An entry is not what was written."""


class File(msgspec.Struct, frozen=True):
    """One part as it was written."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What an entry is.

    Attributes:
        stage: whose result it holds.
        words: what of the result is no array, as JSON.
        files: of the parts, by their names.
    """

    stage: str
    words: msgspec.Raw
    files: dict[str, File]


class _Sealed(msgspec.Struct, frozen=True):
    sha256: str
    manifest: msgspec.Raw


class Entry:
    """An entry to read. Raises ``DamagedError``: its manifest is, or a file is missing or of another size."""

    def __init__(self, folder: Path):
        self._folder = folder
        try:
            with (folder / MANIFEST).open("rb") as file:
                sealed = msgspec.json.decode(file.read(_LARGEST_MANIFEST), type=_Sealed)
            if hashlib.sha256(sealed.manifest).hexdigest() != sealed.sha256:
                raise DamagedError(f"{MANIFEST} was changed")
            self._manifest = msgspec.json.decode(sealed.manifest, type=Manifest)
            for name, told in self._manifest.files.items():
                if self._path(name).stat().st_size != told.size:
                    raise DamagedError(f"{name} has another size")
        except (OSError, UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
            raise DamagedError(str(error)) from error

    @property
    def stage(self) -> str:
        """Whose result it is."""
        return self._manifest.stage

    @property
    def words(self) -> bytes:
        """What of the result is no array, as JSON."""
        return bytes(self._manifest.words)

    @property
    def parts(self) -> list[str]:
        """Their names, in their order."""
        return sorted(self._manifest.files)

    def check(self, between: Between = lambda: None) -> None:
        """Read every byte once. Raises ``DamagedError``."""
        for name, told in self._manifest.files.items():
            hashed = hashlib.sha256()
            try:
                with self._path(name).open("rb") as file:
                    while piece := file.read(_STEP):
                        between()
                        hashed.update(piece)
            except OSError as error:
                raise DamagedError(str(error)) from error
            if hashed.hexdigest() != told.sha256:
                raise DamagedError(f"{name} was changed")

    def part(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of one part, after they were checked. Raises ``DamagedError``."""
        try:
            content = self._path(name).read_bytes()
            if hashlib.sha256(content).hexdigest() != self._manifest.files[name].sha256:
                raise DamagedError(f"{name} was changed")
            return {key: array.copy() for key, array in load(content).items()}  # those in ``content`` cannot be written
        except (OSError, KeyError, SafetensorError) as error:
            raise DamagedError(f"{name}: {error}") from error

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.safetensors"


class Draft:
    """An entry that is being written, in a folder of its own that the next sweep removes unless it is finished.

    Raises ``OSError``.
    """

    def __init__(self, folder: Path, stage: str):
        self.folder = folder
        self._stage = stage
        self._files: dict[str, File] = {}
        folder.mkdir()
        self._held = HeldFile(folder / OWNER)

    @property
    def bytes(self) -> int:
        """Written so far."""
        return sum(file.size for file in self._files.values())

    def part(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write one part. Raises ``OSError``."""
        content = save({key: np.ascontiguousarray(array) for key, array in arrays.items()})
        self._write(f"{name}.safetensors", content)
        self._files[name] = File(len(content), hashlib.sha256(content).hexdigest())

    def seal(self, words: bytes) -> None:
        """Write the manifest; afterwards all of it is on the disk. Raises ``OSError``.

        Args:
            words: JSON.
        """
        manifest = msgspec.json.encode(Manifest(self._stage, msgspec.Raw(words), self._files))
        sealed = _Sealed(hashlib.sha256(manifest).hexdigest(), msgspec.Raw(manifest))
        self._write(MANIFEST, msgspec.json.encode(sealed))

    def give_up_ownership(self) -> None:
        """The last step before it is renamed: where a file is open, Windows renames no folder."""
        self._held.release()
        (self.folder / OWNER).unlink(missing_ok=True)
        flush_folder(self.folder)

    def drop(self) -> None:
        """Remove every trace."""
        self._held.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, content: bytes) -> None:
        with (self.folder / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
