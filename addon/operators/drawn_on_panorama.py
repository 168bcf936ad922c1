"""What is drawn with the mouse on the panorama: a box or an arrow, from one place to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ...bridge.errors import CycloramaError
from ..regions import editors, overlay
from ..regions.places import degrees_at

Place = tuple[float, float]
"""Longitude and latitude, degrees, not wrapped."""

_NAVIGATION = (
    *("MIDDLEMOUSE", "WHEELUPMOUSE", "WHEELDOWNMOUSE", "WHEELINMOUSE", "WHEELOUTMOUSE", "TRACKPADPAN"),
    *("TRACKPADZOOM", "NDOF_MOTION", "HOME", "NUMPAD_PLUS", "NUMPAD_MINUS"),
)

_CLICK_PIXELS = 5
"""A press and release nearer to each other than this is a click, and no drag."""


_Operator = bpy.types.Operator if TYPE_CHECKING else object  # Blender would register a base that is one


class DrawnOnPanorama(_Operator):
    """The mouse's part of an operator, which ends in its ``execute``.

    A subclass says in ``HINT`` what to do, whether a second click may end it (``BY_CLICKS``), and takes the places in
    ``draw_between``.
    """

    HINT: str
    BY_CLICKS: bool

    def draw_between(self, context: bpy.types.Context, first: Place, second: Place):
        """Take both places into the operator's properties, and return the shape that is shown meanwhile."""
        raise NotImplementedError

    def turn_round(self) -> None:
        """Taken the other way round; only where that makes a difference."""

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Wait for the mouse."""
        space = editors.editor_of(context)
        self._area = editors.area_of(space) if space else None
        if space is None or self._area is None or context.window is None:
            self.report({"ERROR"}, "Open the panorama in an Image Editor first.")
            return {"CANCELLED"}
        try:
            panorama = editors.open_panorama_image(context.scene)
        except CycloramaError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if space.image != panorama:
            editors.show(space, panorama, editors.VIEW)
        self._first: Place | None = None
        self._pressed = (0, 0)
        context.window.cursor_modal_set("CROSSHAIR")
        context.workspace.status_text_set(self.HINT)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Follow the mouse."""
        region = self._region()
        if region is None or event.type in ("ESC", "RIGHTMOUSE"):
            return self._end(context, {"CANCELLED"})
        if event.type in _NAVIGATION or (event.type.startswith("NUMPAD") and self._first is None):
            return {"PASS_THROUGH"}
        if event.type == "LEFTMOUSE" and event.value == "PRESS" and self._first is None:
            if not _holds(region, event):
                return {"PASS_THROUGH"}  # a click elsewhere in Blender
            self._first, self._pressed = _place(region, event), (event.mouse_x, event.mouse_y)
        elif self._first is not None:
            if event.type == "W" and event.value == "PRESS":
                self.turn_round()
            shape = self.draw_between(context, self._first, _place(region, event))
            overlay.set_draft(shape)
            if event.type == "LEFTMOUSE" and self._is_over(event):
                return self._end(context, self.execute(context) if self._is_far(event) else {"CANCELLED"})
        return {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends it, as when a file is opened."""
        self._end(context, {"CANCELLED"})

    def _is_over(self, event: bpy.types.Event) -> bool:
        if event.value == "PRESS":
            return self.BY_CLICKS
        return event.value == "RELEASE" and (self._is_far(event) or not self.BY_CLICKS)

    def _is_far(self, event: bpy.types.Event) -> bool:
        return max(abs(event.mouse_x - self._pressed[0]), abs(event.mouse_y - self._pressed[1])) >= _CLICK_PIXELS

    def _region(self) -> bpy.types.Region | None:
        """That of the editor it was started in; None once that is closed or shows something else."""
        if not any(area == self._area for w in bpy.context.window_manager.windows for area in w.screen.areas):
            return None
        if self._area is None or self._area.type != "IMAGE_EDITOR":
            return None
        return next(region for region in self._area.regions if region.type == "WINDOW")

    def _end(self, context: bpy.types.Context, result: set[str]) -> set[str]:
        overlay.set_draft(None)
        context.workspace.status_text_set(None)
        context.window.cursor_modal_restore()
        return result


def _holds(region: bpy.types.Region, event: bpy.types.Event) -> bool:
    x, y = event.mouse_x - region.x, event.mouse_y - region.y
    covered = any(
        part.type in ("UI", "TOOLS", "TOOL_HEADER", "HEADER", "ASSET_SHELF")
        and part.x <= event.mouse_x < part.x + part.width
        and part.y <= event.mouse_y < part.y + part.height
        and min(part.width, part.height) > 1
        for part in _neighbours(region)
    )
    return 0 <= x < region.width and 0 <= y < region.height and not covered


def _neighbours(region: bpy.types.Region) -> list[bpy.types.Region]:
    areas = (area for window in bpy.context.window_manager.windows for area in window.screen.areas)
    return next((list(area.regions) for area in areas if region in area.regions[:]), [])


def _place(region: bpy.types.Region, event: bpy.types.Event) -> Place:
    """Longitude and latitude under the mouse."""
    return degrees_at(*region.view2d.region_to_view(event.mouse_x - region.x, event.mouse_y - region.y))
