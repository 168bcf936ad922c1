"""The artist's settings as a request to the backend."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

from ..bridge.errors import CycloramaError
from ..bridge.messages import Generate
from ..bridge.scene import SUFFIX
from ..bridge.settings import IN_METRES, READ_PROMPTS, UNREAD_BY_LIFT, WITHOUT_NETWORK, PanoramaTo4D, checked
from . import preferences
from .panorama import absolute, name_of, panorama_file
from .properties import BESIDE_THE_FILE, LOCAL_PROMPTS, RECIPE_SETTINGS, GenerateSettings
from .regions.settings import regions_of

_FILES = ("mask", "depth_file")
_WEIGHTS = (
    "checkpoint",
    "estimator_checkpoint",
    "metric_reference",
    "inpainter",
    "semantic_checkpoint",
    "perceptual_checkpoint",
)
"""Settings that are folders or ids on the hub."""

SCENES_FOLDER = "scenes"
"""Below the backend's folder: for scenes of a .blend that is not saved yet, whose "beside the file" is nowhere."""


def generate_request(settings: GenerateSettings) -> Generate:
    """A new job as ``settings`` ask for it. Makes the output folder, and files of what is painted or drawn.

    Raises:
        CycloramaError: there is no panorama or it cannot be used, nor can a setting, a region or the output folder.
    """
    asked = recipe_settings(settings)
    panorama = panorama_file(settings)
    name = uuid.uuid4().hex
    return Generate(
        request=name,  # so that a refusal names the job
        job=name,
        panorama=str(panorama),
        output=str(free_name(output_folder(settings), name_of(settings), SUFFIX)),
        settings=asked,
    )


def recipe_settings(settings: GenerateSettings) -> PanoramaTo4D:
    """The recipe's settings, regions and all, checked as on the wire. Raises ``CycloramaError``."""
    return checked(dataclasses.replace(simple_settings(settings), regions=regions_of(settings.id_data)))


def simple_settings(settings: GenerateSettings) -> PanoramaTo4D:
    """The same without the regions; touches no disk. Raises ``CycloramaError``."""
    read = set(RECIPE_SETTINGS).difference(unread(settings))
    values: dict[str, Any] = {name: _value(getattr(settings, name)) for name in read}
    for name in read.intersection(_FILES):
        if values[name]:
            values[name] = str(absolute(values[name]))
    for name in read.intersection(_WEIGHTS):
        if values[name].startswith(BESIDE_THE_FILE):  # what else is a path we cannot tell from a hub id
            values[name] = str(absolute(values[name]))
    if reads_prompts(settings):
        values["local_prompts"] = tuple(getattr(settings, name) for name in LOCAL_PROMPTS)
    return checked(PanoramaTo4D(**values))


def reads_prompts(settings: GenerateSettings) -> bool:
    """Whether words lead the motion."""
    return settings.animator == "panoramic" and settings.model in READ_PROMPTS


def unread(settings: GenerateSettings) -> Iterator[str]:
    """What was set for another model, estimator or lift than the chosen one: neither shown nor sent, kept for later."""
    if not reads_prompts(settings):
        yield "prompt"
    if settings.estimator != "file":
        yield from ("depth_file", "depth_file_kind")
    if settings.estimator in WITHOUT_NETWORK:
        yield from ("estimator_checkpoint", "metric_reference", "align")
    elif settings.animator != "flow" and (settings.metric_reference or settings.estimator in IN_METRES):
        yield "eye_height"  # a flow needs it for the drift of water
    yield from UNREAD_BY_LIFT[settings.lift]


def _value(value):
    """Blender stores single precision; 1.6 shall stay 1.6."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def output_folder(settings: GenerateSettings) -> Path:
    """Where scenes go; it is made. Raises ``CycloramaError``."""
    chosen = settings.output_folder or BESIDE_THE_FILE
    nowhere = chosen.startswith(BESIDE_THE_FILE) and not bpy.data.filepath
    folder = preferences.backend_folder() / SCENES_FOLDER if nowhere else absolute(chosen)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CycloramaError(
            "output-not-usable",
            f"The output folder {folder} cannot be used: {error.strerror}.",
            "Choose another in the Cyclorama tab.",
        ) from error
    return folder


def free_name(folder: Path, name: str, suffix: str) -> Path:
    """A path that is not there yet; what is there may be playing, or be read by a job."""
    path = folder / f"{name}{suffix}"
    number = 1
    while path.exists():
        number += 1
        path = folder / f"{name} {number}{suffix}"
    return path
