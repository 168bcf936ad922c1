"""Who shows splats and points in the viewports: our drawing, or Blender by surfels and spheres.

Both at once would be wrong: in Solid surfels and spheres are clay, in Material Preview surfels are noise, and in both
they hide ours by their depth. So while we draw, splats and points have a modifier that leaves nothing of them in the
viewport, before any surfel is computed; renders do not look at it. It is there only meanwhile: never in a saved file.

As long as any 3D viewport needs the surfels, Blender shows them in all: in Rendered shading, and in Material Preview
without overlays, where EEVEE (5.2.3) leaves no depth that could be tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import bpy

from ...stage.scene_object import POINTS, SPLATS
from ..nodes import add, arrange, local_group, new_group

MODIFIER = "Fast Splats"

GROUP = "Cyclorama Nothing"

_VERSION = 1

OURS = ("SOLID", "MATERIAL")
"""Shading of those viewports in which we draw."""


def needs_surfels(shading: str, has_overlays: bool) -> bool:
    """Whether a 3D viewport of this shading can only be served by Blender."""
    return shading == "RENDERED" or (shading == "MATERIAL" and not has_overlays)


def needed_somewhere(windows: bpy.types.WindowManager) -> bool:
    """Whether that is so of any that is open."""
    return any(
        needs_surfels(area.spaces.active.shading.type, area.spaces.active.overlay.show_overlays)
        for window in windows.windows
        for area in window.screen.areas
        if area.type == "VIEW_3D"
    )


def plays_into_files(windows: bpy.types.WindowManager) -> bool:
    """Whether Blender's own playblast runs. (Of its stills nobody is told.)"""
    return any(each.bl_idname == "RENDER_OT_opengl" for window in windows.windows for each in window.modal_operators)


def drawn_objects(things: Iterable[bpy.types.Object]) -> Iterator[bpy.types.Object]:
    """Those that are splats or points of a 4D scene and this file's own; linked ones are left to Blender."""
    for thing in things:
        # Right after one was deleted, a view layer has None in its place.
        if thing and thing.type == "MESH" and thing.cyclorama.role in (*SPLATS, POINTS) and thing.library is None:
            yield thing


def are_hidden(splats: bpy.types.Object) -> bool:
    """Whether Blender shows nothing of them in the viewport, so that we may draw them."""
    return MODIFIER in splats.modifiers


def show_surfels(shown: bool) -> None:
    """Have Blender show the surfels of all 4D scenes in the viewport, or nothing."""
    for splats in drawn_objects(getattr(bpy.data, "objects", ())):  # Blender hides its data while it starts
        modifier = splats.modifiers.get(MODIFIER)
        if modifier is not None and shown:
            splats.modifiers.remove(modifier)
        elif modifier is None and not shown:
            modifier = splats.modifiers.new(MODIFIER, "NODES")
            modifier.node_group = _nothing()
            modifier.show_render = modifier.show_expanded = False
            splats.modifiers.move(len(splats.modifiers) - 1, 0)
    if shown and hasattr(bpy.data, "node_groups"):
        unused = local_group(GROUP, _VERSION)
        if unused is not None and not unused.users:
            bpy.data.node_groups.remove(unused)


def _nothing() -> bpy.types.GeometryNodeTree:
    """A node group that leaves nothing; made when it is needed."""
    tree = local_group(GROUP, _VERSION)
    if tree is None:
        tree = new_group(GROUP, _VERSION)
        tree.is_modifier = True
        tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
        tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
        add(tree, "NodeGroupInput")
        add(tree, "NodeGroupOutput")
        arrange(tree)
    return tree
