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
from ...bridge.frames import header_of
from .job import Job
from .scenes import FOLDER as SCENES

JOURNAL_FILE = "journal.sqlite"
SCHEMA = 2
"""Of the table below; kept as SQLite's ``user_version``."""

_ADDED_IN_2 = ("priority", "deaths", "scene_before", "device", "remark", "reused")
_COLUMNS = (
    *("state", "stage", "fraction", "code", "sentence", "hint", "seconds", "peak_bytes"),
    *("asked_at", "started_at", "ended_at", "starts"),
    *_ADDED_IN_2,
)
_AS_JSON = ("seconds", "reused")
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
_FROM_1_TO_2 = (
    "ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN scene_before TEXT NOT NULL DEFAULT ''",  # see recovery.scene_digest
    "ALTER TABLE jobs ADD COLUMN device TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE jobs ADD COLUMN remark TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE jobs ADD COLUMN reused TEXT NOT NULL DEFAULT '[]'",  # JSON: stages
)
_STEPS = {0: (_TABLE,), 1: _FROM_1_TO_2}
"""What leads from each version to the next; a new journal takes all of them."""

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
        self._unwritten: dict[str, Job | None] = {}  # None: to be removed
        self._tried_at = 0.0
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
        values = (job.name, job.guest, messages.PROTOCOL, header_of(job.asked), *_row(job))
        columns = ("name", "guest", "protocol", "asked", *_COLUMNS)
        marks = ", ".join("?" * len(columns))
        insert = f"INSERT INTO jobs ({', '.join(columns)}) VALUES ({marks})"
        try:
            self._execute(("DELETE FROM jobs WHERE name = ?", (job.name,)), (insert, values))
        except sqlite3.Error as error:
            raise self._not_writable(error) from error
        self._unwritten.pop(job.name, None)

    def write(self, job: Job) -> None:
        """Write down how it stands now. Raises CycloramaError ``journal-not-writable``."""
        assignments = ", ".join(f"{column} = ?" for column in _COLUMNS)
        try:
            self._execute((f"UPDATE jobs SET {assignments} WHERE name = ?", (*_row(job), job.name)))
        except sqlite3.Error as error:
            raise self._not_writable(error) from error
        self._unwritten.pop(job.name, None)

    def update(self, job: Job) -> None:
        """Write down how it stands now; where that fails, ``catch_up`` does it later."""
        try:
            self.write(job)
        except CycloramaError as error:
            self._postpone(job.name, job, error)

    def remove(self, name: str) -> None:
        """Forget a job; where that fails, ``catch_up`` does it later."""
        try:
            self._execute(("DELETE FROM jobs WHERE name = ?", (name,)))
        except sqlite3.Error as error:
            self._postpone(name, None, self._not_writable(error))
        else:
            self._unwritten.pop(name, None)

    def catch_up(self, pause: float = 1.0) -> None:
        """Write down what could not be, as when a disk was full; tried again after ``pause`` seconds at the soonest."""
        if not self._unwritten or time.monotonic() < self._tried_at + pause:
            return
        self._tried_at = time.monotonic()
        for name, job in list(self._unwritten.items()):
            if job is None:
                self.remove(name)
            else:
                self.update(job)
            if name in self._unwritten:
                return
            log.info("The journal has been written after all", extra={"job": name})

    def close(self) -> None:
        """Write all of it into one file."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def _execute(self, *statements: tuple[str, tuple]) -> None:
        with self._connection:  # all or none
            for statement, values in statements:
                self._connection.execute(statement, values)

    def _postpone(self, name: str, job: Job | None, error: CycloramaError) -> None:
        if name not in self._unwritten:
            log.error("%s", error, extra={"job": name})
        self._unwritten[name] = job

    def _not_writable(self, error: sqlite3.Error) -> CycloramaError:
        return CycloramaError(
            "journal-not-writable",
            f"The job cannot be written down in {self._path} ({error}).",
            "Make room on that disk, then generate again.",
        )

    def _read(self) -> list[Job]:
        jobs, lost = [], []
        query = f"SELECT name, guest, protocol, asked, {', '.join(_COLUMNS)} FROM jobs ORDER BY number"
        for name, guest, protocol, asked, *rest in self._connection.execute(query):
            try:
                jobs.append(Job(_decode_asked(asked), guest, **_fields(rest)))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                words = "Job %s of protocol %s is forgotten, for it is not understood: %s"
                log.warning(words, name, protocol, error, extra={"job": name})
                lost.append(name)
        for name in lost:
            self.remove(name)
        if lost:
            self.notes = (f"{_jobs(len(lost))} of an earlier version could not be understood and left the list.",)
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
        with suppress(OSError):  # there are none, or they stay where they are until the next start
            scenes = self._path.with_name(SCENES).replace(aside.with_name(f"{SCENES}-{aside.stem}"))
            self.notes += (f"Scenes that guests had not fetched lie in {scenes}.",)


def _open(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # for this user only; SQLite's other files follow it
    connection = sqlite3.connect(path, timeout=5.0)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # what was accepted survives a power cut too
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise ValueError(f"it is of version {version}, this Cyclorama reads up to {SCHEMA}")
        if version < SCHEMA:
            _bring_up_to_date(connection, version)
        (health,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if health != "ok":
            raise sqlite3.DatabaseError(health)
    except BaseException:
        connection.close()
        raise
    return connection


def _bring_up_to_date(connection: sqlite3.Connection, version: int) -> None:
    """All steps in one transaction: a power cut in between leaves the old version."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        for step in range(version, SCHEMA):
            for statement in _STEPS[step]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA}")


def _is_damage(error: Exception) -> bool:
    """Not a disk that is full or closed to us: then the journal is as it should be."""
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode == sqlite3.SQLITE_ERROR  # such as a table that is not there
    return not isinstance(error, OSError)


def _row(job: Job) -> tuple:
    values = ((column, getattr(job, column)) for column in _COLUMNS)
    return tuple(json.dumps(value) if column in _AS_JSON else value for column, value in values)


def _fields(row: list) -> dict:
    fields = dict(zip(_COLUMNS, row, strict=True))
    return fields | {"seconds": json.loads(fields["seconds"]), "reused": tuple(json.loads(fields["reused"]))}


def _jobs(count: int) -> str:
    return "One job" if count == 1 else f"{count} jobs"
