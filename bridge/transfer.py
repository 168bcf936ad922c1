"""Files between two computers that share no disk: inputs go up to the backend, the finished scene comes down.

All of it waits, so call it in a thread of its own, never in Blender's main thread. Only a few pieces are on their way
at any time, so it takes little memory however large the files are.
"""

from __future__ import annotations

import errno
import re
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from . import messages
from .arriving import ASK_AGAIN, Arriving, Rest
from .client import Answer, Client
from .errors import Cancelled, CycloramaError
from .frames import checksum
from .listed_files import listing_fault
from .memory import keep_freed_memory
from .named_files import named_files
from .scene import Scene, is_package, sha256
from .whole_folder import WholeFolder

Told = Callable[[int, int], None]
"""``told(done, total)`` in bytes, now and then; raises ``Cancelled`` to stop."""

PATIENCE_SECONDS = 60.0
"""So long a connection may be lost in the middle of a file."""

_Reply = TypeVar("_Reply", bound=messages.Message)

_PIECES_AHEAD = 24
"""So many are asked for before they have come: two transfers at once stay below ``MOST_PIECES``."""

_BYTES_AHEAD = 1 << 23
"""And so much: 8 MB keep a line of 1 Gb/s full whose answers take 60 ms."""

_UP_AHEAD = _BYTES_AHEAD // messages.PIECE_BYTES
"""Pieces that are sent before it is known that they are on the backend's disk."""

_LOOK_SECONDS = 0.2
"""So often whoever waits is asked whether to stop."""

_ANSWER_SECONDS = 10.0

_ROOM_BYTES = 1 << 28
"""So much stays free on the disk after a download."""

_PASSING = (
    "backend-silent",
    "backend-not-running",
    "backend-unreachable",
    "upload-out-of-order",
    "upload-unknown",
    "upload-too-fast",
    "piece-damaged",
    "too-many-questions",
    messages.HELLO_FIRST,
)
"""Codes of troubles that end by themselves, perhaps."""

_PAUSE_SECONDS = 0.1
"""Before the next attempt."""

_LOST = ("scene-", "package-", "job-")
"""Beginnings of codes of troubles after which what has come of a scene is of no use."""


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
    keep_freed_memory()
    with WholeFolder(output, overwrite, is_package, "Cyclorama scene") as whole:
        package = _browse(client, job)
        arriving = output.parent / f".{output.name}.arriving"
        try:
            _fetch_into(arriving, client, package, told)
            for name in package.files:
                whole.file(name, lambda path, name=name: (arriving / name).replace(path))
            whole.put(Scene, flushed=True)
        except BaseException as error:
            if _is_final(error):
                shutil.rmtree(arriving, ignore_errors=True)
            if isinstance(error, OSError):
                raise _not_written(output, error) from error
            raise
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
            still = partial(told, stored)
            offered = _answer(client.ask(messages.Upload(file=name, size=size)), messages.Stored, still)
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
        told(stored)
        time.sleep(_PAUSE_SECONDS)


def _send_pieces(client: Client, path: Path, name: str, offset: int, told: Callable[[int], None]) -> bool:
    """Whether the backend then had all of it."""
    on_their_way: deque[Answer] = deque()
    stored = messages.Stored(file=name, size=offset)
    pieces = _pieces(path, name, offset)
    try:
        while True:
            while len(on_their_way) < _UP_AHEAD and (piece := next(pieces, None)):
                on_their_way.append(client.ask(piece))
            if not on_their_way:
                return stored.whole
            stored = _answer(on_their_way.popleft(), messages.Stored, partial(told, stored.size))
            told(stored.size)
    finally:
        for answer in on_their_way:
            answer.drop()


def _pieces(path: Path, name: str, offset: int) -> Iterator[messages.Piece]:
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        while content := file.read(messages.PIECE_BYTES):
            yield messages.Piece(file=name, offset=offset, checksum=checksum(content), content=content)
            offset += len(content)


# Down


def _browse(client: Client, job: str) -> messages.Package:
    package = _answer(client.ask(messages.Browse(job=job)), messages.Package)
    fault = listing_fault(package.files)
    if fault:
        raise CycloramaError("scene-damaged", f"The scene {fault}.", ASK_AGAIN)
    return package


def _fetch_into(folder: Path, client: Client, package: messages.Package, told: Told) -> None:
    with Arriving(folder, package.files) as arriving:
        _check_room(folder, arriving.total - arriving.come)
        _fetch_all(client, package.job, arriving, told)


def _is_final(error: BaseException) -> bool:
    """Whether nobody will go on from what has come."""
    return isinstance(error, Cancelled) or (isinstance(error, CycloramaError) and error.code.startswith(_LOST))


def _not_written(output: Path, error: OSError) -> CycloramaError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CycloramaError("disk-full", f"There is no room left for {output}.", "Make room, then fetch it again.")
    return CycloramaError(
        "output-not-writable", f"{output} cannot be written ({error.strerror}).", "Choose another folder."
    )


def _check_room(folder: Path, lacking: int) -> None:
    if shutil.disk_usage(folder).free < lacking + _ROOM_BYTES:
        raise CycloramaError(
            "disk-full",
            f"{lacking / 1e9:.1f} GB of the scene are still to come, more than is free in {folder.parent}.",
            "Make room, or choose another folder.",
        )


def _fetch_all(client: Client, job: str, arriving: Arriving, told: Told) -> None:
    """Until every file is there and has been checked, through cuts that are no longer than our patience."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    come = arriving.come
    while rest := arriving.rest():
        try:
            _stream(client, job, arriving, rest, told)
        except CycloramaError as error:
            if arriving.come > come:
                come, deadline = arriving.come, time.monotonic() + PATIENCE_SECONDS
            if error.code not in _PASSING or time.monotonic() > deadline:
                raise
            _pause(arriving, told)
    told(arriving.total, arriving.total)


def _pause(arriving: Arriving, told: Told) -> None:
    told(arriving.come, arriving.total)
    time.sleep(_PAUSE_SECONDS)


def _stream(client: Client, job: str, arriving: Arriving, rest: list[Rest], told: Told) -> None:
    """Ask for piece after piece of all that is missing, some ahead, and write them as they come."""
    wanted = _fetches(job, rest)
    on_their_way: deque[tuple[messages.Fetch, Answer]] = deque()
    try:
        while True:
            while _has_credit([fetch.length for fetch, _ in on_their_way]) and (fetch := next(wanted, None)):
                on_their_way.append((fetch, client.ask(fetch)))
            if not on_their_way:
                return
            fetch, answer = on_their_way.popleft()
            content = _answer(answer, messages.Fetched, lambda: told(arriving.come, arriving.total)).content
            if len(content) != fetch.length:
                raise CycloramaError("scene-damaged", f"The scene's file {fetch.name} is cut short.", ASK_AGAIN)
            arriving.write(fetch.name, content)
            told(arriving.come, arriving.total)
    finally:
        for _, answer in on_their_way:
            answer.drop()


def _has_credit(lengths: list[int]) -> bool:
    return len(lengths) < _PIECES_AHEAD and sum(lengths) < _BYTES_AHEAD


def _fetches(job: str, rest: list[Rest]) -> Iterator[messages.Fetch]:
    for name, offset, size in rest:
        for start in range(offset, size, messages.PIECE_BYTES):
            yield messages.Fetch(job=job, name=name, offset=start, length=min(messages.PIECE_BYTES, size - start))


def _answer(answer: Answer, kind: type[_Reply], still: Callable[[], None] = lambda: None) -> _Reply:
    """``still`` is called now and then while nothing comes; what it raises ends the wait."""
    deadline = time.monotonic() + _ANSWER_SECONDS
    try:
        while not answer.arrives(_LOOK_SECONDS) and time.monotonic() < deadline:
            still()
    except BaseException:
        answer.drop()
        raise
    reply = answer.wait(0)
    if not isinstance(reply, kind):
        raise CycloramaError(
            "backend-not-understood", "The backend gave an answer to another question.", "Update both."
        )
    return reply


def _unreadable(path: Path, error: OSError) -> CycloramaError:
    return CycloramaError("input-not-readable", f"{path} cannot be read ({error.strerror}).", "Choose another file.")
