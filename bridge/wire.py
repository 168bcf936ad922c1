"""The backend's end of the wire: a door for programs on its own computer, and one for guests where they are expected.

The clients' end is ``client.py``. Both use ``Bell`` to be woken by other threads.
"""

from __future__ import annotations

import hmac
import logging
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import zmq

from . import door, messages
from .address import Keys
from .door import LOOPBACK, MOST_CONNECTIONS, GuestOf, Port, Sent, SocketFile
from .errors import CycloramaError
from .frames import Frame, frames_of, request_in, request_name
from .memory import give_back_memory, keep_freed_memory

MAX_GUEST_BYTES = 1 << 29
"""So much memory at most may be taken by what guests send and do not finish, and by what they ask for and do not read.
If it is more, all are cut; those who may come in come back."""

_LOOK_SECONDS = 0.25
"""Between two looks at the memory."""

_REOPEN_SECONDS = 0.1

log = logging.getLogger(__name__)


class Peer(NamedTuple):
    """Who a message is from, or for.

    Attributes:
        identity: of its connection; after a reconnection it is another.
        guest: the name it was invited under; "" for programs on our own computer.
        key: a guest's public key (Z85).
    """

    identity: bytes
    guest: str = ""
    key: str = ""


def no_guest(_key: str) -> None:
    """A ``GuestOf`` that knows nobody."""


class Bell:
    """Wakes a thread that polls sockets; ``ring`` may be called from any thread and from a signal handler."""

    def __init__(self, context: zmq.Context):
        address = f"inproc://bell-{id(self)}"
        self.socket: zmq.Socket = context.socket(zmq.PULL)
        self.socket.bind(address)
        self._cord: zmq.Socket = context.socket(zmq.PUSH)
        self._cord.linger = 0
        self._cord.connect(address)
        self._lock = threading.RLock()  # a signal handler may interrupt the thread that is ringing
        self._rings = False

    def ring(self) -> None:
        """Make ``socket`` readable; nothing happens when it is closed or rings already."""
        with self._lock:
            if not (self._rings or self._cord.closed):
                self._rings = send_now(self._cord, [b""])

    def silence(self) -> None:
        """Take all rings; only for the polling thread, before it looks at what it may have been woken for."""
        with self._lock:  # else a ring in between would be taken, and no later one heard
            while receive_waiting(self.socket) is not None:
                pass
            self._rings = False

    def close(self) -> None:
        """Only for the polling thread."""
        with self._lock:
            self._cord.close(0)
        self.socket.close(0)


class Server:
    """The backend's end. All but ``wake`` belongs to one thread.

    It has two doors. By ours come programs of this user on this computer: it is a socket file that nobody else can open
    or, where there is none, a port on loopback for those who prove to own the client key in the backend's folder. By
    the other come guests. From anybody else not a byte is received; what is no request is answered with ``Refused``
    and goes no further.

    Args:
        port: by which guests come; 0 lets the operating system choose.
        host: address of this computer by which guests reach it ("0.0.0.0": any). "": they come from this computer if
            there is a port, as through a tunnel; if there is none either, they do not come.
        guest_of: asked at each message, in both directions, so that a key that is taken away counts no longer at once.
        socket: where the socket file shall be. Its folder must be ours and locked: a file that is left of an earlier
            server is removed.
        memory: tells the bytes this process takes; without it nobody looks.

    Raises:
        CycloramaError: ``port-in-use``, ``port-not-usable``, ``host-not-usable``.
    """

    def __init__(
        self,
        keys: Keys,
        port: int = 0,
        host: str = "",
        guest_of: GuestOf = no_guest,
        socket: Path | None = None,
        memory: Callable[[], int] | None = None,
    ):
        self._keys = keys
        self._guest_of = guest_of
        self._guests: Port | None = None
        self._reopen_at = math.inf
        self._context = zmq.Context()
        self._bell = Bell(self._context)
        self._ours = self._open_ours(socket)
        self.endpoint = self._ours.endpoint  # for clients on this computer
        self.port, self.listens_at = 0, ""  # of the guests' door
        self._host = host or (LOOPBACK if port else "")
        if self._host:
            try:
                self._guests = Port(keys, self._host, port, guest_of)
            except CycloramaError:
                self.close()
                raise
            self.port, self.listens_at = self._guests.port, self._guests.endpoint
        keep_freed_memory()
        self._memory = memory or (lambda: 0)
        self._memory_before = self._memory()
        self._look_at = 0.0
        self._poll_anew()

    def receive(self, timeout: float) -> tuple[Peer, messages.Request] | None:
        """The next request and the client it is from; None after ``timeout`` seconds or when woken.

        Those of our own computer come first.
        """
        deadline = time.monotonic() + timeout
        while True:
            now = time.monotonic()
            self._look_after_guests(now)
            ready = dict(self._poller.poll(milliseconds(min(deadline, self._next_look()) - now)))
            for each in self._doors():
                each.look(ready)
            for each in self._doors():
                received = self._take(each) if each.router in ready else None
                if received:
                    return received
            if self._bell.socket in ready:
                self._bell.silence()
                return None
            if now >= deadline:
                return None

    def send(self, client: Peer, message: messages.Reply | messages.AnyEvent) -> Sent:
        """Whether it was sent; "full": the client has not read what waits for it. Never blocks.

        "gone": there is no such client any more, or its key was taken away. One that comes back is another.
        """
        if not client.guest:
            return door.send(self._ours.router, client.identity, frames_of(message))
        if self._guests is None or self._guest_of(client.key) != client.guest:
            return "gone"
        return door.send(self._guests.router, client.identity, frames_of(message))

    def drop_guests(self) -> None:
        """Cut the connections of all guests, and free what they made us hold; they may come back at once."""
        if self._guests:
            self._guests.close(0)
            self._guests = None
            give_back_memory()
            self._reopen()

    def wake(self) -> None:
        """Make ``receive`` return soon; from any thread and from signal handlers."""
        self._bell.ring()

    def close(self) -> None:
        """Stop listening, after giving the last messages a moment to leave."""
        for each in self._doors():
            each.close()
        self._bell.close()
        self._context.term()

    def _open_ours(self, socket: Path | None) -> SocketFile | Port:
        try:
            if socket:
                return SocketFile(socket)
        except CycloramaError as error:
            log.info("%s Programs on this computer come by a port.", error)
        return Port(self._keys, LOOPBACK, 0, self._own)

    def _own(self, key: str) -> str | None:
        return "" if hmac.compare_digest(key, self._keys.client_public) else None

    def _doors(self) -> list[SocketFile | Port]:
        return [self._ours, self._guests] if self._guests else [self._ours]

    def _poll_anew(self) -> None:
        self._poller = zmq.Poller()
        for socket in (self._bell.socket, *(socket for each in self._doors() for socket in each.sockets)):
            self._poller.register(socket, zmq.POLLIN)

    def _look_after_guests(self, now: float) -> None:
        if now >= self._reopen_at:
            self._reopen()
        if self._guests is None or now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        if self._memory() - self._memory_before > MAX_GUEST_BYTES:
            give_back_memory()  # perhaps it is only what those left who have gone
        taken = self._memory() - self._memory_before
        if taken > MAX_GUEST_BYTES:
            self._cut(f"{taken >> 20} MB of memory went to what they sent or do not read")
        elif len(self._guests.connections) > MOST_CONNECTIONS:
            self._cut(f"there are {len(self._guests.connections)} connections")

    def _cut(self, why: str) -> None:
        there = sorted(self._guests.admitted) if self._guests else []
        log.warning("Guests are cut (%s): %s. They may come back.", ", ".join(there) or "nobody was let in", why)
        self.drop_guests()

    def _next_look(self) -> float:
        return self._look_at if self._guests else self._reopen_at

    def _reopen(self) -> None:
        """The guests' door at its port, or later if the system has not released it yet."""
        self._reopen_at = math.inf
        try:
            self._guests = Port(self._keys, self._host, self.port, self._guest_of)
        except CycloramaError as error:
            log.info("Guests are not let in yet: %s", error)
            self._reopen_at = time.monotonic() + _REOPEN_SECONDS
        self._memory_before = self._memory()
        self._poll_anew()

    def _take(self, where: SocketFile | Port) -> tuple[Peer, messages.Request] | None:
        taken = door.take(where.router)
        if not taken:
            return None
        identity, key, frames = taken
        client = Peer(identity)
        if where is self._guests:
            guest = self._guest_of(key)
            if guest is None:
                self._cut("the key of one of them was taken away")
                return None
            client = Peer(identity, guest, key)
        try:
            return client, request_in(frames)
        except CycloramaError as error:
            self.send(client, refusal(error, request_name(frames)))
            return None


def refusal(error: CycloramaError, request: str) -> messages.Refused:
    """An error as the answer to ``request``."""
    return messages.Refused(request=request, code=error.code, sentence=error.sentence, hint=error.hint)


def milliseconds(seconds: float) -> int:
    """A time-out for a zmq.Poller, which takes whole ones; rounded up, so that no loop spins."""
    return math.ceil(max(seconds, 0) * 1000)


def receive_waiting(socket: zmq.Socket) -> list[Frame] | None:
    """The frames of a message that has arrived, or None. Never blocks. Pieces of files are not copied."""
    try:
        first, *others = socket.recv_multipart(zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return None
    return [first.bytes, *(frame.buffer for frame in others)]


def send_now(socket: zmq.Socket, frames: list[Frame]) -> bool:
    """False when the socket's queue is full. Never blocks."""
    try:
        socket.send_multipart(frames, zmq.NOBLOCK, copy=len(frames) == 1)
    except zmq.Again:
        return False
    return True
