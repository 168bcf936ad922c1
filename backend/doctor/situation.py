"""What several checks look at: the folder, the backend that may run in it, and the libraries, each found out once."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...bridge import messages
from ...bridge.address import ADDRESS_FILE, Address
from ...bridge.client import Client
from ...bridge.errors import CycloramaError
from .libraries import Libraries, look_at_libraries
from .reading import DamagedError, read_untouched

_ANSWER_SECONDS = 6.0
_SURVEY_SECONDS = 2.0


@dataclass(frozen=True)
class Reached:
    """The backend in the folder. ``trouble``: why there is no welcome; both None where none has an address there."""

    welcome: messages.Welcome | None = None
    survey: messages.Surveyed | None = None
    trouble: CycloramaError | None = None


class Situation:
    """What was asked, and what was found out so far. From any thread.

    Args:
        folder: the backend's.
        blender: an executable that the user named; "" for none.
    """

    def __init__(self, folder: Path, blender: str = ""):
        self.folder = folder
        self.blender = blender
        self._reaching = threading.Lock()
        self._looking = threading.Lock()

    @property
    def reached(self) -> Reached:
        """The backend in the folder; takes some seconds where it does not answer."""
        with self._reaching:
            return self._reached

    @property
    def libraries(self) -> Libraries:
        """What another process found that loaded them; takes some seconds."""
        with self._looking:
            return self._libraries

    @cached_property
    def _reached(self) -> Reached:
        return _reach(self.folder)

    @cached_property
    def _libraries(self) -> Libraries:
        return look_at_libraries()


def _reach(folder: Path) -> Reached:
    path = folder / ADDRESS_FILE
    try:
        address = read_untouched(path, Address)
    except (FileNotFoundError, NotADirectoryError):
        return Reached()
    except DamagedError as error:
        return Reached(trouble=CycloramaError("address-unreadable", f"{path} {error}."))
    with Client(address=address, name="cyclorama doctor", silence=_ANSWER_SECONDS - 1) as client:
        deadline = time.monotonic() + _ANSWER_SECONDS
        while client.state != "connected" and client.trouble is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if client.state != "connected" or client.welcome is None:
            silent = CycloramaError("backend-silent", "The backend does not answer.")
            return Reached(trouble=client.trouble or silent)
        return Reached(client.welcome, _survey(client))


def _survey(client: Client) -> messages.Surveyed | None:
    try:
        reply = client.request(messages.Survey(), _SURVEY_SECONDS)
    except CycloramaError:
        return None
    return reply if isinstance(reply, messages.Surveyed) else None
