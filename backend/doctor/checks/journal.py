"""The list of jobs on disk: whole, of a version we read, and what is in it. Looked at without changing it."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ...server.journal import JOURNAL_FILE, SCHEMA
from ..finding import Finding, fault, ok, warning
from ..situation import Situation

_BUSY_SECONDS = 5.0


def journal(situation: Situation) -> Iterator[Finding]:
    """What it holds, and what was put aside."""
    path = situation.folder / JOURNAL_FILE
    if not path.exists():
        yield ok("Jobs", "none yet")
    else:
        yield _judged(path, live=situation.reached.welcome is not None)
    aside = sorted(situation.folder.glob(f"{path.stem}-*{path.suffix}"))
    if aside:
        names = ", ".join(each.name for each in aside[:3])
        yield warning(
            "Jobs",
            f"Earlier lists were damaged and put aside: {names}{' ...' if len(aside) > 3 else ''}",
            f"Nothing needs them; delete them in {situation.folder} when you miss no job.",
        )


def _judged(path: Path, live: bool) -> Finding:
    try:
        version, health, counts = _read(path) if live else _read_copy(path)
    except (sqlite3.Error, OSError) as error:
        return fault(
            "Jobs", f"{path} cannot be read: {error}.", "The backend puts it aside at its next start and begins anew."
        )
    if version > SCHEMA:
        return fault("Jobs", f"{path} was written by a newer Cyclorama.", "Update this one.")
    if health != "ok":
        return fault(
            "Jobs", f"{path} is damaged: {health}.", "The backend puts it aside at its next start and begins anew."
        )
    words = ", ".join(f"{count} {state}" for state, count in counts)
    return ok("Jobs", words or "none")


def _read_copy(path: Path) -> tuple[int, str, list[tuple[str, int]]]:
    """Nobody writes it now; SQLite itself would tidy up behind the last one who did."""
    with tempfile.TemporaryDirectory(prefix="cyclorama-doctor-") as folder:
        for ending in ("", "-wal"):
            if Path(f"{path}{ending}").exists():
                shutil.copyfile(f"{path}{ending}", Path(folder) / f"{path.name}{ending}")
        return _read(Path(folder) / path.name, "rw")


def _read(path: Path, mode: str = "ro") -> tuple[int, str, list[tuple[str, int]]]:
    """Schema, health, and how many jobs stand how."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=_BUSY_SECONDS)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (health,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        counts = connection.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state ORDER BY state").fetchall()
    return version, health, counts
