"""Every message on the wire, as msgspec structs in MessagePack: requests, replies, events.

A wire message is ``[header]``, or ``[header, content]`` for a ``Bulk``; ``frames.py`` makes one of the other.
Unknown fields are ignored, unknown types refused.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from .settings import PanoramaTo4D

PROTOCOL = 6
"""Version of these messages; both ends must have the same."""

MAX_HEADER_BYTES = 1 << 20
"""A longer header of a request is refused before it is decoded."""

MAX_REPLY_BYTES = 1 << 24
"""The same of what the backend tells: ``Jobs`` lists up to 1200 of them, each with two paths."""

MAX_PREVIEW_BYTES = 1 << 18

HELLO_FIRST = "hello-first"
"""Code of ``Refused`` for a client the backend does not know: it was started anew since the last ``Welcome``."""

Path = Annotated[str, Meta(min_length=1, max_length=4096)]
Name = Annotated[str, Meta(max_length=64)]
# Not $ at the end of patterns: it lets a newline through.
Identifier = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
StoredName = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}(\.[a-z0-9]{1,8})?\Z")]
"""How an uploaded file is called: the checksum (SHA-256) of its content, and its ending, in small letters."""

PIECE_BYTES = 1 << 20
"""So much of a file at most goes in one message."""

MOST_PIECES = 64
"""So many pieces at most may be asked for that have not come yet: a client's credit. More is refused."""

PRIORITIES = (-10, 10)
"""Least and greatest priority of a job."""

Priority = Annotated[int, Meta(ge=PRIORITIES[0], le=PRIORITIES[1])]
"""Those with a greater one run first, those with the same in the order they were asked for."""

Sequence = Annotated[int, Meta(ge=0, le=1 << 53)]
Crc32 = Annotated[int, Meta(ge=0, lt=1 << 32)]
"""Of a piece's content, as ``zlib.crc32`` tells it."""

MAX_UPLOAD_BYTES = 1 << 31
"""A longer file is refused: a panorama of 8192 x 4096 pixels has at most a quarter of it."""


class Message(msgspec.Struct, frozen=True, tag_field="type", tag=True, kw_only=True):
    """Base of all messages; ``request`` ties a reply to what was asked ("" in events).

    A client gives each request a name of its own. One whose answer a connection took with it may be asked again under
    the same name, and is done once.
    """

    request: Name = ""


class Bulk(Message, frozen=True, kw_only=True):
    """Base of the messages that carry a piece of a file, in a second frame; ``checksum`` tells damage."""

    checksum: Crc32
    content: bytes = b""
    """1 to ``PIECE_BYTES`` bytes; not in the header."""


class Event(Message, frozen=True, kw_only=True):
    """Base of what the backend tells without being asked.

    ``sequence`` numbers the events of a backend's run from 1 on, so that none is missed: see ``Hello``. Of several
    events of one type and job only the newest may be told, so numbers are missing now and then.
    """

    sequence: Sequence = 0


# Requests (Blender -> backend)


class Hello(Message, frozen=True):
    """First message of a client; before it all else is refused. Answered by ``Welcome`` or ``Refused``.

    A client that was connected before says which run of the backend it heard last, and which event: what it has missed
    since follows the ``Welcome``.
    """

    protocol: int = PROTOCOL
    client: Name = ""
    run: Name = ""
    """``Welcome.run`` of the last connection."""
    heard: Sequence = 0
    """``sequence`` of the last event."""


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
    priority: Priority = 0
    """Guests have at most 0."""
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


class Prioritize(Message, frozen=True):
    """Let a waiting job run earlier or later. Answered by ``Accepted`` or ``Refused``."""

    job: Identifier
    priority: Priority


class Recall(Message, frozen=True):
    """What was asked for in this job? Answered by ``Recalled`` or ``Refused``."""

    job: Identifier


class Status(Message, frozen=True):
    """What is going on? Answered by ``Jobs``, then by the newest ``Preview`` of each running job, if there is one.

    ``job``: only this one; "": all.
    """

    job: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,64}\Z")] = ""


class Survey(Message, frozen=True):
    """How is the backend itself? Answered by ``Surveyed``; guests are refused."""


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


class Piece(Bulk, frozen=True):
    """The next of a file that is uploaded. Answered by ``Stored`` or ``Refused``."""

    file: StoredName
    offset: Annotated[int, Meta(ge=0, le=MAX_UPLOAD_BYTES)]


class Browse(Message, frozen=True):
    """Which files has the scene of a job that is done? Answered by ``Package`` or ``Refused``."""

    job: Identifier


class Fetch(Message, frozen=True):
    """Bytes of one file of a job's scene. Answered by ``Fetched`` or ``Refused``.

    Ask for the next ones before these have come, up to ``MOST_PIECES``.
    """

    job: Identifier
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    offset: Annotated[int, Meta(ge=0, le=1 << 50)]
    length: Annotated[int, Meta(ge=1, le=PIECE_BYTES)] = PIECE_BYTES


# Replies


class ModelState(msgspec.Struct, frozen=True):
    """A checkpoint that recipes can use. ``id``: its name on the hub; ``present``: whether it need not be fetched."""

    id: str
    purpose: str
    """animate, depth, ... (the stage it belongs to)."""
    licence: str = ""
    present: bool = False
    size_bytes: int = 0
    """On disk; 0 where it is not present."""


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
    run: str = ""
    """Of this process; another after every start."""
    resumed: bool = False
    """Whether all events since ``Hello.heard`` follow; if not, ask for ``Status``."""
    models: tuple[ModelState, ...] = ()


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
    priority: int = 0
    place: int = 0
    """In the queue: 1 runs next; 0 when it does not wait."""
    device: str = ""
    """What it runs on, in words."""
    remark: str = ""
    """What happened to it that is no fault: "The worker process ended (signal 9); it goes on from where it was."."""
    reused: tuple[str, ...] = ()
    """Stages whose results were there from earlier jobs."""


class Jobs(Message, frozen=True):
    """All jobs this backend knows, oldest first; those of earlier runs of it too.

    Of other people's jobs guests learn the state only: no paths, no words, no pictures.
    """

    jobs: tuple[JobState, ...]
    sequence: Sequence = 0
    """Of the newest event that is in it already."""


class ClientState(msgspec.Struct, frozen=True):
    """A client that is connected: how it called itself, who it is, how many seconds ago it was last heard."""

    name: str
    guest: str
    silent_seconds: float


class WorkerState(msgspec.Struct, frozen=True):
    """A worker process; ``job``: the one it works on, or ""."""

    device: str
    pid: int
    memory_bytes: int
    job: str = ""


class Surveyed(Message, frozen=True):
    """How the backend is. Sizes in bytes."""

    version: str
    pid: int
    started_at: float
    """Seconds since 1970."""
    folder: str
    endpoint: str
    listens_at: str
    """Where guests reach it; "" where they do not."""
    memory_bytes: int
    """Of the server process."""
    clients: tuple[ClientState, ...]
    workers: tuple[WorkerState, ...]
    cache_bytes: int
    cache_limit_bytes: int
    disk_free_bytes: int


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
    """The files of a job's scene by their paths in it; ``scene.json`` is one of them.

    ``scene``: where it lies on the backend's computer; "" for guests.
    """

    job: str
    files: dict[str, PackageFile]
    scene: str = ""


class Fetched(Bulk, frozen=True):
    """What was asked for; less only at the end of the file."""


# Events (backend -> every client that has said Hello)


class Changed(Event, frozen=True):
    """A job was added, started, or ended: this is how it stands now. (Its progress is told by ``Progress``.)"""

    state: JobState


class Forgotten(Event, frozen=True):
    """A job was taken off the list."""

    job: str


class Progress(Event, frozen=True):
    """``step`` of ``total`` in ``stage``; ``fraction`` of the whole job; ``seconds_left`` < 0 while unknown."""

    job: str
    stage: str
    step: int
    total: int
    fraction: float
    seconds_left: float = -1.0


class Preview(Event, frozen=True):
    """What is being made, as it looks after ``step`` of ``total`` in the job's stage.

    ``picture``: a small equirectangular frame, as a WebP file.
    """

    job: str
    step: int
    total: int
    picture: Annotated[bytes, Meta(max_length=MAX_PREVIEW_BYTES)]


class Done(Event, frozen=True):
    """The scene package lies at ``scene``. ``seconds`` by stage; ``peak_bytes``: memory high-water of the worker."""

    job: str
    scene: str
    seconds: dict[str, float]
    peak_bytes: int
    reused: tuple[str, ...] = ()
    """Stages whose results were there from earlier jobs."""


class Failed(Event, frozen=True):
    """The job ended without a scene, and why."""

    job: str
    code: str
    sentence: str
    hint: str = ""


class Cancelled(Event, frozen=True):
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
    | Prioritize
    | Recall
    | Status
    | Survey
    | ReadLog
    | Shutdown
    | Goodbye
    | Upload
    | Piece
    | Browse
    | Fetch
)
AnyEvent = Changed | Forgotten | Progress | Preview | Done | Failed | Cancelled
Reply = Welcome | Pong | Accepted | Refused | Jobs | Surveyed | Recalled | Log | Stored | Package | Fetched
AnyMessage = Request | Reply | AnyEvent
