"""Arrays of a safetensors file, by ordinary reading, one after the other.

Not mapped into memory: where the disk of a mapped file goes away, the system ends the whole process (SIGBUS), which may
be Blender with an artist's work. Read, it is an error like any other. Measured, it is as fast.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

_LONGEST_HEAD = 1 << 20
"""Bytes. Ours have some hundred; the format allows 100 MB, which would take seconds to be understood."""

_Size = Annotated[int, Meta(ge=0)]


class ArrayInfo(msgspec.Struct, frozen=True):
    """Type and shape of one array."""

    dtype: str
    shape: tuple[int, ...]


class Place(msgspec.Struct, frozen=True):
    """Where one array lies behind the head of a safetensors file."""

    dtype: str
    shape: Annotated[tuple[_Size, ...], Meta(max_length=8)]
    data_offsets: tuple[_Size, _Size]


Places = dict[str, tuple[Place, int]]
"""Array name -> where it lies, and at which byte of the file that is."""


def layout(path: Path, expected: int) -> tuple[dict[str, str], Places]:
    """A safetensors file's metadata, and where its arrays are: one behind the other, each as large as its shape.

    Args:
        expected: bytes that the file should have.

    Raises:
        OSError: it cannot be read.
        ValueError: saying what is wrong with it.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size != expected:
            raise ValueError(f"is cut short or changed: {size} bytes where {expected} were written")
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, _LONGEST_HEAD):
            raise ValueError("cannot be read (its head is longer than it may be)")
        text = file.read(length)
    try:
        head = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        metadata = msgspec.json.decode(head.pop("__metadata__", b"{}"), type=dict[str, str])
        places = {key: msgspec.json.decode(raw, type=Place) for key, raw in head.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"cannot be read (its head is damaged: {error})") from error
    _check(places, size - 8 - length)
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


def _check(places: dict[str, Place], size: int) -> None:
    """That the arrays fill the ``size`` bytes behind the head, without gaps and without lying over each other."""
    filled = 0
    for key, place in sorted(places.items(), key=lambda item: item[1].data_offsets):
        if place.dtype not in _DTYPES:
            raise ValueError(f"has '{key[:40]}' in numbers of an unknown type ({place.dtype[:40]!r})")
        begin, end = place.data_offsets
        if begin != filled or end - begin != math.prod(place.shape) * np.dtype(_DTYPES[place.dtype]).itemsize:
            raise ValueError(f"cannot be read ('{key[:40]}' does not fill its place)")
        filled = end
    if filled != size:
        raise ValueError(f"cannot be read ({size} bytes where its arrays have {filled})")


def numbers_at(path: Path, places: Places) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays at places that ``layout`` found. Raises ``OSError`` or ``ValueError``."""
    with path.open("rb", buffering=0) as file:
        for key, (place, begin) in places.items():
            array = np.empty(place.shape, _DTYPES[place.dtype])
            file.seek(begin)
            view = array.reshape(-1).data.cast("B") if array.size else memoryview(b"")
            while len(view):
                read = file.readinto(view)
                if not read:
                    raise ValueError("is cut short")
                view = view[read:]
            yield key, array
