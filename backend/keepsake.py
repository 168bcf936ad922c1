"""What is kept of work that is not finished, so that it goes on where it was stopped, however that was.

One folder's files belong together by a digest of everything the result depends on; each is replaced whole.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..bridge.address import backend_folder, open_folder
from ..bridge.errors import CycloramaError

log = logging.getLogger(__name__)

_KEPT_SECONDS = 14 * 24 * 3600.0
"""Work that nobody went on with for so long is forgotten."""


def digest(parts: Iterable[memoryview | str]) -> str:
    """One name for all of ``parts``, in their order."""
    hashed = hashlib.sha256()
    for part in parts:
        data = memoryview(part.encode()) if isinstance(part, str) else part
        hashed.update(data.nbytes.to_bytes(8, "little"))
        hashed.update(data)
    return hashed.hexdigest()[:32]


class Keepsake:
    """What is on disk of one piece of work, in parts: tensors by name each.

    Args:
        name: what its result depends on; see ``digest``.
        folder: the user's own when left out.
    """

    def __init__(self, name: str, folder: Path | None = None):
        self._folder = folder or backend_folder() / "unfinished"
        self._name = name
        _forget_old_ones(self._folder)

    def part(self, part: str) -> dict[str, Tensor] | None:
        """The tensors kept last as ``part``; None where there are none or their file is damaged."""
        try:
            with safe_open(self._path(part), framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        except (SafetensorError, OSError):
            return None

    def keep(self, part: str, tensors: Mapping[str, Tensor]) -> None:
        """Replace what is kept. Where that fails, on a full disk say, the work goes on without."""
        path = self._path(part)
        new = path.with_suffix(f".{os.getpid()}")
        try:
            open_folder(self._folder)
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, new)
            new.replace(path)
        except (OSError, SafetensorError, CycloramaError):
            log.warning("The unfinished work cannot be kept in %s.", self._folder)
            _remove(new)

    def forget(self) -> None:
        """Remove all parts."""
        for path in self._folder.glob(f"{self._name}.*"):
            _remove(path)

    def _path(self, part: str) -> Path:
        return self._folder / f"{self._name}.{part}.safetensors"


def _forget_old_ones(folder: Path) -> None:
    for old in folder.glob("*.*"):
        with suppress(OSError):  # another process may be doing the same
            if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
                old.unlink()


def _remove(path: Path) -> None:
    with suppress(OSError):  # what cannot be removed now is forgotten in time
        path.unlink()
