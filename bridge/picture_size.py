"""Kind, width and height of a picture file from its first bytes, without decoding it.

JPEG, PNG, WebP, HDR, EXR and TIFF. So a picture that is too large is refused before a decoder makes room for it.
"""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

Size = tuple[int, int]
Kind = Literal["jpeg", "png", "webp", "exr", "hdr", "tiff"]

_HEAD_BYTES = 1 << 12
_LONGEST_COMMENT = 1 << 16
_MOST_JPEG_SEGMENTS = 1000
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JPEG_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a length behind them."""

_RADIANCE_SIZE = re.compile(rb"^[-+]([XY]) (\d{1,9}) [-+]([XY]) (\d{1,9})\s*$", re.MULTILINE)
_MOST_EXR_ATTRIBUTES = 1000
_LONGEST_EXR_NAME = 255
_MOST_TIFF_TAGS = 1000
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}


class Picture(NamedTuple):
    """What the first bytes say.

    Attributes:
        kind: of file.
        size: width and height; None where they are cut short, or make no sense.
        whole: whether a decoder holds all of it in memory (interlaced, progressive), and not only some rows.
    """

    kind: Kind
    size: Size | None
    whole: bool


def picture_size(path: Path) -> Size | None:
    """(width, height) in pixels, both above 0; None where the file is missing, or no such picture."""
    picture = picture_head(path)
    return picture.size if picture else None


def picture_head(path: Path) -> Picture | None:
    """None where the file is missing, or no such picture. Never waits, also where a pipe has that name."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return _picture(file)
    except (OSError, ValueError):
        return None


def _picture(file: BinaryIO) -> Picture | None:
    head = file.read(_HEAD_BYTES)
    kind = _kind(head)
    if kind is None:
        return None
    size, whole = None, True
    with suppress(struct.error, ValueError, OverflowError):
        size, whole = _size(kind, head, file)
    return Picture(kind, size if size and min(size) > 0 else None, whole)


def _kind(head: bytes) -> Kind | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    for kind, starts in _STARTS.items():
        if head.startswith(starts):
            return kind
    return None


_STARTS: dict[Kind, tuple[bytes, ...]] = {
    "jpeg": (b"\xff\xd8\xff",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "exr": (b"\x76\x2f\x31\x01",),
    "hdr": (b"#?",),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}


def _size(kind: Kind, head: bytes, file: BinaryIO) -> tuple[Size | None, bool]:
    match kind:
        case "png":
            width, height, *_, interlaced = struct.unpack_from(">IIBBBBB", head, 16)
            return (width, height), bool(interlaced)
        case "jpeg":
            return _jpeg(file)
        case "webp":
            return _webp(head), True
        case "exr":
            return _exr(file), False
        case "hdr":
            return _radiance(head + file.read(_LONGEST_COMMENT)), False
        case "tiff":
            return _tiff(head, file), True  # as a rule only some rows, but how many is the file's choice


def _jpeg(file: BinaryIO) -> tuple[Size | None, bool]:
    """From the frame header, after any number of other segments (a preview in EXIF has frames of its own)."""
    file.seek(2)
    for _ in range(_MOST_JPEG_SEGMENTS):
        marker = file.read(2)
        if len(marker) < 2 or marker[0] != 0xFF:
            break
        if marker[1] == 0xFF:  # a byte of padding
            file.seek(-1, 1)
            continue
        if marker[1] in _JPEG_BARE:
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if marker[1] in _JPEG_FRAMES:
            _, height, width = struct.unpack(">BHH", file.read(5))
            return (width, height), marker[1] in _JPEG_PROGRESSIVE
        if length < 2:
            break
        file.seek(length - 2, 1)
    return None, True


def _webp(head: bytes) -> Size | None:
    kind = head[12:16]
    if kind == b"VP8X" and len(head) >= 30:
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _exr(file: BinaryIO) -> Size | None:
    """Of the first part, attribute by attribute: a text among them may look like a size."""
    file.seek(8)
    for _ in range(_MOST_EXR_ATTRIBUTES):
        name = _exr_name(file)
        if not name:
            return None
        kind, (length,) = _exr_name(file), struct.unpack("<i", file.read(4))
        if length < 0:
            return None
        if (name, kind, length) == (b"dataWindow", b"box2i", 16):
            left, top, right, bottom = struct.unpack("<4i", file.read(16))
            return right - left + 1, bottom - top + 1
        file.seek(length, 1)
    return None


def _exr_name(file: BinaryIO) -> bytes:
    """Up to the zero that ends it."""
    begin = file.tell()
    text, zero, _ = file.read(_LONGEST_EXR_NAME + 1).partition(b"\0")
    if not zero:
        raise ValueError("too long")
    file.seek(begin + len(text) + 1)
    return text


def _radiance(head: bytes) -> Size | None:
    found = _RADIANCE_SIZE.search(head)
    if not found:
        return None
    sides = {found[1]: int(found[2]), found[3]: int(found[4])}
    return (sides[b"X"], sides[b"Y"]) if len(sides) == 2 else None


def _tiff(head: bytes, file: BinaryIO) -> Size | None:
    """From the first directory; BigTIFF (43 where TIFF has 42) counts in 64 bits."""
    order = "<" if head.startswith(b"II") else ">"
    big = head[2:4].strip(b"\0") == b"+"
    (directory,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", head, 8 if big else 4)
    file.seek(directory)
    (count,) = struct.unpack(f"{order}{'Q' if big else 'H'}", file.read(8 if big else 2))
    sides: dict[int, int] = {}
    for _ in range(min(count, _MOST_TIFF_TAGS)):
        entry = file.read(20 if big else 12)
        tag, kind = struct.unpack_from(f"{order}HH", entry)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT) and kind in _TIFF_INTEGERS:
            (sides[tag],) = struct.unpack_from(f"{order}{_TIFF_INTEGERS[kind]}", entry, 12 if big else 8)
    return (sides[_TIFF_WIDTH], sides[_TIFF_HEIGHT]) if len(sides) == 2 else None
