"""What travels between the backend and guests: files they upload, and the scenes made for them.

``inputs/`` holds uploaded files by the checksums of their content, ``outputs/`` a folder for each guest's job.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from ...bridge import messages
from ...bridge.address import open_folder
from ...bridge.errors import CycloramaError
from ...bridge.named_files import with_files
from ...bridge.scene import INFO, SUFFIX, SceneInfo, sha256
from .job import Job

INPUTS = "inputs"
OUTPUTS = "outputs"

_ROOM_BYTES = 1 << 30
"""So much stays free on the disk after an upload."""

_MOST_UPLOADS = 16
_KEPT_SECONDS = 14 * 24 * 3600.0
"""An input that no job names is removed after so long."""

log = logging.getLogger(__name__)


@dataclass
class _Growing:
    """A file that is being uploaded."""

    size: int
    stored: int
    hashed: Any  # hashlib does not name its type
    file: IO[bytes]


class Inputs:
    """Files that guests uploaded. A name is a checksum, so nothing is stored twice and nothing can be exchanged."""

    def __init__(self, folder: Path):
        self._folder = folder / INPUTS
        self._growing: dict[str, _Growing] = {}

    def offer(self, name: str, size: int) -> messages.Stored:
        """How much is there of a file that somebody wants to upload.

        Raises:
            CycloramaError: ``disk-full``, ``too-many-uploads``, ``folder-not-usable``.
        """
        if self._path(name).is_file():
            return messages.Stored(file=name, size=size, whole=True)
        growing = self._growing.get(name)
        if growing is None or growing.size != size:
            growing = self._begin(name, size)
        if size == 0:
            return self._finish(name, growing)
        return messages.Stored(file=name, size=growing.stored)

    def write(self, name: str, offset: int, content: bytes) -> messages.Stored:
        """The next piece; what is there already is not written again.

        Raises:
            CycloramaError: ``upload-unknown``, ``upload-out-of-order``, ``upload-too-long``, ``upload-damaged``,
                ``disk-full``.
        """
        growing = self._growing.get(name)
        if growing is None and self._path(name).is_file():
            return messages.Stored(file=name, size=self._path(name).stat().st_size, whole=True)
        if growing is None:
            raise CycloramaError("upload-unknown", "The backend expects no such file.", "Try again.")
        if offset > growing.stored:
            raise CycloramaError("upload-out-of-order", "A piece of the file is missing.", "Try again.")
        new = content[growing.stored - offset :]
        if growing.stored + len(new) > growing.size:
            raise CycloramaError("upload-too-long", "The file is longer than was said.", "Try again.")
        self._append(growing, new)
        if growing.stored == growing.size:
            return self._finish(name, growing)
        return messages.Stored(file=name, size=growing.stored)

    def place(self, name: str) -> Path:
        """Where an uploaded file lies. Raises CycloramaError ``file-not-uploaded``."""
        path = self._path(name)
        if not path.is_file():
            raise CycloramaError("file-not-uploaded", f"The file {name} has not been uploaded.", "Generate again.")
        return path

    def sweep(self, named: set[str]) -> None:
        """Remove what no job names, and what nobody went on uploading, after a while."""
        if not self._folder.is_dir():
            return
        oldest = time.time() - _KEPT_SECONDS
        for path in self._folder.iterdir():
            with suppress(OSError):
                if path.name not in named and path.stat().st_mtime < oldest:
                    path.unlink()

    def _begin(self, name: str, size: int) -> _Growing:
        if len(self._growing) >= _MOST_UPLOADS:
            self._growing.pop(next(iter(self._growing))).file.close()  # whoever sends it is told, and begins again
        open_folder(self._folder)
        free = shutil.disk_usage(self._folder).free
        if free < size + _ROOM_BYTES:
            raise _disk_full()
        try:
            growing = self._open(self._partial(name), size)
        except OSError as error:
            raise _not_stored(error) from error
        if name in self._growing:
            self._growing.pop(name).file.close()
        self._growing[name] = growing
        return growing

    def _open(self, partial: Path, size: int) -> _Growing:
        """An upload that goes on where it was cut, also by an end of the server."""
        file = partial.open("a+b", buffering=0)
        stored = file.tell()
        if stored > size:
            file.truncate(0)
            stored = 0
        hashed = hashlib.sha256()
        file.seek(0)
        while content := file.read(1 << 20):
            hashed.update(content)
        return _Growing(size, stored, hashed, file)

    def _append(self, growing: _Growing, content: bytes) -> None:
        try:
            written = growing.file.write(content)
        except OSError as error:
            raise _not_stored(error) from error
        growing.hashed.update(content[:written])
        growing.stored += written
        if written < len(content):
            raise _disk_full()

    def _finish(self, name: str, growing: _Growing) -> messages.Stored:
        del self._growing[name]
        growing.file.close()
        partial = self._partial(name)
        if growing.hashed.hexdigest() != name[:64]:
            partial.unlink(missing_ok=True)
            raise CycloramaError("upload-damaged", "The file was damaged on its way.", "Generate again.")
        partial.replace(self._path(name))
        return messages.Stored(file=name, size=growing.size, whole=True)

    def _path(self, name: str) -> Path:
        return self._folder / name  # ``messages.StoredName`` lets no separator through

    def _partial(self, name: str) -> Path:
        return self._folder / f"{name}.partial"


class Exchange:
    """Turns guests' requests into tasks on our own disk, and shows them what came of them."""

    def __init__(self, folder: Path):
        self.inputs = Inputs(folder)
        self._outputs = folder / OUTPUTS
        self._packages: dict[str, messages.Package] = {}  # of those that are being fetched

    def check(self, asked: messages.Generate) -> None:
        """That all files a guest names have been uploaded. Raises CycloramaError ``file-not-uploaded``."""
        with_files(asked, lambda path: str(self._input(asked, path)))

    def task(self, job: Job) -> messages.Generate:
        """What the worker shall do: the job as it was asked for, or, for guests, with files and output on our disk."""
        if not job.guest:
            return job.asked
        task = with_files(job.asked, lambda path: str(self._input(job.asked, path)))
        return msgspec.structs.replace(task, output=str(self.output(job)), overwrite=True, files={})

    def output(self, job: Job) -> Path:
        """Where its scene is made."""
        return self._outputs / job.name / f"scene{SUFFIX}" if job.guest else Path(job.asked.output)

    def prepare(self, job: Job) -> None:
        """Make room for what a guest's job makes. Raises CycloramaError ``folder-not-usable``."""
        if job.guest:
            open_folder(self._outputs)

    def forget(self, job: Job) -> None:
        """A job is off the list, or done again: what it made for a guest is removed."""
        self._packages.pop(job.name, None)
        if job.guest:
            shutil.rmtree(self._outputs / job.name, ignore_errors=True)

    def browse(self, job: Job) -> messages.Package:
        """The files of its scene. Raises CycloramaError ``scene-not-there``."""
        folder = self.output(job)
        if job.state != "done":
            raise CycloramaError("scene-not-there", f"Job {job.name} is not done.", "Wait for it.")
        try:
            info = msgspec.json.decode((folder / INFO).read_bytes(), type=SceneInfo)
            own = messages.PackageFile((folder / INFO).stat().st_size, sha256(folder / INFO))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _not_there(job) from error
        files = {name: messages.PackageFile(file.bytes, file.sha256) for name, file in info.files.items()}
        package = self._packages[job.name] = messages.Package(job=job.name, files=files | {INFO: own})
        return package

    def read(self, job: Job, name: str, offset: int, length: int) -> bytes:
        """Some bytes of one file. Raises CycloramaError ``scene-not-there``."""
        folder = self.output(job)
        known = self._packages.get(job.name) or self.browse(job)
        path = folder / name
        try:
            if name not in known.files or not path.resolve().is_relative_to(folder.resolve()):
                raise _not_there(job)
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            raise _not_there(job) from error

    def sweep(self, jobs: list[Job]) -> None:
        """Remove what no job names any more."""
        self.inputs.sweep({name for job in jobs for name in job.asked.files.values()})
        names = {job.name for job in jobs}
        if self._outputs.is_dir():
            for folder in self._outputs.iterdir():
                if folder.name not in names:
                    shutil.rmtree(folder, ignore_errors=True)

    def _input(self, asked: messages.Generate, path: str) -> Path:
        try:
            return self.inputs.place(asked.files[path])
        except KeyError:
            raise CycloramaError(
                "file-not-uploaded", f"The file {path} has not been uploaded.", "Generate again."
            ) from None


def _not_there(job: Job) -> CycloramaError:
    return CycloramaError(
        "scene-not-there", f"The backend has no such file of the scene of job {job.name}.", "Generate the scene again."
    )


def _not_stored(error: OSError) -> CycloramaError:
    log.error("An upload cannot be stored: %s", error)
    return _disk_full()


def _disk_full() -> CycloramaError:
    return CycloramaError(
        "disk-full", "The backend's computer has no room for the file.", "Make room on its disk, then generate again."
    )
