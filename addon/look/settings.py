"""How a 4D scene looks, as Python reads and sets it: on its root, as ``Object.cyclorama_look``.

All values but the crop box are views of the root's custom properties (``controls``): what an artist animates is those.
"""

from __future__ import annotations

from math import pi

import bpy

from . import dressing
from .controls import CONTROLS, set_value, value


def _view(name: str) -> dict:
    """Name, tooltip and the two functions that read and write a control."""
    return {
        "name": CONTROLS[name].name,
        "description": CONTROLS[name].tooltip,
        "get": lambda self: value(self.id_data, name),
        "set": lambda self, new: set_value(self.id_data, name, new),
        "options": set(),  # what is animated is the custom property
    }


def _on_crop(settings: LookSettings, _context: bpy.types.Context) -> None:
    dressing.crop(settings.id_data)


class LookSettings(bpy.types.PropertyGroup):
    """On every object; meant for the roots of 4D scenes."""

    exposure: bpy.props.FloatProperty(soft_min=-5.0, soft_max=5.0, **_view("exposure"))
    saturation: bpy.props.FloatProperty(min=0.0, soft_max=2.0, **_view("saturation"))
    tint: bpy.props.FloatVectorProperty(subtype="COLOR", size=3, min=0.0, soft_max=1.0, **_view("tint"))
    density: bpy.props.FloatProperty(subtype="FACTOR", min=0.01, max=1.0, **_view("density"))
    crop: bpy.props.PointerProperty(
        name="Crop Box",
        description="Object whose box, from -1 to 1 in its own space, limits what is shown; a cube or an empty",
        type=bpy.types.Object,
        update=_on_crop,
    )
    crop_outside: bpy.props.BoolProperty(**_view("crop_outside"))
    floater_opacity: bpy.props.FloatProperty(subtype="FACTOR", min=0.0, max=1.0, **_view("floater_opacity"))
    floater_size: bpy.props.FloatProperty(subtype="ANGLE", min=0.0, max=pi / 2, **_view("floater_size"))
    floater_alone: bpy.props.FloatProperty(min=0.0, soft_max=10.0, **_view("floater_alone"))
    eevee_sorted: bpy.props.BoolProperty(**_view("eevee_sorted"))


def register() -> None:
    """Give objects their look, as ``cyclorama_look``."""
    bpy.utils.register_class(LookSettings)
    bpy.types.Object.cyclorama_look = bpy.props.PointerProperty(type=LookSettings)
    dressing.register()


def unregister() -> None:
    """Take it away again; what was set stays in the file."""
    dressing.unregister()
    del bpy.types.Object.cyclorama_look
    bpy.utils.unregister_class(LookSettings)
