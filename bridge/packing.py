"""Columns of whole numbers as few bytes, and back: differences, split into byte planes, Zstandard.

A Gaussian's numbers are like its neighbour's, and like its own in the first frame. Of each column the writer keeps the
differences to whichever predicts it best. Differences are small: their low bytes go together, their high bytes (nearly
all zero) too, and each such plane compresses well. Any frame is read from its own file and the first frame's.

In a safetensors file each packed array is one of bytes by its usual name, and the file's metadata say how it is packed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from .errors import CycloramaError
from .gaussians import COLUMNS
from .rounding import along_curve, rounded

Compression = Literal["none", "small"]
"""Of a package's Gaussians. "none": float32 as they are; "small": rounded (``rounding.ERROR``) and packed."""

SMALL = "small"
"""The one encoding there is. Other steps or another layout need another name."""

MOST = 1 << 26
"""So many Gaussians a packed file may hold (an 8K panorama has 21 million): room is made for as many as it claims."""

_LEVEL = 9
"""Of Zstandard. Reading takes the same time at all levels."""

_QUICK = 1
"""Level to compare with."""

_KEY = "cyclorama"
"""In the metadata of a packed safetensors file: ``Packing`` as JSON."""

After = Literal["nothing", "neighbour", "first", "both"]
"""What a column holds the differences to: the Gaussian before, the same one in the first frame, or both (how the
difference to the first frame differs from that of the Gaussian before)."""


class Column(msgspec.Struct, frozen=True):
    """How one column was packed."""

    after: After
    width: Annotated[int, Meta(ge=0, le=4)]
    """Bytes of each difference; 0: all are zero."""


class PackedArray(msgspec.Struct, frozen=True):
    """How one array was packed."""

    count: Annotated[int, Meta(ge=0, le=MOST)]
    columns: tuple[Column, ...]

    @property
    def size(self) -> int:
        """Bytes before compression."""
        return self.count * sum(column.width for column in self.columns)


class Packing(msgspec.Struct, frozen=True):
    """How the arrays of one file were packed."""

    encoding: str
    arrays: dict[str, PackedArray]


Numbers = Mapping[str, np.ndarray]
"""Array name -> (columns, n) int32, as ``rounding`` makes them."""


def pack(arrays: Mapping[str, np.ndarray], first: Numbers) -> tuple[dict[str, np.ndarray], dict[str, str], Numbers]:
    """The arrays of one file, all by names of ``COLUMNS`` -> what to store, the file's metadata, and the numbers.

    Args:
        first: numbers of the first frame; empty where none will be at hand for unpacking.
    """
    numbers = {name: rounded(name, array) for name, array in arrays.items()}
    packed = {name: pack_columns(columns, first.get(name)) for name, columns in numbers.items()}
    packing = Packing(SMALL, {name: described for name, (_, described) in packed.items()})
    metadata = {_KEY: msgspec.json.encode(packing).decode()}
    return {name: squeezed for name, (squeezed, _) in packed.items()}, metadata, numbers


def order(position: np.ndarray) -> np.ndarray:
    """(n,) indices: the order of (n, 3) positions in which they take the least room.

    As they are, as in the rows of a lattice, or along a curve that keeps neighbours together.
    """
    numbers = rounded("position", position)
    orders = np.arange(len(position)), along_curve(numbers)
    return min(orders, key=lambda order: len(pack_columns(numbers[:, order], None)[0]))


def packing_of(metadata: Mapping[str, str] | None) -> Packing | None:
    """How a file was packed, from its metadata; None if it was not. Raises ``ValueError`` saying what is wrong."""
    if not metadata or _KEY not in metadata:
        return None
    try:
        packing = msgspec.json.decode(metadata[_KEY], type=Packing)
    except msgspec.DecodeError as error:
        raise ValueError(f"does not say how it is packed ({error})") from error
    if packing.encoding != SMALL:
        raise ValueError(f"is packed in a way that this Cyclorama does not know ({packing.encoding!r})")
    for name, array in packing.arrays.items():
        if len(array.columns) != COLUMNS.get(name):
            raise ValueError(f"has a packed '{name}' of {len(array.columns)} columns")
    return packing


def unpack(stored: Mapping[str, np.ndarray], packing: Packing, first: Numbers) -> Iterator[tuple[str, np.ndarray]]:
    """Names and numbers of one file's arrays. Raises ``ValueError`` saying what is wrong with it."""
    for name, described in packing.arrays.items():
        try:
            yield name, unpack_columns(stored[name], described, first.get(name))
        except ValueError as error:
            raise ValueError(f"has a damaged '{name}': it {error}") from error


def pack_columns(numbers: np.ndarray, first: np.ndarray | None) -> tuple[np.ndarray, PackedArray]:
    """(columns, n) int32 as bytes; ``first``: the same in the first frame, if that will be at hand for unpacking."""
    columns, planes = [], []
    for index, column in enumerate(numbers):
        after, bytes_of = _best(column, None if first is None else first[index])
        columns.append(Column(after, len(bytes_of)))
        planes += bytes_of
    squeezed = _compress(planes, _LEVEL)
    return np.frombuffer(squeezed, np.uint8), PackedArray(numbers.shape[1], tuple(columns))


def unpack_columns(squeezed: np.ndarray, described: PackedArray, first: np.ndarray | None) -> np.ndarray:
    """The inverse of ``pack_columns``. Raises ``ValueError`` saying what is wrong with the bytes."""
    whole = _decompress(squeezed.tobytes(), described.size)
    numbers = np.zeros((len(described.columns), described.count), np.int32)
    begin = 0
    for index, (out, column) in enumerate(zip(numbers, described.columns, strict=True)):
        end = begin + described.count * column.width
        _unfold(whole[begin:end].reshape(column.width, described.count), out)
        begin = end
        if column.after in ("neighbour", "both"):
            np.cumsum(out, dtype=np.int32, out=out)
        if column.after in ("first", "both"):
            if first is None:
                raise ValueError("builds on a first frame that is not there")
            out += first[index]
    return numbers


def zstandard():
    """The module, or the one sentence to tell when it is missing."""
    try:
        import zstandard
    except ImportError as error:
        raise CycloramaError(
            "zstandard-missing",
            "Compressed scenes need the Python module 'zstandard', which this Python lacks.",
            "Use a Blender from blender.org, install the module, or generate the scene without compression.",
        ) from error
    return zstandard


def _decompress(squeezed: bytes, size: int) -> np.ndarray:
    """Exactly ``size`` bytes; no more room is made than that, whatever the bytes claim."""
    module = zstandard()
    try:
        claimed = module.frame_content_size(squeezed)
        if claimed != size:
            raise ValueError(f"unpacks to {claimed} bytes, not {size}")
        whole = module.ZstdDecompressor().decompress(squeezed, allow_extra_data=False)
    except module.ZstdError as error:
        raise ValueError(f"does not unpack ({error})") from error
    return np.frombuffer(whole, np.uint8)


def _compress(planes: list[np.ndarray], level: int) -> bytes:
    whole = b"".join(plane.tobytes() for plane in planes)
    return zstandard().ZstdCompressor(level=level, write_content_size=True).compress(whole)


def _best(column: np.ndarray, first: np.ndarray | None) -> tuple[After, list[np.ndarray]]:
    """What to hold the differences to so that they take the least room, and the planes of their bytes."""
    found: dict[After, np.ndarray] = {"nothing": column, "neighbour": np.diff(column, prepend=np.int32(0))}
    if first is not None:
        since = column - first
        found |= {"first": since, "both": np.diff(since, prepend=np.int32(0))}
    planes: dict[After, list[np.ndarray]] = {after: _planes(differences) for after, differences in found.items()}
    return min(planes.items(), key=lambda item: len(_compress(item[1], _QUICK)))


def _planes(differences: np.ndarray) -> list[np.ndarray]:
    """Low bytes, then higher ones as far as any are used."""
    folded = _fold(differences)
    width = (int(folded.max(initial=0)).bit_length() + 7) // 8
    return [(folded >> np.uint32(8 * plane)).astype(np.uint8) for plane in range(width)]


def _fold(differences: np.ndarray) -> np.ndarray:
    """0, -1, 1, -2, 2 … -> 0, 1, 2, 3, 4 …, so that small differences of either sign have zero high bytes."""
    return ((differences << 1) ^ (differences >> 31)).view(np.uint32)


def _unfold(planes: np.ndarray, out: np.ndarray) -> None:
    """(width, n) bytes of folded differences -> ``out``, (n,) int32 zeros before."""
    folded = out.view(np.uint32)
    for plane, values in enumerate(planes):
        folded |= values.astype(np.uint32) << np.uint32(8 * plane)
    np.bitwise_xor(folded >> 1, np.negative(folded & 1), out=folded)
