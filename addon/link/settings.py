"""What a .blend remembers: the jobs that were asked for from it, so that their scenes find back to it."""

from __future__ import annotations

import bpy

MOST = 100
"""So many jobs a scene remembers; then the oldest that need no more attention are forgotten."""


class WishSettings(bpy.types.PropertyGroup):
    """One job."""

    # name, which every PropertyGroup has: the job's on the wire
    panorama: bpy.props.StringProperty(name="Panorama", options={"HIDDEN"})
    output: bpy.props.StringProperty(name="Output", options={"HIDDEN"})
    viewpoint: bpy.props.FloatVectorProperty(name="Viewpoint", subtype="TRANSLATION", options={"HIDDEN"})
    settled: bpy.props.BoolProperty(name="Settled", options={"HIDDEN"})
    imported: bpy.props.StringProperty(name="Imported As", options={"HIDDEN"})


def forget_oldest(wishes) -> None:
    """Make room in a scene's collection of ``WishSettings``."""
    while len(wishes) > MOST:
        wishes.remove(next((i for i, wish in enumerate(wishes) if wish.settled), 0))


def register() -> None:
    """Give scenes their wishes, as ``cyclorama_wishes``."""
    bpy.utils.register_class(WishSettings)
    bpy.types.Scene.cyclorama_wishes = bpy.props.CollectionProperty(type=WishSettings, options={"HIDDEN"})


def unregister() -> None:
    """Take them away again; what is remembered stays in the file."""
    del bpy.types.Scene.cyclorama_wishes
    bpy.utils.unregister_class(WishSettings)
