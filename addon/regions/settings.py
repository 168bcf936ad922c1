"""What the artist drew: the regions of a Blender scene's panorama, as a .blend stores them."""

from __future__ import annotations

import typing
from dataclasses import fields

import bpy

from ...bridge.settings import LONGEST_PROMPT, Box, Region, Stroke
from . import editors
from .exchange import load_regions, regions_of
from .listing import COLOURS

__all__ = ["RegionList", "RegionSettings", "load_regions", "regions_of", "register", "unregister"]


def _redraw(_region, _context) -> None:
    editors.redraw()


def _follow(regions: RegionList, context: bpy.types.Context) -> None:
    """Painting goes on in the region that is chosen now."""
    editors.follow_active(context.scene)
    editors.redraw()


def _degrees(kind: type, prefix: str, defaults: dict[str, float]) -> dict:
    """Properties for the numbers of ``kind``: ranges and texts are those of its declaration."""
    found = {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        meta = typing.get_args(hint)[1]
        found[prefix + name] = bpy.props.FloatProperty(
            name=_NAMES.get(name, name.title()),
            description=meta.description,
            default=defaults[name],
            min=0.01 if meta.ge is None else meta.ge,
            max=meta.le,
            precision=1,
            step=100,
            options=set(),
            update=_redraw,
        )
    return found


_NAMES = {"d_longitude": "Right", "d_latitude": "Up", "speed": "Speed (°/s)"}

_REGION = {field.name: typing.get_type_hints(Region, include_extras=True)[field.name] for field in fields(Region)}


def _said(name: str) -> str:
    return typing.get_args(_REGION[name])[1].description


class _Degrees:
    """Where a box lies, and an arrow."""

    __annotations__ = {
        **_degrees(Box, "box_", {"longitude": 0.0, "latitude": 0.0, "width": 60.0, "height": 40.0}),
        **_degrees(
            Stroke,
            "stroke_",
            {"longitude": 0.0, "latitude": 0.0, "d_longitude": 15.0, "d_latitude": 0.0, "speed": 3.0},
        ),
    }


class RegionSettings(_Degrees, bpy.types.PropertyGroup):
    """One region."""

    name: bpy.props.StringProperty(name="Name", description="How you call it", default="Region", update=_redraw)
    kind: bpy.props.EnumProperty(
        name="Kind",
        description="How the region is marked on the panorama",
        items=[
            ("PAINTED", "Painted", "What you paint white", "BRUSH_DATA", 0),
            ("BOX", "Box", "What lies between two meridians and two circles of latitude", "SELECT_SET", 1),
        ],
        options=set(),
        update=_redraw,
    )
    mask: bpy.props.PointerProperty(
        name="Mask", description="Image in which the region is painted white", type=bpy.types.Image, update=_redraw
    )
    prompt: bpy.props.StringProperty(name="Prompt", description=_said("prompt"), maxlen=LONGEST_PROMPT, options=set())
    strength: bpy.props.FloatProperty(
        name="Motion Strength",
        description=_said("strength"),
        default=1.0,
        min=0.0,
        max=10.0,
        soft_max=3.0,
        options=set(),
    )
    has_stroke: bpy.props.BoolProperty(
        name="Stroke", description="Whether the region moves along an arrow of its own", options=set(), update=_redraw
    )
    colour: bpy.props.FloatVectorProperty(
        name="Colour",
        description="In which the region is shown; it changes nothing that is generated",
        subtype="COLOR_GAMMA",
        size=3,
        min=0.0,
        max=1.0,
        default=COLOURS[0],
        options=set(),
        update=_redraw,
    )
    shown: bpy.props.BoolProperty(
        name="Show",
        description="Show the region over the panorama; hidden ones are generated too",
        default=True,
        options=set(),
        update=_redraw,
    )


class RegionList(bpy.types.PropertyGroup):
    """All regions of a Blender scene, later ones on top."""

    items: bpy.props.CollectionProperty(type=RegionSettings)
    active: bpy.props.IntProperty(options={"HIDDEN"}, update=_follow)
    opacity: bpy.props.FloatProperty(
        name="Overlay",
        description="How strongly regions are tinted over the panorama",
        subtype="FACTOR",
        default=0.45,
        min=0.0,
        max=1.0,
        options=set(),
        update=_redraw,
    )
    show_dome: bpy.props.BoolProperty(
        name="Show on Dome",
        description="Draw the panorama with its regions around the origin of the 3D View",
        options=set(),
        update=_redraw,
    )
    dome_radius: bpy.props.FloatProperty(
        name="Radius",
        description="How far from the origin the dome is drawn",
        subtype="DISTANCE",
        default=10.0,
        min=0.1,
        soft_max=100.0,
        options=set(),
        update=_redraw,
    )


_CLASSES = (RegionSettings, RegionList)


def register() -> None:
    """Give scenes their regions, as ``cyclorama_regions``."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.cyclorama_regions = bpy.props.PointerProperty(type=RegionList)


def unregister() -> None:
    """Take them away again; what was drawn stays in the file."""
    del bpy.types.Scene.cyclorama_regions
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
