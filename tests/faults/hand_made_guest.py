"""A guest that speaks ZeroMQ and its encryption by hand, and so can do what a well-behaved library never does.

ZMTP 3 (rfc.zeromq.org/spec/23) with CURVE (rfc.zeromq.org/spec/26).
"""

import ctypes
import ctypes.util
import os
import socket
import struct
from pathlib import Path

import pytest
import zmq
from zmq.utils import z85

_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
_MORE = 1


def _sodium() -> ctypes.CDLL:
    """The library that pyzmq encrypts with."""
    bundled = Path(zmq.__file__).parent.parent.glob("pyzmq.libs/libsodium*")
    found = next((str(path) for path in bundled), None) or ctypes.util.find_library("sodium")
    if not found:
        pytest.skip("libsodium is not to be found")
    return ctypes.CDLL(found)


class HandMadeGuest:
    """Connected and let in with the keys of ``address``."""

    def __init__(self, address):
        self._sodium = _sodium()
        host, port = address.endpoint.removeprefix("tcp://").rsplit(":", 1)
        self._line = socket.create_connection((host, int(port)), timeout=10)
        server = z85.decode(address.server_public.encode())
        public, secret = (z85.decode(key.encode()) for key in (address.client_public, address.client_secret))
        once_public, once_secret = (z85.decode(key) for key in zmq.curve_keypair())
        self._count = 0
        self._line.sendall(_GREETING)
        assert self._exactly(64)[12:17] == b"CURVE"
        count = self._next_count()
        box = self._box(bytes(64), b"CurveZMQHELLO---" + count, self._shared(server, once_secret))
        self._put(4, b"\x05HELLO\x01\x00" + bytes(72) + once_public + count + box)
        welcome = self._take()
        nonce = b"WELCOME-" + welcome[8:24]
        opened = self._open(welcome[24:], nonce, self._shared(server, once_secret))
        server_once, cookie = opened[:32], opened[32:]
        vouch_nonce = os.urandom(16)
        vouch = self._box(once_public + server, b"VOUCH---" + vouch_nonce, self._shared(server_once, secret))
        properties = b"\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
        self._key = self._shared(server_once, once_secret)
        count = self._next_count()
        box = self._box(public + vouch_nonce + vouch + properties, b"CurveZMQINITIATE" + count, self._key)
        self._put(4, b"\x08INITIATE" + cookie + count + box)
        assert self._take()[:6] == b"\x05READY"

    def send(self, frame: bytes, more: bool = False) -> None:
        """One frame; ``more`` says that the message is not finished."""
        count = self._next_count()
        box = self._box(bytes([_MORE if more else 0]) + frame, b"CurveZMQMESSAGEC" + count, self._key)
        self._put(0, b"\x07MESSAGE" + count + box)

    def close(self) -> None:
        """Without a word."""
        self._line.close()

    def _next_count(self) -> bytes:
        self._count += 1
        return struct.pack(">Q", self._count)

    def _put(self, flags: int, body: bytes) -> None:
        self._line.sendall(struct.pack(">BQ", flags | 2, len(body)) + body)

    def _take(self) -> bytes:
        (flags,) = self._exactly(1)
        length = struct.unpack(">Q", self._exactly(8))[0] if flags & 2 else self._exactly(1)[0]
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        taken = b""
        while len(taken) < count:
            come = self._line.recv(count - len(taken))
            if not come:
                raise ConnectionError("the server hung up")
            taken += come
        return taken

    def _shared(self, public: bytes, secret: bytes) -> bytes:
        key = ctypes.create_string_buffer(32)
        assert self._sodium.crypto_box_beforenm(key, public, secret) == 0
        return key.raw

    def _box(self, text: bytes, nonce: bytes, key: bytes) -> bytes:
        box = ctypes.create_string_buffer(len(text) + 16)
        self._sodium.crypto_box_easy_afternm(box, text, ctypes.c_ulonglong(len(text)), nonce, key)
        return box.raw

    def _open(self, box: bytes, nonce: bytes, key: bytes) -> bytes:
        text = ctypes.create_string_buffer(len(box) - 16)
        assert self._sodium.crypto_box_open_easy_afternm(text, box, ctypes.c_ulonglong(len(box)), nonce, key) == 0
        return text.raw
