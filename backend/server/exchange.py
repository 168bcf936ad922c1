"""What travels between the backend and others: files that guests upload, and the scenes that are made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import msgspec

from ...bridge import messages
from ...bridge.errors import CycloramaError
from ...bridge.named_files import with_files
from .errands import Errands
from .inputs import Inputs, Reply
from .job import Job
from .scenes import Scenes

_CHECKPOINTS = (
    "checkpoint",
    "estimator_checkpoint",
    "metric_reference",
    "semantic_checkpoint",
    "perceptual_checkpoint",
    "inpainter",
)
"""Settings that may be folders on our side."""


class Exchange:
    """Turns guests' requests into tasks on our own disk, and gives out what came of them. For the server's thread.

    Args:
        folder: the backend's.
        wake: called from another thread when ``come_back`` has something to do.
        jobs: all that the backend knows.
    """

    def __init__(self, folder: Path, wake: Callable[[], None], jobs: Callable[[], Iterable[Job]]):
        self._jobs = jobs
        self._errands = Errands(wake)
        self._inputs = Inputs(folder, self._errands, self._in_use)
        self._scenes = Scenes(folder, self._errands)
        self.browse, self.fetched, self.output = self._scenes.browse, self._scenes.fetched, self._scenes.place
        self.prepare = self._scenes.prepare

    def store(self, guest: str, request: messages.Upload | messages.Piece, reply: Reply) -> None:
        """Take what a guest uploads; ``reply`` is called with the answer, at once or in ``come_back``.

        Raises:
            CycloramaError: as ``Inputs.offer`` and ``Inputs.write``.
        """
        if isinstance(request, messages.Upload):
            self._inputs.offer(guest, request.file, request.size, reply)
        else:
            self._inputs.write(guest, request, reply)

    def come_back(self) -> None:
        """Answer what has been done on the disk meanwhile."""
        self._errands.come_back()

    def check(self, asked: messages.Generate, guest: str) -> None:
        """That all files a guest names have been uploaded, and its checkpoints lie on no third computer: Windows would
        tell that one who the owner of this is.

        Raises:
            CycloramaError: ``file-not-uploaded``, ``checkpoint-elsewhere``.
        """
        for name in _CHECKPOINTS:
            if getattr(asked.settings, name).replace("\\", "/").startswith("//"):
                raise CycloramaError(
                    "checkpoint-elsewhere",
                    "A checkpoint of a guest's job cannot lie on another computer.",
                    "Name a hub id, or a folder of the backend's own disk.",
                )
        with_files(asked, lambda path: str(self._input(asked, guest, path)))

    def task(self, job: Job) -> messages.Generate:
        """What the worker shall do: the job as it was asked for, or, for guests, with files and output on our disk.

        Raises:
            CycloramaError: ``file-not-uploaded``.
        """
        if not job.guest:
            return job.asked
        task = with_files(job.asked, lambda path: str(self._input(job.asked, job.guest, path)))
        return msgspec.structs.replace(task, output=str(self.output(job)), overwrite=True, files={})

    def discard(self, job: Job) -> None:
        """A job is done again: what it made for a guest is removed."""
        self._scenes.forget(job)

    def forget(self, job: Job) -> None:
        """A job is off the list: what it made for a guest is removed, and its inputs, unless another names them."""
        self._scenes.forget(job)
        if job.guest:
            named = {name for other in self._jobs() for name in other.asked.files.values() if other.guest == job.guest}
            self._inputs.forget(job.guest, set(job.asked.files.values()) - named)

    def sweep(self, jobs: Collection[Job]) -> None:
        """At the start of a server: remove what no job names any more."""
        self._inputs.sweep({(job.guest, name) for job in jobs for name in job.asked.files.values()})
        self._scenes.sweep(jobs)

    def end(self) -> None:
        """Wait for what is done on the disk, and close all files."""
        self._errands.end()
        self._inputs.end()

    def _in_use(self, guest: str) -> set[str]:
        busy = (job for job in self._jobs() if job.guest == guest and job.state in ("waiting", "running"))
        return {name for job in busy for name in job.asked.files.values()}

    def _input(self, asked: messages.Generate, guest: str, path: str) -> Path:
        name = asked.files.get(path)
        place = self._inputs.place(guest, name) if name else None
        if place is None or not place.is_file():
            raise CycloramaError("file-not-uploaded", f"The file {path} has not been uploaded.", "Generate again.")
        return place
