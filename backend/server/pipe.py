"""Frames on a pipe between the server and its worker process: four bytes of length, then a message in MessagePack."""

from __future__ import annotations

import struct
import threading
from typing import BinaryIO, Generic, TypeVar

import msgspec

from ...bridge import messages

MAX_FRAME_BYTES = 1 << 22

_LENGTH = struct.Struct("<I")
_In = TypeVar("_In")


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The worker has started; ``device`` is what it computes on, in words. See ``device.Device``."""

    device: str
    cuda: bool = False
    cores: int = 0
    memory_bytes: int = 0


ToWorker = messages.Generate | messages.Cancel
FromWorker = Ready | messages.Progress | messages.Preview | messages.Done | messages.Failed | messages.Cancelled


class Pipe(Generic[_In]):
    """One end: any thread may ``send``, one may ``receive``."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO, kind: type[_In]):
        self._incoming = incoming
        self._outgoing = outgoing
        self._decoder: msgspec.msgpack.Decoder[_In] = msgspec.msgpack.Decoder(kind)
        self._encoder = msgspec.msgpack.Encoder()
        self._lock = threading.Lock()

    def send(self, message: ToWorker | FromWorker) -> None:
        """Raises OSError when the other end has gone."""
        with self._lock:
            frame = self._encoder.encode(message)
            self._outgoing.write(_LENGTH.pack(len(frame)) + frame)
            self._outgoing.flush()

    def receive(self) -> _In | None:
        """The next message; None at the end, also in the middle of a frame.

        Raises:
            msgspec.DecodeError: the frame is no message of the other end, or too long to be one.
        """
        head = self._incoming.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack(head)
        if length > MAX_FRAME_BYTES:
            raise msgspec.DecodeError(f"a frame of {length} bytes")
        frame = self._incoming.read(length)
        if len(frame) < length:
            return None
        try:
            return self._decoder.decode(frame)
        except (UnicodeDecodeError, RecursionError) as error:  # msgspec's own are no DecodeErrors
            raise msgspec.DecodeError(str(error)) from error
