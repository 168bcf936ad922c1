"""Whether a disk has room for what a job will write, asked before hours of work and not after them.

What is written depends on pictures nobody has seen yet; these are estimates, which tests compare with what is written.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..bridge.errors import CycloramaError
from ..bridge.settings import BY_DESCENT, DEFAULT_FRAMES, PanoramaTo4D

if TYPE_CHECKING:
    from .sphere.panorama import PanoramaVideo
    from .stage_cache import StageCache

_MODEL_FRAMES = 14
"""What video models make where no length is asked for, as far as can be told before one is loaded."""

_SHARE_MOVING = 0.2
"""Of a panorama's pixels, before it is known which move. Low: nobody shall be turned away whose job would fit."""

_COLOUR, _DISTANCE = 4.0, 2.0
"""Bytes of a pixel in EXR files: half floats of a photograph, and distances; both as they compress."""

_GAUSSIAN, _RADIANCE = 56, 16
"""Bytes of a Gaussian, and of that part of it that changes where only light does."""

_SMALL = 0.25
"""What compression leaves of them."""

_DENSER = {"direct": 1.0, "fast": 1.3}
"""Gaussians in those of a lattice of the panorama's pixels; a fit adds some behind edges and where there is detail."""

_DENSEST = 2.0
"""The same of a fit that adds as it goes."""

_KEPT = 12
"""Bytes of a Gaussian in the unfinished work of a fit."""


def package_bytes(settings: PanoramaTo4D, width: int, frames: int, share_moving: float) -> int:
    """What a scene takes on disk.

    Args:
        width: of the panorama as it is worked on, pixels.
        share_moving: of its pixels.
    """
    return gaussians_bytes(settings, width, frames, share_moving) + pictures_bytes(width, frames, share_moving)


def pictures_bytes(width: int, frames: int, share_moving: float) -> int:
    """Of it the video, the distances and the preview."""
    pixels = width * width / 2
    return round(pixels * (_COLOUR * (frames if share_moving else 1) + _DISTANCE))


def gaussians_bytes(settings: PanoramaTo4D, width: int, frames: int, share_moving: float) -> int:
    """Of it the Gaussians."""
    stored = _SMALL if settings.compression == "small" else 1.0
    return round(lift_bytes(settings, width, frames, share_moving) * stored)


def lift_bytes(settings: PanoramaTo4D, width: int, frames: int, share_moving: float) -> int:
    """All Gaussians of all frames, before they are compressed: what the cache keeps of a lift."""
    count = width * width / math.pi * _DENSER.get(settings.lift, _DENSEST)
    if settings.gaussians:
        count = min(count, settings.gaussians)
    reshaped = settings.lift in BY_DESCENT or settings.animator == "panoramic"
    changing = _GAUSSIAN if reshaped else _RADIANCE
    return round(count * (_GAUSSIAN + share_moving * changing * frames))


def unfinished_bytes(settings: PanoramaTo4D, width: int, frames: int, share_moving: float) -> int:
    """What a fit keeps of itself until it is done."""
    if settings.lift == "direct":
        return 0
    each = _GAUSSIAN if settings.lift in BY_DESCENT else _KEPT
    whole = lift_bytes(settings, width, 0, 0.0) / _GAUSSIAN
    return round(whole * each * (1 + share_moving * frames))


class DiskRoom:
    """The disks that one job writes to.

    Args:
        output: where its scene goes.
        width: of the panorama as it is worked on, pixels.
        cache: goes without where only it lacks room.
    """

    def __init__(self, output: Path, settings: PanoramaTo4D, width: int, cache: StageCache | None, unfinished: Path):
        self._output, self._settings, self._width = output, settings, width
        self._cache, self._unfinished = cache, unfinished

    def check_before(self) -> None:
        """Before the job. Raises ``CycloramaError`` ("disk-full")."""
        usual = DEFAULT_FRAMES if self._settings.animator == "flow" else _MODEL_FRAMES
        self._check(self._settings.frames or usual, _SHARE_MOVING)

    def check_before_lift(self, video: PanoramaVideo) -> None:
        """Now that it is known what moves. Raises ``CycloramaError`` ("disk-full")."""
        self._check(len(video.frames), float(np.mean(video.moves)))

    def check_before_write(self, video: PanoramaVideo) -> None:
        """When the Gaussians are written. Raises ``CycloramaError`` ("disk-full")."""
        needed = pictures_bytes(self._width, len(video.frames), float(np.mean(video.moves)))
        check(self._output.parent, needed, "The rest of the scene")

    def _check(self, frames: int, share_moving: float) -> None:
        asked = (self._settings, self._width, frames, share_moving)
        scene, unfinished = package_bytes(*asked), unfinished_bytes(*asked)
        place = there(self._output.parent)
        together = same_disk(place, self._unfinished)
        check(place, scene + unfinished * together, "The scene")
        if not together:
            check(self._unfinished, unfinished, "The unfinished work")
        if self._cache is not None and same_disk(place, self._cache.folder):
            self._cache.left_free_bytes = scene + unfinished


def check(folder: Path, needed_bytes: int, what: str) -> None:
    """Raises ``CycloramaError`` ("disk-full") where the disk of ``folder`` has less room; not where it cannot be asked.

    Args:
        what: takes the room, as a sentence begins.
    """
    try:
        free = shutil.disk_usage(there(folder)).free
    except OSError:
        return
    if free < needed_bytes:
        raise CycloramaError(
            "disk-full",
            f"{what} takes about {needed_bytes / 1e9:.2g} GB, and in {folder} only {free / 1e9:.2g} GB are free.",
            "Make room there, choose another folder, or fewer frames or a smaller width.",
        )


def there(folder: Path) -> Path:
    """The innermost of ``folder`` and the folders it lies in that exists."""
    return next((each for each in (folder, *folder.parents) if each.is_dir()), folder)


def same_disk(one: Path, other: Path) -> bool:
    """Whether both take their room from the same disk, as far as one can tell."""
    try:
        return there(one).stat().st_dev == there(other).stat().st_dev
    except OSError:
        return False
