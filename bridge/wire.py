"""The backend's end of the wire: a ROUTER socket on loopback TCP, behind CURVE keys.

The clients' end is ``client.py``. Both use ``Bell`` to be woken by other threads.
"""

from __future__ import annotations

import hmac
import math
import threading
import time

import msgspec
import zmq
from zmq.utils import z85

from . import messages
from .address import Keys
from .errors import CycloramaError

MAX_FRAME_BYTES = 1 << 24
"""A longer frame ends its connection before it is received; of those below, headers over ``MAX_HEADER_BYTES`` are
refused in words."""

_ZAP = "inproc://zeromq.zap.01"  # where libzmq asks whether a client may enter (ZeroMQ RFC 27)
_FAREWELL_MS = 500  # how long the last messages may take to leave when a server closes


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

    def ring(self) -> None:
        """Make ``socket`` readable; nothing happens when it is closed or rings already."""
        with self._lock:
            if not self._cord.closed:
                _send_or_drop(self._cord, [b""])

    def silence(self) -> None:
        """Take all rings; only for the polling thread."""
        while receive_waiting(self.socket) is not None:
            pass

    def close(self) -> None:
        """Only for the polling thread."""
        with self._lock:
            self._cord.close(0)
        self.socket.close(0)


class Server:
    """The backend's end. All but ``wake`` belongs to one thread.

    Only clients that prove to own ``keys``' client key are let in; from all others not a byte is received. What is no
    request is answered with ``Refused`` and goes no further.

    Args:
        port: 0 lets the operating system choose.

    Raises:
        CycloramaError: ``port-in-use``, ``port-not-usable``.
    """

    def __init__(self, keys: Keys, port: int = 0):
        self._allowed = z85.decode(keys.client_public)
        self._context = zmq.Context()
        self._bell = Bell(self._context)
        self._zap: zmq.Socket = self._context.socket(zmq.REP)
        self._zap.linger = 0
        self._zap.bind(_ZAP)  # before the door opens
        self._router = self._open_router(keys)
        try:
            _bind(self._router, port)
        except CycloramaError:
            self.close()
            raise
        self.endpoint: str = self._router.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
        self._poller = zmq.Poller()
        for socket in (self._bell.socket, self._zap, self._router):
            self._poller.register(socket, zmq.POLLIN)

    def _open_router(self, keys: Keys) -> zmq.Socket:
        router: zmq.Socket = self._context.socket(zmq.ROUTER)
        router.curve_server = True
        router.curve_publickey = keys.server_public.encode()
        router.curve_secretkey = keys.server_secret.encode()
        router.setsockopt(zmq.ZAP_DOMAIN, b"cyclorama")
        router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        router.setsockopt(zmq.ROUTER_HANDOVER, 1)  # a client that reconnects keeps its identity
        router.setsockopt(zmq.HEARTBEAT_IVL, 2_000)
        router.setsockopt(zmq.HEARTBEAT_TIMEOUT, 10_000)
        router.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        router.linger = 0
        return router

    def receive(self, timeout: float) -> tuple[bytes, messages.Request] | None:
        """The next request and the client it is from; None after ``timeout`` seconds or when woken."""
        deadline = time.monotonic() + timeout
        while True:
            remaining = max(deadline - time.monotonic(), 0)
            ready = dict(self._poller.poll(milliseconds(remaining)))
            if self._zap in ready:
                self._admit()
            if self._router in ready:
                received = self._take()
                if received:
                    return received
            if self._bell.socket in ready:
                self._bell.silence()
                return None
            if remaining == 0:
                return None

    def send(self, client: bytes, message: messages.Reply | messages.Event) -> None:
        """Send, or drop when the client has gone or never reads. Never blocks."""
        _send_or_drop(self._router, [client, messages.encode(message)])

    def wake(self) -> None:
        """Make ``receive`` return soon; from any thread and from signal handlers."""
        self._bell.ring()

    def close(self) -> None:
        """Stop listening, after giving the last messages a moment to leave."""
        self._router.close(_FAREWELL_MS)
        self._zap.close(0)
        self._bell.close()
        self._context.term()

    def _admit(self) -> None:
        """Answer libzmq's question whether a client's key is allowed."""
        version, request, _domain, _address, _identity, mechanism, *credentials = self._zap.recv_multipart()
        allowed = mechanism == b"CURVE" and len(credentials) == 1 and hmac.compare_digest(credentials[0], self._allowed)
        status = [b"200", b"OK"] if allowed else [b"400", b"Unknown key"]
        self._zap.send_multipart([version, request, *status, b"", b""])

    def _take(self) -> tuple[bytes, messages.Request] | None:
        parts = receive_waiting(self._router)
        if not parts:
            return None
        client, *frames = parts
        try:
            return client, _understand(frames)
        except CycloramaError as error:
            request = messages.request_of(frames[0]) if frames and len(frames[0]) <= messages.MAX_HEADER_BYTES else ""
            self.send(client, refusal(error, request))
            return None


def refusal(error: CycloramaError, request: str) -> messages.Refused:
    """An error as the answer to ``request``."""
    return messages.Refused(request=request, code=error.code, sentence=error.sentence, hint=error.hint)


def milliseconds(seconds: float) -> int:
    """A time-out for a zmq.Poller, which takes whole ones; rounded up, so that no loop spins."""
    return math.ceil(max(seconds, 0) * 1000)


def receive_waiting(socket: zmq.Socket) -> list[bytes] | None:
    """The frames of a message that has arrived, or None. Never blocks."""
    try:
        return socket.recv_multipart(zmq.NOBLOCK)
    except zmq.Again:
        return None


def _send_or_drop(socket: zmq.Socket, frames: list[bytes]) -> None:
    try:
        socket.send_multipart(frames, zmq.NOBLOCK)
    except zmq.Again:
        return  # its queue is full: the receiver does not read


def _understand(frames: list[bytes]) -> messages.Request:
    """The request in a message's frames. Raises CycloramaError."""
    if len(frames) != 1:
        raise CycloramaError("message-not-understood", f"A request has one frame, this message has {len(frames)}.")
    if len(frames[0]) > messages.MAX_HEADER_BYTES:
        raise CycloramaError(
            "message-too-long",
            f"This message has {len(frames[0])} bytes; {messages.MAX_HEADER_BYTES} are allowed.",
            "Use fewer strokes.",
        )
    try:
        return messages.decode_request(frames[0])
    except msgspec.DecodeError as error:
        raise CycloramaError(
            "message-not-understood",
            f"The backend cannot take this message: {error}.",
            "Check the value it names; if there is none, add-on and backend are of different versions: update both.",
        ) from error


def _bind(router: zmq.Socket, port: int) -> None:
    if not 0 <= port <= 65535:  # libzmq would take the remainder
        raise _unusable_port(port, "no such port")
    try:
        router.bind(f"tcp://127.0.0.1:{port or '*'}")
    except zmq.ZMQError as error:
        if error.errno != zmq.EADDRINUSE:
            raise _unusable_port(port, error.strerror) from error
        raise CycloramaError(
            "port-in-use",
            f"Port {port} is in use by another program.",
            "Choose another with --port, or leave it out: the system then finds a free one.",
        ) from error


def _unusable_port(port: int, reason: str) -> CycloramaError:
    return CycloramaError(
        "port-not-usable",
        f"Port {port} cannot be used ({reason}).",
        "Choose one between 1024 and 65535 with --port, or leave it out.",
    )
