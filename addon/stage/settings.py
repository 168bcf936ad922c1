"""What the stage stores in a .blend: on a 4D scene's root its package and time; on a world whose light it is."""

from __future__ import annotations

from typing import Any

import bpy

from .time import HOLD, LOOP, PING_PONG

_PATH = {"PATH_SUPPORTS_BLEND_RELATIVE"}

_OVERRIDE: Any = {"override": {"LIBRARY_OVERRIDABLE"}}
"""So that a 4D scene linked from another file can be played in this one (``linked``)."""

_AT_THE_END = (
    (LOOP, "Loop", "Start again"),
    (PING_PONG, "Ping-Pong", "Run back to the first frame, then forwards again"),
    (HOLD, "Hold", "Stay on the last frame, and on the first one before the start"),
)


def _changed(_settings, context: bpy.types.Context) -> None:
    """A changed time mapping shows at once."""
    from .playback import show_frame

    if context.scene is not None:
        show_frame(context.scene)


class StageSettings(bpy.types.PropertyGroup):
    """On every object; all but the role are meant for the roots of 4D scenes and read at every frame change."""

    role: bpy.props.StringProperty(name="Role", description="What it is in a 4D scene", options={"HIDDEN"}, **_OVERRIDE)
    package: bpy.props.StringProperty(
        name="Scene",
        description="Folder of the 4D scene that is shown here",
        subtype="DIR_PATH",
        options=_PATH,
        **_OVERRIDE,
    )
    frame_rate: bpy.props.FloatProperty(
        name="Frame Rate",
        description="Frames per second of the 4D scene, whatever the rate of this file",
        default=24.0,
        min=0.01,
        options=set(),
        **_OVERRIDE,
    )
    frame_count: bpy.props.IntProperty(
        name="Frames",
        description="Length of the 4D scene in its own frames",
        default=1,
        min=1,
        options=set(),
        **_OVERRIDE,
    )
    safe_radius: bpy.props.FloatProperty(
        name="Safe Radius",
        description="How far the camera may leave the origin before holes show; 0: not measured",
        subtype="DISTANCE",
        min=0.0,
        options={"HIDDEN"},
        **_OVERRIDE,
    )
    baked: bpy.props.BoolProperty(
        name="Baked",
        description="Plays from files of Blender's own, without Cyclorama",
        options={"HIDDEN"},
        **_OVERRIDE,
    )
    start: bpy.props.FloatProperty(
        name="Start Frame",
        description="Frame of the timeline at which the 4D scene starts",
        default=1.0,
        update=_changed,
        **_OVERRIDE,
    )
    speed: bpy.props.FloatProperty(
        name="Speed",
        description="1: as generated; 0.5: half as fast. Keyframed, the scene speeds up and slows down without a jump",
        default=1.0,
        min=0.0,
        soft_max=4.0,
        update=_changed,
        **_OVERRIDE,
    )
    offset: bpy.props.FloatProperty(
        name="Offset",
        description="Frames of the 4D scene that are skipped at its start",
        default=0.0,
        update=_changed,
        **_OVERRIDE,
    )
    at_the_end: bpy.props.EnumProperty(
        name="At the End", description="What follows the last frame", items=_AT_THE_END, update=_changed, **_OVERRIDE
    )
    reverse: bpy.props.BoolProperty(
        name="Reverse", description="Play it backwards", default=False, update=_changed, **_OVERRIDE
    )
    use_frame: bpy.props.BoolProperty(
        name="Override Frame",
        description="Show the frame given below, to be keyframed or driven, whatever the timeline says",
        default=False,
        update=_changed,
        **_OVERRIDE,
    )
    frame: bpy.props.FloatProperty(
        name="Frame", description="Frame of the 4D scene to show, from 0", default=0.0, update=_changed, **_OVERRIDE
    )


class WorldSettings(bpy.types.PropertyGroup):
    """On every world."""

    root: bpy.props.PointerProperty(
        name="4D Scene", description="Whose panoramic video this world shows", type=bpy.types.Object, options=set()
    )


def register() -> None:
    """Give objects and worlds their settings, as ``cyclorama``, and meshes the frame they show."""
    bpy.utils.register_class(StageSettings)
    bpy.utils.register_class(WorldSettings)
    bpy.types.Object.cyclorama = bpy.props.PointerProperty(type=StageSettings, **_OVERRIDE)
    bpy.types.World.cyclorama = bpy.props.PointerProperty(type=WorldSettings)
    # On the mesh, not the object: so undo takes it back exactly when it takes back what is shown.
    for kind in (bpy.types.Mesh, bpy.types.PointCloud):
        kind.cyclorama_shown = bpy.props.IntProperty(
            name="Shown", description="Frame of the 4D scene in these values", default=-1, min=-1, options={"HIDDEN"}
        )


def unregister() -> None:
    """Take them away again; what was set stays in the file."""
    del bpy.types.Mesh.cyclorama_shown
    del bpy.types.PointCloud.cyclorama_shown
    del bpy.types.World.cyclorama
    del bpy.types.Object.cyclorama
    bpy.utils.unregister_class(WorldSettings)
    bpy.utils.unregister_class(StageSettings)
