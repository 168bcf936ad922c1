"""What is kept of an animation that is not finished, so that it goes on where it was stopped, however that was.

One file per animation, named by a digest of everything its result depends on, and replaced whole after every step.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ...bridge.address import backend_folder, open_folder
from ...bridge.errors import CycloramaError
from .panoramic_denoiser import State

log = logging.getLogger(__name__)

_KEPT_SECONDS = 14 * 24 * 3600.0
"""An animation that nobody went on with for so long is forgotten."""


def digest(parts: Iterable[memoryview | str]) -> str:
    """One name for all of ``parts``, in their order."""
    hashed = hashlib.sha256()
    for part in parts:
        data = memoryview(part.encode()) if isinstance(part, str) else part
        hashed.update(data.nbytes.to_bytes(8, "little"))
        hashed.update(data)
    return hashed.hexdigest()[:32]


class Keepsake:
    """The state of one animation on disk.

    Args:
        name: what its result depends on; see ``digest``.
        folder: the user's own when left out.
    """

    def __init__(self, name: str, folder: Path | None = None):
        self._folder = folder or backend_folder() / "unfinished"
        self._path = self._folder / f"{name}.safetensors"
        _forget_old_ones(self._folder)

    def state(self) -> State | None:
        """The state kept last; None where there is none or its file is damaged."""
        if not self._path.exists():
            return None
        try:
            with safe_open(self._path, framework="pt") as file:
                return State(int((file.metadata() or {})["step"]), file.get_tensor("signal"))
        except (SafetensorError, KeyError, ValueError, OSError):
            return None

    def keep(self, state: State) -> None:
        """Replace what is kept. Where that fails, on a full disk say, the run goes on without."""
        new = self._path.with_suffix(f".{os.getpid()}")
        try:
            open_folder(self._folder)
            save_file({"signal": state.signal.contiguous()}, new, metadata={"step": str(state.step)})
            new.replace(self._path)
        except (OSError, SafetensorError, CycloramaError):
            log.exception("The unfinished animation cannot be kept in %s.", self._folder)
            new.unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove it."""
        self._path.unlink(missing_ok=True)


def _forget_old_ones(folder: Path) -> None:
    for old in folder.glob("*.*") if folder.exists() else ():
        if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
            old.unlink(missing_ok=True)
