"""A backend process from start to end: its folder, its lock, its log, and what makes it stop."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

from ...bridge.address import Address, Keys, backend_folder, open_folder
from ...bridge.errors import CycloramaError
from .front import Front
from .lock import FileLock
from .supervisor import WORKER_COMMAND

LOCK_FILE = "server.lock"
LOG_FILE = "backend.log"


def serve(
    folder: Path | None = None,
    port: int = 0,
    watch_stdin: bool = False,
    worker_command: Sequence[str] = WORKER_COMMAND,
) -> None:
    """Run a backend until SIGTERM, SIGINT, SIGHUP or a client's ``Shutdown``; for a process's main thread.

    Prints one line and writes the address file when clients can come.

    Args:
        folder: where its keys, its address and its log lie; None: see ``backend_folder``.
        port: on 127.0.0.1; 0 lets the operating system choose.
        watch_stdin: end when standard input does, as when the program that started us is killed.
        worker_command: what starts the worker process.

    Raises:
        CycloramaError: ``folder-in-use``, ``folder-not-usable``, ``port-in-use``, ``port-not-usable``,
            ``address-unreadable`` (damaged keys).
    """
    folder = backend_folder(folder)
    open_folder(folder)
    lock = FileLock(folder / LOCK_FILE)
    try:
        with _log_in(folder):
            keys = Keys.load_or_make(folder)
            front = Front(folder, keys, port, worker_command)
            _stop_on_signals(front.stop)
            if watch_stdin:
                _stop_at_end_of_stdin(front.stop)
            Address.of(front.endpoint, keys).save(folder)
            print(f"Listening on {front.endpoint}, folder {folder}", flush=True)
            try:
                front.run()
            finally:
                Address.remove(folder)
    finally:
        lock.release()


@contextmanager
def _log_in(folder: Path) -> Iterator[None]:
    handler = RotatingFileHandler(folder / LOG_FILE, maxBytes=1_000_000, backupCount=3, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("cyclorama")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    except CycloramaError:
        raise  # told to whoever started us
    except Exception:
        logger.exception("The backend ends")
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()


def _stop_on_signals(stop: Callable[[], None]) -> None:
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: stop())


def _stop_at_end_of_stdin(stop: Callable[[], None]) -> None:
    """Unbuffered, because a thread that holds the buffer of ``sys.stdin`` breaks the interpreter's exit."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        stop()

    threading.Thread(target=watch, name="stdin", daemon=True).start()
