"""A 4D scene baked: its frames as files that Blender plays by itself, where there is no add-on (a render farm).

The moving parts get a modifier with Blender's own Bake node, before those that draw them; ``baked_frames`` writes its
files. The world's video is keyframed.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ...bridge.errors import CycloramaError
from ...bridge.scene import Scene
from . import packages
from .baked_frames import FrameFiles, write_frames
from .clock import fcurves, indices
from .paths import stored_path
from .scene_object import PLAYED, parts
from .splats import is_native
from .world_light import IMAGE_NODE, show_world_frame, video_node

SUFFIX = ".baked"
FOLDER = "baked"
"""Beside the .blend."""

MODIFIER = "Baked Frames"
GROUP = "Cyclorama Baked Frames"

_VIDEO_PATH = f'nodes["{IMAGE_NODE}"].image_user.frame_offset'


@dataclass
class Bake:
    """What is baked of one 4D scene, known before it starts."""

    uid: int
    """Session id of the root: the artist may undo or delete while files are written."""
    package: Scene
    shown: dict[int, int]
    """Frame of the timeline -> frame of the package."""
    folders: dict[str, Path]
    """Role of a part -> where its files go."""

    @property
    def root(self) -> bpy.types.Object:
        """The 4D scene. Raises ``CycloramaError``: it is gone."""
        root = next((thing for thing in bpy.data.objects if thing.session_uid == self.uid), None)
        if root is None:
            raise CycloramaError(
                "scene-gone", "The 4D scene was deleted while it was baked.", "Undo, and bake it again."
            )
        return root

    def write(self) -> Generator[float, None, None]:
        """Write the files, in any thread; yields how much is done, 0..1. Closed before its end, it leaves no trace.

        Raises:
            CycloramaError: a file cannot be read or written (the disk is full). No trace is left then.
        """
        for number, (role, folder) in enumerate(self.folders.items()):
            files = FrameFiles(self.package, role, self.shown)
            for done in write_frames(files, folder):
                yield (number + done) / len(self.folders)


def planned(root: bpy.types.Object, scene: bpy.types.Scene) -> Bake:
    """How ``root`` would be baked over the frames of ``scene``.

    Raises:
        CycloramaError: the file was never saved, the scene starts before frame 0, the package cannot be read.
    """
    if not bpy.data.filepath:
        raise CycloramaError("file-not-saved", "Baked frames go beside the .blend.", "Save the file first.")
    if scene.frame_start < 0:
        raise CycloramaError("bake-before-0", "Frames before 0 cannot be baked.", "Start the timeline at 0 or later.")
    if any(is_native(part.data) for part in parts(root, *PLAYED)):
        raise CycloramaError(
            "own-splats",
            "Blender's own splats cannot be baked.",
            "Import the scene again without Blender's Own Splats.",
        )
    package = packages.opened(packages.package_path(root))
    beside = Path(bpy.data.filepath).parent / FOLDER
    folders = {
        part.cyclorama.role: beside / f"{bpy.path.clean_name(part.name)}{SUFFIX}" for part in parts(root, *PLAYED)
    }
    shown = indices(root, scene, range(scene.frame_start, scene.frame_end + 1))
    return Bake(root.session_uid, package, shown, folders)


def put_in_place(bake: Bake) -> None:
    """Let Blender play what was written, and the world's video by keyframes; Cyclorama leaves the scene alone."""
    root = bake.root
    unbake(root)
    for part in parts(root, *PLAYED):
        modifier = part.modifiers.new(MODIFIER, "NODES")
        modifier.node_group = _bake_group()
        part.modifiers.move(len(part.modifiers) - 1, 0)
        baked = modifier.bakes[0]
        baked.bake_mode, baked.bake_target = "ANIMATION", "DISK"
        baked.use_custom_path, baked.directory = True, stored_path(bake.folders[part.cyclorama.role])
        baked.use_custom_simulation_frame_range = True
        baked.frame_start, baked.frame_end = min(bake.shown), max(bake.shown)
        part.update_tag()
    for world in _worlds(root):
        _keyframe(world, bake.shown)
    root.cyclorama.baked = True


def unbake(root: bpy.types.Object) -> None:
    """Let Cyclorama play it again. The files stay on disk, for other versions of the file that may use them."""
    for part in parts(root, *PLAYED):
        modifier = part.modifiers.get(MODIFIER)
        if modifier is not None:
            part.modifiers.remove(modifier)
    for world in _worlds(root):
        _remove_keyframes(world)
    root.cyclorama.baked = False


def _bake_group() -> bpy.types.GeometryNodeTree:
    tree = bpy.data.node_groups.get(GROUP)
    if tree is not None:
        return tree
    tree = bpy.data.node_groups.new(GROUP, "GeometryNodeTree")
    tree.is_modifier = True
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    inwards, bake, outwards = map(tree.nodes.new, ("NodeGroupInput", "GeometryNodeBake", "NodeGroupOutput"))
    if not len(bake.bake_items):  # Blender 5.2 starts with none
        bake.bake_items.new("GEOMETRY", "Geometry")
    tree.links.new(inwards.outputs[0], bake.inputs[0])
    tree.links.new(bake.outputs[0], outwards.inputs[0])
    bake.location.x, outwards.location.x = 200, 400
    return tree


def _worlds(root: bpy.types.Object) -> list[bpy.types.World]:
    return [world for world in bpy.data.worlds if world.cyclorama.root == root and video_node(world) is not None]


def _keyframe(world: bpy.types.World, shown: dict[int, int]) -> None:
    before = None
    for frame, index in shown.items():
        if index != before:
            show_world_frame(world, index)
            world.node_tree.keyframe_insert(_VIDEO_PATH, frame=frame)
            before = index
    for curve in _video_curves(world):
        for key in curve.keyframe_points:
            key.interpolation = "CONSTANT"


def _video_curves(world: bpy.types.World) -> list[bpy.types.FCurve]:
    animated = world.node_tree.animation_data
    if animated is None or animated.action is None:
        return []
    return [curve for curve in fcurves(animated.action, animated) if curve.data_path == _VIDEO_PATH]


def _remove_keyframes(world: bpy.types.World) -> None:
    animated = world.node_tree.animation_data
    for curve in _video_curves(world):
        curves: Any = fcurves(animated.action, animated)
        curves.remove(curve)
