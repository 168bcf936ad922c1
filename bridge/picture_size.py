"""Width and height of a picture file from its first bytes, without decoding it: JPEG, PNG, WebP, HDR and EXR."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import BinaryIO

Size = tuple[int, int]

_HEAD_BYTES = 1 << 16
_MOST_JPEG_SEGMENTS = 1000
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_RADIANCE_SIZE = re.compile(rb"^[-+]([XY]) (\d+) [-+]([XY]) (\d+)\s*$", re.MULTILINE)
_EXR_DATA_WINDOW = b"dataWindow\0box2i\0\x10\0\0\0"


def picture_size(path: Path) -> Size | None:
    """(width, height) in pixels; None where the file is missing, or no such picture."""
    try:
        with path.open("rb") as file:
            return _size(file)
    except (OSError, struct.error, ValueError):
        return None


def _size(file: BinaryIO) -> Size | None:
    head = file.read(_HEAD_BYTES)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return struct.unpack_from(">II", head, 16)
    if head.startswith(b"\xff\xd8"):
        return _jpeg(file)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp(head)
    if head.startswith(b"\x76\x2f\x31\x01"):
        return _exr(head)
    if head.startswith(b"#?"):
        return _radiance(head)
    return None


def _jpeg(file: BinaryIO) -> Size | None:
    """From the frame header, after any number of other segments (a preview in EXIF has frames of its own)."""
    file.seek(2)
    for _ in range(_MOST_JPEG_SEGMENTS):
        marker = file.read(2)
        if len(marker) < 2 or marker[0] != 0xFF:
            return None
        if marker[1] == 0xFF:  # a byte of padding
            file.seek(-1, 1)
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if marker[1] in _JPEG_FRAMES:
            _, height, width = struct.unpack(">BHH", file.read(5))
            return width, height
        file.seek(length - 2, 1)
    return None


def _webp(head: bytes) -> Size | None:
    kind = head[12:16]
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _exr(head: bytes) -> Size | None:
    at = head.find(_EXR_DATA_WINDOW)
    if at < 0:
        return None
    left, top, right, bottom = struct.unpack_from("<4i", head, at + len(_EXR_DATA_WINDOW))
    return right - left + 1, bottom - top + 1


def _radiance(head: bytes) -> Size | None:
    found = _RADIANCE_SIZE.search(head)
    if not found:
        return None
    sides = {found[1]: int(found[2]), found[3]: int(found[4])}
    return (sides[b"X"], sides[b"Y"]) if len(sides) == 2 else None
