"""The journal: every job on disk, so that none is lost whatever ends the server.

One SQLite file in write-ahead mode. What was asked is kept as the bytes of ``messages.Generate``, the rest in columns.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from ...bridge import messages
from ...bridge.errors import CycloramaError
from .job import Job

JOURNAL_FILE = "journal.sqlite"
SCHEMA = 1
"""Of the table below; kept as SQLite's ``user_version``."""

_COLUMNS = (
    *("state", "stage", "fraction", "code", "sentence", "hint", "seconds", "peak_bytes"),
    *("asked_at", "started_at", "ended_at", "starts"),
)
_TABLE = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- jobs run in this order
    name TEXT NOT NULL UNIQUE,
    guest TEXT NOT NULL,
    protocol INTEGER NOT NULL,
    asked BLOB NOT NULL,  -- MessagePack of messages.Generate
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed', 'cancelled')),
    stage TEXT NOT NULL,
    fraction REAL NOT NULL,
    code TEXT NOT NULL,
    sentence TEXT NOT NULL,
    hint TEXT NOT NULL,
    seconds TEXT NOT NULL,  -- JSON: stage -> seconds
    peak_bytes INTEGER NOT NULL,
    asked_at REAL NOT NULL,
    started_at REAL NOT NULL,
    ended_at REAL NOT NULL,
    starts INTEGER NOT NULL
)
"""
_decode_asked = msgspec.msgpack.Decoder(messages.Generate).decode

log = logging.getLogger(__name__)


class Journal:
    """The journal in a backend's folder, of which the server holds the lock.

    A journal that cannot be read is put aside, and ``notes`` says so.

    Raises:
        CycloramaError: ``folder-not-usable``.
    """

    def __init__(self, folder: Path):
        self._path = folder / JOURNAL_FILE
        self.notes: tuple[str, ...] = ()
        """What the artist should know, a sentence each."""
        try:
            self._connection = _open(self._path)
            self._jobs = self._read()
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:
            if not _is_damage(error):
                raise CycloramaError(
                    "folder-not-usable",
                    f"The list of jobs {self._path} cannot be opened: {error}.",
                    "Make room there or allow writing, or choose another folder with --folder.",
                ) from error
            self._put_aside(error)
            self._connection = _open(self._path)
            self._jobs = []

    def jobs(self) -> list[Job]:
        """All jobs as they were when the journal was opened, in the order they run."""
        return self._jobs

    def add(self, job: Job) -> None:
        """Write down a new job, or an old one anew, as the last in the queue.

        Raises:
            CycloramaError: ``journal-not-writable``; the job must not be accepted then.
        """
        values = (job.name, job.guest, messages.PROTOCOL, messages.encode(job.asked), *_row(job))
        columns = ("name", "guest", "protocol", "asked", *_COLUMNS)
        marks = ", ".join("?" * len(columns))
        try:
            with self._connection:
                self._connection.execute("DELETE FROM jobs WHERE name = ?", (job.name,))
                self._connection.execute(f"INSERT INTO jobs ({', '.join(columns)}) VALUES ({marks})", values)
        except sqlite3.Error as error:
            raise CycloramaError(
                "journal-not-writable",
                f"The job cannot be written down in {self._path} ({error}).",
                "Make room on that disk, then generate again.",
            ) from error

    def update(self, job: Job) -> None:
        """Write down how it stands now. Where that fails the job goes on, and runs again after a restart."""
        assignments = ", ".join(f"{column} = ?" for column in _COLUMNS)
        self._try(f"UPDATE jobs SET {assignments} WHERE name = ?", (*_row(job), job.name))

    def remove(self, name: str) -> None:
        """Forget a job."""
        self._try("DELETE FROM jobs WHERE name = ?", (name,))

    def close(self) -> None:
        """Write all of it into one file."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def _try(self, statement: str, values: tuple) -> None:
        try:
            with self._connection:
                self._connection.execute(statement, values)
        except sqlite3.Error as error:
            log.error("The journal %s cannot be written: %s", self._path, error)

    def _read(self) -> list[Job]:
        jobs, lost = [], []
        query = f"SELECT name, guest, protocol, asked, {', '.join(_COLUMNS)} FROM jobs ORDER BY number"
        for name, guest, protocol, asked, *rest in self._connection.execute(query):
            try:
                jobs.append(Job(_decode_asked(asked), guest, **_fields(rest)))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                log.warning("Job %s of protocol %s is forgotten, for it is not understood: %s", name, protocol, error)
                lost.append(name)
        for name in lost:
            self.remove(name)
        return jobs

    def _put_aside(self, error: Exception) -> None:
        with suppress(sqlite3.Error, AttributeError):
            self._connection.close()
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside = self._path.with_name(f"{self._path.stem}-{stamp}-{os.getpid()}{self._path.suffix}")
        for ending in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{self._path}{ending}").replace(f"{aside}{ending}")
        log.error("The journal %s cannot be read (%s); it now is %s", self._path, error, aside.name)
        self.notes = (f"The list of earlier jobs could not be read ({error}); it was put aside as {aside.name}.",)


def _open(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # for this user only; SQLite's other files follow it
    connection = sqlite3.connect(path, timeout=5.0)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # what was accepted survives a power cut too
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise ValueError(f"it is of version {version}, this Cyclorama reads up to {SCHEMA}")
        if version == 0:
            with connection:
                connection.execute(_TABLE)
                connection.execute(f"PRAGMA user_version = {SCHEMA}")
        (health,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if health != "ok":
            raise sqlite3.DatabaseError(health)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_damage(error: Exception) -> bool:
    """Not a disk that is full or closed to us: then the journal is as it should be."""
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode == sqlite3.SQLITE_ERROR  # such as a table that is not there
    return not isinstance(error, OSError)


def _row(job: Job) -> tuple:
    return tuple(json.dumps(job.seconds) if column == "seconds" else getattr(job, column) for column in _COLUMNS)


def _fields(row: list) -> dict:
    fields = dict(zip(_COLUMNS, row, strict=True))
    return fields | {"seconds": json.loads(fields["seconds"])}
