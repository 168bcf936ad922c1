"""A root's time mapping as it is at a moment: keyframed and driven values included."""

from __future__ import annotations

import bpy

from .time import HOLD, LOOP, PING_PONG, package_frame, travelled

AT_THE_END = (LOOP, PING_PONG, HOLD)
"""In the order in which keyframes number them."""

_PATH = "cyclorama."


def index_at(root: bpy.types.Object, scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph | None = None) -> int:
    """Which frame of its package ``root`` shows in ``scene`` now.

    Args:
        depsgraph: evaluated at the scene's frame. Without it the root's values are taken as they were set last.
    """
    settings = (root if depsgraph is None else root.evaluated_get(depsgraph)).cyclorama
    values = {name: getattr(settings, name) for name in _NAMES}
    return _index(values, root, scene, scene.frame_current, _curves(root).get(_PATH + "speed"))


def index_later(root: bpy.types.Object, scene: bpy.types.Scene, frame: int) -> int:
    """Which it shows at another frame of the timeline: exact for what is keyframed; what is driven stays as it is."""
    curves = _curves(root)
    values = {name: _value(root, curves.get(_PATH + name), name, frame) for name in _NAMES}
    return _index(values, root, scene, frame, curves.get(_PATH + "speed"))


def indices(root: bpy.types.Object, scene: bpy.types.Scene, frames: range) -> dict[int, int]:
    """Which it shows at each of ``frames``, exactly. Where something is driven, the timeline is gone through for it."""
    animated = root.animation_data
    if animated is None or not (len(animated.drivers) or len(animated.nla_tracks)):
        return {frame: index_later(root, scene, frame) for frame in frames}
    now = scene.frame_current
    found = {}
    for frame in frames:
        scene.frame_set(frame)
        found[frame] = index_at(root, scene, bpy.context.evaluated_depsgraph_get())
    scene.frame_set(now)
    return found


_NAMES = ("start", "speed", "offset", "at_the_end", "reverse", "use_frame", "frame")


def _index(values: dict, root: bpy.types.Object, scene: bpy.types.Scene, frame: int, speed) -> int:
    settings = root.cyclorama
    if values["use_frame"]:
        position = values["frame"]
    else:
        start = values["start"]
        played = (frame - start) * values["speed"] if speed is None else travelled(start, frame, speed.evaluate)
        rates = settings.frame_rate * scene.render.fps_base / scene.render.fps
        position = played * rates + values["offset"]
    return package_frame(position, settings.frame_count, values["at_the_end"], bool(values["reverse"]))


def _value(root: bpy.types.Object, curve: bpy.types.FCurve | None, name: str, frame: int):
    if curve is None:
        return getattr(root.cyclorama, name)
    value = curve.evaluate(frame)
    if name == "at_the_end":
        return AT_THE_END[min(max(round(value), 0), len(AT_THE_END) - 1)]
    return value >= 0.5 if name in ("reverse", "use_frame") else value


def _curves(root: bpy.types.Object) -> dict[str, bpy.types.FCurve]:
    """The keyframes of a root's values, by path."""
    animated = root.animation_data
    action = animated.action if animated is not None else None
    if action is None:
        return {}
    return {curve.data_path: curve for curve in fcurves(action, animated) if not curve.mute}


def fcurves(action: bpy.types.Action, animated: bpy.types.AnimData):
    """The curves of an action that move who owns ``animated``."""
    if hasattr(action, "fcurves"):  # up to Blender 4.5
        return action.fcurves
    from bpy_extras import anim_utils

    bag = anim_utils.action_get_channelbag_for_slot(action, animated.action_slot)
    return bag.fcurves if bag is not None else ()
