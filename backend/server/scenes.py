"""Scenes as they are given out: by their files, piece by piece. Those of guests lie in ``outputs/<guest>/<job>/``."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from ...bridge import messages
from ...bridge.address import folder_not_usable, open_folder
from ...bridge.errors import CycloramaError
from ...bridge.frames import checksum
from ...bridge.listed_files import listing_fault
from ...bridge.package_files import leads_out
from ...bridge.scene import INFO, LARGEST_INFO_BYTES, SUFFIX, SceneInfo
from .errands import Errands
from .guest_folders import folder_name
from .job import Job

FOLDER = "outputs"

MOST_BYTES = 1 << 36
"""Of one guest's scenes. Beyond, those that it has fetched are removed, the oldest first; the others stay."""

_FETCHED = "fetched"
"""Beside a scene that its guest has asked for to the last byte."""

_LISTINGS = 32
"""Of so many scenes it is remembered which files they have."""

_NEXT_BYTES = 1 << 22
"""Each time so much has been given out, the disk is told to read twice that ahead: asking it costs time too."""

_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class Scenes:
    """Where jobs' scenes lie, and what is in them. For the server's thread."""

    def __init__(self, folder: Path, errands: Errands):
        self._folder = folder / FOLDER
        self._errands = errands
        self._listings: dict[str, dict[str, str]] = {}  # job -> file -> path, or "" where nobody has looked at it
        self._sizes: dict[Path, int] = {}

    def place(self, job: Job) -> Path:
        """Where its scene is made."""
        return self._of(job) / f"scene{SUFFIX}" if job.guest else Path(job.asked.output)

    def prepare(self, job: Job) -> None:
        """Make room for what a guest's job makes. Raises CycloramaError ``outputs-full``, ``folder-not-usable``."""
        if not job.guest:
            return
        folder = self._of(job).parent
        try:
            open_folder(self._folder)
            open_folder(folder)
            scenes = sorted((path for path in folder.iterdir() if path.is_dir()), key=_made_at)
            total = sum(self._size(scene) for scene in scenes)
        except OSError as error:
            raise folder_not_usable(folder, error) from error
        for scene in scenes:
            if total > MOST_BYTES and (scene / _FETCHED).exists():
                total -= self._size(scene)
                self._remove(scene)
        if total > MOST_BYTES:
            raise CycloramaError(
                "outputs-full",
                f"The backend keeps {MOST_BYTES / 1e9:.0f} GB of {job.guest}'s scenes, and has {total / 1e9:.0f} GB.",
                "Fetch them, or forget some of these jobs.",
            )

    def forget(self, job: Job) -> None:
        """A job is off the list, or done again: what it made for a guest is removed."""
        self._listings.pop(job.name, None)
        if job.guest:
            self._remove(self._of(job))

    def sweep(self, jobs: Iterable[Job]) -> None:
        """At the start of a server: remove what no job names any more."""
        kept = {self._of(job) for job in jobs if job.guest}
        for guest in self._folder.glob("*"):
            is_one = guest.is_dir() and not guest.is_symlink() and not guest.name.startswith(".")
            for path in guest.glob("*") if is_one else [guest]:
                if path not in kept:
                    self._remove(path)

    def browse(self, job: Job) -> messages.Package:
        """The files of its scene. Raises CycloramaError ``scene-not-there``, ``scene-not-to-fetch``."""
        if job.state != "done":
            raise CycloramaError("scene-not-there", f"Job {job.name} is not done.", "Wait for it.")
        scene = self.place(job)
        try:
            text = _read(scene, INFO, 0, LARGEST_INFO_BYTES)
            info = msgspec.json.decode(text, type=SceneInfo)
            files = {name: messages.PackageFile(file.bytes, file.sha256) for name, file in info.files.items()}
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _not_there(job) from error
        files[INFO] = messages.PackageFile(len(text), hashlib.sha256(text).hexdigest())
        if fault := listing_fault(files):
            raise CycloramaError("scene-not-to-fetch", f"The scene of job {job.name} {fault}.", "Generate it again.")
        self._remember(job.name, files)
        return messages.Package(job=job.name, files=files, scene="" if job.guest else str(scene))

    def fetched(self, job: Job, request: messages.Fetch) -> messages.Fetched:
        """Some bytes of one file. Raises CycloramaError ``scene-not-there``."""
        try:
            content = _read_file(self._path(job, request.name), request.offset, request.length)
        except OSError as error:
            raise _not_there(job) from error
        if not content:
            raise _not_there(job)
        if request.name == INFO and job.guest:  # what clients fetch last
            with suppress(OSError):
                (self._of(job) / _FETCHED).touch()
        return messages.Fetched(request=request.request, checksum=checksum(content), content=content)

    def _path(self, job: Job, name: str) -> str:
        """Of one of its scene's files; looked at only the first time it is asked for. Raises ``OSError``."""
        if job.name not in self._listings:
            self.browse(job)
        paths = self._listings[job.name]
        if name not in paths:
            raise FileNotFoundError(name)
        if not paths[name]:
            scene = self.place(job)
            if leads_out(scene, name):
                raise FileNotFoundError(name)
            paths[name] = str(scene / name)
        return paths[name]

    def _of(self, job: Job) -> Path:
        return self._folder / folder_name(job.guest) / folder_name(job.name)

    def _remember(self, job: str, files: Collection[str]) -> None:
        self._listings.pop(job, None)  # to be the last
        self._listings[job] = dict.fromkeys(files, "")
        while len(self._listings) > _LISTINGS:
            del self._listings[next(iter(self._listings))]

    def _size(self, scene: Path) -> int:
        """Bytes. Those of a scene that is made are remembered: it does not change."""
        if scene in self._sizes:
            return self._sizes[scene]
        is_made = (scene / f"scene{SUFFIX}" / INFO).exists()
        size = 0
        for path in scene.rglob("*"):
            with suppress(FileNotFoundError):  # a worker is writing there
                size += path.lstat().st_size
        if is_made:
            self._sizes[scene] = size
        return size

    def _remove(self, path: Path) -> None:
        """At once for everybody, and later from the disk: gigabytes take their time."""
        self._sizes.pop(path, None)
        gone = self._folder / f".{uuid.uuid4().hex}"
        with suppress(OSError):
            path.rename(gone)
            self._errands.send(lambda: _delete(gone, path.parent))


def _read(scene: Path, name: str, offset: int, length: int) -> bytes:
    """Raises ``OSError``, also for what is no file of this folder."""
    if leads_out(scene, name):
        raise FileNotFoundError(name)
    return _read_file(str(scene / name), offset, length)


def _read_file(path: str, offset: int, length: int) -> bytes:
    with os.fdopen(os.open(path, _FLAGS), "rb", buffering=0) as file:
        if offset % _NEXT_BYTES < length and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), offset, 2 * _NEXT_BYTES, os.POSIX_FADV_WILLNEED)
        file.seek(offset)
        return file.read(length)


def _delete(gone: Path, folder: Path) -> None:
    if gone.is_dir():
        shutil.rmtree(gone, ignore_errors=True)
    else:
        gone.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()  # if it is empty


def _made_at(scene: Path) -> float:
    return scene.stat().st_mtime


def _not_there(job: Job) -> CycloramaError:
    return CycloramaError(
        "scene-not-there", f"The backend has no such file of the scene of job {job.name}.", "Generate the scene again."
    )
