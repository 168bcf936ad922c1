"""The checkpoints on this disk, and the variables by which the hub is reached or not."""

from __future__ import annotations

import os
from collections.abc import Iterator

from safetensors import SafetensorError, safe_open

from ...models.layout import WEIGHTS
from ...models.present import OnDisk, checkpoints_on_disk, hub_folder
from ...words import size
from ..finding import Finding, ok, warning
from ..situation import Situation

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
_SETS = {"1", "true", "yes", "on"}


def models(_situation: Situation) -> Iterator[Finding]:
    """Which need not be fetched, and which were not fetched to their end."""
    found = checkpoints_on_disk()
    whole = [each for each in found if each.whole]
    damaged = {each.id: words for each in found if (words := each.fault or _damage(each))}
    there = [f"{each.id} ({size(each.size_bytes)})" for each in whole if each.id not in damaged]
    if there:
        yield ok("Models", f"{', '.join(there)}")
    else:
        yield ok("Models", "none on this disk; each is fetched when it is first used, and scenes need none")
    for each in found:
        if words := damaged.get(each.id):
            yield warning("Models", f"{each.id}: {words}.", f"Use it, and it is fetched; or delete {each.place}")
        elif each.unfinished_bytes:
            rest = f"{size(each.unfinished_bytes)} of a download that has not ended"
            yield warning("Models", f"{each.id} has {rest}.", f"If none runs: delete *.incomplete in {each.place}")


def hub(_situation: Situation) -> Iterator[Finding]:
    """What the hub's client is told by variables."""
    offline = [name for name in OFFLINE if os.environ.get(name, "").lower() in _SETS]
    place = f"models are kept in {hub_folder()}"
    if endpoint := os.environ.get("HF_ENDPOINT"):
        place += f", fetched from {endpoint.rpartition('@')[2]}"  # a password may stand before it
    if os.environ.get("HF_TOKEN"):
        place += "; HF_TOKEN is set"
    if offline:
        yield warning("Hub", f"{' and '.join(offline)} is set: no model is fetched.", "Unset it to fetch models.")
    yield ok("Hub", place)


def _damage(found: OnDisk) -> str:
    """A weight file that is cut short tells so in its first bytes."""
    if found.whole is None:
        return ""
    for file in found.whole.rglob("*.safetensors"):
        if WEIGHTS.fullmatch(file.name):
            try:
                with safe_open(file, "np"):
                    pass
            except (SafetensorError, OSError):
                return f"{file.relative_to(found.whole)} is damaged"
    return ""
