"""The stage cache: results of stages by what they depend on, so that no finished work is done twice.

cache/
    entries/<stage>-<key>/     see ``cache_entry.py``; and in it ``used``: a number, larger the later it was used
    entries/*.partial/         what is being written or removed
    leases/<job>               names of the entries that a job uses, a line each, until the server calls ``release``
    leases/process-…           the same of a process such as ``cyclorama make``, until it ends
    lock                       held while entries come, go or are leased; never while they are read or written

An entry that is leased is never evicted. Who cannot use the cache (a full disk, a folder closed to us) goes on without.
"""

from __future__ import annotations

import logging
import math
import os
import re
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..bridge.address import open_folder
from ..bridge.durable import flush_folder
from ..bridge.errors import CycloramaError
from ..bridge.held_file import HeldFile, is_held
from .cache_entry import OWNER, DamagedError, Draft, Entry

log = logging.getLogger(__name__)

CACHE_FOLDER = "cache"
"""In the backend's folder."""

LIMIT_VARIABLE = "CYCLORAMA_CACHE_GB"
MOST_BYTES = 20_000_000_000
SHARE_OF_DISK = 0.1

_PATIENCE_SECONDS = 10.0
_USED = "used"
_PARTIAL = ".partial"
_ENTRY = re.compile(r"[a-z0-9 ]{1,40}-[0-9a-f]{32}")
_PROCESS = "process-"

Result = TypeVar("Result")


@dataclass(frozen=True)
class Kept:
    """An entry as a list shows it.

    Attributes:
        name: of its folder.
        used: the larger, the later it was used.
        leased: names of the leases that hold it.
    """

    name: str
    bytes: int
    used: int
    leased: tuple[str, ...]

    @property
    def stage(self) -> str:
        """Whose result it is."""
        return self.name.rpartition("-")[0]


class StageCache:
    """The cache as one job uses it. What it leaves in ``folder`` is whole at any moment, whoever is killed.

    Args:
        folder: of the cache; made when something is kept.
        limit_bytes: of all entries together; ``default_limit`` when left out; 0: nothing is kept or found.
        lease: the job's name; "": a lease that ends with this process.

    Attributes:
        reused: the stages that were found here.
        left_free_bytes: of the disk, for what is more important than the cache.
    """

    def __init__(self, folder: Path, limit_bytes: int | None = None, lease: str = ""):
        self.folder = folder
        self.limit_bytes = default_limit(folder) if limit_bytes is None else limit_bytes
        self.reused: list[str] = []
        self.left_free_bytes = 0
        self._lease = folder / "leases" / (lease or f"{_PROCESS}{uuid.uuid4().hex[:16]}")
        self._ends_with_us = not lease
        self._held: HeldFile | None = None
        if folder.is_dir():
            sweep(folder)
            self._evict_down_to(self.limit_bytes)

    def load(self, stage: str, key: str, read: Callable[[Entry], Result]) -> Result | None:
        """What ``read`` makes of the entry; None where there is none, or it is damaged, and then it is removed.

        Args:
            stage: lower case.
            key: 32 hexadecimal digits, of all that the result depends on.
            read: may let ``DamagedError`` pass.
        """
        name = f"{stage}-{key}"
        path = self.folder / "entries" / name
        if not self.limit_bytes or not path.is_dir():
            return None
        try:
            with _locked(self.folder):
                self._take_lease(name)
                _mark_used(self.folder, path)
            return read(Entry(path))
        except DamagedError as error:
            log.warning("The kept result of %s is damaged (%s): it is computed again.", stage, error)
            remove(self.folder, [name])
        except OSError as error:
            log.warning("The stage cache in %s cannot be used: %s.", self.folder, error)
        return None

    def begin(self, stage: str, key: str, expected_bytes: int) -> NewEntry:
        """An entry to be written part by part. Room for it is made first; where there is none it will not be kept."""
        name = f"{stage}-{key}"
        try:
            draft = self._draft(name, stage, expected_bytes)
        except (OSError, CycloramaError) as error:
            log.warning("The result of %s cannot be kept in %s: %s.", stage, self.folder, error)
            draft = None
        return NewEntry(self, name, draft)

    def _draft(self, name: str, stage: str, expected_bytes: int) -> Draft | None:
        if expected_bytes > self.limit_bytes:
            return None
        entries = self.folder / "entries"
        open_folder(self.folder)
        entries.mkdir(exist_ok=True)
        if not self._evict_down_to(self.limit_bytes - expected_bytes, expected_bytes + self.left_free_bytes):
            log.info("There is no room to keep the result of %s (%d bytes).", stage, expected_bytes)
            return None
        with _locked(self.folder):
            self._take_lease(name)
            return Draft(entries / f"{name}.{uuid.uuid4().hex[:8]}{_PARTIAL}", stage)

    def put(self, draft: Draft, name: str) -> None:
        """Rename a sealed draft into its place. Raises ``OSError``."""
        entries = self.folder / "entries"
        with _locked(self.folder):
            if (entries / name).is_dir():  # another process was faster
                draft.drop()
                return
            _mark_used(self.folder, draft.folder)
            draft.give_up_ownership()
            draft.folder.rename(entries / name)
        flush_folder(entries)
        self._evict_down_to(self.limit_bytes)

    def close(self) -> None:
        """End the lease, if it is this process's own."""
        if self._ends_with_us and self._held is not None:
            self._held.release()
            self._held = None
            self._lease.unlink(missing_ok=True)

    def __enter__(self) -> StageCache:
        return self

    def __exit__(self, *_exception) -> None:
        self.close()

    def _take_lease(self, name: str) -> None:
        self._lease.parent.mkdir(exist_ok=True)
        if self._ends_with_us and self._held is None:
            self._held = HeldFile(self._lease)
        with self._lease.open("a", encoding="ascii") as file:
            file.write(f"\n{name}\n")

    def _evict_down_to(self, limit_bytes: int, free_bytes: int = 0) -> bool:
        """Remove what was used longest ago; whether entries take no more now, and so much is free on the disk."""
        try:
            entries = kept(self.folder)
            free = shutil.disk_usage(self.folder).free
        except OSError:
            return False
        total = sum(entry.bytes for entry in entries)
        evicted = []
        for entry in sorted(entries, key=lambda entry: entry.used):
            if total <= limit_bytes and free >= free_bytes:
                break
            if not entry.leased:
                evicted.append(entry.name)
                total, free = total - entry.bytes, free + entry.bytes
        remove(self.folder, evicted, leased=False)
        return total <= limit_bytes and free >= free_bytes


class NewEntry:
    """A result on its way into the cache. Whatever goes wrong with that, the job goes on without.

    Use as a context manager: leaving it without ``finish`` removes every trace.
    """

    def __init__(self, cache: StageCache | None, name: str, draft: Draft | None):
        self._cache, self._name, self._draft = cache, name, draft

    @property
    def is_kept(self) -> bool:
        """Whether it is still being written."""
        return self._draft is not None

    def part(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write the arrays of one part, by their names."""
        self._try(lambda draft, cache: draft.part(name, arrays))

    def finish(self, words: bytes) -> bool:
        """Put it in its place, with what is no array as JSON. Returns whether it is there now."""

        def put(draft: Draft, cache: StageCache) -> None:
            draft.seal(words)
            cache.put(draft, self._name)

        done = self._try(put)
        self._draft = None
        return done

    def __enter__(self) -> NewEntry:
        return self

    def __exit__(self, *_exception) -> None:
        self.drop()

    def drop(self) -> None:
        """Keep nothing of what is not finished."""
        if self._draft is not None:
            self._draft.drop()
            self._draft = None

    def _try(self, write: Callable[[Draft, StageCache], None]) -> bool:
        if self._draft is None or self._cache is None:
            return False
        try:
            write(self._draft, self._cache)
        except OSError as error:
            log.warning("The result %s is not kept: %s.", self._name, error)
            self.drop()
            return False
        return True


def default_limit(folder: Path) -> int:
    """Bytes that the cache in ``folder`` may take: what ``CYCLORAMA_CACHE_GB`` says, else the smaller of 20 GB and a
    tenth of the disk.

    Raises:
        CycloramaError: ``cache-limit`` when the variable is no number.
    """
    asked = os.environ.get(LIMIT_VARIABLE, "").strip()
    if asked:
        try:
            gigabytes = float(asked)
        except ValueError:
            gigabytes = -1.0
        if not (math.isfinite(gigabytes) and gigabytes >= 0):
            raise CycloramaError(
                "cache-limit",
                f"The cache cannot be limited to '{asked}' GB.",
                f"Give --cache-gb or {LIMIT_VARIABLE} a number of gigabytes; 0 for no cache.",
            )
        return round(gigabytes * 1e9)
    there = next(each for each in (folder, *folder.parents) if each.exists())
    try:
        return min(MOST_BYTES, round(SHARE_OF_DISK * shutil.disk_usage(there).total))
    except OSError:
        return MOST_BYTES


def used_bytes(folder: Path) -> int:
    """Bytes that all entries take, those that are being written included."""
    with suppress(OSError):
        return sum(_bytes_in(path) for path in (folder / "entries").iterdir())
    return 0


def kept(folder: Path) -> list[Kept]:
    """All whole entries, those used last first. Raises ``OSError``."""
    if not (folder / "entries").is_dir():
        return []
    leases = _leases(folder)
    found = [
        Kept(
            path.name,
            _bytes_in(path),
            _number(path),
            tuple(lease for lease, names in leases.items() if path.name in names),
        )
        for path in (folder / "entries").iterdir()
        if _ENTRY.fullmatch(path.name)
    ]
    return sorted(found, key=lambda entry: -entry.used)


def release(folder: Path, job: str) -> None:
    """The job has ended: what it used may be evicted from now on. Also sweeps."""
    with suppress(OSError):
        (folder / "leases" / job).unlink(missing_ok=True)
    sweep(folder)


def release_others(folder: Path, jobs: Collection[str]) -> None:
    """Of all jobs but these: they ended while nobody could say so. For a server that starts."""
    with suppress(OSError):
        for lease in (folder / "leases").iterdir():
            if not lease.name.startswith(_PROCESS) and lease.name not in jobs:
                lease.unlink(missing_ok=True)
    sweep(folder)


def sweep(folder: Path) -> None:
    """Remove what dead processes left half-written, and their leases."""
    try:
        if not folder.is_dir():
            return
        with _locked(folder):
            leases = folder / "leases"
            for lease in leases.glob(f"{_PROCESS}*") if leases.is_dir() else ():
                if not is_held(lease):
                    lease.unlink(missing_ok=True)
            dead = [path for path in (folder / "entries").glob(f"*{_PARTIAL}") if not is_held(path / OWNER)]
        for path in dead:
            shutil.rmtree(path, ignore_errors=True)
    except OSError as error:
        log.warning("The stage cache in %s cannot be swept: %s.", folder, error)


def remove(folder: Path, names: Collection[str], leased: bool = True) -> int:
    """Remove entries; returns how many bytes that freed.

    Args:
        leased: also those that are leased, because they are damaged.
    """
    if not names:
        return 0
    freed = 0
    try:
        aside = []
        with _locked(folder):
            held = set().union(*_leases(folder).values()) if not leased else set()
            for name in set(names) - held:
                path = folder / "entries" / name
                gone = path.with_name(f"{name}.{uuid.uuid4().hex[:8]}{_PARTIAL}")
                with suppress(OSError):  # removed by another process, or open on Windows
                    path.rename(gone)
                    aside.append(gone)
        for path in aside:
            freed += _bytes_in(path)
            shutil.rmtree(path, ignore_errors=True)
    except OSError as error:
        log.warning("Nothing can be removed from the stage cache in %s: %s.", folder, error)
    return freed


def _locked(folder: Path) -> HeldFile:
    return HeldFile(folder / "lock", _PATIENCE_SECONDS)


def _leases(folder: Path) -> dict[str, frozenset[str]]:
    """The entries that each lease holds; those of dead processes hold none."""
    found: dict[str, frozenset[str]] = {}
    if not (folder / "leases").is_dir():
        return found
    for path in (folder / "leases").iterdir():
        if path.name.startswith(_PROCESS) and is_held(path) is False:
            continue
        with suppress(OSError):
            found[path.name] = frozenset(_names(path))
    return found


def _names(lease: Path) -> Iterator[str]:
    for line in lease.read_text("ascii", errors="replace").splitlines():
        if _ENTRY.fullmatch(line):
            yield line


def _mark_used(folder: Path, entry: Path) -> None:
    """As later used than all others. By counting: a clock may be set back."""
    last = max((_number(path) for path in (folder / "entries").iterdir()), default=0)
    new = entry / f"{_USED}{_PARTIAL}"
    new.write_text(str(last + 1))
    new.replace(entry / _USED)


def _number(entry: Path) -> int:
    try:
        return int((entry / _USED).read_text("ascii"))
    except (OSError, ValueError):  # never used, as far as one can tell
        return 0


def _bytes_in(folder: Path) -> int:
    total = 0
    with suppress(OSError):  # it may be on its way out
        for path in folder.iterdir():
            total += path.stat().st_size
    return total
