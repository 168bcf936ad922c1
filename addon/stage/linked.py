"""4D scenes linked from another file: their values cannot be changed, so they cannot be played until made playable."""

from __future__ import annotations

import bpy

from .packages import package_path
from .paths import stored_path
from .scene_object import PLAYED, parts


def is_playable(root: bpy.types.Object) -> bool:
    """Whether all that differs from frame to frame can be changed."""
    return all(part.data.is_editable for part in parts(root, *PLAYED))


def make_playable(context: bpy.types.Context, root: bpy.types.Object) -> bpy.types.Object:
    """Override a linked 4D scene in this file, and give its moving parts meshes of their own; the rest stays linked.

    Returns:
        The root to use from now on.
    """
    if root.library is not None:
        folder = package_path(root)
        root = _overridden(context, root)
        root.cyclorama.package = stored_path(folder)  # it was relative to the other file
    for part in parts(root, *PLAYED):
        if not part.data.is_editable:
            part.data = part.data.copy()
    return root


def _overridden(context: bpy.types.Context, root: bpy.types.Object) -> bpy.types.Object:
    collection = next((one for one in root.users_collection if one.library is not None), None)
    chosen = context.object
    instance = chosen if chosen is not None and chosen.instance_collection == collection is not None else None
    if collection is None:  # only its objects were linked
        everything = [root, *root.children_recursive]
        for thing in everything:
            thing.make_local()
        return root
    before = set(bpy.data.objects)
    collection.override_hierarchy_create(context.scene, context.view_layer, reference=instance, do_fully_editable=True)
    made = [thing for thing in set(bpy.data.objects) - before if thing.override_library is not None]
    return next(thing for thing in made if thing.override_library.reference == root)
