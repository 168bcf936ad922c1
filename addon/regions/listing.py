"""The list of regions: which is chosen, and how they come and go."""

from __future__ import annotations

import typing
from itertools import count

import bpy

from ...bridge.settings import PanoramaTo4D
from . import masks

if typing.TYPE_CHECKING:
    from .settings import RegionSettings

MOST_REGIONS: int = typing.get_args(typing.get_type_hints(PanoramaTo4D, include_extras=True)["regions"])[1].max_length
"""More are not taken by the recipe."""

COLOURS = (
    (1.0, 0.45, 0.1),
    (1.0, 0.25, 0.75),
    (0.55, 1.0, 0.2),
    (1.0, 0.9, 0.15),
    (0.6, 0.35, 1.0),
    (0.1, 0.75, 1.0),
    (0.15, 1.0, 0.75),
    (1.0, 0.25, 0.25),
)
"""sRGB; a new region takes the one that fewest have."""


def active_region(scene: bpy.types.Scene) -> RegionSettings | None:
    """The region that is chosen in the list; None for none."""
    regions = scene.cyclorama_regions
    return regions.items[regions.active] if 0 <= regions.active < len(regions.items) else None


def add_region(scene: bpy.types.Scene, kind: str) -> RegionSettings:
    """A new region on top of the others, chosen, in a colour of its own. ``kind``: PAINTED or BOX."""
    regions = scene.cyclorama_regions
    name = _free_name(scene)
    taken = [tuple(round(part, 3) for part in region.colour) for region in regions.items]
    region = regions.items.add()
    region.name, region.kind = name, kind
    region.colour = min(COLOURS, key=taken.count)
    regions.active = len(regions.items) - 1
    return region


def _free_name(scene: bpy.types.Scene) -> str:
    names = [region.name for region in scene.cyclorama_regions.items]
    return next(name for number in count(len(names) + 1) if (name := f"Region {number}") not in names)


def duplicate(scene: bpy.types.Scene) -> None:
    """A copy of the chosen region on top of it, with a mask of its own, chosen. There is one."""
    regions = scene.cyclorama_regions
    name = _free_name(scene)
    copy, original = regions.items.add(), active_region(scene)
    assert original is not None
    for stored in original.bl_rna.properties:
        if not stored.is_readonly and stored.identifier not in ("name", "mask"):
            setattr(copy, stored.identifier, getattr(original, stored.identifier))
    copy.name = name
    if original.mask and original.mask.size[0]:
        copy.mask = masks.mask_image(name, masks.values(original.mask))
    regions.items.move(len(regions.items) - 1, regions.active + 1)
    regions.active += 1


def remove(scene: bpy.types.Scene) -> None:
    """Take the chosen region away, and choose its neighbour; its mask goes when the file is closed."""
    regions = scene.cyclorama_regions
    regions.items.remove(regions.active)
    regions.active = max(min(regions.active, len(regions.items) - 1), 0)


def move(scene: bpy.types.Scene, up: bool) -> None:
    """Change the chosen region's place in the list with its neighbour's; lower ones lie on top."""
    regions = scene.cyclorama_regions
    place = regions.active + (-1 if up else 1)
    if 0 <= place < len(regions.items):
        regions.items.move(regions.active, place)
        regions.active = place
