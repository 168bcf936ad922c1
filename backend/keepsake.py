"""What is kept of work that is not finished, so that it goes on where it was stopped, however that was.

One folder's files belong together by a digest of everything the result depends on; each is replaced whole.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..bridge.address import open_folder
from ..bridge.durable import flush_file
from ..bridge.errors import CycloramaError
from .stage_cache import default_limit
from .unfinished import SHARE_OF_CACHE, make_room, sweep, unfinished_folder

log = logging.getLogger(__name__)


class Keepsake:
    """What is on disk of one piece of work, in parts: tensors by name each.

    Args:
        name: what its result depends on; see ``digest``.
        folder: the user's own when left out.
    """

    def __init__(self, name: str, folder: Path | None = None):
        self._folder = folder or unfinished_folder()
        self._name = name
        sweep(self._folder, own=name)

    def part(self, part: str) -> dict[str, Tensor] | None:
        """The tensors kept last as ``part``; None where there are none or their file is damaged."""
        try:
            with safe_open(self._path(part), framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        except (SafetensorError, OSError):
            return None

    def keep(self, part: str, tensors: Mapping[str, Tensor]) -> None:
        """Replace what is kept. Where that fails, on a full disk say, the work goes on without.

        All unfinished work together takes no more than half of what the stage cache may; the oldest makes room.
        """
        path = self._path(part)
        new = path.with_suffix(f".{os.getpid()}")
        try:
            open_folder(self._folder)
            whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
            needed = sum(tensor.nbytes for tensor in whole.values())
            if not make_room(self._folder, self._name, needed, self._limit):
                log.info("There is no room to keep unfinished work in %s.", self._folder)
                return
            save_file(whole, new)
            flush_file(new)
            new.replace(path)
        except (OSError, SafetensorError, CycloramaError):
            log.warning("The unfinished work cannot be kept in %s.", self._folder)
            _remove(new)

    def forget(self) -> None:
        """Remove all parts."""
        for path in self._folder.glob(f"{self._name}.*"):
            _remove(path)

    def _limit(self) -> int:
        return round(SHARE_OF_CACHE * default_limit(self._folder))

    def _path(self, part: str) -> Path:
        return self._folder / f"{self._name}.{part}.safetensors"


def _remove(path: Path) -> None:
    with suppress(OSError):  # what cannot be removed now is forgotten in time
        path.unlink()
