"""Every message on the wire, as msgspec structs in MessagePack: requests, replies, events.

A wire message is ``[header, blob...]``. The header is one of these structs.
Unknown fields are ignored, unknown types refused.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from .settings import PanoramaTo4D

PROTOCOL = 4
"""Version of these messages; both ends must have the same."""

MAX_HEADER_BYTES = 1 << 20
"""A longer header is refused before it is decoded."""

MAX_PREVIEW_BYTES = 1 << 18

HELLO_FIRST = "hello-first"
"""Code of ``Refused`` for a client the backend does not know: it was started anew since the last ``Welcome``."""

Path = Annotated[str, Meta(min_length=1, max_length=4096)]
Name = Annotated[str, Meta(max_length=64)]
Identifier = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Message(msgspec.Struct, frozen=True, tag_field="type", tag=True, kw_only=True):
    """Base of all messages; ``request`` ties a reply to what was asked ("" in events)."""

    request: Name = ""


# Requests (Blender -> backend)


class Hello(Message, frozen=True):
    """First message of a client; before it all else is refused. Answered by ``Welcome`` or ``Refused``."""

    protocol: int = PROTOCOL
    client: Name = ""


class Ping(Message, frozen=True):
    """Are you there? Answered by ``Pong``; sent every second by the client's thread."""


class Generate(Message, frozen=True):
    """Make a 4D scene of a panorama. Answered by ``Accepted`` or ``Refused``; then events of that job.

    ``job`` is chosen by the client, so that a repeated request does not start a second job: it is accepted, its
    events go to who asked last, and when the job has ended its last event is told again. Paths are absolute, on the
    disk that both ends share.
    """

    job: Identifier
    panorama: Path
    output: Path
    settings: PanoramaTo4D
    overwrite: bool = False


class Cancel(Message, frozen=True):
    """Stop a job, waiting or running. Answered by ``Accepted`` or ``Refused``; then the event ``Cancelled``.

    A job that has ended already tells its last event again.
    """

    job: Identifier


class Status(Message, frozen=True):
    """What is going on? Answered by ``Jobs``."""


class Shutdown(Message, frozen=True):
    """End the backend; running jobs are cancelled. Answered by ``Accepted``."""


# Replies


class Welcome(Message, frozen=True):
    """The backend introduces itself; sent again (``request`` "") when ``device`` becomes known.

    ``device``: what it computes on, in words ("CPU, 2 cores"); "" while the worker process starts.
    """

    protocol: int
    version: str
    device: str
    recipes: tuple[str, ...]


class Pong(Message, frozen=True):
    """I am here."""


class Accepted(Message, frozen=True):
    """The request is taken; ``job`` names the job it concerns ("" for ``Shutdown``)."""

    job: str = ""


class Refused(Message, frozen=True):
    """The request is not taken, and why."""

    code: str
    sentence: str
    hint: str = ""


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``Jobs``. ``state``: waiting, running, done, failed, cancelled."""

    job: str
    state: str
    stage: str = ""
    fraction: float = 0.0
    sentence: str = ""
    output: str = ""


class Jobs(Message, frozen=True):
    """All jobs this backend knows, oldest first."""

    jobs: tuple[JobState, ...]


# Events (backend -> the client that asked for the job)


class Progress(Message, frozen=True):
    """``step`` of ``total`` in ``stage``; ``fraction`` of the whole job; ``seconds_left`` < 0 while unknown."""

    job: str
    stage: str
    step: int
    total: int
    fraction: float
    seconds_left: float = -1.0


class Preview(Message, frozen=True):
    """What is being made, as it looks after ``step`` of ``total`` in the job's stage.

    ``picture``: a small equirectangular frame, as a WebP file.
    """

    job: str
    step: int
    total: int
    picture: Annotated[bytes, Meta(max_length=MAX_PREVIEW_BYTES)]


class Done(Message, frozen=True):
    """The scene package lies at ``scene``. ``seconds`` by stage; ``peak_bytes``: memory high-water of the worker."""

    job: str
    scene: str
    seconds: dict[str, float]
    peak_bytes: int


class Failed(Message, frozen=True):
    """The job ended without a scene, and why."""

    job: str
    code: str
    sentence: str
    hint: str = ""


class Cancelled(Message, frozen=True):
    """The job was stopped on request.

    Nothing of its output is left. What a video model has done of an animation is kept apart, and the same job goes on
    from there.
    """

    job: str


Request = Hello | Ping | Generate | Cancel | Status | Shutdown
Event = Progress | Preview | Done | Failed | Cancelled
Reply = Welcome | Pong | Accepted | Refused | Jobs
AnyMessage = Request | Reply | Event

_encoder = msgspec.msgpack.Encoder()
_decode_request = msgspec.msgpack.Decoder(Request).decode
_decode_reply = msgspec.msgpack.Decoder(Reply | Event).decode


class _Envelope(msgspec.Struct):
    request: Name = ""


_decode_envelope = msgspec.msgpack.Decoder(_Envelope).decode


def encode(message: AnyMessage) -> bytes:
    """MessagePack bytes of any message. Raises ``UnicodeEncodeError`` for text that is not Unicode."""
    return _encoder.encode(message)


def decode_request(header: bytes) -> Request:
    """What a client sent. Raises ``msgspec.DecodeError`` (also ``ValidationError``) when it is no request."""
    try:
        return _decode_request(header)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def decode_reply(header: bytes) -> Reply | Event:
    """What the backend sent. Raises ``msgspec.DecodeError`` (also ``ValidationError``) when it is none."""
    try:
        return _decode_reply(header)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def request_of(header: bytes) -> str:
    """The ``request`` field of a header that is otherwise not understood, so that it can be refused by name; or ""."""
    try:
        return _decode_envelope(header).request
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
