"""What a process does to files while it is being fed: noted by Python's audit hook, judged at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = {
    *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"),
    *("os.chown", "os.utime", "shutil.rmtree", "shutil.move", "shutil.copyfile", "sqlite3.connect"),
}
_FROM_OPEN_FOLDERS = {"os.remove", "os.rmdir", "os.mkdir"}
_STARTING = {
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pickle.find_class"),
}

_notes: list[tuple[str, str]] | None = None
_allowed: tuple[str, ...] = ()
_reading = False


@contextmanager
def files_touched(*allowed: Path, reading: bool = False) -> Iterator[list[tuple[str, str]]]:
    """A list that fills with (event, path) of files outside ``allowed`` that are written, or also read.

    Code that is run and programs that are started are noted too. What Python itself reads (modules) is not.
    """
    global _notes, _allowed, _reading
    _install()
    _allowed = tuple(os.path.realpath(each) for each in allowed)
    _reading = reading
    _notes = found = []
    try:
        yield found
    finally:
        _notes = None


def _note(event: str, arguments: tuple) -> None:
    if _notes is None:
        return
    if event == "open":
        path, mode, flags = arguments
        writes = bool(flags & _WRITING) if isinstance(flags, int) else bool(set(str(mode)) & set("wax+"))
        if writes or (_reading and not str(path).endswith((".py", ".pyc", ".so"))):
            _judge(event, path)
    elif event in _CHANGING:
        for path in arguments[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
            _judge(event, path, arguments[-1])
    elif event in _STARTING:
        _notes.append((event, str(arguments[0])))
    elif event in ("os.listdir", "os.scandir") and _reading:
        _judge(event, arguments[0])


def _judge(event: str, path: object, folder: object = -1) -> None:
    """``folder``: the open one that a relative path starts from, as in ``shutil.rmtree``, if it is above 0."""
    if _notes is None or not isinstance(path, str | bytes | os.PathLike):
        return
    where = os.fsdecode(path)
    if isinstance(folder, int) and folder > 0 and event in _FROM_OPEN_FOLDERS and not Path(where).is_absolute():
        where = str(Path(f"/proc/self/fd/{folder}").readlink() / where)
    where = os.path.realpath(where)
    if not any(where == each or where.startswith(each + os.sep) for each in _allowed):
        _notes.append((event, where))


_installed = False


def _install() -> None:
    global _installed
    if not _installed:
        sys.addaudithook(_note)  # cannot be taken off again
        _installed = True


def resident_bytes() -> int:
    """Memory of this process now; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
