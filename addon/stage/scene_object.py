"""A 4D scene in Blender is one empty, its root, and the objects that hang on it, its parts."""

from __future__ import annotations

from collections.abc import Iterator

import bpy

SCENE = "SCENE"
"""Role of the root: it carries the package, its time, and how it looks (``cyclorama``, ``cyclorama_look``)."""

STATIC = "STATIC"
MOVING = "MOVING"
POINTS = "POINTS"
PROXY = "PROXY"
CAMERA = "CAMERA"
ROLES = (SCENE, STATIC, MOVING, POINTS, PROXY, CAMERA)
"""``Object.cyclorama.role``; "" for everything else in the file."""

SPLATS = (STATIC, MOVING)

PLAYED = (MOVING, POINTS)
"""Parts that differ from frame to frame."""


def is_root(thing: bpy.types.Object | None) -> bool:
    """Whether it is the root of a 4D scene."""
    return thing is not None and thing.type == "EMPTY" and thing.cyclorama.role == SCENE


def root_of(thing: bpy.types.Object | None) -> bpy.types.Object | None:
    """The 4D scene that ``thing`` is, or hangs on (over any number of parents); None for anything else."""
    while thing is not None and not is_root(thing):
        thing = thing.parent
    return thing


def roots(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """All 4D scenes in ``scene``, in its objects' order."""
    return [thing for thing in scene.objects if is_root(thing)]


def seen_roots(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """Those and the ones that ``scene`` shows by instances of collections, or as its background set; each once."""
    found: dict[bpy.types.Object, None] = {}
    gone_through: set[bpy.types.Collection] = set()
    waiting = [scene.objects] + ([scene.background_set.objects] if scene.background_set else [])
    while waiting:
        for thing in waiting.pop():
            if thing.type != "EMPTY":
                continue
            if thing.cyclorama.role == SCENE:
                found[thing] = None
            collection = thing.instance_collection
            if collection is not None and collection not in gone_through:
                gone_through.add(collection)
                waiting.append(collection.all_objects)
    return list(found)


def parts(root: bpy.types.Object, *roles: str) -> Iterator[bpy.types.Object]:
    """What hangs on ``root`` and has one of ``roles`` (any role, if none is named)."""
    for thing in root.children_recursive:
        if thing.cyclorama.role in (roles or ROLES):
            yield thing


def current(context: bpy.types.Context) -> bpy.types.Object | None:
    """The 4D scene the artist means: the active object's (also one it instances), else the only one there is."""
    chosen = root_of(context.object)
    if chosen is None and context.object is not None and context.object.instance_collection is not None:
        chosen = next(filter(is_root, context.object.instance_collection.all_objects), None)
    if chosen is None:
        there = seen_roots(context.scene)
        chosen = there[0] if len(there) == 1 else None
    return chosen
