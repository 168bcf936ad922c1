"""Look from where the panorama was taken."""

from __future__ import annotations

import bpy
from mathutils import Vector

from ..stage.room import reach
from ..stage.scene_object import current, root_of

_DISTANCE_M = 1e-3
"""From the eye to the point the viewport turns around: orbiting then turns the head."""


class CYCLORAMA_OT_look_through_panorama(bpy.types.Operator):
    """Look from where the panorama was taken, towards its centre; orbit the view to look around"""

    bl_idname = "cyclorama.look_through_panorama"
    bl_label = "Look Through Panorama"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a 4D scene, and a 3D viewport to look with."""
        if current(context) is None:
            cls.poll_message_set("Import a 4D scene, or select one")
            return False
        cls.poll_message_set("There is no 3D viewport here")
        return context.space_data is not None and context.space_data.type == "VIEW_3D"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Move the viewport's eye there."""
        root, space = current(context), context.space_data
        assert root is not None
        ahead = Vector((0, 1, 0))
        turned = root.matrix_world.to_quaternion() @ ahead.to_track_quat("-Z", "Y")
        view = space.region_3d
        view.view_perspective = "PERSP"
        view.view_rotation = turned
        view.view_distance = _DISTANCE_M
        view.view_location = root.matrix_world.translation + turned @ Vector((0, 0, -_DISTANCE_M))
        space.clip_start = min(space.clip_start, 0.01)
        space.clip_end = max(space.clip_end, 2 * reach(root))
        around = _around(context, root.matrix_world.translation)
        if around:
            self.report({"WARNING"}, f"{around[0].name} stands around the viewpoint: hide or move it to see the scene")
        return {"FINISHED"}


def _around(context: bpy.types.Context, place: Vector) -> list[bpy.types.Object]:
    """The artist's meshes that hold ``place`` within their bounds, such as the cube of a new file."""
    found = []
    for thing in context.visible_objects:
        if thing.type != "MESH" or root_of(thing) is not None:
            continue
        inside = thing.matrix_world.inverted_safe() @ place
        low, high = Vector(thing.bound_box[0]), Vector(thing.bound_box[6])
        if thing.display_type in ("SOLID", "TEXTURED") and all(
            low[axis] < inside[axis] < high[axis] for axis in range(3)
        ):
            found.append(thing)
    return found
