"""Every message on the wire, as msgspec structs in MessagePack: requests, replies, events.

A wire message is ``[header, blob...]``. The header is one of these structs.
Unknown fields are ignored, unknown types refused.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from .settings import PanoramaTo4D

PROTOCOL = 5
"""Version of these messages; both ends must have the same."""

MAX_HEADER_BYTES = 1 << 20
"""A longer header is refused before it is decoded."""

MAX_PREVIEW_BYTES = 1 << 18

HELLO_FIRST = "hello-first"
"""Code of ``Refused`` for a client the backend does not know: it was started anew since the last ``Welcome``."""

Path = Annotated[str, Meta(min_length=1, max_length=4096)]
Name = Annotated[str, Meta(max_length=64)]
Identifier = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
StoredName = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}(\.[a-z0-9]{1,8})?$")]
"""How an uploaded file is called: the checksum (SHA-256) of its content, and its ending, in small letters."""

PIECE_BYTES = 1 << 18
"""So much of a file at most goes in one message."""

MAX_UPLOAD_BYTES = 1 << 31
"""A longer file is refused: a panorama of 8192 x 4096 pixels has at most a quarter of it."""


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

    ``job`` is chosen by the client, so that a repeated request does not start a second job: it is accepted,
    and when the job has ended its last event is told again. Paths are absolute, on the
    disk that both ends share.

    A guest (see ``Welcome.guest``) shares no disk: it first uploads the files that it names, tells by ``files`` which
    is which, and fetches the scene when it is done (``transfer.py``). ``output`` is then where the scene shall lie on
    the guest's computer; the backend only tells it again.
    """

    job: Identifier
    panorama: Path
    output: Path
    settings: PanoramaTo4D
    overwrite: bool = False
    files: Annotated[dict[Path, StoredName], Meta(max_length=64)] = {}
    """For guests: path, as it stands in this request -> name of the uploaded file."""


class Cancel(Message, frozen=True):
    """Stop a job, waiting or running. Answered by ``Accepted`` or ``Refused``; then the event ``Cancelled``.

    A job that has ended already tells its last event again.
    """

    job: Identifier


class Retry(Message, frozen=True):
    """Do a job again that failed or was cancelled, with the same settings. Answered by ``Accepted`` or ``Refused``."""

    job: Identifier


class Forget(Message, frozen=True):
    """Take a job that has ended off the list; its scene stays on disk. Answered by ``Accepted`` or ``Refused``."""

    job: Identifier


class Recall(Message, frozen=True):
    """What was asked for in this job? Answered by ``Recalled`` or ``Refused``."""

    job: Identifier


class Status(Message, frozen=True):
    """What is going on? Answered by ``Jobs``, then by the newest ``Preview`` of the running job, if there is one."""


class ReadLog(Message, frozen=True):
    """The last ``lines`` of the backend's log. Answered by ``Log``."""

    lines: Annotated[int, Meta(ge=1, le=2000)] = 200


class Shutdown(Message, frozen=True):
    """End the backend. Answered by ``Accepted``.

    ``when_idle``: only after all jobs are done; else running and waiting ones are cancelled.
    """

    when_idle: bool = False


class Goodbye(Message, frozen=True):
    """This client closes; it need not be waited for. Not answered."""


class Upload(Message, frozen=True):
    """May this file be sent, and how much of it is there already? Answered by ``Stored`` or ``Refused``.

    Then its pieces are sent in order, from there on.
    """

    file: StoredName
    size: Annotated[int, Meta(ge=0, le=MAX_UPLOAD_BYTES)]


class Piece(Message, frozen=True):
    """The next of a file that is uploaded. Answered by ``Stored`` or ``Refused``."""

    file: StoredName
    offset: Annotated[int, Meta(ge=0, le=MAX_UPLOAD_BYTES)]
    content: Annotated[bytes, Meta(min_length=1, max_length=PIECE_BYTES)]


class Browse(Message, frozen=True):
    """Which files has the scene of a job that is done? Answered by ``Package`` or ``Refused``."""

    job: Identifier


class Fetch(Message, frozen=True):
    """Bytes of one file of a job's scene. Answered by ``Fetched`` or ``Refused``.

    Ask for the next ones before these have come, but only for a few: what is asked for is sent at once.
    """

    job: Identifier
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    offset: Annotated[int, Meta(ge=0, le=1 << 50)]
    length: Annotated[int, Meta(ge=1, le=PIECE_BYTES)] = PIECE_BYTES


# Replies


class Welcome(Message, frozen=True):
    """The backend introduces itself; sent again (``request`` "") when ``device`` becomes known.

    ``device``: what it computes on, in words ("CPU, 2 cores"); "" while the worker process starts.
    """

    protocol: int
    version: str
    device: str
    recipes: tuple[str, ...]
    cuda: bool = False
    """Whether it computes on an NVIDIA GPU."""
    cores: int = 0
    memory_bytes: int = 0
    """Of the device that holds the models: the GPU's, else the machine's; 0 while not known."""
    guest: str = ""
    """The name this client was invited under; "" on the backend's own computer, where both ends share the disk."""
    notes: tuple[str, ...] = ()
    """What the artist should know of this backend, a sentence each."""


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
    """One line of ``Jobs``. ``state``: waiting, running, done, failed, cancelled.

    Times are seconds since 1970 by the backend's clock, 0 where it has not happened yet.
    """

    job: str
    state: str
    stage: str = ""
    fraction: float = 0.0
    seconds_left: float = -1.0
    code: str = ""
    """Of the error, where it failed."""
    sentence: str = ""
    hint: str = ""
    panorama: str = ""
    output: str = ""
    asked_at: float = 0.0
    started_at: float = 0.0
    ended_at: float = 0.0
    seconds: dict[str, float] = {}
    """What each stage took, when it is done."""
    peak_bytes: int = 0
    """The most memory it took, when it is done."""
    guest: str = ""
    """Who asked for it (see ``Welcome.guest``); the paths are those of that computer."""


class Jobs(Message, frozen=True):
    """All jobs this backend knows, oldest first; those of earlier runs of it too."""

    jobs: tuple[JobState, ...]


class Recalled(Message, frozen=True):
    """What was asked for in a job."""

    asked: Generate


class Log(Message, frozen=True):
    """The end of the backend's log."""

    text: str


class Stored(Message, frozen=True):
    """So many bytes of an uploaded file are there; ``whole``: all, and they have been checked."""

    file: str
    size: int
    whole: bool = False


class PackageFile(msgspec.Struct, frozen=True):
    """One file of a scene, as ``scene.json`` lists it."""

    size: Annotated[int, Meta(ge=0)]
    sha256: Sha256


class Package(Message, frozen=True):
    """The files of a job's scene by their paths in it; ``scene.json`` is one of them."""

    job: str
    files: dict[str, PackageFile]


class Fetched(Message, frozen=True):
    """What was asked for; less only at the end of the file."""

    content: Annotated[bytes, Meta(max_length=PIECE_BYTES)]


# Events (backend -> every client that has said Hello)


class Changed(Message, frozen=True):
    """A job was added, started, or ended: this is how it stands now. (Its progress is told by ``Progress``.)"""

    state: JobState


class Forgotten(Message, frozen=True):
    """A job was taken off the list."""

    job: str


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


Request = (
    Hello
    | Ping
    | Generate
    | Cancel
    | Retry
    | Forget
    | Recall
    | Status
    | ReadLog
    | Shutdown
    | Goodbye
    | Upload
    | Piece
    | Browse
    | Fetch
)
Event = Changed | Forgotten | Progress | Preview | Done | Failed | Cancelled
Reply = Welcome | Pong | Accepted | Refused | Jobs | Recalled | Log | Stored | Package | Fetched
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
