"""Which results of stages need not be computed again: what each stage depends on, declared, and looked after.

A key is a digest of a stage's code, the settings it reads, the contents it is given and the networks it asks. A stage
that reads a setting it does not declare is found out when it runs, and its result is not kept: no key can miss one.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from ...bridge.settings import UNREAD_BY_LIFT, WITHOUT_LOSS, WITHOUT_NETWORK, PanoramaTo4D
from ..cache_entry import Entry
from ..code_version import code_version
from ..digests import digest, digest_of_file
from ..models.registry import ESTIMATORS, FAMILIES, FEATURES, models_folder
from ..stage_cache import NewEntry, StageCache
from .progress import Report

log = logging.getLogger(__name__)

_BELOW_ALL = (
    "__init__.py",
    "bridge",
    "backend/__init__.py",
    "backend/cache_entry.py",
    "backend/digests.py",
    "backend/keepsake.py",
    "backend/models",
    "backend/recipes",
    "backend/sphere",
    "backend/stage_cache.py",
    "backend/unfinished.py",
)

WITHOUT_EFFECT = frozenset({"memory"})
"""Settings that stages read and that keys leave out: they decide how much is computed at once, not what. Who gives a
job more memory because its last stage ran out of it does not lose the others."""

_FILES = ("mask", "depth_file")
"""Settings that are files: their content counts, not their path."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Stage:
    """A stage whose result is kept.

    Attributes:
        name: lower case, for people.
        reads: the settings that it may read.
        sources: the code that it may run, beside what is below all stages.
        way: which of several ways to do it this is.
        networks: whether it asks some.
    """

    name: str
    reads: tuple[str, ...]
    sources: tuple[str, ...]
    way: str = ""
    networks: bool = False


_REGIONS = ("mask", "regions", "prompt", "local_prompts", "strength", "strokes")
_LENGTH = ("frames", "fps", "seed")

FLOW = Stage("animate", (*_REGIONS, *_LENGTH, "eye_height"), ("backend/animate",), "flow")
VIDEO = Stage(
    "animate",
    (*_REGIONS, *_LENGTH, "model", "checkpoint", "steps", "spherical_steps", "agreement", "memory"),
    ("backend/animate",),
    "video model",
    networks=True,
)
SKYLINE = Stage("depth", ("estimator", "eye_height", "far_distance"), ("backend/depth",), "skyline")
DEPTH_FILE = Stage("depth", (*SKYLINE.reads, "depth_file", "depth_file_kind"), ("backend/depth",), "file")
ESTIMATOR = Stage(
    "depth",
    (*SKYLINE.reads, "estimator_checkpoint", "metric_reference", "align", "memory"),
    ("backend/depth",),
    "estimator",
    networks=True,
)
FIT = Stage(
    "lift",
    (
        "lift",
        "gaussians",
        "inpainter",
        "iterations",
        "densify",
        "semantic_checkpoint",
        "perceptual_checkpoint",
        "seed",
        "memory",
    ),
    ("backend/depth", "backend/lift", "backend/raster"),
    networks=True,
)
LOOK_AROUND = Stage("look around", (), ("backend/depth", "backend/lift", "backend/raster"))


def motion_stage(settings: PanoramaTo4D) -> Stage:
    """The stage that animates."""
    return VIDEO if settings.animator == "panoramic" else FLOW


def depth_stage(settings: PanoramaTo4D) -> Stage:
    """The stage that finds distances."""
    return {"skyline": SKYLINE, "file": DEPTH_FILE}.get(settings.estimator, ESTIMATOR)


class WatchedSettings:
    """Settings that remember which of them were read (``read``)."""

    def __init__(self, settings: PanoramaTo4D):
        self._settings = settings
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._settings, name)
        self.read.add(name)
        return value


class Reuse:
    """The stage cache as a recipe uses it, stage by stage; without a cache nothing is found or kept.

    Args:
        report: hears of a stage that is found as if it had been done.
    """

    def __init__(self, cache: StageCache | None, settings: PanoramaTo4D, report: Report):
        self._cache, self._settings, self._report = cache, settings, report
        self._keys: dict[str, str | None] = {}
        self._watched: dict[str, WatchedSettings] = {}

    @property
    def at_all(self) -> bool:
        """Whether there is a cache."""
        return self._cache is not None

    def found(
        self, stage: Stage, inputs: Iterable[str], steps: Iterable[str], load: Callable[[Entry, Callable], Result]
    ) -> Result | None:
        """The stage's result if it is there.

        Args:
            inputs: digests of all that it is given beside settings.
            steps: the names under which it reports.
            load: makes the result of an entry; calls its second argument now and then.
        """
        if self._cache is None:
            return None
        key = self._keys[stage.name] = self._key(stage, inputs)
        if key is None:
            return None
        names = tuple(steps)

        def read(entry: Entry) -> Result:
            for name in names:
                self._report(name, 1, 1)
            return load(entry, lambda: self._report(names[-1], 1, 1))

        result = self._cache.load(stage.name, key, read)
        if result is not None:
            self._cache.reused.extend(names)
        return result

    def settings_of(self, stage: Stage) -> PanoramaTo4D:
        """The settings as the stage shall read them."""
        if self._cache is None:
            return self._settings
        watched = self._watched[stage.name] = WatchedSettings(self._settings)
        return cast(PanoramaTo4D, watched)

    def begin(self, stage: Stage, inputs: Iterable[str], expected_bytes: int) -> NewEntry:
        """What the stage's result is to be written to, after it has run."""
        if self._cache is None or not self.reads_declared(stage):
            return NewEntry(None, stage.name, None)
        key, before = self._key(stage, inputs), self._keys.get(stage.name)
        if key is None or (before is not None and key != before):  # a mask, say, was painted on meanwhile
            return NewEntry(None, stage.name, None)
        return self._cache.begin(stage.name, key, expected_bytes)

    def reads_declared(self, stage: Stage) -> bool:
        """Whether the stage has read no other settings so far than it declares."""
        watched = self._watched.get(stage.name)
        more = watched.read - set(stage.reads) if watched else set()
        if more:
            log.error("The stage %s reads settings that it does not declare: %s.", stage.name, ", ".join(sorted(more)))
        return not more

    def _key(self, stage: Stage, inputs: Iterable[str]) -> str | None:
        """None where something that it depends on cannot be told: a file or a network that is not there yet."""
        try:
            told = [msgspec.json.encode(self._told(name)).decode() for name in _in_key(stage)]
            networks = list(_networks(self._settings, stage.reads)) if stage.networks else []
        except OSError:
            return None
        if None in networks:
            return None
        code = code_version((*_BELOW_ALL, *stage.sources))
        device = _device() if stage.networks else "cpu"
        return digest([stage.name, stage.way, code, device, *told, *map(str, networks), *inputs])

    def _told(self, name: str) -> Any:
        value = getattr(self._settings, name)
        if name in _FILES:
            return value and digest_of_file(Path(value))
        if name == "regions":
            return [
                dataclasses.replace(region, mask=digest_of_file(Path(region.mask))) if region.mask else region
                for region in value
            ]
        return value


def _in_key(stage: Stage) -> list[str]:
    """The settings that the key tells as they are."""
    return sorted(set(stage.reads) - WITHOUT_EFFECT - set(_USUAL))


def _networks(settings: PanoramaTo4D, reads: Iterable[str]) -> Iterator[str | None]:
    """The identities of the networks that a stage asks; None for one that is not on this disk yet."""
    from ..lift.inpainting import OPENCV  # only here: others need no networks
    from ..models.checkpoints import identity

    for name in sorted(set(reads) & set(_USUAL)):
        chosen = getattr(settings, name) or _USUAL[name](settings)
        if name in UNREAD_BY_LIFT[settings.lift] or chosen in ("", WITHOUT_LOSS, OPENCV):
            yield f"{name}: {chosen}"
        else:
            found = identity(chosen)
            yield None if found is None else f"{name}: {found}"


def _usual_video_model(settings: PanoramaTo4D) -> str:
    return FAMILIES[settings.model].checkpoint or str(models_folder() / settings.model)


_USUAL: dict[str, Callable[[PanoramaTo4D], str]] = {
    "checkpoint": _usual_video_model,
    "estimator_checkpoint": lambda settings: (
        "" if settings.estimator in WITHOUT_NETWORK else ESTIMATORS[settings.estimator].checkpoint
    ),
    "metric_reference": lambda settings: "",
    "semantic_checkpoint": lambda settings: FEATURES["dinov2"].checkpoint,
    "perceptual_checkpoint": lambda settings: FEATURES["vgg16"].checkpoint,
    "inpainter": lambda settings: "",
}
"""Settings that are checkpoints, and which one is meant where none is given."""


def _device() -> str:
    """What networks and fits compute on."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
