"""What the backend computes on and what it offers, as far as it has told."""

from __future__ import annotations

import os

from ..bridge.estimate import Device
from ..bridge.messages import Welcome
from . import link


def welcome() -> Welcome | None:
    """How the backend introduced itself; None while it is not connected."""
    return link.welcome()


def recipes() -> tuple[str, ...]:
    """The recipes that it offers; () while not known."""
    told = welcome()
    return told.recipes if told else ()


def device() -> Device:
    """What it computes on; before it has told, this computer's cores, since it is usually started here."""
    told = welcome()
    if told is None or not told.cores:
        return Device(cores=os.cpu_count() or 1)
    return Device(told.cores, told.cuda, told.memory_bytes)
