"""Draw the chosen region's arrow, along which it moves."""

from __future__ import annotations

import bpy

from ...bridge.settings import Stroke
from ..regions import editors
from ..regions.exchange import set_stroke
from ..regions.listing import active_region
from ..regions.places import stroke_between
from .drawn_on_panorama import DrawnOnPanorama, Place


class CYCLORAMA_OT_draw_stroke(DrawnOnPanorama, bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.draw_stroke"
    bl_label = "Draw Arrow"
    bl_description = (
        "Drag over the panorama the way the chosen region shall move, for the flow animator. "
        "Afterwards drag the arrow's ends to change it"
    )
    bl_options = {"REGISTER", "UNDO"}

    HINT = "Press where the arrow starts, drag the way the region shall move, release.   Esc: cancel"
    BY_CLICKS = False

    longitude: bpy.props.FloatProperty(
        name="Longitude", description="Start of the arrow, degrees right of centre", min=-180, max=180
    )
    latitude: bpy.props.FloatProperty(
        name="Latitude", description="Start of the arrow, degrees above the horizon", min=-90, max=90
    )
    d_longitude: bpy.props.FloatProperty(
        name="Right", description="From start to tip, degrees to the right", min=-180, max=180, default=15
    )
    d_latitude: bpy.props.FloatProperty(name="Up", description="From start to tip, degrees upwards", min=-180, max=180)
    speed: bpy.props.FloatProperty(
        name="Speed (°/s)",
        description="Degrees of arc per second; 0: as the region has it",
        min=0,
        max=180,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a region to draw it for, and a panorama to draw on."""
        if active_region(context.scene) is None:
            cls.poll_message_set("Add a region first")
            return False
        cls.poll_message_set("Choose a panorama in the 3D View first, in the tab Cyclorama of the sidebar")
        return editors.panorama_is_chosen(context.scene)

    def draw_between(self, context: bpy.types.Context, first: Place, second: Place) -> Stroke:
        """The arrow from where the mouse was pressed."""
        region = active_region(context.scene)
        stroke = stroke_between(first, second, region.stroke_speed if region else 1.0)
        self.longitude, self.latitude = stroke.longitude, stroke.latitude
        self.d_longitude, self.d_latitude = stroke.d_longitude, stroke.d_latitude
        return stroke

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Give it to the region."""
        if self.d_longitude == 0 and self.d_latitude == 0:
            self.report({"WARNING"}, "The arrow has no length: drag from where it starts towards where it goes.")
            return {"CANCELLED"}
        region = active_region(context.scene)
        assert region is not None  # says poll
        speed = self.speed or region.stroke_speed
        set_stroke(region, Stroke(self.longitude, self.latitude, self.d_longitude, self.d_latitude, speed))
        return {"FINISHED"}
