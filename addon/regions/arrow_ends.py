"""The ends of arrows in the Image Editor, which can be dragged."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot

import bpy

from ...bridge.settings import Stroke
from . import editors
from .exchange import set_stroke, stroke_of
from .places import degrees_at, stroke_between
from .shapes import shafts

REACH = 12.0
"""Pixels from an end at which the mouse takes it, at scale 1."""

START, TIP = "START", "TIP"


def nearest_end(
    strokes: Sequence[Stroke | None],
    point: tuple[float, float],
    origin: tuple[float, float],
    size: tuple[float, float],
    reach: float,
) -> tuple[int, str] | None:
    """Which arrow's end lies within ``reach`` of ``point``, all in pixels; of several the nearest, then the topmost.

    Args:
        origin: the lower left corner of the panorama; ``size``: its width and height.
    """
    found: tuple[float, int, str] | None = None
    for index, stroke in enumerate(strokes):
        for shaft in shafts(stroke) if stroke else ():
            for name, (u, v) in zip((TIP, START), reversed(shaft), strict=True):
                away = hypot(origin[0] + u * size[0] - point[0], origin[1] + v * size[1] - point[1])
                if away <= reach and (found is None or away <= found[0]):
                    found = (away, index, name)
    return found and found[1:]


def with_end_at(stroke: Stroke, end: str, longitude: float, latitude: float) -> Stroke:
    """The same arrow with its start or tip at a place, the other end where it was. Degrees."""
    start = (stroke.longitude, stroke.latitude)
    tip = (start[0] + stroke.d_longitude, start[1] + stroke.d_latitude)
    fixed = tip[0] if end == START else start[0]
    longitude = fixed + (longitude - fixed + 180.0) % 360.0 - 180.0  # round the shorter way
    moved = (longitude, latitude)
    return stroke_between(moved, tip, stroke.speed) if end == START else stroke_between(start, moved, stroke.speed)


class CYCLORAMA_GT_arrow_ends(bpy.types.Gizmo):
    """All ends of arrows; the overlay draws them."""

    bl_idname = "CYCLORAMA_GT_arrow_ends"

    __slots__ = ("before", "near", "taken")

    def setup(self) -> None:
        """Nothing is taken yet."""
        self.near = self.taken = self.before = None

    def draw(self, _context: bpy.types.Context) -> None:
        """The overlay does."""

    def test_select(self, context: bpy.types.Context, location: Sequence[float]) -> int:
        """0 where the mouse can take an end, -1 elsewhere."""
        origin, size = _extent(context)
        strokes = [stroke_of(region) if region.shown else None for region in context.scene.cyclorama_regions.items]
        reach = REACH * context.preferences.system.ui_scale
        self.near = nearest_end(strokes, (location[0], location[1]), origin, size, reach)
        return -1 if self.near is None else 0

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Take it."""
        self.taken = self.near
        if self.taken is None:
            return {"CANCELLED"}
        regions = context.scene.cyclorama_regions
        regions.active = self.taken[0]
        self.before = stroke_of(regions.items[self.taken[0]])
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event, _tweak: set[str]) -> set[str]:
        """Move it."""
        items = context.scene.cyclorama_regions.items
        if self.taken is None or self.before is None or self.taken[0] >= len(items):
            return {"FINISHED"}
        (left, bottom), (width, height) = _extent(context)
        place = degrees_at(event.mouse_region_x - left, event.mouse_region_y - bottom, width, height)
        set_stroke(items[self.taken[0]], with_end_at(self.before, self.taken[1], *place))
        return {"RUNNING_MODAL"}

    def exit(self, context: bpy.types.Context, cancel: bool) -> None:
        """Leave it there, or put it back."""
        items = context.scene.cyclorama_regions.items
        if self.taken is None or self.taken[0] >= len(items):
            return
        if cancel:
            set_stroke(items[self.taken[0]], self.before)
        else:
            bpy.ops.ed.undo_push(message="Move Arrow")
        self.taken = None


class CYCLORAMA_GGT_arrow_ends(bpy.types.GizmoGroup):
    """Where there are arrows to drag."""

    bl_idname = "CYCLORAMA_GGT_arrow_ends"
    bl_label = "Arrows of Regions"
    bl_space_type = "IMAGE_EDITOR"
    bl_region_type = "WINDOW"
    bl_options = {"PERSISTENT", "SHOW_MODAL_ALL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the editor shows the panorama, with arrows over it."""
        space = context.space_data
        if space.image is None or space.ui_mode != editors.VIEW or not space.overlay.show_overlays:
            return False
        shown = any(region.has_stroke and region.shown for region in context.scene.cyclorama_regions.items)
        return shown and space.image == editors.panorama_image(context.scene)

    def setup(self, _context: bpy.types.Context) -> None:
        """One gizmo for all of them."""
        self.gizmos.new(CYCLORAMA_GT_arrow_ends.bl_idname).use_draw_modal = True


def _extent(context: bpy.types.Context) -> tuple[tuple[int, int], tuple[int, int]]:
    """Lower left corner and size of the image in the region, pixels."""
    view = context.region.view2d
    left, bottom = view.view_to_region(0.0, 0.0, clip=False)
    right, top = view.view_to_region(1.0, 1.0, clip=False)
    return (left, bottom), (max(right - left, 1), max(top - bottom, 1))


_CLASSES = (CYCLORAMA_GT_arrow_ends, CYCLORAMA_GGT_arrow_ends)


def register() -> None:
    """Make them known to Blender."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Take them back."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
