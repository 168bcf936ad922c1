"""Files between two computers that share no disk: inputs go up to the backend, the finished scene comes down.

All of it waits, so call it in a thread of its own, never in Blender's main thread. Only a few pieces are on their way
at any time, so it takes little memory however large the files are.
"""

from __future__ import annotations

import re
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from . import messages
from .client import Answer, Client
from .errors import Cancelled, CycloramaError
from .named_files import named_files
from .scene import INFO, Scene, is_package, sha256
from .whole_folder import WholeFolder

Told = Callable[[int, int], None]
"""``told(done, total)`` in bytes, now and then; raises ``Cancelled`` to stop."""

PATIENCE_SECONDS = 60.0
"""So long a connection may be lost in the middle of a file."""

_Reply = TypeVar("_Reply", bound=messages.Message)

_ON_THEIR_WAY = 8
"""Pieces of ``messages.PIECE_BYTES`` each."""

_ROOM_BYTES = 1 << 28
"""So much stays free on the disk after a download."""

_PASSING = (
    "backend-silent",
    "backend-not-running",
    "backend-unreachable",
    "upload-out-of-order",
    "upload-unknown",
    messages.HELLO_FIRST,
)
"""Codes of troubles that end by themselves, perhaps."""

_PAUSE_SECONDS = 0.1
"""Before the next attempt."""

_ASK_AGAIN = "Fetch it again; if that does not help, generate it again."


def untold(done: int, total: int) -> None:
    """A ``Told`` that listens to nobody."""


def upload(client: Client, asked: messages.Generate, told: Told = untold) -> messages.Generate:
    """Send all files that ``asked`` names; returns the request to send then, with its ``files``.

    What the backend has already is not sent again, and an upload that was cut goes on where it was.

    Raises:
        CycloramaError: ``input-missing``, ``input-too-large``, ``backend-silent``, or what the backend refuses.
        Cancelled: out of ``told``.
    """
    paths = [Path(path) for path in named_files(asked)]
    sizes = [_size(path) for path in paths]
    done, total, names = 0, sum(sizes), {}
    for path, size in zip(paths, sizes, strict=True):
        told(done, total)
        name = _stored_name(path)
        _upload_one(client, path, name, size, lambda sent, before=done: told(before + sent, total))
        names[str(path)] = name
        done += size
    told(total, total)
    return msgspec.structs.replace(asked, files={path: names[str(Path(path))] for path in named_files(asked)})


def download(client: Client, job: str, output: Path, *, overwrite: bool = False, told: Told = untold) -> Path:
    """Bring the scene of a job that is done to ``output``; returns ``output``.

    It is written beside its place, checked byte by byte, and renamed when whole. What has come before a cut is used
    again; what has come before it was cancelled is removed.

    Raises:
        CycloramaError: ``output-exists``, ``output-not-writable``, ``disk-full``, ``scene-damaged``,
            ``backend-silent``, or what the backend refuses.
        Cancelled: out of ``told``.
    """
    with WholeFolder(output, overwrite, is_package, "Cyclorama scene") as whole:
        package = _browse(client, job)
        arriving = output.parent / f".{output.name}.arriving"
        try:
            _make_room(arriving, package)
            _download_all(client, package, arriving, told)
            for name in package.files:
                whole.file(name, lambda path, name=name: (arriving / name).replace(path))
            whole.put(Scene)
        except Cancelled:
            shutil.rmtree(arriving, ignore_errors=True)
            raise
        except OSError as error:
            raise CycloramaError(
                "output-not-writable", f"{output} cannot be written ({error.strerror}).", "Choose another folder."
            ) from error
        shutil.rmtree(arriving, ignore_errors=True)
    return output


# Up


def _size(path: Path) -> int:
    try:
        if not path.is_file():
            raise CycloramaError("input-missing", f"There is no file {path}.", "Choose it again.")
        size = path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error
    if size > messages.MAX_UPLOAD_BYTES:
        raise CycloramaError(
            "input-too-large",
            f"{path} has {size / 1e9:.1f} GB; at most {messages.MAX_UPLOAD_BYTES / 1e9:.1f} GB can be sent.",
            "Make it smaller.",
        )
    return size


def _stored_name(path: Path) -> str:
    ending = path.suffix.lower()
    try:
        return sha256(path) + (ending if re.fullmatch(r"\.[a-z0-9]{1,8}", ending) else "")
    except OSError as error:
        raise _unreadable(path, error) from error


def _upload_one(client: Client, path: Path, name: str, size: int, told: Callable[[int], None]) -> None:
    """From where the backend has it; again from there when a connection was lost or another sends the same."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    stored = 0
    while True:
        try:
            offered = _answer(client.ask(messages.Upload(file=name, size=size)), messages.Stored)
            if offered.size > stored:
                deadline = time.monotonic() + PATIENCE_SECONDS
            stored = offered.size
            if not (offered.whole or _send_pieces(client, path, name, stored, told)):
                raise CycloramaError("input-changed", f"{path} changed while it was sent.", "Try again.")
            return
        except CycloramaError as error:
            if error.code not in _PASSING or time.monotonic() > deadline:
                raise
        except OSError as error:
            raise _unreadable(path, error) from error
        time.sleep(_PAUSE_SECONDS)


def _send_pieces(client: Client, path: Path, name: str, offset: int, told: Callable[[int], None]) -> bool:
    """Whether the backend then had all of it."""
    on_their_way: deque[Answer] = deque()
    whole = False
    try:
        for piece in _pieces(path, name, offset):
            on_their_way.append(client.ask(piece))
            if len(on_their_way) >= _ON_THEIR_WAY:
                stored = _answer(on_their_way.popleft(), messages.Stored)
                told(stored.size)
        while on_their_way:
            whole = _answer(on_their_way.popleft(), messages.Stored).whole
    finally:
        for answer in on_their_way:
            answer.drop()
    return whole


def _pieces(path: Path, name: str, offset: int) -> Iterator[messages.Piece]:
    with path.open("rb") as file:
        file.seek(offset)
        while content := file.read(messages.PIECE_BYTES):
            yield messages.Piece(file=name, offset=offset, content=content)
            offset += len(content)


# Down


def _browse(client: Client, job: str) -> messages.Package:
    package = _answer(client.ask(messages.Browse(job=job)), messages.Package)
    for name in package.files:
        parts = PurePosixPath(name).parts
        if "\\" in name or ":" in name or "\0" in name or not 1 <= len(parts) <= 2 or ".." in parts or parts[0] == "/":
            raise CycloramaError("scene-damaged", f"The scene names a file outside itself ({name!r}).", _ASK_AGAIN)
    if INFO not in package.files:
        raise CycloramaError("scene-damaged", "The scene does not say what is in it.", _ASK_AGAIN)
    return package


def _make_room(arriving: Path, package: messages.Package) -> None:
    arriving.mkdir(parents=True, exist_ok=True)
    there = sum(path.stat().st_size for path in arriving.rglob("*") if path.is_file())
    needed = sum(file.size for file in package.files.values()) - there + _ROOM_BYTES
    if shutil.disk_usage(arriving).free < needed:
        raise CycloramaError(
            "disk-full",
            f"The scene has {needed / 1e9:.1f} GB, more than is free in {arriving.parent}.",
            "Make room, or choose another folder.",
        )


def _download_all(client: Client, package: messages.Package, arriving: Path, told: Told) -> None:
    done, total = 0, sum(file.size for file in package.files.values())
    for name, file in package.files.items():
        told(done, total)
        path = arriving / name
        path.parent.mkdir(exist_ok=True)
        if not (path.is_file() and path.stat().st_size == file.size and sha256(path) == file.sha256):
            _download_one(client, package.job, name, file, path, lambda come, before=done: told(before + come, total))
        done += file.size
    told(total, total)


def _download_one(
    client: Client, job: str, name: str, file: messages.PackageFile, path: Path, told: Callable[[int], None]
) -> None:
    """Into ``path``, going on where an earlier attempt ended, unless that was of another scene."""
    come = path.stat().st_size if path.is_file() else 0
    if come:
        _fetch_rest(client, job, name, file, path, told)
        if sha256(path) == file.sha256:
            return
    path.unlink(missing_ok=True)
    _fetch_rest(client, job, name, file, path, told)
    if sha256(path) != file.sha256:
        path.unlink()
        raise CycloramaError("scene-damaged", f"The scene's file {name} was damaged on its way.", _ASK_AGAIN)


def _fetch_rest(
    client: Client, job: str, name: str, file: messages.PackageFile, path: Path, told: Callable[[int], None]
) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    path.touch()
    come = path.stat().st_size
    while come < file.size:
        try:
            for content in _contents(client, job, name, come, file.size):
                with path.open("ab") as sink:
                    sink.write(content)
                come += len(content)
                deadline = time.monotonic() + PATIENCE_SECONDS
                told(come)
        except CycloramaError as error:
            if error.code not in _PASSING or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


def _contents(client: Client, job: str, name: str, offset: int, size: int) -> Iterator[bytes]:
    """The bytes from ``offset`` on, in order; some pieces ahead are asked for meanwhile."""
    on_their_way: deque[tuple[int, Answer]] = deque()

    def next_one() -> bytes:
        length, answer = on_their_way.popleft()
        content = _answer(answer, messages.Fetched).content
        if len(content) != length:
            raise CycloramaError("scene-damaged", f"The scene's file {name} is cut short.", _ASK_AGAIN)
        return content

    try:
        for start in range(offset, size, messages.PIECE_BYTES):
            length = min(messages.PIECE_BYTES, size - start)
            asked = messages.Fetch(job=job, name=name, offset=start, length=length)
            on_their_way.append((length, client.ask(asked)))
            if len(on_their_way) >= _ON_THEIR_WAY:
                yield next_one()
        while on_their_way:
            yield next_one()
    finally:
        for _, answer in on_their_way:
            answer.drop()


def _answer(answer: Answer, kind: type[_Reply]) -> _Reply:
    reply = answer.wait()
    if not isinstance(reply, kind):
        raise CycloramaError(
            "backend-not-understood", "The backend gave an answer to another question.", "Update both."
        )
    return reply


def _unreadable(path: Path, error: OSError) -> CycloramaError:
    return CycloramaError("input-not-readable", f"{path} cannot be read ({error.strerror}).", "Choose another file.")
