"""Which of the known checkpoints are on this disk; asks no network, and imports neither torch nor transformers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...bridge import messages
from ...bridge.errors import CycloramaError
from .layout import PREPARATION, index_components, is_complete, read_json, weight_files
from .registry import ESTIMATORS, FAMILIES, FEATURES, Family, licence_of, models_folder

KEPT_SECONDS = 5.0
"""So long an answer of ``model_states`` stands."""


@dataclass(frozen=True)
class OnDisk:
    """What is on this disk of a checkpoint.

    Attributes:
        id: hub id; of one that the hub does not have, its family's name.
        purpose: the stage it belongs to: animate, depth, lift.
        place: the hub cache's folder of it, or the checkpoint's own folder; whether it exists or not.
        whole: its folder, if all files that are needed are there; else None.
        size_bytes: of its files, also of those that are not whole.
        unfinished_bytes: of files whose download has not ended.
        fault: why it cannot be used, half a sentence; "" where it can or where there is nothing.
    """

    id: str
    purpose: str
    place: Path
    whole: Path | None = None
    size_bytes: int = 0
    unfinished_bytes: int = 0
    fault: str = ""


_kept: tuple[float, tuple[messages.ModelState, ...]] | None = None
_lock = threading.Lock()


def model_states() -> tuple[messages.ModelState, ...]:
    """All checkpoints that the recipes know by name; looked at again after ``KEPT_SECONDS``. From any thread."""
    global _kept
    with _lock:
        now = time.monotonic()
        if _kept is None or now - _kept[0] > KEPT_SECONDS:
            _kept = now, tuple(_state(found) for found in checkpoints_on_disk())
        return _kept[1]


def checkpoints_on_disk() -> tuple[OnDisk, ...]:
    """The same, looked at now, and in more detail."""
    return tuple(_looked_at(*known) for known in _known())


def hub_folder() -> Path:
    """The hub's cache: see HF_HOME and HF_HUB_CACHE in the hub's documentation."""
    from huggingface_hub import constants  # only here: importing us shall cost nothing

    return Path(constants.HF_HUB_CACHE)


def _known() -> Iterator[tuple[str, str, Path]]:
    families = (("animate", FAMILIES), ("depth", ESTIMATORS), ("lift", FEATURES))
    hub = hub_folder()
    for purpose, of_that_purpose in families:
        for family in of_that_purpose.values():
            for name in _ids(family):
                yield name, purpose, hub / f"models--{name.replace('/', '--')}"
            if not family.checkpoint and family.name != "tiny":
                yield family.name, purpose, models_folder() / family.name


def _ids(family: Family) -> tuple[str, ...]:
    return (family.checkpoint, *family.others) if family.checkpoint else family.others


def _state(found: OnDisk) -> messages.ModelState:
    return messages.ModelState(
        id=found.id,
        purpose=found.purpose,
        licence=licence_of(found.id),
        present=found.whole is not None,
        size_bytes=found.size_bytes if found.whole else 0,
    )


def _looked_at(name: str, purpose: str, place: Path) -> OnDisk:
    try:
        if not place.is_dir():
            return OnDisk(name, purpose, place)
        snapshot = _snapshot(place) if place.name.startswith("models--") else place
        fault = _fault(snapshot, purpose) if snapshot else "its download has not ended"
        size, unfinished = _sizes(place)
    except OSError as error:  # closed to us, or just being removed
        return OnDisk(name, purpose, place, fault=f"it cannot be read: {error.strerror}")
    except CycloramaError as error:
        return OnDisk(name, purpose, place, fault=error.sentence.rstrip("."))
    return OnDisk(name, purpose, place, None if fault else snapshot, size, unfinished, fault)


def _snapshot(place: Path) -> Path | None:
    """The commit that the hub's ``main`` was when it was fetched."""
    main = place / "refs" / "main"
    snapshot = place / "snapshots" / main.read_text("ascii", "replace").strip() if main.is_file() else None
    return snapshot if snapshot and snapshot.is_dir() else None


def _fault(folder: Path, purpose: str) -> str:
    """What of it is missing."""
    index = folder / "model_index.json"
    if index.is_file():
        for component in sorted(index_components(read_json(index))):
            if not _is_whole(folder / component):
                return f"its {component} is missing or incomplete"
        return ""
    if not (folder / "config.json").is_file() or not _is_whole(folder):
        return "files of it are missing"
    needs_preparation = purpose == "depth"  # networks that losses compare by do without
    return f"its {PREPARATION} is missing" if needs_preparation and not (folder / PREPARATION).is_file() else ""


def _is_whole(component: Path) -> bool:
    if not is_complete(component):
        return False
    weights = weight_files(path.name for path in component.iterdir())
    return all((component / name).is_file() for name in weights)  # a link may lead nowhere


def _sizes(place: Path) -> tuple[int, int]:
    """Bytes of its files, and of those being fetched. The cache's links are not counted, what they lead to is."""
    whole = unfinished = 0
    for file in _files(place):
        size = file.stat(follow_symlinks=False).st_size
        if file.name.endswith(".incomplete"):
            unfinished += size
        else:
            whole += size
    return whole, unfinished


def _files(folder: Path) -> Iterable[os.DirEntry]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield entry
