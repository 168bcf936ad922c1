"""The collections of a 4D scene: its own, and in it one for the splats and one for the proxy, which is left out."""

from __future__ import annotations

from collections.abc import Iterator

import bpy

from .scene_object import POINTS, PROXY, SPLATS, parts

SHOWN = (*SPLATS, POINTS)
"""Roles of what the eye sees of a 4D scene."""


def add_apart(scene: bpy.types.Scene, root: bpy.types.Object, things: list[bpy.types.Object], name: str) -> None:
    """Move ``things`` into a new collection of that name inside the 4D scene's."""
    collection = bpy.data.collections.new(name)
    home(scene, root).children.link(collection)
    for thing in things:
        for other in thing.users_collection:
            other.objects.unlink(thing)
        collection.objects.link(thing)


def home(scene: bpy.types.Scene, root: bpy.types.Object) -> bpy.types.Collection:
    """The collection that holds the root of a 4D scene."""
    there = {scene.collection, *scene.collection.children_recursive}
    return next((found for found in root.users_collection if found in there), scene.collection)


def keeps_apart(collection: bpy.types.Collection, *roles: str) -> bool:
    """Whether it holds objects of these roles, and nothing else."""
    things = collection.objects
    return len(things) > 0 and all(thing.cyclorama.role in roles for thing in things) and not collection.children


def leave_out(scene: bpy.types.Scene, root: bpy.types.Object, *roles: str) -> None:
    """Exclude the collections of a 4D scene's parts of these roles from all view layers."""
    apart = {found for part in parts(root, *roles) for found in part.users_collection if keeps_apart(found, *roles)}
    for layer in scene.view_layers:
        for shown in layer_collections(layer.layer_collection):
            if shown.collection in apart:
                shown.exclude = True


def is_shown(root: bpy.types.Object, layer: bpy.types.ViewLayer) -> bool:
    """Whether ``layer`` has any of its splats."""
    homes = {found for part in parts(root, *SHOWN) for found in part.users_collection}
    return any(not shown.exclude and shown.collection in homes for shown in layer_collections(layer.layer_collection))


def layer_collections(above: bpy.types.LayerCollection) -> Iterator[bpy.types.LayerCollection]:
    """It and all below it, parents first."""
    yield above
    for child in above.children:
        yield from layer_collections(child)


def add_proxy(scene: bpy.types.Scene, root: bpy.types.Object, proxy: bpy.types.Object) -> None:
    """Put a proxy where no view layer shows it."""
    proxy.parent = root
    add_apart(scene, root, [proxy], f"{root.name} proxy")
    leave_out(scene, root, PROXY)
