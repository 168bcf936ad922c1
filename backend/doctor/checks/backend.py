"""The backend process: whether one runs in the folder, answers, and is of our version; and the port for guests."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import psutil

from ....bridge.errors import CycloramaError
from ... import __version__
from ...server.guests import GUESTS_FILE, PORT
from ...server.lock import FileLock
from ...server.serve import LOCK_FILE
from ...words import duration
from ..finding import Finding, fault, ok, warning
from ..situation import Situation

_RESTART = "Stop it (Blender's Preferences, or the Shutdown button), and start it again."


def backend(situation: Situation) -> Iterator[Finding]:
    """Whether one runs, and whether it can be talked to."""
    reached = situation.reached
    held = _lock_is_held(situation)
    if reached.welcome:
        since = f", running {duration(time.time() - reached.survey.started_at)}" if reached.survey else ""
        shown = f"version {reached.welcome.version} answers ({reached.welcome.device or 'its worker starts'}{since})"
        if reached.welcome.version != __version__:
            yield warning("Backend", f"{shown}, but {__version__} is installed here.", _RESTART)
        else:
            yield ok("Backend", shown)
        for note in reached.welcome.notes:
            yield warning("Backend", note, "See its log: cyclorama status --once --log 50")
    elif reached.trouble and reached.trouble.code == "protocol-mismatch":
        yield fault("Backend", "It is of another version and does not understand this one.", _RESTART)
    elif reached.trouble and reached.trouble.code == "address-unreadable":
        yield fault("Backend", reached.trouble.sentence, "Start the backend again: it writes a new one.")
    elif held:
        words = reached.trouble.sentence if reached.trouble else "A process holds its lock, but has no address."
        yield fault(
            "Backend", words, f"Wait a moment if it just starts or ends; else end it and see {_log(situation)}."
        )
    elif reached.trouble:
        yield warning(
            "Backend",
            "None runs; the last one was killed, and left its address.",
            f"Start it again, and its jobs go on. {_log(situation)} may say why it ended.",
        )
    else:
        yield ok("Backend", "none runs; Blender starts it when it is needed, or: cyclorama serve")


def port(situation: Situation) -> Iterator[Finding]:
    """Who listens where guests are expected; only matters to those who invite."""
    listeners = _listeners(PORT)
    survey = situation.reached.survey
    if listeners is None:  # the system does not tell
        yield ok("Port", f"{PORT} is free") if _can_be_bound() else ok("Port", f"{PORT} is in use")
    elif not listeners:
        yield ok("Port", f"{PORT} is free")
    elif survey and survey.pid in listeners:
        yield ok("Port", f"{PORT} is where this backend listens to its guests")
    else:
        shown = f"{PORT}, where guests are expected, is used by {_program(next(iter(listeners)))}"
        if (situation.folder / GUESTS_FILE).exists():
            hint = "End that program, or start the backend with --port N and invite with the same --port."
            yield warning("Port", f"{shown}.", hint)
        else:
            yield ok("Port", shown)


def _lock_is_held(situation: Situation) -> bool:
    path = situation.folder / LOCK_FILE
    if not path.exists():
        return False
    if situation.reached.welcome:
        return True
    try:
        FileLock(path).release()
    except (CycloramaError, OSError):
        return True
    return False


def _listeners(number: int) -> set[int] | None:
    """Processes (0: of another user) that listen there; None where the system does not tell."""
    try:
        found = psutil.net_connections("tcp")
    except (psutil.Error, OSError, RuntimeError):
        return None
    return {
        each.pid or 0
        for each in found
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == number
    }


def _can_be_bound() -> bool:
    with socket.socket() as trial:
        try:
            trial.bind(("127.0.0.1", PORT))
        except OSError:
            return False
    return True


def _program(process: int) -> str:
    try:
        found = psutil.Process(process) if process else None
        words = found.cmdline() if found else []
        name = found.name() if found else ""
    except psutil.Error:
        words, name = [], ""
    if not name:
        return "a program of another user"
    what = "another Cyclorama backend" if any("cyclorama" in word for word in words) else name
    return f"{what} (process {process})"


def _log(situation: Situation) -> str:
    return str(situation.folder / "backend.log")
