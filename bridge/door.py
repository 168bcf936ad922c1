"""One socket that clients come in by: on a socket file of this computer, or on TCP behind CURVE keys.

A door has a context of its own, and so a thread: what goes on at one does not hold up the other, and a door that is
closed gives back all that strangers made it hold.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from . import messages
from .address import Keys
from .errors import CycloramaError
from .frames import Frame

LOOPBACK = "127.0.0.1"

GuestOf = Callable[[str], str | None]
"""The name of the guest whose public key (Z85) it is; None when it may not come in, or no longer."""

Sent = Literal["sent", "full", "gone"]

MOST_CONNECTIONS = 128
"""On TCP; beyond, all are cut, and those who may come in come back. (macOS gives a process 256 files.)"""

_FRAME_BYTES = messages.MAX_HEADER_BYTES + 1024
"""A longer one ends its connection before it is received. What is added is for encryption, and for headers that are a
little too long to be refused in words."""

_MOST_FRAMES = 3
"""Of a message; no message has more than two. The others are thrown away as they come."""

_QUEUED = 4
"""Messages that wait for a client, and as many from one: with the largest, some 4 MB."""

_HANDSHAKE_MS = 5_000
_HEARTBEAT_MS = 2_000
_DEAF_MS = 10_000
"""A connection on which nothing answers for so long is closed."""

_FAREWELL_MS = 500  # how long the last messages may take to leave when a door closes
_ZAP = "inproc://zeromq.zap.01"  # where libzmq asks whether a client may enter (ZeroMQ RFC 27)
_USER = "User-Id"  # under which libzmq tells the key that was let in


class SocketFile:
    """The door of programs on this computer: a socket file in a folder that only this user can open.

    Raises:
        CycloramaError: ``socket-not-usable``, where the system, the disk or the folder does not allow it.
    """

    def __init__(self, path: Path):
        self.endpoint = f"ipc://{_usable(path)}"
        self._path = path
        self._context = zmq.Context()
        self.router = _router(self._context)
        try:
            self.router.bind(self.endpoint)
            path.chmod(0o600)
        except OSError as error:  # zmq's own too
            self.close(0)
            raise _socket_not_usable(path, os.strerror(error.errno or 0)) from error

    @property
    def sockets(self) -> tuple[zmq.Socket, ...]:
        """To poll, all for reading."""
        return (self.router,)

    def look(self, _ready: dict[zmq.Socket, int]) -> None:
        """Nobody has to be let in: who reaches it, may."""

    def close(self, farewell_ms: int = _FAREWELL_MS) -> None:
        """Give the last messages a moment to leave, and remove the file."""
        self.router.close(farewell_ms)
        self._context.term()
        self._path.unlink(missing_ok=True)


class Port:
    """A TCP port where only those are let in that prove to own a key somebody knows; from others no byte is received.

    Args:
        host: an IP address of this computer; "0.0.0.0" or "::" for all.
        port: 0 lets the operating system choose.
        known: asked when somebody comes.

    Raises:
        CycloramaError: ``port-in-use``, ``port-not-usable``, ``host-not-usable``.
    """

    def __init__(self, keys: Keys, host: str, port: int, known: GuestOf):
        self.connections: set[int] = set()
        """Descriptors of those that are open, let in or not."""
        self.admitted: set[str] = set()
        """Names of those that were let in."""
        self._known = known
        self._context = zmq.Context()
        self._zap: zmq.Socket = self._context.socket(zmq.REP)
        self._zap.linger = 0
        self._zap.bind(_ZAP)  # before the door opens
        self.router = _router(self._context)
        _lock(self.router, keys)
        self._monitor = self.router.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        try:
            self.endpoint = _bind(self.router, host, port)
        except CycloramaError:
            self.close(0)
            raise
        self.port = int(self.endpoint.rpartition(":")[2])

    @property
    def sockets(self) -> tuple[zmq.Socket, ...]:
        """To poll, all for reading."""
        return self._zap, self._monitor, self.router

    def look(self, ready: dict[zmq.Socket, int]) -> None:
        """Let in who may come in, and count who is there."""
        if self._zap in ready:
            self._admit()
        while self._monitor in ready and self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)
            if event["event"] == zmq.EVENT_ACCEPTED:
                self.connections.add(event["value"])
            else:
                self.connections.discard(event["value"])

    def close(self, farewell_ms: int = _FAREWELL_MS) -> None:
        """Give the last messages a moment to leave."""
        self.router.disable_monitor()
        self._monitor.close(0)
        self.router.close(farewell_ms)
        self._zap.close(0)
        self._context.term()

    def _admit(self) -> None:
        """Answer libzmq's question whether a client's key is allowed; its messages then carry that key."""
        version, request, _domain, _address, _identity, mechanism, *credentials = self._zap.recv_multipart()
        key = z85.encode(credentials[0]) if mechanism == b"CURVE" and len(credentials) == 1 else b""
        name = self._known(key.decode("ascii")) if key else None
        if name is not None:
            self.admitted.add(name)
        answer = [b"400", b"Unknown key", b""] if name is None else [b"200", b"OK", key]
        self._zap.send_multipart([version, request, *answer, b""])


def take(router: zmq.Socket) -> tuple[bytes, str, list[Frame]] | None:
    """Who sent a message, by which key ("" where none is needed), and its frames; None when none has arrived.

    Never blocks. Of endless messages only the beginning is taken, which is enough to refuse them.
    """
    try:
        identity = router.recv(zmq.NOBLOCK)
    except zmq.Again:
        return None
    locked = router.getsockopt(zmq.MECHANISM) == zmq.CURVE
    key, frames = "", []
    while router.getsockopt(zmq.RCVMORE):
        frame = router.recv(copy=False)
        if len(frames) < _MOST_FRAMES:
            key = str(frame.get(_USER)) if locked else ""
            frames.append(frame.buffer if frames else frame.bytes)  # a piece of a file is not copied
    return identity, key, frames


def send(router: zmq.Socket, identity: bytes, frames: Sequence[Frame]) -> Sent:
    """All of it or nothing: "full" when the client does not read what waits for it, "gone" when it left."""
    try:
        router.send_multipart([identity, *frames], zmq.NOBLOCK, copy=len(frames) == 1)
    except zmq.Again:
        return "full"
    except zmq.ZMQError as error:
        if error.errno != zmq.EHOSTUNREACH:
            raise
        return "gone"
    return "sent"


def _router(context: zmq.Context) -> zmq.Socket:
    router: zmq.Socket = context.socket(zmq.ROUTER)
    router.setsockopt(zmq.ROUTER_MANDATORY, 1)
    router.setsockopt(zmq.SNDHWM, _QUEUED)
    router.setsockopt(zmq.RCVHWM, _QUEUED)
    router.setsockopt(zmq.MAXMSGSIZE, _FRAME_BYTES)
    router.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
    router.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
    router.setsockopt(zmq.HEARTBEAT_TIMEOUT, _DEAF_MS)
    router.linger = 0
    return router


def _lock(router: zmq.Socket, keys: Keys) -> None:
    router.curve_server = True
    router.curve_publickey = keys.server_public.encode()
    router.curve_secretkey = keys.server_secret.encode()
    router.setsockopt(zmq.ZAP_DOMAIN, b"cyclorama")
    router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def _usable(path: Path) -> str:
    """``path`` as text, where a socket file can be made; one that is left of an earlier server is removed."""
    if not zmq.has("ipc") or sys.platform == "win32":
        raise _socket_not_usable(path, "this system has none")
    try:
        length = len(str(path).encode())
    except UnicodeEncodeError as error:
        raise _socket_not_usable(path, "its name is no Unicode text") from error
    if length > zmq.IPC_PATH_MAX_LEN:
        raise _socket_not_usable(path, f"its name is longer than {zmq.IPC_PATH_MAX_LEN} bytes")
    try:
        folder = path.parent.stat()
        if folder.st_uid != os.geteuid() or stat.S_IMODE(folder.st_mode) & 0o077:
            raise _socket_not_usable(path, "other users can open its folder")
        if path.is_symlink() or (path.exists() and not path.is_socket()):
            raise _socket_not_usable(path, "another file has its name")
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _socket_not_usable(path, error.strerror or str(error)) from error
    return str(path)


def _bind(router: zmq.Socket, host: str, port: int) -> str:
    """Returns the endpoint."""
    if not 0 <= port <= 65535:  # libzmq would take the remainder
        raise _unusable_port(port, "no such port")
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise _unusable_host(host, "it is no IP address") from error
    router.ipv6 = address.version == 6
    within = f"[{host}]" if address.version == 6 else host
    try:
        router.bind(f"tcp://{within}:{port or '*'}")
    except zmq.ZMQError as error:
        if error.errno in (zmq.EADDRNOTAVAIL, errno.ENODEV):
            raise _unusable_host(host, "this computer has no such address") from error
        if error.errno != zmq.EADDRINUSE:
            raise _unusable_port(port, error.strerror) from error
        raise CycloramaError(
            "port-in-use",
            f"Port {port} is in use by another program.",
            "End that program, or choose another port with --port; guests then need invitations that name it.",
        ) from error
    return router.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")


def _socket_not_usable(path: Path, reason: str) -> CycloramaError:
    return CycloramaError("socket-not-usable", f"The socket file {path} cannot be used: {reason}.")


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
