"""Where a backend is reached, and the keys that let one in: the files in a backend's folder."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import platformdirs
import zmq

from .errors import CycloramaError

ADDRESS_FILE = "address.json"
KEYS_FILE = "keys.json"
FOLDER_VARIABLE = "CYCLORAMA_FOLDER"


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
        raise _unusable(folder, error) from error


@dataclass(frozen=True)
class Keys:
    """The CURVE key pairs of a backend and of the clients on its own machine, as Z85 text."""

    server_public: str
    server_secret: str
    client_public: str
    client_secret: str

    @classmethod
    def load_or_make(cls, folder: Path) -> Keys:
        """The keys in ``folder``, made at the first start. Raises CycloramaError when the file is damaged."""
        path = folder / KEYS_FILE
        if path.exists():
            return _read(path, cls, "Delete it and start the backend again: it then makes new ones.")
        pairs = (*zmq.curve_keypair(), *zmq.curve_keypair())
        keys = cls(*(key.decode("ascii") for key in pairs))
        _write(path, keys)
        return keys


@dataclass(frozen=True)
class Address:
    """How a client on the same machine reaches the backend that runs now; ``instance`` differs at every start."""

    endpoint: str
    server_public: str
    client_public: str
    client_secret: str
    instance: str

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
        return _read(path, cls, "Start the backend again.")

    def save(self, folder: Path) -> None:
        """Write it whole, readable by this user only."""
        _write(folder / ADDRESS_FILE, self)

    @staticmethod
    def remove(folder: Path) -> None:
        """Say that no backend runs in ``folder`` any more."""
        (folder / ADDRESS_FILE).unlink(missing_ok=True)


_File = TypeVar("_File", Keys, Address)


def _read(path: Path, kind: type[_File], hint: str) -> _File:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise CycloramaError("address-unreadable", f"{path} cannot be read: {error}.", hint) from error


def _write(path: Path, content: Keys | Address) -> None:
    """Replace ``path`` in one step by a file that only this user can read."""
    partial = path.with_suffix(".partial")
    try:
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(content))
        partial.replace(path)
    except OSError as error:
        raise _unusable(path.parent, error) from error


def _unusable(folder: Path, error: OSError) -> CycloramaError:
    return CycloramaError(
        "folder-not-usable",
        f"The backend's folder {folder} cannot be used: {error.strerror}.",
        f"Choose another with --folder or {FOLDER_VARIABLE}.",
    )
