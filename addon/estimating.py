"""What the scene that would be generated now will take, kept so that a panel can ask at every drawing."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from ..bridge.errors import CycloramaError
from ..bridge.estimate import Estimate, Past, estimate, width_that_fits, worked_width
from ..bridge.picture_size import picture_size
from ..bridge.scene import Scene
from ..bridge.settings import PanoramaTo4D
from . import link, panorama
from .device import device
from .properties import GenerateSettings
from .request import simple_settings

_LOOK_AGAIN_SECONDS = 3.0
"""A panorama's file is looked at no more often, since a panel is drawn at every movement of the mouse."""

_MOST_JOBS = 20
"""Of the past, the newest."""

_widths: dict[Path, tuple[float, int]] = {}
_past: dict[str, Past | None] = {}
"""By the names of jobs; None: nothing can be learned from it."""


def current(settings: GenerateSettings) -> tuple[Estimate, int | None] | None:
    """The estimate, and the width that would fit into the memory where it does not.

    None without a panorama that can be read, and while settings do not go together.
    """
    across, on, past = panorama_width(settings), device(), past_jobs()
    try:
        asked = simple_settings(settings)
    except CycloramaError:
        return None
    if not across:
        return None
    return estimate(asked, across, on, past), width_that_fits(asked, across, on, past)


def panorama_width(settings: GenerateSettings) -> int:
    """Pixels around the horizon of the chosen panorama; 0 while not known."""
    path = panorama.path_on_disk(settings)
    if path is None:
        return panorama.width(settings)
    looked, across = _widths.get(path, (0.0, 0))
    if time.monotonic() - looked > _LOOK_AGAIN_SECONDS:
        size = picture_size(path)
        across = size[0] if size else 0
        _widths.clear()
        _widths[path] = time.monotonic(), across
    return across


def past_jobs() -> list[Past]:
    """What can be learned of the newest jobs that are done."""
    done = [job for job in link.jobs() if job.state == "done" and job.seconds][:_MOST_JOBS]
    for job in done:
        if job.name not in _past:
            _past[job.name] = _learned(job)
            break  # one at a drawing: each reads a small file
    return [learned for job in done if (learned := _past.get(job.name))]


def _learned(job: link.Job) -> Past | None:
    """Of a job that was asked for elsewhere, the scene it made tells the settings.

    Stages whose results were there already took no time, and say nothing of the next job.
    """
    asked = job.asked.settings if job.asked else _settings_of(Path(job.output))
    size = picture_size(Path(job.panorama)) if job.panorama else None
    if asked is None or size is None:
        return None
    computed = {stage: seconds for stage, seconds in job.seconds.items() if stage not in job.reused}
    return Past(asked, worked_width(asked, size[0]), computed, 0 if job.reused else job.peak_bytes)


def _settings_of(package: Path) -> PanoramaTo4D | None:
    try:
        return msgspec.convert(Scene(package).info.generator.settings, PanoramaTo4D)
    except (CycloramaError, OSError, msgspec.ValidationError):
        return None


def forget() -> None:
    """Forget what was learned; it is found again."""
    _widths.clear()
    _past.clear()
