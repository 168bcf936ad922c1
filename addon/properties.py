"""What the add-on stores in a .blend: how a scene is generated, and which package an object or world plays."""

from __future__ import annotations

import typing
from dataclasses import Field, fields

import bpy

from ..bridge.settings import PanoramaTo4D

BESIDE_THE_FILE = "//"
"""Blender's sign for the folder of the .blend."""

_DRAWN = ("strokes", "regions")

RECIPE_SETTINGS: tuple[str, ...] = tuple(field.name for field in fields(PanoramaTo4D) if field.name not in _DRAWN)
"""The recipe's settings that are simple values; strokes and regions are drawn, not typed."""

_PATH = {"PATH_SUPPORTS_BLEND_RELATIVE"}
"""Options of a path that may start with ``//``."""

_IN_BLENDER: dict[str, dict] = {
    "checkpoint": {"subtype": "DIR_PATH", "options": _PATH},
    "memory": {"name": "Memory (GB)", "precision": 1, "step": 100},
    "fps": {"name": "Frame Rate"},
    "mask": {"name": "Motion Mask", "subtype": "FILE_PATH", "options": _PATH},
    "strength": {"name": "Motion Strength", "soft_max": 3.0},
    "estimator": {"name": "Distances From"},
    "estimator_checkpoint": {"name": "Checkpoint", "subtype": "DIR_PATH", "options": _PATH},
    "depth_file": {"name": "Depth Image", "subtype": "FILE_PATH", "options": _PATH},
    "depth_file_kind": {"name": "It Holds"},
    "align": {"name": "Views Agree"},
    "metric_reference": {"name": "Metres From", "subtype": "DIR_PATH", "options": _PATH},
    "eye_height": {"subtype": "DISTANCE"},
    "far_distance": {"name": "Sky Distance", "subtype": "DISTANCE"},
    "gaussians": {"name": "At Most", "soft_max": 10_000_000},
    "inpainter": {"subtype": "DIR_PATH", "options": _PATH},
    "semantic_checkpoint": {"name": "Semantic Loss", "subtype": "DIR_PATH", "options": _PATH},
    "perceptual_checkpoint": {"name": "Perceptual Loss", "subtype": "DIR_PATH", "options": _PATH},
    "width": {"name": "Resolution", "subtype": "PIXEL"},
}
"""What the declaration of a setting cannot know: its name in Blender, where that differs, and its unit."""

_KINDS = {int: bpy.props.IntProperty, float: bpy.props.FloatProperty, str: bpy.props.StringProperty}


def _recipe_properties() -> dict:
    hints = typing.get_type_hints(PanoramaTo4D, include_extras=True)
    return {
        field.name: _property(field, hints[field.name])
        for field in fields(PanoramaTo4D)
        if field.name in RECIPE_SETTINGS
    }


def _property(setting: Field, hint: typing.Any):
    kind, meta = typing.get_args(hint)
    limits = {"min": meta.ge, "max": meta.le, "maxlen": meta.max_length}
    arguments = {
        "name": setting.name.replace("_", " ").title(),
        "description": meta.description,
        "default": setting.default,
        "options": set(),  # not animatable: it is read once, when the scene is generated
        **{name: limit for name, limit in limits.items() if limit is not None},
        **_IN_BLENDER.get(setting.name, {}),
    }
    if typing.get_origin(kind) is typing.Literal:
        items = [(value, *meta.extra[value]) for value in typing.get_args(kind)]
        return bpy.props.EnumProperty(items=items, **arguments)
    return _KINDS[kind](**arguments)


class _RecipeSettings:
    """The settings of *Panorama to 4D*: their names, ranges and texts are those of their declaration."""

    __annotations__ = _recipe_properties()


class GenerateSettings(_RecipeSettings, bpy.types.PropertyGroup):
    """What the artist wants to be generated; one on every scene."""

    panorama: bpy.props.StringProperty(
        name="Panorama",
        description="A 360° picture, twice as wide as high: JPEG, PNG, WebP, HDR or EXR",
        subtype="FILE_PATH",
        options=_PATH,
    )
    output_folder: bpy.props.StringProperty(
        name="Output",
        description="Folder for the generated scenes; // is that of this file, once it is saved",
        default=BESIDE_THE_FILE,
        subtype="DIR_PATH",
        options=_PATH,
    )


class PlaybackSettings(bpy.types.PropertyGroup):
    """Which 4D scene an object or world shows, and when; read at every frame change."""

    package: bpy.props.StringProperty(
        name="Scene", description="Folder of the 4D scene that is shown here", subtype="DIR_PATH", options=_PATH
    )
    start: bpy.props.IntProperty(name="Start", description="Frame at which the scene starts", default=1, options=set())
    frame_rate: bpy.props.FloatProperty(
        name="Frame Rate",
        description="Frames per second of the 4D scene, whatever the rate of this file",
        default=24.0,
        min=0.01,
        options=set(),
    )
    frame_count: bpy.props.IntProperty(
        name="Frames",
        description="Length of the 4D scene in its own frames; then it starts again",
        default=1,
        min=1,
        options=set(),
    )
    shown: bpy.props.IntProperty(
        name="Shown", description="Frame of the 4D scene that is shown now", default=-1, min=-1, options={"HIDDEN"}
    )


_CLASSES = (GenerateSettings, PlaybackSettings)
_HOLDERS = (
    (bpy.types.Scene, GenerateSettings),
    (bpy.types.Object, PlaybackSettings),
    (bpy.types.World, PlaybackSettings),
)


def register() -> None:
    """Give scenes, objects and worlds their settings, as ``cyclorama``."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    for holder, settings in _HOLDERS:
        setattr(holder, "cyclorama", bpy.props.PointerProperty(type=settings))  # noqa: B010 (unknown to type checkers)


def unregister() -> None:
    """Take them away again; what was set stays in the file."""
    for holder, _settings in _HOLDERS:
        delattr(holder, "cyclorama")
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
