"""Keyframe the camera on a flight through a 4D scene, within its room."""

from __future__ import annotations

import bpy
from mathutils import Matrix, Quaternion, Vector

from ..stage import flight
from ..stage.clock import fcurves
from ..stage.room import measured, own_space, reach, safe_radius
from ..stage.scene_object import current

_KINDS = (
    ("ORBIT", "Orbit", "Once around the origin, looking at one point: things near and far shift against each other"),
    ("DOLLY", "Dolly", "Straight ahead, from behind the origin to before it"),
    ("DRIFT", "Handheld", "Held by hand: slow sways around the origin"),
    ("CURVE", "Along a Curve", "Along the selected curve; where it leaves the safe radius it is pulled in"),
)


_HARDLY_SEEN_M = 0.1
"""A flight that goes no farther is hardly seen."""


class CYCLORAMA_OT_fly_through(bpy.types.Operator):
    """Keyframe the scene's camera on a flight that stays within the safe radius, from the first frame to the last"""

    bl_idname = "cyclorama.fly_through"
    bl_label = "Fly Through"
    bl_options = {"REGISTER", "UNDO"}

    kind: bpy.props.EnumProperty(name="Flight", description="The way the camera takes", items=_KINDS)
    room: bpy.props.FloatProperty(
        name="Room",
        description="Share of the safe radius that is used",
        default=0.8,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    reach: bpy.props.FloatProperty(
        name="Reach",
        description="How far from the origin the camera may go, whatever is safe; 0: the safe radius",
        default=0.0,
        min=0.0,
        soft_max=2.0,
        subtype="DISTANCE",
    )
    focus: bpy.props.FloatProperty(
        name="Focus", description="Distance of the point an orbit looks at", default=5.0, min=0.1, subtype="DISTANCE"
    )
    sway: bpy.props.FloatProperty(
        name="Sway", description="Degrees a hand turns the camera", default=0.5, min=0.0, max=10.0
    )
    seed: bpy.props.IntProperty(name="Seed", description="Another hand", min=0)
    look: bpy.props.EnumProperty(
        name="Look",
        description="Where the camera looks on a curve",
        items=(("KEEP", "As It Does", "Its direction stays"), ("AHEAD", "Ahead", "Along the curve")),
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a 4D scene, and a camera of this file."""
        if current(context) is None:
            cls.poll_message_set("Import a 4D scene, or select one")
            return False
        cls.poll_message_set("The scene has no camera that can be keyframed")
        return context.scene.camera is not None and context.scene.camera.is_editable

    def draw(self, _context: bpy.types.Context) -> None:
        """Only what the flight reads."""
        layout = self.layout
        layout.use_property_split = True
        shown = {"ORBIT": ("focus",), "DOLLY": (), "DRIFT": ("sway", "seed"), "CURVE": ("look",)}[self.kind]
        for name in ("kind", "room", "reach", *shown):
            layout.prop(self, name)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Fly."""
        root, scene = current(context), context.scene
        assert root is not None and scene.camera is not None
        turned = (own_space(root) @ scene.camera.matrix_world).to_quaternion()
        try:
            stops = self._stops(context, root, turned)
        except ValueError as error:
            self.report({"ERROR"}, f"{error}: select a curve with two points or more.")
            return {"CANCELLED"}
        _keyframe(scene, scene.camera, root, stops, evenly=self.kind == "CURVE")
        if scene.camera.type == "CAMERA" and scene.camera.data.is_editable:
            scene.camera.data.clip_end = max(scene.camera.data.clip_end, 2 * reach(root))  # else it cuts the sky off
        longest = max(stop.place.length for stop in stops)
        if not measured(root):
            self.report({"WARNING"}, "The safe radius of this scene was not measured; 0.3 m was taken.")
        elif longest < _HARDLY_SEEN_M and self.room > 0 and not self.reach:
            self.report(
                {"WARNING"},
                f"The safe radius of this scene is so small that the camera moves {100 * longest:.0f} cm at most. "
                "Set Reach to go farther, where holes may show.",
            )
        return {"FINISHED"}

    def _stops(self, context: bpy.types.Context, root: bpy.types.Object, turned: Quaternion) -> list[flight.Stop]:
        def reach(direction: Vector) -> float:
            return self.room * (self.reach or safe_radius(root, direction))

        if self.kind == "ORBIT":
            return flight.orbit(reach, turned, self.focus)
        if self.kind == "DOLLY":
            return flight.dolly(reach, turned)
        scene = context.scene
        if self.kind == "DRIFT":
            seconds = (scene.frame_end - scene.frame_start) * scene.render.fps_base / scene.render.fps
            return flight.drift(reach, turned, seconds, self.seed, self.sway)
        return flight.along(_drawn(context, root), reach, turned, self.look)


def _drawn(context: bpy.types.Context, root: bpy.types.Object) -> list[Vector]:
    """The points of the selected curve, as it is evaluated, in the 4D scene's space. Raises ``ValueError``."""
    curves = [thing for thing in context.selected_objects if thing.type == "CURVE"]
    if not curves:
        raise ValueError("There is no selected curve")
    evaluated = curves[0].evaluated_get(context.evaluated_depsgraph_get())
    line = evaluated.to_mesh()
    try:
        into_scene = own_space(root) @ curves[0].matrix_world
        points = [into_scene @ vertex.co for vertex in line.vertices]
    finally:
        evaluated.to_mesh_clear()
    if len(points) < 2:
        raise ValueError("The curve has no length")
    return points


def _keyframe(
    scene: bpy.types.Scene, camera: bpy.types.Object, root: bpy.types.Object, stops: list[flight.Stop], evenly: bool
) -> None:
    """Keys of place and rotation in the scene's frame range, in place of those the camera had there.

    ``evenly``: straight from key to key, where eased ones would swing out of the room.
    """
    first, last = scene.frame_start, scene.frame_end
    rotation = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}.get(
        camera.rotation_mode, "rotation_euler"
    )
    _forget_keys(camera, ("location", rotation), first, last)
    for stop in stops:
        frame = first + stop.share * (last - first)
        before = camera.rotation_euler.copy() if rotation == "rotation_euler" else None
        world = root.matrix_world @ _placed(stop)
        size = camera.matrix_world.to_scale()  # its own: a scene that is scaled does not scale who looks at it
        camera.matrix_world = Matrix.LocRotScale(world.translation, world.to_quaternion(), size)
        if before is not None:  # the nearest of the turns that are the same, so that it does not spin between two keys
            camera.rotation_euler = camera.rotation_euler.to_matrix().to_euler(camera.rotation_mode, before)
        camera.keyframe_insert("location", frame=frame)
        camera.keyframe_insert(rotation, frame=frame)
    if evenly:
        for key in _keys(camera, ("location", rotation), first, last):
            key.interpolation = "LINEAR"
    scene.frame_set(scene.frame_current)


def _placed(stop: flight.Stop):
    matrix = stop.rotation.to_matrix().to_4x4()
    matrix.translation = stop.place
    return matrix


def _forget_keys(camera: bpy.types.Object, paths: tuple[str, ...], first: float, last: float) -> None:
    for curve in _curves(camera, paths):
        for key in reversed([key for key in curve.keyframe_points if first <= key.co.x <= last]):
            curve.keyframe_points.remove(key, fast=True)
        curve.update()


def _keys(camera: bpy.types.Object, paths: tuple[str, ...], first: float, last: float):
    return (key for curve in _curves(camera, paths) for key in curve.keyframe_points if first <= key.co.x <= last)


def _curves(camera: bpy.types.Object, paths: tuple[str, ...]) -> list[bpy.types.FCurve]:
    animated = camera.animation_data
    if animated is None or animated.action is None:
        return []
    return [curve for curve in fcurves(animated.action, animated) if curve.data_path in paths]
