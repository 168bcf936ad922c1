"""Arrays of a safetensors file, by ordinary reading, one after the other.

Not mapped into memory: where the disk of a mapped file goes away, the system ends the whole process (SIGBUS), which may
be Blender with an artist's work. Read, it is an error like any other. Measured, it is as fast.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

_LONGEST_HEAD = 100_000_000
"""Bytes; the format's own limit."""


class Place(msgspec.Struct, frozen=True):
    """Where one array lies behind the head of a safetensors file."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


Places = dict[str, tuple[Place, int]]
"""Array name -> where it lies, and at which byte of the file that is."""


def layout(path: Path, expected: int) -> tuple[dict[str, str], Places]:
    """A safetensors file's metadata, and where its arrays are. Raises ``OSError`` or ``ValueError``."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size != expected:
            raise ValueError(f"is cut short or changed: {size} bytes where {expected} were written")
        length = int.from_bytes(file.read(8), "little")
        if length > min(size, _LONGEST_HEAD):
            raise ValueError("is damaged: its head is longer than the file")
        try:
            head = msgspec.json.decode(file.read(length), type=dict[str, msgspec.Raw])
            metadata = msgspec.json.decode(head.pop("__metadata__", b"{}"), type=dict[str, str])
            places = {key: msgspec.json.decode(raw, type=Place) for key, raw in head.items()}
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"is damaged: {error}") from error
    return metadata, {key: (place, 8 + length + place.data_offsets[0]) for key, place in places.items()}


_DTYPES = {
    "F32": "<f4",
    "F64": "<f8",
    "F16": "<f2",
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "I16": "<i2",
    "BOOL": "?",
} | {f"{letter}{bits}": f"<{letter.lower()}{bits // 8}" for letter in "IU" for bits in (32, 64)}


def numbers_at(path: Path, places: Places) -> Iterator[tuple[str, np.ndarray]]:
    """By ordinary reading: where the disk of a mapped file goes away, the system ends the whole process."""
    with path.open("rb", buffering=0) as file:
        for key, (place, begin) in places.items():
            array = np.empty(place.shape, _DTYPES[place.dtype])
            if array.nbytes != place.data_offsets[1] - place.data_offsets[0]:
                raise ValueError(f"is damaged: '{key}' does not fill its place")
            file.seek(begin)
            view = array.reshape(-1).data.cast("B") if array.size else memoryview(b"")
            while len(view):
                read = file.readinto(view)
                if not read:
                    raise ValueError("is cut short")
                view = view[read:]
            yield key, array
