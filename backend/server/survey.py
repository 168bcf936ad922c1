"""How the backend itself is: its processes, its clients, its memory and its disk."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from ...bridge import messages
from ...bridge.wire import Server
from .. import __version__
from ..stage_cache import CACHE_FOLDER, default_limit, used_bytes
from .crew import memory_bytes


class Survey:
    """Answers ``messages.Survey``. ``folder``: the backend's."""

    def __init__(self, folder: Path, wire: Server):
        self._folder = folder
        self._wire = wire
        self._started_at = time.time()

    def taken(
        self, clients: tuple[messages.ClientState, ...], workers: tuple[messages.WorkerState, ...]
    ) -> messages.Surveyed:
        """As it is now. Raises CycloramaError ``cache-limit``."""
        return messages.Surveyed(
            version=__version__,
            pid=os.getpid(),
            started_at=self._started_at,
            folder=str(self._folder),
            endpoint=self._wire.endpoint,
            listens_at=self._wire.listens_at,
            memory_bytes=memory_bytes(os.getpid()),
            clients=clients,
            workers=workers,
            cache_bytes=used_bytes(self._folder / CACHE_FOLDER),
            cache_limit_bytes=default_limit(self._folder / CACHE_FOLDER),
            disk_free_bytes=shutil.disk_usage(self._folder).free,
        )
