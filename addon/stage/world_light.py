"""The panoramic video as the world's light, turned so that it coincides with the splats."""

from __future__ import annotations

from math import pi
from pathlib import Path

import bpy

from ..look.nodes import add, arrange, empty_tree
from .paths import stored_path

IMAGE_NODE = "Cyclorama Video"

_FIRST_FRAME = -1048574
"""Blender's first of all; before an image sequence starts, it would be a picture behind."""

SAMPLING_MAP = 512
"""Pixels across Cycles' map of where the world is bright; as fine as the video it would cost 0.7 s at every frame."""


def world_light(name: str, frames: list[Path]) -> bpy.types.World:
    """A new world that shows the panoramic video; ``show_world_frame`` turns its pages."""
    image = _video(frames)
    world = bpy.data.worlds.new(name)
    tree = empty_tree(world)
    towards = add(tree, "ShaderNodeTexCoord").outputs["Generated"]
    # Blender puts an environment's centre on +X, we on +Y.
    turned = add(tree, "ShaderNodeMapping", {"Vector": towards, "Rotation": (0.0, 0.0, -pi / 2)})
    video = add(tree, "ShaderNodeTexEnvironment", {"Vector": turned.outputs[0]}, name=IMAGE_NODE, image=image)
    video.image_user.frame_duration = 1
    video.image_user.frame_start = _FIRST_FRAME
    video.image_user.use_auto_refresh = True
    light = add(tree, "ShaderNodeBackground", {"Color": video.outputs["Color"]})
    add(tree, "ShaderNodeOutputWorld", {"Surface": light.outputs[0]})
    arrange(tree)
    if hasattr(world, "cycles"):  # Cycles can be switched off
        world.cycles.sampling_method = "MANUAL"
        world.cycles.sample_map_resolution = SAMPLING_MAP
    show_world_frame(world, 0)
    return world


def point_at_video(world: bpy.types.World, frames: list[Path]) -> None:
    """Let a world show another video, or the same where it lies now."""
    node = video_node(world)
    if node is not None:
        node.image = _video(frames)


def _video(frames: list[Path]) -> bpy.types.Image:
    image = bpy.data.images.load(str(frames[0]), check_existing=True)
    if len(frames) > 1:
        image.source = "SEQUENCE"
    image.filepath = stored_path(frames[0])
    image.colorspace_settings.name = "Linear Rec.709"
    return image


def video_node(world: bpy.types.World) -> bpy.types.Node | None:
    """The node that shows the panoramic video; None where the artist took it away."""
    return world.node_tree.nodes.get(IMAGE_NODE) if world.node_tree is not None else None


def show_world_frame(world: bpy.types.World, index: int) -> None:
    """Show frame ``index`` of the panoramic video."""
    node = video_node(world)
    if node is not None and node.image_user.frame_offset != index - 1:
        node.image_user.frame_offset = index - 1  # with a duration of 1, Blender asks for file number 1 + offset
