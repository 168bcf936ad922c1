"""How a 4D scene is generated, as a .blend stores it."""

from __future__ import annotations

import typing
from dataclasses import Field, fields

import bpy

from ..bridge.settings import LONGEST_PROMPT, QUARTERS, PanoramaTo4D
from . import device

BESIDE_THE_FILE = "//"
"""Blender's sign for the folder of the .blend."""

_NO_SIMPLE_VALUES = ("strokes", "regions", "local_prompts")

RECIPE_SETTINGS: tuple[str, ...] = tuple(
    field.name for field in fields(PanoramaTo4D) if field.name not in _NO_SIMPLE_VALUES
)
"""The recipe's settings that are simple values; strokes and regions are drawn, and local prompts are four."""

LOCAL_PROMPTS = tuple(f"prompt_{quarter}" for quarter in QUARTERS)

_RECIPES = {
    "panorama_to_4d": ("Panorama to 4D", "A still 360° panorama becomes a moving 3D scene", "WORLD_DATA", 0),
}
"""Those that this add-on can ask for: name, description, icon and the number that a .blend stores."""

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


def _local_prompts() -> dict:
    return {
        name: bpy.props.StringProperty(
            name=quarter.title(),
            description=f"What else shall move in the views that look to the {quarter}; added to the prompt of all",
            maxlen=LONGEST_PROMPT,
            options=set(),
        )
        for name, quarter in zip(LOCAL_PROMPTS, QUARTERS, strict=True)
    }


def _offered(_settings: bpy.types.PropertyGroup | None, _context: bpy.types.Context | None) -> list[tuple]:
    """The recipes that the backend has; while it is not connected, those that this add-on knows."""
    names = device.recipes()
    known = {name: item for name, item in _ITEMS.items() if not names or name in names}
    return list((known or _ITEMS).values())


_ITEMS = {name: (name, *about) for name, about in _RECIPES.items()}


class _RecipeSettings:
    """The settings of *Panorama to 4D*: their names, ranges and texts are those of their declaration."""

    __annotations__ = _recipe_properties() | _local_prompts()


class GenerateSettings(_RecipeSettings, bpy.types.PropertyGroup):
    """What the artist wants to be generated; one on every scene."""

    recipe: bpy.props.EnumProperty(
        name="Recipe", description="What is made of what, as the backend offers it", items=_offered, options=set()
    )
    panorama_source: bpy.props.EnumProperty(
        name="Panorama From",
        description="Where the panorama comes from",
        items=[
            ("FILE", "File", "A picture on disk"),
            ("IMAGE", "Image", "An image of this file, as it is now: painted, packed or not saved yet too"),
            ("SCENE", "Scene", "This scene, rendered all around from one place"),
        ],
        options=set(),
    )
    panorama_image: bpy.props.PointerProperty(
        name="Image",
        description="A 360° image of this file, twice as wide as high",
        type=bpy.types.Image,
        options=set(),
    )
    panorama_of_scene: bpy.props.StringProperty(
        name="Rendered",
        description="The panorama that was rendered of this scene",
        subtype="FILE_PATH",
        options=_PATH,
    )
    viewpoint: bpy.props.FloatVectorProperty(
        name="Viewpoint",
        description="Where the panorama of this scene was rendered from",
        subtype="XYZ_LENGTH",
        unit="LENGTH",
        options=set(),
    )
    render_from: bpy.props.EnumProperty(
        name="From",
        description="Where the panorama is rendered from",
        items=[
            ("CAMERA", "Active Camera", "Where the active camera is, whichever way it looks"),
            ("CURSOR", "3D Cursor", "Where the 3D cursor is"),
        ],
        options=set(),
    )
    render_width: bpy.props.IntProperty(
        name="Width",
        description="Pixels around the horizon; it is half as high",
        subtype="PIXEL",
        default=2048,
        min=64,
        max=16384,
        step=200,
        options=set(),
    )
    render_samples: bpy.props.IntProperty(
        name="Samples", description="Samples of Cycles for each pixel", default=128, min=1, max=16384, options=set()
    )
    render_without_splats: bpy.props.BoolProperty(
        name="Leave Out 4D Scenes",
        description="Render without the 4D scenes that are here already; the world stays as it is",
        default=True,
        options=set(),
    )
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


def register() -> None:
    """Give scenes their settings, as ``cyclorama``."""
    bpy.utils.register_class(GenerateSettings)
    bpy.types.Scene.cyclorama = bpy.props.PointerProperty(type=GenerateSettings)


def unregister() -> None:
    """Take them away again; what was set stays in the file."""
    del bpy.types.Scene.cyclorama
    bpy.utils.unregister_class(GenerateSettings)
