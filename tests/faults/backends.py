"""Backends that tests may kill: the processes of one, what an artist asks of it, and what it must not leave behind."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclorama.bridge import messages
from cyclorama.bridge.address import Address
from cyclorama.bridge.client import Client
from cyclorama.bridge.settings import PanoramaTo4D

from . import wrong_clock

HERE = Path(__file__).parent
TOY_WORKER = HERE.parent / "backend/server/toy_worker.py"
REAL_WORKER = ("-P", "-m", "cyclorama.backend.server.worker")

ENDINGS = (messages.Done, messages.Failed, messages.Cancelled)

_NOTICED = "The worker ended (signal 9)"
_TEMPORARY = re.compile(r"\.(partial|arriving|replaced|tmp|temporary|\d+)$|^\.")
_LOGS = re.compile(r"^backend\.log(\.\d+)?$")


def until(true, seconds: float = 240.0):
    """Wait for what ``true`` returns to be so, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.01)
    return found


class Backend:
    """A server process in ``folder``.

    Args:
        worker: arguments of Python that start its worker.
        listen: where guests reach it.
        clock: a file with the seconds by which server and worker are told a wrong time.
    """

    def __init__(
        self,
        folder: Path,
        worker: Sequence[str] = REAL_WORKER,
        *,
        listen: str = "",
        port: int = 0,
        clock: Path | None = None,
    ):
        self.folder = folder
        self.port = port
        self.errors = folder.with_name(f"{folder.name}.stderr")
        asked = json.dumps({"folder": str(folder), "port": port, "listen": listen, "worker": list(worker)})
        command = [sys.executable, str(HERE / "serve_here.py"), asked]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        if clock:
            environment[wrong_clock.VARIABLE] = str(clock)
        with self.errors.open("a") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
            )
        assert self.process.stdout
        self.line = self.process.stdout.readline()
        """What it printed when clients could come; "" where it ended instead."""

    @property
    def pid(self) -> int:
        """Of the server process."""
        return self.process.pid

    def worker(self) -> int | None:
        """The process that works for it now."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        except OSError:
            return None
        return next((int(child) for child in children if is_alive(int(child))), None)

    def kill_worker(self) -> None:
        """Returns when the server has noticed."""
        worker, noticed = until(self.worker), self.log().count(_NOTICED)
        os.kill(worker, signal.SIGKILL)
        until(lambda: self.log().count(_NOTICED) > noticed)

    def kill(self) -> None:
        """The server only: its worker has to notice."""
        self.process.kill()
        self._leave()

    def stop(self) -> None:
        """In good order."""
        self.process.terminate()
        self._leave()

    def _leave(self) -> None:
        with self.process:  # closes its pipes
            self.process.wait(60)

    def rss_bytes(self) -> int:
        """Memory of the server process."""
        found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        assert found
        return int(found[1]) * 1024

    def log(self) -> str:
        """All it logged."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("backend.log*"), reverse=True))


class Artist:
    """A client that remembers what it asked and what it heard; its scenes go to ``place``."""

    def __init__(self, folder: Path, place: Path, address: Address | None = None, silence: float = 2.0):
        self.client = Client(folder, address=address, silence=silence)
        self.place = place
        self.heard: list = []

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.client.close()

    def output(self, job: str) -> Path:
        """Where the scene of ``job`` goes."""
        return self.place / f"{job}.cyclorama"

    def task(self, job: str, panorama: Path | str, settings: PanoramaTo4D | None = None) -> messages.Generate:
        """What is sent for a job."""
        output = str(self.output(job))
        return messages.Generate(job=job, panorama=str(panorama), output=output, settings=settings or PanoramaTo4D())

    def request(self, message: messages.Request, seconds: float = 120) -> Any:
        """Ask and wait."""
        return self.client.request(message, seconds)

    def listen(self) -> list:
        """All replies and events so far that nobody waited for."""
        self.heard += self.client.drain()
        return self.heard

    def events(self, kind, job: str) -> list:
        """Of one kind and job."""
        return [message for message in self.listen() if isinstance(message, kind) and message.job == job]

    def endings(self, job: str) -> list:
        """The events so far that ended a job."""
        return self.events(ENDINGS, job)

    def ending(self, job: str, seconds: float = 240):
        """Wait for the event that ends a job."""
        return until(lambda: self.endings(job), seconds)[-1]

    def jobs(self) -> dict[str, messages.JobState]:
        """All that the backend knows, in its order."""
        return {line.job: line for line in self.request(messages.Status()).jobs}

    def stage(self, job: str) -> str:
        """How far it was when it was last heard of."""
        told = [
            message.state.state if isinstance(message, messages.Changed) else message.stage
            for message in self.listen()
            if (isinstance(message, messages.Changed) and message.state.job == job)
            or (isinstance(message, messages.Progress) and message.job == job)
        ]
        return told[-1] if told else "asked"


def is_alive(process: int) -> bool:
    """Whether it runs; one that only waits to be buried does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def processes_of(folder: Path) -> list[int]:
    """All that name ``folder`` in their command or environment, except this one."""
    named = str(folder).encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if named in told and is_alive(int(entry.name)):
                found.append(int(entry.name))
    return found


def temporary_files(*folders: Path) -> list[str]:
    """What unfinished writing has left in them."""
    paths = (path for folder in folders for path in folder.rglob("*"))
    return sorted(str(path) for path in paths if _TEMPORARY.search(path.name) and not _LOGS.match(path.name))


def journal_rows(folder: Path) -> list[dict]:
    """The journal's jobs in their order, after it was found to be consistent."""
    connection = sqlite3.connect(f"file:{folder / 'journal.sqlite'}?mode=ro", uri=True, timeout=10)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT * FROM jobs ORDER BY number")]
    finally:
        connection.close()
    for row in rows:
        assert (row["ended_at"] > 0) == (row["state"] in ("done", "failed", "cancelled")), row
        assert (row["state"] == "failed") == bool(row["sentence"]), row
        assert row["fraction"] == 1.0 or row["state"] != "done", row
    return rows


def assert_nothing_is_left(folder: Path, place: Path, jobs: Sequence[str] = ()) -> None:
    """After the backend has stopped: no process, no temporary file; of ``jobs`` all ended."""
    until(lambda: not processes_of(folder), 30)
    left = temporary_files(folder, place)
    assert not left, left
    rows = {row["name"]: row for row in journal_rows(folder)}
    for job in jobs:
        assert rows[job]["state"] in ("done", "failed", "cancelled"), rows[job]


def empty_cache(folder: Path) -> None:
    """Forget the stages of earlier jobs, so that the next one has to do all of them."""
    shutil.rmtree(folder / "cache", ignore_errors=True)


def files_in(scene: Path) -> dict[str, bytes]:
    """A package's content by the paths in it."""
    return {path.relative_to(scene).as_posix(): path.read_bytes() for path in scene.rglob("*") if path.is_file()}


def assert_same_scene(scene: Path, undisturbed: Path) -> None:
    """Byte by byte."""
    found, right = files_in(scene), files_in(undisturbed)
    assert sorted(found) == sorted(right), sorted(found.keys() ^ right.keys())
    different = [name for name in right if found[name] != right[name]]
    assert not different, different
