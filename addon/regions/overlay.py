"""What is drawn over the panorama: the regions' tints, boxes and arrows, as plain values and without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import bpy

from ...bridge.settings import Box, Stroke
from . import editors
from .exchange import box_of, stroke_of
from .listing import active_region
from .shapes import Rectangle, rectangles

Colour = tuple[float, float, float, float]
"""sRGB and opacity."""

DRAFT_COLOUR = (1.0, 1.0, 1.0, 1.0)


class Layer(NamedTuple):
    """One region's tint: where its mask is white, or else in the pieces of its box."""

    mask: bpy.types.Image | None
    pieces: tuple[Rectangle, ...]
    colour: Colour


@dataclass(frozen=True)
class Overlay:
    """What is drawn over an image of the panorama.

    Attributes:
        backdrop: the panorama, where the image below is a mask that would hide it.
        layers: tints of regions, the lowest first.
        outlines: of boxes; colour and width in pixels.
        arrows: colour and width in pixels.
    """

    backdrop: bpy.types.Image | None
    layers: tuple[Layer, ...]
    outlines: tuple[tuple[Rectangle, Colour, float], ...]
    arrows: tuple[tuple[Stroke, Colour, float], ...]


draft: Box | Stroke | None = None
"""What is being drawn just now, and is no region's yet."""


def set_draft(shape: Box | Stroke | None) -> None:
    """Show ``shape`` as being drawn."""
    global draft
    draft = shape
    editors.redraw()


def overlay_in(scene: bpy.types.Scene, space: bpy.types.SpaceImageEditor) -> Overlay | None:
    """What is drawn over an Image Editor; None where it shows neither the panorama nor a region's mask."""
    image = space.image
    if image is None or not space.overlay.show_overlays or not image.size[0]:
        return None
    panorama = editors.panorama_image(scene)
    painted = editors.region_painted_in(scene, space)
    if image == panorama:
        return overlay_of(scene, None)
    if painted is None and all(region.mask != image for region in scene.cyclorama_regions.items):
        return None
    return overlay_of(scene, panorama if painted is not None else None)


def overlay_of(scene: bpy.types.Scene, backdrop: bpy.types.Image | None) -> Overlay:
    """All that is shown of the scene's regions."""
    if backdrop is not None and not backdrop.size[0]:
        backdrop = None
    arrows = [*_arrows(scene)]
    outlines = [*_outlines(scene)]
    if isinstance(draft, Stroke):
        arrows.append((draft, DRAFT_COLOUR, 3.0))
    elif isinstance(draft, Box):
        outlines += [(piece, DRAFT_COLOUR, 2.0) for piece in rectangles(draft)]
    return Overlay(backdrop, tuple(_layers(scene)), tuple(outlines), tuple(arrows))


def _shown(scene: bpy.types.Scene) -> Iterator:
    return (region for region in scene.cyclorama_regions.items if region.shown)


def _layers(scene: bpy.types.Scene) -> Iterator[Layer]:
    opacity = scene.cyclorama_regions.opacity
    for region in _shown(scene):
        colour = (*region.colour, opacity)
        if region.kind == "BOX":
            yield Layer(None, tuple(rectangles(box_of(region))), colour)
        elif region.mask and region.mask.size[0]:
            yield Layer(region.mask, (), colour)


def _outlines(scene: bpy.types.Scene) -> Iterator[tuple[Rectangle, Colour, float]]:
    chosen = active_region(scene)
    for region in _shown(scene):
        if region.kind == "BOX":
            for piece in rectangles(box_of(region)):
                yield piece, (*region.colour, 1.0), 2.5 if region == chosen else 1.2


def _arrows(scene: bpy.types.Scene) -> Iterator[tuple[Stroke, Colour, float]]:
    chosen = active_region(scene)
    for region in _shown(scene):
        stroke = stroke_of(region)
        if stroke is not None:
            yield stroke, (*region.colour, 1.0), 4.0 if region == chosen else 2.5
