"""A backend process from start to end: its folder, its lock, its log, and what makes it stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from ...bridge.address import FOLDER_VARIABLE, Address, Keys, backend_folder, open_folder
from ...bridge.door import LOOPBACK
from ...bridge.wire import Server
from ..stage_cache import LIMIT_VARIABLE, default_limit
from . import device, guests
from .device import Seat
from .front import Front
from .guests import Guests
from .journal import Journal
from .lock import FileLock
from .log_file import log_in
from .supervisor import WORKER_COMMAND

LOCK_FILE = "server.lock"
SOCKET_FILE = "server.socket"


def serve(
    folder: Path | None = None,
    port: int = 0,
    watch_stdin: bool = False,
    listen: str = "",
    worker_command: Sequence[str] = WORKER_COMMAND,
    cache_gb: float | None = None,
    seats: Sequence[Seat] = (),
) -> None:
    """Run a backend until SIGTERM, SIGINT, SIGHUP or a client's ``Shutdown``; for a process's main thread.

    Prints one line and writes the address file when clients can come. Jobs that a signal stops go on when a backend
    starts again in the folder.

    Args:
        folder: where its keys, its address, its jobs and its log lie; None: see ``backend_folder``.
        port: by which guests come; 0: none, or ``guests.PORT`` with ``listen``.
        watch_stdin: once standard input has ended, as when the program that started us is killed, end too: when all
            jobs are done and no client is left.
        listen: address of this computer by which guests reach it ("0.0.0.0": any); "": none, but with ``port`` they
            come from this computer, as through a tunnel.
        worker_command: what starts a worker process.
        cache_gb: gigabytes (1e9 bytes) that the results of stages may take that are kept for later jobs; 0: none are
            kept. Left out: see ``stage_cache.default_limit``.
        seats: where worker processes run; left out: see ``device.seats``.

    Raises:
        CycloramaError: ``cache-limit``, ``folder-in-use``, ``folder-not-usable``, ``port-in-use``, ``port-not-usable``,
            ``host-not-usable``, ``address-unreadable`` (damaged keys).
    """
    folder = backend_folder(folder)
    if cache_gb is not None:
        os.environ[LIMIT_VARIABLE] = repr(cache_gb)  # workers inherit it
    default_limit(folder)  # a limit that is none is told now
    open_folder(folder)
    lock = FileLock(folder / LOCK_FILE)
    try:
        with log_in(folder):
            _serve(folder, port or (guests.PORT if listen else 0), watch_stdin, listen, worker_command, seats)
    finally:
        lock.release()


def _serve(
    folder: Path, port: int, watch_stdin: bool, listen: str, worker_command: Sequence[str], seats: Sequence[Seat]
) -> None:
    keys = Keys.load_or_make(folder)
    journal = Journal(folder)
    try:
        wire = Server(keys, port, listen, Guests(folder).name_of, folder / SOCKET_FILE, _memory_bytes)
        front = Front(wire, folder, journal, worker_command, seats or device.seats(), {FOLDER_VARIABLE: str(folder)})
        _stop_on_signals(front.stop)
        if watch_stdin:
            _at_end_of_stdin(front.abandon)
        Address.of(wire.endpoint, keys).save(folder)
        _say(f"Listening on {wire.endpoint}, folder {folder}")
        if wire.port:
            _say(f"Guests reach it at {listen or LOOPBACK}, port {wire.port}; invite them with: cyclorama keys invite")
        try:
            front.run()
        finally:
            Address.remove(folder)
    finally:
        journal.close()


def _memory_bytes() -> int:
    return psutil.Process().memory_info().rss


def _say(line: str) -> None:
    with suppress(OSError):  # whoever started us may be gone already
        print(line, flush=True)


def _stop_on_signals(stop: Callable[[], None]) -> None:
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: stop())


def _at_end_of_stdin(abandon: Callable[[], None]) -> None:
    """Unbuffered, because a thread that holds the buffer of ``sys.stdin`` breaks the interpreter's exit."""

    def watch() -> None:
        with suppress(OSError):
            while os.read(sys.stdin.fileno(), 4096):
                pass
        _leave_output()
        abandon()

    threading.Thread(target=watch, name="stdin", daemon=True).start()


def _leave_output() -> None:
    """Nobody reads any more what we print; a pipe without a reader must not end us."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
