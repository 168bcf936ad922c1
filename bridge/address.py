"""Where a backend is reached, and the keys that let one in: the files in a backend's folder."""

from __future__ import annotations

import logging
import os
import re
import stat
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
import platformdirs
import zmq
from zmq.utils import z85

from .errors import CycloramaError

ADDRESS_FILE = "address.json"
KEYS_FILE = "keys.json"
FOLDER_VARIABLE = "CYCLORAMA_FOLDER"
GUEST = r"[A-Za-z0-9_-]{1,32}"
"""What a guest may be called."""

_MAX_INVITATION_BYTES = 4096

log = logging.getLogger(__name__)


def backend_folder(folder: Path | str | None = None) -> Path:
    """The folder of a backend: the one given, else that of ``CYCLORAMA_FOLDER``, else the user's own."""
    chosen = folder or os.environ.get(FOLDER_VARIABLE)
    return Path(chosen).absolute() if chosen else Path(platformdirs.user_data_dir("cyclorama", False)) / "backend"


def open_folder(folder: Path) -> None:
    """Make ``folder`` where it is missing and close it to other users. Raises CycloramaError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise folder_not_usable(folder, error) from error


@dataclass(frozen=True)
class Keys:
    """The CURVE key pairs of a backend and of the clients on its own machine, as Z85 text."""

    server_public: str
    server_secret: str = field(repr=False)
    client_public: str
    client_secret: str = field(repr=False)

    @classmethod
    def load_or_make(cls, folder: Path) -> Keys:
        """The keys in ``folder``, made at the first start.

        Raises:
            CycloramaError: ``address-unreadable`` when the file is damaged, ``folder-not-usable``.
        """
        path = folder / KEYS_FILE
        if path.exists():
            return _whole(path, read_private(path, cls, _NEW_KEYS))
        pairs = (*zmq.curve_keypair(), *zmq.curve_keypair())
        keys = cls(*(key.decode("ascii") for key in pairs))
        write_private(path, keys)
        return keys


@dataclass(frozen=True)
class Address:
    """How a client reaches a backend, and the keys that let it in.

    On the backend's own computer ``instance`` differs at every start. With an invitation it is "", and ``guest`` is
    the name that was invited.
    """

    endpoint: str
    server_public: str
    client_public: str
    client_secret: str = field(repr=False)
    instance: str = ""
    guest: str = ""

    @property
    def remote(self) -> bool:
        """Whether the backend shares no disk with us."""
        return bool(self.guest)

    @classmethod
    def of(cls, endpoint: str, keys: Keys) -> Address:
        """The address of a backend that starts listening at ``endpoint``."""
        return cls(endpoint, keys.server_public, keys.client_public, keys.client_secret, uuid.uuid4().hex)

    @classmethod
    def load(cls, folder: Path) -> Address:
        """The address in ``folder``. Raises CycloramaError: ``backend-not-running`` when there is none."""
        path = folder / ADDRESS_FILE
        if not path.exists():
            raise CycloramaError(
                "backend-not-running", f"No backend runs in {folder}.", "Start one with: cyclorama serve"
            )
        return read_private(path, cls, "Start the backend again.")

    @classmethod
    def from_invitation(cls, path: Path | str) -> Address:
        """The address in the file that ``cyclorama keys invite`` wrote.

        Raises:
            CycloramaError: ``invitation-missing``, ``invitation-unreadable``.
        """
        path = Path(path)
        ask = "Ask whoever runs the backend for a new one: cyclorama keys invite."
        if not path.is_file():
            raise CycloramaError("invitation-missing", f"There is no invitation {path}.", "Choose the file again.")
        try:
            invitation = msgspec.json.decode(_read_short(path), type=cls)
        except (OSError, UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
            raise CycloramaError("invitation-unreadable", f"{path} is no invitation: {error}.", ask) from error
        fault = _fault(invitation)
        if fault:
            raise CycloramaError("invitation-unreadable", f"{path} is no invitation: {fault}.", ask)
        return invitation

    def save(self, folder: Path) -> None:
        """Write it whole, readable by this user only."""
        write_private(folder / ADDRESS_FILE, self)

    @staticmethod
    def remove(folder: Path) -> None:
        """Say that no backend runs in ``folder`` any more."""
        (folder / ADDRESS_FILE).unlink(missing_ok=True)


def _read_short(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_MAX_INVITATION_BYTES + 1)
    if len(content) > _MAX_INVITATION_BYTES:
        raise msgspec.DecodeError("it is too long")
    return content


def _fault(invitation: Address) -> str:
    if not re.fullmatch(GUEST, invitation.guest):
        return "it invites nobody"
    if not re.fullmatch(r"tcp://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}", invitation.endpoint):
        return f"{invitation.endpoint!r} is no address"
    for key in (invitation.server_public, invitation.client_public, invitation.client_secret):
        if not is_key(key):
            return "a key in it is damaged"
    return ""


_NEW_KEYS = "Delete it and start the backend again: it then makes new ones, and guests need new invitations."


def _whole(path: Path, keys: Keys) -> Keys:
    pairs = ((keys.server_public, keys.server_secret), (keys.client_public, keys.client_secret))
    for public, secret in pairs:
        if not (is_key(public) and is_key(secret)) or zmq.curve_public(secret.encode()).decode() != public:
            raise CycloramaError("address-unreadable", f"A key in {path} is damaged.", _NEW_KEYS)
    return keys


def is_key(text: str) -> bool:
    """Whether it looks like a CURVE key: 32 bytes as Z85 text."""
    try:
        return len(z85.decode(text.encode("ascii"))) == 32 if len(text) == 40 else False
    except (ValueError, KeyError, UnicodeEncodeError):
        return False


_File = TypeVar("_File")


def read_private(path: Path, kind: type[_File], hint: str) -> _File:
    """What ``write_private`` wrote; closed again to other users, if it is open. Raises CycloramaError
    ``address-unreadable``.
    """
    try:
        if sys.platform != "win32" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
            log.warning("Other users of this computer could read %s; now they cannot", path)
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise CycloramaError("address-unreadable", f"{path} cannot be read: {error}.", hint) from error


def write_private(path: Path, content: object) -> None:
    """Replace ``path`` in one step by a JSON file that only this user can read.

    Raises:
        CycloramaError: ``folder-not-usable``.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(content))
        partial.replace(path)
    except OSError as error:
        raise folder_not_usable(path.parent, error) from error


def folder_not_usable(folder: Path, error: OSError) -> CycloramaError:
    """The error to raise where a backend's folder cannot be used."""
    return CycloramaError(
        "folder-not-usable",
        f"The backend's folder {folder} cannot be used: {error.strerror}.",
        f"Choose another with --folder or {FOLDER_VARIABLE}.",
    )
