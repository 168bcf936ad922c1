"""A scene package becomes a collection: static splats, moving splats, world light, camera."""

from __future__ import annotations

from pathlib import Path

import bpy

from ...bridge.gaussians import Gaussians
from ...bridge.scene import SUFFIX, Scene, SceneInfo
from . import playback
from .camera import origin_camera
from .paths import stored_path
from .splats import splat_object
from .world_light import world_light


def import_scene(
    context: bpy.types.Context, folder: Path, *, world: bool = True, camera: bool = True
) -> bpy.types.Collection:
    """Bring a package into the current scene, starting at its current start frame.

    Args:
        world: let the panoramic video light the scene, in place of its world (which stays in the file).
        camera: add a camera at the origin; it becomes the scene's if that has none.

    Raises:
        CycloramaError: the package cannot be read. Nothing is added then.
    """
    package = Scene(folder)
    static = package.static()
    moving = package.moving(0) if package.info.moving_count else None
    scene = context.scene
    name = folder.name.removesuffix(SUFFIX)
    collection = bpy.data.collections.new(name)
    scene.collection.children.link(collection)
    root = bpy.data.objects.new(name, None)
    root.empty_display_size = 0.1
    collection.objects.link(root)
    if len(static):
        _add_splats(collection, root, f"{name} static", static)
    if moving is not None:
        splats = _add_splats(collection, root, f"{name} moving", moving)
        _follow(splats.cyclorama, folder, package.info, scene.frame_start)
    if world and (video := package.video_frames()):
        scene.world = world_light(name, video)
        _follow(scene.world.cyclorama, folder, package.info, scene.frame_start)
    if camera:
        _add_camera(scene, collection, name, package.info)
    playback.show_frame(scene)
    return collection


def _add_splats(
    collection: bpy.types.Collection, root: bpy.types.Object, name: str, gaussians: Gaussians
) -> bpy.types.Object:
    splats = splat_object(name, gaussians)
    splats.parent = root
    collection.objects.link(splats)
    return splats


def _add_camera(scene: bpy.types.Scene, collection: bpy.types.Collection, name: str, info: SceneInfo) -> None:
    reach = max(abs(coordinate) for corner in info.bounds for coordinate in corner)
    camera = origin_camera(f"{name} camera", reach)
    collection.objects.link(camera)
    if scene.camera is None:
        scene.camera = camera


def _follow(settings, folder: Path, info: SceneInfo, start: int) -> None:
    """Tell playback which package an object or world shows."""
    settings.package = stored_path(folder)
    settings.start = start
    settings.frame_rate = info.frame_rate
    settings.frame_count = info.frame_count
