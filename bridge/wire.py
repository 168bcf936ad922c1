"""The backend's end of the wire: a ROUTER socket on loopback TCP, and where it is told to on others, behind CURVE keys.

The clients' end is ``client.py``. Both use ``Bell`` to be woken by other threads.
"""

from __future__ import annotations

import hmac
import ipaddress
import math
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

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


_LOOPBACK = "127.0.0.1"


class Peer(NamedTuple):
    """Who a message is from, or for.

    Attributes:
        identity: of its connection.
        guest: the name it was invited under; "" for programs on our own computer.
    """

    identity: bytes
    guest: str = ""


GuestOf = Callable[[str], str | None]
"""The name of the guest whose public key (Z85) it is; None when it may not come in, or no longer."""


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

    Let in are only clients that prove to own ``keys``' client key and are on this computer, and guests; from all others
    not a byte is received. What is no request is answered with ``Refused`` and goes no further.

    Args:
        port: 0 lets the operating system choose.
        host: address of this computer by which guests reach it ("0.0.0.0": any); "": they do not.
        guest_of: asked at each message, so that a key that is taken away counts no longer at once.

    Raises:
        CycloramaError: ``port-in-use``, ``port-not-usable``.
    """

    def __init__(self, keys: Keys, port: int = 0, host: str = "", guest_of: GuestOf = no_guest):
        self._own_key = keys.client_public
        self._guest_of = guest_of
        self._context = zmq.Context()
        self._bell = Bell(self._context)
        self._zap: zmq.Socket = self._context.socket(zmq.REP)
        self._zap.linger = 0
        self._zap.bind(_ZAP)  # before the door opens
        self._router = self._open_router(keys)
        try:
            self.port = _bind(self._router, port, host)
        except CycloramaError:
            self.close()
            raise
        self.endpoint = f"tcp://{_LOOPBACK}:{self.port}"  # for clients on this computer
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

    def receive(self, timeout: float) -> tuple[Peer, messages.Request] | None:
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

    def send(self, client: Peer, message: messages.Reply | messages.Event) -> None:
        """Send, or drop when the client has gone or never reads. Never blocks."""
        _send_or_drop(self._router, [client.identity, messages.encode(message)])

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
        """Answer libzmq's question whether a client's key is allowed; its messages then carry that key."""
        version, request, _domain, address, _identity, mechanism, *credentials = self._zap.recv_multipart()
        key = z85.encode(credentials[0]) if mechanism == b"CURVE" and len(credentials) == 1 else b""
        from_here = _is_loopback(address.decode("ascii", "replace"))
        allowed = bool(key) and self._guest(key.decode("ascii"), from_here) is not None
        answer = [b"200", b"OK", key] if allowed else [b"400", b"Unknown key", b""]
        self._zap.send_multipart([version, request, *answer, b""])

    def _guest(self, key: str, from_here: bool = True) -> str | None:
        if hmac.compare_digest(key, self._own_key):
            return "" if from_here else None  # it never leaves this computer, so there it would be stolen
        return self._guest_of(key)

    def _take(self) -> tuple[Peer, messages.Request] | None:
        parts = _receive_frames(self._router)
        if not parts:
            return None
        guest = self._guest(str(parts[-1].get("User-Id")))
        if guest is None:
            return None
        client = Peer(parts[0].bytes, guest)
        frames = [part.bytes for part in parts[1:]]
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


def _receive_frames(socket: zmq.Socket) -> list[zmq.Frame] | None:
    """The same with what libzmq knows of them."""
    try:
        return socket.recv_multipart(zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return None


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


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


def _bind(router: zmq.Socket, port: int, host: str) -> int:
    """Listen on loopback, and on ``host``; returns the port, which is the same."""
    if not 0 <= port <= 65535:  # libzmq would take the remainder
        raise _unusable_port(port, "no such port")
    if not host:
        return _bind_one(router, _LOOPBACK, port)
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise _unusable_host(host, "it is no IP address") from error
    router.ipv6 = address.version == 6
    within = f"[{host}]" if address.version == 6 else host
    if address.is_unspecified or host == _LOOPBACK:  # all, loopback too
        return _bind_one(router, within, port)
    port = _bind_one(router, _LOOPBACK, port)
    try:
        return _bind_one(router, within, port)
    except CycloramaError as error:
        raise (
            error if error.code == "port-in-use" else _unusable_host(host, "this computer has no such address")
        ) from error


def _bind_one(router: zmq.Socket, host: str, port: int) -> int:
    try:
        router.bind(f"tcp://{host}:{port or '*'}")
    except zmq.ZMQError as error:
        if error.errno != zmq.EADDRINUSE:
            raise _unusable_port(port, error.strerror) from error
        raise CycloramaError(
            "port-in-use",
            f"Port {port} is in use by another program.",
            "Choose another with --port, or leave it out: the system then finds a free one.",
        ) from error
    return int(router.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0").rpartition(":")[2])


def _unusable_port(port: int, reason: str) -> CycloramaError:
    return CycloramaError(
        "port-not-usable",
        f"Port {port} cannot be used ({reason}).",
        "Choose one between 1024 and 65535 with --port, or leave it out.",
    )


def _unusable_host(host: str, reason: str) -> CycloramaError:
    return CycloramaError(
        "host-not-usable",
        f"The backend cannot listen on {host!r}: {reason}.",
        "Give --listen an address of this computer, or 0.0.0.0 for all of them.",
    )
