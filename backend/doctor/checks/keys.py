"""The keys that let clients in, and who is invited. Nothing of a key is ever shown."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import zmq

from ....bridge.address import ADDRESS_FILE, GUEST, KEYS_FILE, Keys, is_key
from ...server.guests import GUESTS_FILE, Guest
from ..finding import Finding, fault, ok
from ..reading import DamagedError, read_untouched
from ..situation import Situation

_NEW_KEYS = "Delete it and start the backend again: it then makes new ones, and guests need new invitations."

_THEN_NEW_KEYS = f"; if somebody may have read it, delete {KEYS_FILE} too, so that new keys are made."


def keys(situation: Situation) -> Iterator[Finding]:
    """That they are there, whole, and readable by this user only."""
    path = situation.folder / KEYS_FILE
    if not path.exists():
        yield ok("Keys", "none yet; they are made when the backend first starts")
        return
    wrong = list(_open_to_others(path, "Keys", _THEN_NEW_KEYS))
    if reason := _damage(path):
        wrong.append(fault("Keys", f"{path} {reason}.", _NEW_KEYS))
    yield from wrong
    if not wrong:
        yield ok("Keys", "are there, whole, and closed to other users")
    yield from _open_to_others(situation.folder / ADDRESS_FILE, "Keys", _THEN_NEW_KEYS)


def guests(situation: Situation) -> Iterator[Finding]:
    """Who may come in from other computers."""
    path = situation.folder / GUESTS_FILE
    yield from _open_to_others(path, "Guests", "")
    try:
        listed = read_untouched(path, dict[str, Guest])
        if not all(re.fullmatch(GUEST, name) and is_key(guest.public) for name, guest in listed.items()):
            raise DamagedError("is damaged")
    except (FileNotFoundError, NotADirectoryError):
        listed = {}
    except DamagedError as error:
        yield fault("Guests", f"{path} {error}.", "Delete it: all guests then need new invitations.")
        return
    names = ", ".join(list(listed)[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
    yield ok("Guests", f"{len(listed)} invited: {names}" if listed else "nobody is invited from other computers")


def _damage(path: Path) -> str:
    try:
        found = read_untouched(path, Keys)
    except DamagedError as error:
        return str(error)
    pairs = ((found.server_public, found.server_secret), (found.client_public, found.client_secret))
    if not all(is_key(key) for pair in pairs for key in pair):
        return "is damaged"
    if any(zmq.curve_public(secret.encode()) != public.encode() for public, secret in pairs):
        return "is damaged: its keys do not belong together"
    return ""


def _open_to_others(path: Path, subject: str, then: str) -> Iterator[Finding]:
    if sys.platform == "win32" or not path.exists():  # there the folder's own rights protect it
        return
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        yield fault(subject, f"{path} is open to other users (mode {mode:04o}).", f"chmod 600 {path}{then}")
    if found.st_uid != os.getuid():
        yield fault(subject, f"{path} belongs to another user.", "Choose another folder with --folder.")
