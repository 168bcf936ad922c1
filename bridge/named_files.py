"""The files that a request names, which travel when both ends share no disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import msgspec

from .messages import Generate
from .settings import PanoramaTo4D, Region

FILE_SETTINGS = ("mask", "depth_file")
"""Those of ``PanoramaTo4D`` that name a file to read. (Checkpoints lie where the models are: on the backend's side.)"""


def named_files(asked: Generate) -> list[str]:
    """Their paths, each once, as they stand in the request."""
    found: dict[str, None] = {}

    def note(path: str) -> str:
        found[path] = None
        return path

    with_files(asked, note)
    return list(found)


def with_files(asked: Generate, place: Callable[[str], str]) -> Generate:
    """The same request with each path it reads replaced by ``place`` of it."""
    return msgspec.structs.replace(
        asked, panorama=place(asked.panorama), settings=_settings_with_files(asked.settings, place)
    )


def _settings_with_files(settings: PanoramaTo4D, place: Callable[[str], str]) -> PanoramaTo4D:
    given = {name: place(path) for name in FILE_SETTINGS if (path := getattr(settings, name))}
    return replace(settings, **given, regions=tuple(_regions_with_files(settings.regions, place)))


def _regions_with_files(regions: tuple[Region, ...], place: Callable[[str], str]) -> Iterator[Region]:
    for region in regions:
        yield replace(region, mask=place(region.mask)) if region.mask else region
