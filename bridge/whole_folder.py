"""Writing a folder as a whole: into a hidden one beside its place, renamed when all of it is there."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from .durable import flush_folder, flush_tree
from .errors import CycloramaError
from .held_file import HeldFile, is_alive, is_held
from .paths import checked_path

_OWNER = "owner"
"""Inside the hidden folder while it is written: the process that writes it."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


def partial_path(output: Path) -> Path:
    """The hidden folder in which ``output`` is written until it is whole."""
    return output.parent / f".{output.name}.partial"


def discard_partial(output: Path) -> None:
    """Remove what an unfinished job left of ``output``, unless another process is writing it right now.

    What it was about to replace comes back.
    """
    if _owner(partial_path(output)) is None:
        shutil.rmtree(partial_path(output), ignore_errors=True)
        with contextlib.suppress(OSError):  # the next writer tries again
            _bring_back(output)


class WholeFolder:
    """Writes one folder. Use as a context manager: leaving it without ``put`` removes every trace.

    Args:
        output: its place.
        overwrite: whether it may take the place of another folder of its kind.
        is_one: tells whether a folder is of its kind.
        kind: what such a folder is called ("Cyclorama scene").

    Raises:
        CycloramaError: ``output`` exists (and ``overwrite`` is off), cannot be written, or is being written.
    """

    def __init__(self, output: Path, overwrite: bool, is_one: Callable[[Path], bool], kind: str):
        self.output = checked_path(output)
        self.partial = partial_path(output)
        self._overwrite, self._is_one, self._kind = overwrite, is_one, kind
        self._made: list[Path] = []
        self._held: HeldFile | None = None

    def __enter__(self) -> WholeFolder:
        try:
            _bring_back(self.output)
            self._check_free()
        except OSError as error:  # a name too long, a folder closed to us
            raise self._unwritable(error) from error
        owner = _owner(self.partial)
        if owner is not None:
            raise CycloramaError(
                "output-busy", f"{self.output} is being written by process {owner}.", "Wait for it, or cancel it."
            )
        discard_partial(self.output)
        try:
            self._made = [folder for folder in self.output.parents if not folder.exists()]
            self.partial.mkdir(parents=True)
            self._own()
        except FileExistsError as error:  # another process was faster
            raise self._unwritable(error) from error
        except BaseException as error:  # also when told to stop in between
            self.__exit__()
            if isinstance(error, OSError):
                raise self._unwritable(error) from error
            raise
        return self

    def _own(self) -> None:
        owner = self.partial / _OWNER
        try:
            self._held = HeldFile(owner)
        except OSError:  # a disk without locks
            owner.write_text(str(os.getpid()))

    def _disown(self) -> None:
        if self._held is not None:
            self._held.release()
            self._held = None

    def __exit__(self, *_exception) -> None:
        self._disown()
        discard_partial(self.output)
        for folder in self._made:  # the innermost first; one that holds something now stays
            with contextlib.suppress(OSError):
                folder.rmdir()

    def file(self, name: str, write: Callable[[Path], object]) -> Path:
        """One file, which may lie in a folder of its own: ``write`` is given the path to write to. Returns it."""
        path = self.partial / name
        try:
            path.parent.mkdir(exist_ok=True)
            write(path)
            path.chmod(0o644)  # safetensors closes its files to others; a render farm may be another user
        except OSError as error:
            raise self._unwritable(error) from error
        return path

    def put(self, check: Callable[[Path], object] = lambda folder: None, *, flushed: bool = False) -> None:
        """Rename it into its place, after ``check`` of the whole. Once it is there no power cut takes it away.

        An older folder there is set aside first, and comes back if that fails. ``flushed``: the content of all files
        is on the disk already (``flush_file``); asking again costs a millisecond or two for each.
        """
        try:
            flush_tree(self.partial, names_only=flushed)  # else a power cut could leave the new name with empty files
            self._disown()  # where a file is open, Windows renames no folder
            (self.partial / _OWNER).unlink()
            flush_folder(self.partial)
            check(self.partial)
            self._check_free()
            _put(self.partial, self.output)
            for folder in self._made:
                flush_folder(folder.parent)
        except OSError as error:
            raise self._unwritable(error) from error

    def _check_free(self) -> None:
        if not self.output.exists():
            return
        if not self._overwrite:
            raise CycloramaError(
                "output-exists",
                f"{self.output} exists already.",
                "Choose another name, or allow overwriting (--overwrite).",
            )
        if not self._is_one(self.output):
            raise CycloramaError(
                "output-not-a-package",
                f"{self.output} exists and is no {self._kind}, so it is not overwritten.",
                "Choose another name.",
            )

    def _unwritable(self, error: OSError) -> CycloramaError:
        if error.errno in _FULL:
            return CycloramaError(
                "disk-full",
                f"{self.output} cannot be written ({error.strerror}): its disk is full.",
                "Make room there, or choose another folder.",
            )
        return CycloramaError(
            "output-not-writable",
            f"{self.output} cannot be written ({error.strerror or error}).",
            "Choose another folder.",
        )


def _put(folder: Path, output: Path) -> None:
    aside = _aside(output)
    _remove(aside)
    if output.exists():
        output.rename(aside)
    try:
        folder.rename(output)
    except OSError:
        if aside.exists():
            aside.rename(output)
        raise
    flush_folder(output.parent)  # before the older one goes
    _remove(aside)


def _remove(aside: Path) -> None:
    if aside.is_symlink():  # a link to such a folder was replaced, not what it led to
        aside.unlink()
    shutil.rmtree(aside, ignore_errors=True)


def _aside(output: Path) -> Path:
    return output.parent / f".{output.name}.replaced"


def _bring_back(output: Path) -> None:
    """If an earlier writer was killed between its two renames, the older package goes back to its place."""
    if _aside(output).exists() and not output.exists():
        _aside(output).rename(output)


def _owner(folder: Path) -> int | None:
    """The process that is writing there, if it is another one and alive."""
    try:
        process = int((folder / _OWNER).read_text())
    except (OSError, ValueError):
        return None
    if process == os.getpid() or not is_alive(process):
        return None
    return None if is_held(folder / _OWNER) is False else process  # its number may be another process's by now
