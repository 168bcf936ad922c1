"""Short names for contents: the same for the same content only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np


def digest(parts: Iterable[memoryview | str]) -> str:
    """One name for all of ``parts``, in their order."""
    hashed = hashlib.sha256()
    for part in parts:
        data = memoryview(part.encode()) if isinstance(part, str) else part
        hashed.update(data.nbytes.to_bytes(8, "little"))
        hashed.update(data)
    return hashed.hexdigest()[:32]


def digest_of_arrays(*arrays: np.ndarray) -> str:
    """One name for their numbers, types and shapes. Takes no memory for arrays that lie in memory in their order."""
    parts: list[memoryview | str] = []
    for array in arrays:
        whole = np.ascontiguousarray(array)
        parts += [f"{whole.dtype.str} {array.shape}", whole.reshape(-1).view(np.uint8).data]
    return digest(parts)


def digest_of_file(path: Path) -> str:
    """Of what is in it. Raises ``OSError``."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
