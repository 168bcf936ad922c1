"""Who may use a backend from another computer: names and public keys in its folder, and the invitations for them."""

from __future__ import annotations

import ipaddress
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import zmq

from ...bridge.address import GUEST, Address, Keys, folder_not_usable, is_key, open_folder, read_private, write_private
from ...bridge.errors import CycloramaError
from .lock import FileLock

GUESTS_FILE = "allowed-keys.json"
LOCK_FILE = "allowed-keys.lock"
PORT = 47860
"""Where guests are expected, when nobody says otherwise."""

_PATIENCE_SECONDS = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Guest:
    """One that may come in: the public half of its key pair (Z85), and when it was invited, in seconds since 1970."""

    public: str
    invited_at: float


class Guests:
    """The list in a backend's folder. It may change at any time; who is off it, is out at once."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._path = folder / GUESTS_FILE
        self._seen: object = None
        self._names: dict[str, str] = {}  # public key -> name

    def listed(self) -> dict[str, Guest]:
        """All by name. Raises CycloramaError ``address-unreadable``."""
        if not self._path.exists():
            return {}
        hint = "Delete it: all guests then need new invitations."
        guests = read_private(self._path, dict[str, Guest], hint)
        if not all(re.fullmatch(GUEST, name) and is_key(guest.public) for name, guest in guests.items()):
            raise CycloramaError("address-unreadable", f"{self._path} names a guest or a key that is none.", hint)
        return guests

    def name_of(self, key: str) -> str | None:
        """A ``GuestOf``. Where the list is damaged, nobody is on it."""
        try:
            status = self._path.stat()
            version = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            version = None
        if version != self._seen:
            self._seen = version
            try:
                self._names = {guest.public: name for name, guest in self.listed().items()}
            except CycloramaError as error:
                log.error("No guest is let in: %s", error)
                self._names = {}
        return self._names.get(key)

    def invite(self, name: str, host: str, port: int = PORT) -> Address:
        """A new guest, and the address with its keys: the only copy of its secret.

        Args:
            name: what it is called from now on.
            host: name or address by which other computers reach this one.

        Raises:
            CycloramaError: ``guest-name-not-usable``, ``guest-known``, ``host-not-usable``, ``port-not-usable``,
                ``folder-not-usable``, ``folder-in-use``, ``address-unreadable``.
        """
        if not re.fullmatch(GUEST, name):
            raise CycloramaError(
                "guest-name-not-usable",
                f"A guest cannot be called {name!r}.",
                "Use up to 32 letters without accents, digits, - and _.",
            )
        if not 1 <= port <= 65535:
            raise CycloramaError(
                "port-not-usable", f"There is no port {port}.", "Give the one that the backend is started with."
            )
        endpoint = f"tcp://{_within_endpoint(host)}:{port}"
        open_folder(self._folder)
        keys = Keys.load_or_make(self._folder)
        public, secret = (key.decode("ascii") for key in zmq.curve_keypair())
        with self._locked():
            guests = self.listed()
            if name in guests:
                raise CycloramaError(
                    "guest-known",
                    f"{name} is invited already.",
                    f"Choose another name, or first: cyclorama keys revoke {name}",
                )
            write_private(self._path, guests | {name: Guest(public, time.time())})
        return Address(endpoint, keys.server_public, public, secret, guest=name)

    def revoke(self, name: str) -> None:
        """Off the list, and out at once.

        Raises:
            CycloramaError: ``guest-unknown``, ``folder-not-usable``, ``folder-in-use``, ``address-unreadable``.
        """
        if name not in self.listed():
            raise CycloramaError(
                "guest-unknown", f"Nobody called {name!r} is invited.", "See who is with: cyclorama keys list"
            )
        with self._locked():
            write_private(self._path, {other: guest for other, guest in self.listed().items() if other != name})

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """While it is changed, so that of two changes at once none is lost."""
        try:
            lock = FileLock(self._folder / LOCK_FILE, _PATIENCE_SECONDS)
        except OSError as error:
            raise folder_not_usable(self._folder, error) from error
        try:
            yield
        finally:
            lock.release()


def check_invitation(path: Path) -> None:
    """That an invitation can be written there. Raises CycloramaError ``invitation-not-writable``."""
    folder = path.absolute().parent
    if path.exists():
        raise CycloramaError("invitation-not-writable", f"{path} exists already.", "Choose another file.")
    if not folder.is_dir():
        raise CycloramaError("invitation-not-writable", f"There is no folder {folder}.", "Choose another, or make it.")


def write_invitation(path: Path, invitation: Address) -> None:
    """Into a file that only this user can read: who has it, may come in.

    Raises:
        CycloramaError: ``invitation-not-writable``.
    """
    try:
        write_private(path, invitation)
    except CycloramaError as error:
        raise CycloramaError(
            "invitation-not-writable", f"{path} cannot be written: {error.__cause__}.", "Choose another folder."
        ) from error


def _within_endpoint(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", host):
            return host
        raise _unusable_host(host) from None
    if address.is_unspecified:
        raise _unusable_host(host)
    return f"[{host}]" if address.version == 6 else host


def _unusable_host(host: str) -> CycloramaError:
    return CycloramaError(
        "host-not-usable",
        f"Other computers cannot reach this one as {host!r}.",
        "Give --host this computer's name or its address in the network, such as 192.168.1.20.",
    )
