"""Messages as frames on the wire, and back: a header in MessagePack, and the content of a ``Bulk`` behind it.

Sizes are looked at before anything is decoded.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from . import messages
from .errors import CycloramaError, quotable

Frame = bytes | memoryview

_Message = TypeVar("_Message", bound=messages.Message)

_encoder = msgspec.msgpack.Encoder()
_decode_request = msgspec.msgpack.Decoder(messages.Request).decode
_decode_reply = msgspec.msgpack.Decoder(messages.Reply | messages.AnyEvent).decode


class _Envelope(msgspec.Struct):
    request: messages.Name = ""


_decode_envelope = msgspec.msgpack.Decoder(_Envelope).decode


def header_of(message: messages.AnyMessage) -> bytes:
    """MessagePack bytes of any message that is no ``Bulk``. Raises ``UnicodeEncodeError`` for what is not Unicode."""
    return _encoder.encode(message)


def frames_of(message: messages.AnyMessage) -> list[Frame]:
    """What goes over the wire. Raises ``UnicodeEncodeError`` for text that is not Unicode."""
    if isinstance(message, messages.Bulk):
        return [_encoder.encode(msgspec.structs.replace(message, content=b"")), message.content]
    return [_encoder.encode(message)]


def request_in(frames: Sequence[Frame]) -> messages.Request:
    """What a client sent.

    Raises:
        CycloramaError: ``message-not-understood``, ``message-too-long``, ``piece-damaged``.
    """
    return _message_in(frames, _decode_request, messages.MAX_HEADER_BYTES)


def reply_in(frames: Sequence[Frame]) -> messages.Reply | messages.AnyEvent:
    """What the backend sent. Raises ``CycloramaError`` as ``request_in``."""
    return _message_in(frames, _decode_reply, messages.MAX_REPLY_BYTES)


def request_name(frames: Sequence[Frame]) -> str:
    """The ``request`` field of a message that is otherwise not understood, so that it can be refused by name; or ""."""
    if not frames or len(frames[0]) > messages.MAX_HEADER_BYTES:
        return ""
    try:
        return _decode_envelope(frames[0]).request
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def check_header(header: Frame) -> None:
    """That a backend takes it. Raises CycloramaError ``message-too-long``."""
    _check_length(header, messages.MAX_HEADER_BYTES)


def checksum(content: Frame) -> int:
    """Of a piece; see ``messages.Crc32``."""
    return zlib.crc32(content)


def _message_in(frames: Sequence[Frame], decode: Callable[[Frame], _Message], most_bytes: int) -> _Message:
    if not 1 <= len(frames) <= 2:
        raise CycloramaError("message-not-understood", f"A message has one frame or two, this one has {len(frames)}.")
    _check_length(frames[0], most_bytes)
    try:
        message = decode(frames[0])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CycloramaError(
            "message-not-understood",
            f"This message cannot be taken: {quotable(str(error))}.",
            "Check the value it names; if there is none, add-on and backend are of different versions: update both.",
        ) from error
    if isinstance(message, messages.Bulk) != (len(frames) == 2):
        raise CycloramaError("message-not-understood", f"A {type(message).__name__} has another number of frames.")
    if not isinstance(message, messages.Bulk):
        return message
    _check_piece(message, frames[1])
    return msgspec.structs.replace(message, content=frames[1])


def _check_piece(message: messages.Bulk, content: Frame) -> None:
    _check_length(content, messages.PIECE_BYTES)
    if checksum(content) != message.checksum:
        raise CycloramaError("piece-damaged", "A piece of a file was damaged on its way.", "Try again.")


def _check_length(frame: Frame, most: int) -> None:
    if len(frame) > most:
        raise CycloramaError(
            "message-too-long", f"This message has {len(frame)} bytes; {most} are allowed.", "Use fewer strokes."
        )
