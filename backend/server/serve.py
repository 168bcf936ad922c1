"""A backend process from start to end: its folder, its lock, its log, and what makes it stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ...bridge.address import Address, Keys, backend_folder, open_folder
from ...bridge.wire import Server
from . import guests
from .front import Front
from .guests import Guests
from .journal import Journal
from .lock import FileLock
from .log_file import log_in
from .supervisor import WORKER_COMMAND

LOCK_FILE = "server.lock"


def serve(
    folder: Path | None = None,
    port: int = 0,
    watch_stdin: bool = False,
    listen: str = "",
    worker_command: Sequence[str] = WORKER_COMMAND,
) -> None:
    """Run a backend until SIGTERM, SIGINT, SIGHUP or a client's ``Shutdown``; for a process's main thread.

    Prints one line and writes the address file when clients can come. Jobs that a signal stops go on when a backend
    starts again in the folder.

    Args:
        folder: where its keys, its address, its jobs and its log lie; None: see ``backend_folder``.
        port: 0 lets the operating system choose, or is ``guests.PORT`` where guests are expected.
        watch_stdin: once standard input has ended, as when the program that started us is killed, end too: when all
            jobs are done and no client is left.
        listen: address of this computer by which guests reach it ("0.0.0.0": any); "": this computer only.
        worker_command: what starts the worker process.

    Raises:
        CycloramaError: ``folder-in-use``, ``folder-not-usable``, ``port-in-use``, ``port-not-usable``,
            ``host-not-usable``, ``address-unreadable`` (damaged keys).
    """
    folder = backend_folder(folder)
    open_folder(folder)
    lock = FileLock(folder / LOCK_FILE)
    try:
        with log_in(folder):
            _serve(folder, port or (guests.PORT if listen else 0), watch_stdin, listen, worker_command)
    finally:
        lock.release()


def _serve(folder: Path, port: int, watch_stdin: bool, listen: str, worker_command: Sequence[str]) -> None:
    keys = Keys.load_or_make(folder)
    journal = Journal(folder)
    try:
        wire = Server(keys, port, listen, Guests(folder).name_of)
        front = Front(wire, folder, journal, worker_command)
        _stop_on_signals(front.stop)
        if watch_stdin:
            _at_end_of_stdin(front.abandon)
        Address.of(wire.endpoint, keys).save(folder)
        _say(f"Listening on {wire.endpoint}, folder {folder}")
        if listen:
            _say(f"Guests reach it at {listen}, port {wire.port}; invite them with: cyclorama keys invite")
        try:
            front.run()
        finally:
            Address.remove(folder)
    finally:
        journal.close()


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
