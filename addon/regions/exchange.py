"""The artist's regions as the recipe takes them, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from ...bridge.errors import CycloramaError
from ...bridge.settings import Box, Region, Stroke
from .. import preferences
from . import masks
from .listing import MOST_REGIONS, add_region

if TYPE_CHECKING:
    from .settings import RegionSettings

MASKS_FOLDER = "masks"
"""Below the backend's folder."""


def regions_of(scene: bpy.types.Scene) -> tuple[Region, ...]:
    """As the recipe takes them; what is painted is written to files first, the same mask to the same file.

    Raises:
        CycloramaError: "region-empty", "region-not-painted", "mask-size", "stroke-no-length", "regions-too-many",
            "mask-not-written"; the sentence names the region.
    """
    regions = scene.cyclorama_regions.items
    if len(regions) > MOST_REGIONS:
        raise CycloramaError(
            "regions-too-many",
            f"There are {len(regions)} regions; at most {MOST_REGIONS} can move in their own ways.",
            "Join some in one mask, or remove some.",
        )
    return tuple(_sent(region) for region in regions)


def _sent(region: RegionSettings) -> Region:
    return Region(
        mask="" if region.kind == "BOX" else str(_written(region)),
        box=_checked_box(region) if region.kind == "BOX" else None,
        prompt=region.prompt,
        strength=_rounded(region.strength),
        stroke=_checked_stroke(region),
    )


def box_of(region: RegionSettings) -> Box:
    """Where a box lies."""
    return Box(*(_rounded(getattr(region, f"box_{name}")) for name in Box.__dataclass_fields__))


def set_box(region: RegionSettings, box: Box) -> None:
    """Make the region this box."""
    region.kind = "BOX"
    for name in Box.__dataclass_fields__:
        setattr(region, f"box_{name}", getattr(box, name))


def stroke_of(region: RegionSettings) -> Stroke | None:
    """The region's arrow, whatever its length."""
    if not region.has_stroke:
        return None
    return Stroke(*(_rounded(getattr(region, f"stroke_{name}")) for name in Stroke.__dataclass_fields__))


def set_stroke(region: RegionSettings, stroke: Stroke | None) -> None:
    """Make it the region's arrow; None for none."""
    region.has_stroke = stroke is not None
    if stroke is not None:
        for name in Stroke.__dataclass_fields__:
            setattr(region, f"stroke_{name}", getattr(stroke, name))


def _checked_box(region: RegionSettings) -> Box:
    """Where a box lies. Raises ``CycloramaError`` where nothing is in it."""
    box = box_of(region)
    if box.width <= 0 or box.height <= 0:
        raise CycloramaError(
            "region-empty",
            f"The box of the region '{region.name}' is {box.width:g}° wide and {box.height:g}° high: nothing is in it.",
            "Draw it again in the Image Editor.",
        )
    return box


def _checked_stroke(region: RegionSettings) -> Stroke | None:
    stroke = stroke_of(region)
    if stroke is not None and stroke.d_longitude == 0 and stroke.d_latitude == 0:
        raise CycloramaError(
            "stroke-no-length",
            f"The arrow of the region '{region.name}' has no length.",
            "Draw it from where it starts towards where it goes, or remove it.",
        )
    return stroke


def _written(region: RegionSettings) -> Path:
    """The file of what is painted."""
    if region.mask is None:
        raise CycloramaError(
            "region-not-painted",
            f"The region '{region.name}' has no mask.",
            "Paint it in the Image Editor, or remove the region.",
        )
    width, height = region.mask.size
    if not width:
        raise CycloramaError(
            "region-not-painted",
            f"The mask of the region '{region.name}' cannot be read.",
            "Choose another image, or paint it again.",
        )
    if not masks.is_panoramic(width, height):
        raise CycloramaError(
            "mask-size",
            f"The mask of the region '{region.name}' has {width} x {height} pixels; it covers a whole panorama, which "
            "is twice as wide as high.",
            "Paint it anew with Paint in the Image Editor.",
        )
    painted = masks.values(region.mask)
    if not painted.any():
        raise CycloramaError(
            "region-empty",
            f"The mask of the region '{region.name}' is black: nothing would move in it.",
            "Paint white what shall move, or remove the region.",
        )
    folder = preferences.backend_folder() / MASKS_FOLDER
    try:
        return masks.write(painted, folder)
    except OSError as error:
        raise CycloramaError(
            "mask-not-written",
            f"The mask of the region '{region.name}' cannot be written to {folder}: {error.strerror or error}.",
            "Free some space, or choose another Backend Folder in the preferences.",
        ) from error


def load_regions(scene: bpy.types.Scene, regions: Sequence[Region]) -> tuple[str, ...]:
    """Make ``regions`` those of ``scene``, instead of what was drawn.

    Returns:
        A sentence for each mask that is no more; its region is there, unpainted.
    """
    scene.cyclorama_regions.items.clear()
    lost = []
    for region in regions:
        made = add_region(scene, "PAINTED" if region.box is None else "BOX")
        made.prompt, made.strength = region.prompt, region.strength
        set_stroke(made, region.stroke)
        if region.box is not None:
            set_box(made, region.box)
            continue
        try:
            made.mask = masks.load(Path(region.mask), made.name)
        except OSError:
            lost.append(f"The mask of '{made.name}' is gone ({region.mask}): paint it again.")
    scene.cyclorama_regions.active = 0
    return tuple(lost)


def _rounded(value: float) -> float:
    """Blender stores single precision; 1.6 shall stay 1.6."""
    return float(f"{value:.6g}")
