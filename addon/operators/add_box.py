"""Add a region that is a box, from two clicks on the panorama."""

from __future__ import annotations

import bpy

from ...bridge.settings import Box
from ..regions import editors
from ..regions.exchange import set_box
from ..regions.listing import MOST_REGIONS, active_region, add_region
from ..regions.places import box_between
from .add_region import TOO_MANY
from .drawn_on_panorama import DrawnOnPanorama, Place


class CYCLORAMA_OT_add_box(DrawnOnPanorama, bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.add_box"
    bl_label = "Box from Clicks"
    bl_description = "Click two opposite corners on the panorama, or drag between them: what lies between is a region"
    bl_options = {"REGISTER", "UNDO"}

    HINT = (
        "Click one corner, then the opposite one, or drag; past the picture's edge it goes on at the other side.   "
        "W: the other way round.   Esc: cancel"
    )
    BY_CLICKS = True

    longitude: bpy.props.FloatProperty(
        name="Longitude", description="Middle of the box, degrees right of centre", min=-180, max=180
    )
    latitude: bpy.props.FloatProperty(
        name="Latitude", description="Middle of the box, degrees above the horizon", min=-90, max=90
    )
    width: bpy.props.FloatProperty(name="Width", description="Degrees of longitude", min=0, max=360, default=60)
    height: bpy.props.FloatProperty(name="Height", description="Degrees of latitude", min=0, max=180, default=40)
    replace: bpy.props.BoolProperty(
        name="Replace", description="Make the chosen region this box, and add none", options={"SKIP_SAVE"}
    )

    _around = False

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a panorama to draw on, and one more region is taken."""
        if not editors.panorama_is_chosen(context.scene):
            cls.poll_message_set("Choose a panorama in the 3D View first, in the tab Cyclorama of the sidebar")
            return False
        cls.poll_message_set(TOO_MANY)
        return len(context.scene.cyclorama_regions.items) < MOST_REGIONS

    def turn_round(self) -> None:
        """What lies on the other side instead."""
        self._around = not self._around

    def draw_between(self, _context: bpy.types.Context, first: Place, second: Place) -> Box:
        """The box between two corners."""
        box = box_between(first, second, self._around)
        self.longitude, self.latitude, self.width, self.height = box.longitude, box.latitude, box.width, box.height
        return box

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add it."""
        if self.width <= 0 or self.height <= 0:
            self.report({"WARNING"}, "The box is empty: its corners lie on one line.")
            return {"CANCELLED"}
        region = active_region(context.scene) if self.replace else None
        region = region or add_region(context.scene, "BOX")
        set_box(region, Box(self.longitude, self.latitude, self.width, self.height))
        return {"FINISHED"}
