"""Files of one job on their way to or from another computer, in a thread that is looked at now and then."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from ...bridge import transfer
from ...bridge.client import Client
from ...bridge.errors import Cancelled, CycloramaError
from ...bridge.messages import Generate

log = logging.getLogger(__name__)


class Journey:
    """Starts at once.

    Args:
        go: does it; is given a ``transfer.Told``.
    """

    def __init__(self, go: Callable[[transfer.Told], Generate | Path]):
        self.fraction = 0.0
        self.arrived: Generate | Path | None = None
        """What ``go`` returned."""
        self.error: CycloramaError | None = None
        self._go = go
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cyclorama-journey", daemon=True)
        self._thread.start()

    @classmethod
    def up(cls, client: Client, asked: Generate) -> Journey:
        """The inputs go to the backend; the request to send then arrives."""
        return cls(lambda told: transfer.upload(client, asked, told))

    @classmethod
    def down(cls, client: Client, job: str, output: Path) -> Journey:
        """The finished scene comes here; its folder arrives."""
        return cls(lambda told: transfer.download(client, job, output, told=told))

    @property
    def over(self) -> bool:
        """Whether it has arrived, failed or stopped."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """End it soon."""
        self._stopped.set()

    def _run(self) -> None:
        try:
            self.arrived = self._go(self._told)
        except Cancelled:
            return
        except CycloramaError as error:
            self.error = error
        except Exception:  # the job would wait for ever
            log.exception("Files could not be sent or fetched")
            self.error = CycloramaError(
                "transfer-failed", "The files could not be sent or fetched.", "The system console says why."
            )

    def _told(self, done: int, total: int) -> None:
        if self._stopped.is_set():
            raise Cancelled
        self.fraction = done / total if total else 0.0
