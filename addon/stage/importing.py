"""A scene package becomes a collection: splats, points, world light, camera; and a proxy for shadows."""

from __future__ import annotations

from collections.abc import Iterator, Set
from itertools import chain
from pathlib import Path

import bpy

from ...bridge.gaussians import Gaussians
from ...bridge.scene import MOVING as MOVING_FILE
from ...bridge.scene import POINT_FRAMES, SUFFIX, Scene, SceneInfo, frame_name
from ...bridge.scene import POINTS as POINTS_FILE
from ...bridge.scene import STATIC as STATIC_FILE
from ..look import dress, light, native
from . import playback
from .camera import camera_rig
from .clock import index_at
from .collections import add_apart, add_proxy
from .paths import stored_path
from .points import new_points, point_mesh
from .proxy import proxy_object, take_shape
from .room import note_room
from .scene_object import MOVING, POINTS, PROXY, SCENE, SPLATS, STATIC, parts
from .splats import Arrays, is_native, new_native_splats, new_splats, remove, splat_mesh
from .world_light import point_at_video, world_light


def import_scene(
    context: bpy.types.Context,
    folder: Path,
    *,
    world: bool = True,
    camera: bool = True,
    proxy: bool = True,
    place: tuple[float, float, float] = (0.0, 0.0, 0.0),
    own_splats: bool = True,
) -> bpy.types.Collection:
    """Bring a package into the current scene, starting at its current start frame.

    Args:
        world: let the panoramic video light the scene, in place of its world (which stays in the file).
        camera: add a camera at the origin; it becomes the scene's if that has none.
        proxy: add a mesh of the set, hidden, on which objects' shadows can fall.
        place: where the panorama was taken, in Blender's world, metres.
        own_splats: let Blender draw the splats itself where it can (5.3 and later), in place of surfels.

    Raises:
        CycloramaError: the package cannot be read. Nothing is added then.
    """
    package = Scene(folder)
    scene = context.scene
    name = folder.name.removesuffix(SUFFIX)
    root = _root(name, folder, package.info, scene.frame_start)
    root.location = place
    try:
        kinds = _KINDS_NATIVE if own_splats and native.available() else _KINDS
        made = _parts(name, package, index_at(root, scene), kinds)
    except BaseException:
        bpy.data.objects.remove(root)
        raise
    collection = bpy.data.collections.new(name)
    scene.collection.children.link(collection)
    collection.objects.link(root)
    add_apart(scene, root, made, f"{name} splats")
    for part in made:
        part.parent = root
        dress(part, root)
    if world and (video := package.video_frames()):
        scene.world = world_light(name, video)
        scene.world.cyclorama.root = root
        light(scene.world, root)
    if camera:
        add_camera(scene, root, package.info)
    if proxy and (depth := package.depth_frames()):
        add_proxy(scene, root, proxy_object(f"{root.name} proxy", depth[0]))
    playback.show_frame(scene)
    return collection


def reload(root: bpy.types.Object, folder: Path) -> None:
    """Let a 4D scene show the package in ``folder``: every part anew, their objects and how they look stay.

    Raises:
        CycloramaError: the package cannot be read. Nothing is changed then.
    """
    package = Scene(folder)
    wanted = dict(_contents(package, 0))
    before = {part.cyclorama.role: part for part in parts(root, STATIC, MOVING, POINTS)}
    kept = {role: part for role, part in before.items() if role in wanted}
    own_splats = any(is_native(before[role].data) for role in SPLATS if role in before)
    kinds = _KINDS_NATIVE if own_splats else _KINDS
    values = {role: kinds[role][1](part.data.name, *wanted[role]) for role, part in kept.items()}
    made = _parts(root.name, package, 0, kinds, without=set(kept))
    for role, part in before.items():
        old = part.data
        if role in values:
            part.data = values[role]
            _transfer_materials(old, part.data)
        else:
            bpy.data.objects.remove(part)
        if not old.users:
            remove(old)
    homes = next((part.users_collection for part in kept.values()), root.users_collection)
    for part in made:
        part.parent = root
        for collection in homes:
            collection.objects.link(part)
        dress(part, root)
    _follow(root.cyclorama, folder, package.info)
    note_room(root, package.info)
    for proxy in parts(root, PROXY):
        if depth := package.depth_frames():
            take_shape(proxy, depth[0])
    repoint_worlds(root, package)
    playback.forget()


def repoint_worlds(root: bpy.types.Object, package: Scene) -> None:
    """Worlds that show the scene's panoramic video take it from ``package``."""
    for world in bpy.data.worlds:
        if world.cyclorama.root == root and (video := package.video_frames()):
            point_at_video(world, video)


def _native_static(name: str, _count: int, arrays: Arrays) -> bpy.types.PointCloud:
    return native.splat_data(name, Gaussians.from_arrays(dict(arrays)))


def _native_moving(name: str, _count: int, arrays: Arrays) -> bpy.types.PointCloud:
    return native.splat_data(name, Gaussians.from_arrays(dict(arrays)), changes=True)


_KINDS = {STATIC: (new_splats, splat_mesh), MOVING: (new_splats, splat_mesh), POINTS: (new_points, point_mesh)}
"""Role -> how a new object is made, and how new data for it."""

_KINDS_NATIVE = _KINDS | {
    STATIC: (lambda name, *content: new_native_splats(name, _native_static(name, *content)), _native_static),
    MOVING: (lambda name, *content: new_native_splats(name, _native_moving(name, *content)), _native_moving),
}


def _contents(package: Scene, index: int) -> Iterator[tuple[str, tuple[int, Arrays]]]:
    """Role of each part there is -> how many there are, and their values (read while they are gone through)."""
    info = package.info
    if info.static_count:
        yield STATIC, (info.static_count, package.stream(STATIC_FILE))
    if info.moving_count:
        yield MOVING, (info.moving_count, _both(package, MOVING_FILE, frame_name(index)))
    if info.point_count:
        yield POINTS, (info.point_count, _both(package, POINTS_FILE, frame_name(index, POINT_FRAMES)))


def _both(package: Scene, shared: str, first: str) -> Arrays:
    return chain(package.stream(shared) if shared in package.info.files else (), package.stream(first))


def _parts(
    name: str, package: Scene, index: int, kinds: dict, without: Set[str] = frozenset()
) -> list[bpy.types.Object]:
    """New objects for the parts of a package, as they are in frame ``index``. If one cannot be read, none is left."""
    made: list[bpy.types.Object] = []
    try:
        for role, content in _contents(package, index):
            if role not in without:
                made.append(kinds[role][0](f"{name} {role.lower()}", *content))
                made[-1].cyclorama.role = role
                made[-1].data.cyclorama_shown = index
    except BaseException:
        for values in [part.data for part in made]:
            remove(values)  # and its object
        raise
    return made


def _root(name: str, folder: Path, info: SceneInfo, start: int) -> bpy.types.Object:
    root = bpy.data.objects.new(name, None)
    root.empty_display_size = 0.1
    root.cyclorama.role = SCENE
    root.cyclorama.start = start
    _follow(root.cyclorama, folder, info)
    note_room(root, info)
    return root


def _follow(settings, folder: Path, info: SceneInfo) -> None:
    """Tell playback which package a root shows."""
    settings.package = stored_path(folder)
    settings.frame_rate = info.frame_rate
    settings.frame_count = info.frame_count
    settings.safe_radius = info.safe_radius or 0.0


def _transfer_materials(old: bpy.types.Mesh, new: bpy.types.Mesh) -> None:
    for material in old.materials:
        new.materials.append(material)


def add_camera(scene: bpy.types.Scene, root: bpy.types.Object, info: SceneInfo) -> bpy.types.Object:
    """Stand a camera where the panorama was taken; it becomes the scene's if that has none."""
    reach = max(abs(coordinate) for corner in info.bounds for coordinate in corner)
    rig, camera = camera_rig(f"{root.name} camera", reach)
    rig.parent = root
    for collection in root.users_collection:
        collection.objects.link(rig)
        collection.objects.link(camera)
    if scene.camera is None:
        scene.camera = camera
    return camera
