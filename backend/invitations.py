"""The commands ``cyclorama keys``: invite, list, revoke."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import tyro

from ..bridge.address import backend_folder
from ..bridge.errors import CycloramaError
from .server.guests import PORT, Guests, check_invitation, write_invitation


def invite(
    name: tyro.conf.Positional[str],
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    host: str,
    port: int = 0,
    folder: Path | None = None,
) -> None:
    """Let another computer use the backend of this one: writes a file to give to Blender there.

    Args:
        name: what the other computer is called from now on.
        output: the file to write. Who has it may come in, so pass it on in private, and delete it here.
        host: name or address by which the other computer reaches this one.
        port: the one that the backend is started with; 47860 when left out.
        folder: the backend's.
    """
    found = Guests(backend_folder(folder))
    check_invitation(output)
    try:
        write_invitation(output, found.invite(name, host, port or PORT))
    except CycloramaError as error:
        if error.code == "invitation-not-writable":
            found.revoke(name)
        raise
    print(f"{output} lets {name} in. Start the backend with: cyclorama serve --listen 0.0.0.0")


def list_guests(folder: Path | None = None) -> None:
    """Say which other computers may use this backend.

    Args:
        folder: the backend's.
    """
    listed = Guests(backend_folder(folder)).listed()
    for name, guest in listed.items():
        print(f"{name}  invited {time.strftime('%Y-%m-%d', time.localtime(guest.invited_at))}  key {guest.public}")
    if not listed:
        print("Nobody is invited; this computer itself needs no key.")


def revoke(name: tyro.conf.Positional[str], folder: Path | None = None) -> None:
    """Let another computer in no longer; also a backend that runs hears it at once.

    Args:
        name: what it was called when it was invited.
        folder: the backend's.
    """
    Guests(backend_folder(folder)).revoke(name)
    print(f"{name} is not let in any more.")
