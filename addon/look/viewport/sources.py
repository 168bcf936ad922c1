"""Which splats a scene has, read from its objects once and again when they change."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from ....bridge.gaussians import radiance_from_colour
from ...stage.scene_object import MOVING, POINTS, root_of
from ..points import COLOUR
from .part import Part, Splats, without_floaters
from .who_draws import are_hidden, drawn_objects

_READ = {"position": ("vector", 3), "rotation": ("value", 4), "scale": ("vector", 3), "radiance": ("color", 4)}
"""Attribute of the splats' mesh -> the name of its values in Python, and how many numbers."""

_READ_OF_POINTS = {"position": ("vector", 3), "radius": ("value", 1), COLOUR: ("color", 4)}

_read: dict[int, tuple[Any, Splats]] = {}
"""Object -> mesh and frame that were read, and its splats."""

_cleaned: dict[int, tuple[Any, Splats]] = {}
"""Object -> by what its floaters were taken out, and the rest."""

_stale: set[int] = set()
"""Objects and meshes that were changed since."""


def key_of(thing: bpy.types.ID) -> int:
    """Names a data-block for this session, across undo."""
    return thing.session_uid if hasattr(thing, "session_uid") else thing.as_pointer()


def parts_of(view_layer: bpy.types.ViewLayer, most: int) -> list[Part]:
    """All splats of a view layer, thinned to ``most`` if there are more, as they look now."""
    things = list(drawn_objects(view_layer.objects))
    held = {key_of(thing): _splats(thing) for thing in things}
    for gone in _read.keys() - held.keys():
        del _read[gone]
        _cleaned.pop(gone, None)
    _stale.clear()
    count = sum(len(splats) for splats in held.values())
    share = min(1.0, most / count) if count else 1.0
    return [_part(thing, held[key_of(thing)], share) for thing in things]


def shown_in(view_layer: bpy.types.ViewLayer, space: bpy.types.SpaceView3D | None) -> set[int]:
    """Keys of the splats that a 3D viewport shows: not hidden, in its local view, and not shown by Blender."""
    return {
        key_of(thing)
        for thing in drawn_objects(view_layer.objects)
        if are_hidden(thing) and thing.visible_get(view_layer=view_layer, viewport=space)
    }


def mark(depsgraph: bpy.types.Depsgraph) -> None:
    """Note what was changed."""
    for update in depsgraph.updates:
        if update.is_updated_geometry:
            _stale.add(key_of(update.id.original))


def forget() -> None:
    """Let go of all splats."""
    _read.clear()
    _cleaned.clear()
    _stale.clear()


def _part(thing: bpy.types.Object, splats: Splats, share: float) -> Part:
    look = (root_of(thing) or thing).cyclorama_look
    are_points = thing.cyclorama.role == POINTS
    return Part(
        key=key_of(thing),
        splats=splats if are_points else _clean(thing, splats, look.floater_opacity, look.floater_size),
        is_moving=thing.cyclorama.role in (MOVING, POINTS),
        are_points=are_points,
        world_from_part=np.array(thing.matrix_world),
        exposure=look.exposure,
        saturation=look.saturation,
        tint=tuple(look.tint),
        density=min(look.density, share),
        crop_from_world=np.array(look.crop.matrix_world.inverted_safe()) if look.crop else None,
        crops_outside=look.crop_outside,
    )


def _clean(thing: bpy.types.Object, splats: Splats, faint: float, large: float) -> Splats:
    if not faint and not large:
        return splats
    key, by = key_of(thing), (id(splats), faint, large)
    if key not in _cleaned or _cleaned[key][0] != by:
        _cleaned[key] = (by, without_floaters(splats, faint, large))
    return _cleaned[key][1]


def _splats(thing: bpy.types.Object) -> Splats:
    key, mesh = key_of(thing), thing.data
    # Playback changes meshes after Blender has told what changed, so its frame is asked for, too.
    version = (key_of(mesh), len(mesh.vertices), mesh.cyclorama_shown)
    if key not in _read or _read[key][0] != version or key in _stale or version[0] in _stale:
        _read[key] = (version, _points(mesh) if thing.cyclorama.role == POINTS else Splats(**_arrays(mesh, _READ)))
    return _read[key][1]


def _points(mesh: bpy.types.Mesh) -> Splats:
    arrays = _arrays(mesh, _READ_OF_POINTS)
    count = len(arrays["position"])
    return Splats(
        arrays["position"],
        np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        np.repeat(arrays["radius"], 3, axis=1),
        radiance_from_colour(arrays[COLOUR][:, :3], 1.0).astype(np.float32),
    )


def _arrays(mesh: bpy.types.Mesh, wanted: dict[str, tuple[str, int]]) -> dict[str, np.ndarray]:
    """Of a mesh that lacks one of them: none."""
    count = len(mesh.vertices) if all(name in mesh.attributes for name in wanted) else 0
    arrays = {}
    for name, (values, columns) in wanted.items():
        arrays[name] = np.empty((count, columns), np.float32)
        if count:
            mesh.attributes[name].data.foreach_get(values, arrays[name].reshape(-1))
    return arrays
