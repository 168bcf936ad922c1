"""Render the three test scenes in Cycles: equirectangular colour, and the true distance along every pixel's ray.

    .venv-blender/bin/python benchmarks/scenes/render.py OUT [--scene valley] [--frames 24] [--width 1024] [--only grid]

Writes, in OUT/SCENE:

- ``colour/000000.exr`` ...: scene-linear Rec.709, half;
- ``distance/000000.exr`` ...: metres along the ray through each pixel's centre, 32-bit float; sky, and all beyond, is
  ``far``;
- ``still.exr``: 1 where the distance is the same in all frames to 0.1 mm, 0 elsewhere;
- ``offset/00/colour.exr``, ``offset/00/distance.exr`` ...: the first frame seen from ``offset/positions.json``;
- ``grid/00/colour.exr``, ``grid/00/distance.exr`` ...: the same from 16 places all around, ``grid/positions.json``;
- ``scene.json``: frame rate, frames, far, eye height.

``--only``: render just the video, the offsets or the grid, and leave what else is there.

The viewer is at the origin, Z up, the ground at z = -eye height; the picture's centre looks along +Y.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import bpy
import materials
import numpy as np
import room
import street
import valley
from mathutils import Euler

SCENES = {"valley": valley, "street": street, "room": room}
FRAME_RATE = 24
FAR_M = 120.0
EYE_HEIGHT_M = 1.6
STILL_M = 1e-4
SAMPLES = {"valley": 6, "street": 6, "room": 7}
OFFSETS_M = ((0.3, 0.0, 0.0), (-0.2, 0.25, 0.1), (0.0, -0.4, -0.1), (0.25, 0.3, 0.2))
"""Where else the first frame is seen from; all within 0.5 m of the origin."""

GRID_RADII_M = (0.3, 0.15)
"""Of the twelve corners of an icosahedron around the origin, and of the four of a tetrahedron."""

GRID_TURN = (0.2, 0.3, 0.4)
"""Euler angles in radians by which both are turned, so that no corner lies on an axis."""

PARTS = ("video", "offset", "grid")


def main() -> None:
    """Render the scenes asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scene", choices=[*SCENES, "all"], default="all")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--only", choices=PARTS, help="render nothing else")
    parser.add_argument("--seed", type=int, default=1, help="of the noise")
    asked = parser.parse_args()
    parts = [asked.only] if asked.only else PARTS
    for name in SCENES if asked.scene == "all" else [asked.scene]:
        started = time.perf_counter()
        folder = asked.out / name
        camera = _empty_scene(asked.width, asked.seed)
        render(name, folder, asked.frames, camera, parts)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
        if "video" in parts:
            print(f"{name}: {100 * _write_still(folder, asked.frames):.1f} % stands still", file=sys.stderr)


def render(name: str, folder: Path, frames: int, camera: bpy.types.Object, parts: Sequence[str]) -> None:
    """Build a scene and render those ``parts`` of it."""
    animate = SCENES[name].build()
    views = _Views(SAMPLES[name])
    asides = {part: places for part, places in (("offset", OFFSETS_M), ("grid", grid())) if part in parts}
    passes = {"distance": views.distance, "colour": views.colour}
    for kind, render_to in passes.items():  # one after the other: changing between them costs Cycles seconds
        camera.location = (0.0, 0.0, 0.0)
        for frame in range(frames if "video" in parts else 0):
            animate(frame / FRAME_RATE)
            render_to(folder / kind / f"{frame:06d}.exr")
        animate(0.0)
        for part, places in asides.items():
            for index, camera.location in enumerate(places):
                render_to(folder / part / f"{index:02d}" / f"{kind}.exr")
    for part, places in asides.items():
        (folder / part / "positions.json").write_text(json.dumps(places))
    if "video" in parts:
        about = {"fps": FRAME_RATE, "frames": frames, "far": FAR_M, "eye_height": EYE_HEIGHT_M}
        (folder / "scene.json").write_text(json.dumps(about))


def grid() -> list[tuple[float, float, float]]:
    """The 16 places of the grid, metres: the icosahedron's corners, then the tetrahedron's."""
    golden = (1 + math.sqrt(5)) / 2
    signs = [(one, other * golden) for one in (1.0, -1.0) for other in (1.0, -1.0)]
    outer = [corner for a, b in signs for corner in ((0.0, a, b), (a, b, 0.0), (b, 0.0, a))]
    inner = [(1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0)]
    turn = np.array(Euler(GRID_TURN).to_matrix())
    places = []
    for corners, radius in zip((outer, inner), GRID_RADII_M, strict=True):
        directions = np.array(corners) / np.linalg.norm(corners[0])
        places += [tuple(round(float(x), 6) for x in place) for place in radius * directions @ turn.T]
    return places


class _Views:
    """Renders the current scene as colour or as distance; the two differ in samples, filter, materials and world."""

    def __init__(self, samples: int):
        self.samples = samples
        self.world = bpy.context.scene.world
        self.distances = materials.distance_to_viewer("distance", FAR_M)
        self.nothing = bpy.data.worlds.new("far")
        _background(self.nothing).inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
        _background(self.nothing).inputs["Strength"].default_value = FAR_M

    def colour(self, path: Path) -> None:
        """Path traced and denoised. The seed is the same for all frames: what stands still does not flicker."""
        scene = bpy.context.scene
        scene.world = self.world
        scene.view_layers[0].material_override = None
        scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = self.samples, True, 4
        scene.cycles.use_pixel_jitter = True
        scene.render.image_settings.color_depth = "16"
        _render_to(path)

    def distance(self, path: Path) -> None:
        """One ray through each pixel's centre: neither jittered nor filtered."""
        scene = bpy.context.scene
        scene.world = self.nothing
        scene.view_layers[0].material_override = self.distances
        scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = 1, False, 0
        scene.cycles.use_pixel_jitter = False
        scene.render.image_settings.color_depth = "32"
        _render_to(path)


def _empty_scene(width: int, seed: int) -> bpy.types.Object:
    """A new scene with nothing but a panoramic camera at the origin; returns the camera."""
    bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    scene.world = bpy.data.worlds.new("world")
    _background(scene.world).inputs["Color"].default_value = (0, 0, 0, 1)
    lens = bpy.data.cameras.new("viewer")
    lens.type, lens.panorama_type = "PANO", "EQUIRECTANGULAR"
    lens.clip_start, lens.clip_end = 0.01, 2000.0
    camera = bpy.data.objects.new("viewer", lens)
    camera.rotation_euler = (math.pi / 2, 0, 0)  # from straight down, as Blender's cameras look, to +Y
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.engine = "CYCLES"
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = width, width // 2, 100
    scene.render.use_persistent_data = False  # kept data would go on in the noise: still things would flicker
    scene.render.image_settings.file_format, scene.render.image_settings.color_mode = "OPEN_EXR", "RGB"
    cycles = scene.cycles
    cycles.device, cycles.seed, cycles.use_adaptive_sampling = "CPU", seed, False
    cycles.denoiser, cycles.denoising_prefilter = "OPENIMAGEDENOISE", "FAST"
    cycles.sample_clamp_indirect = 4.0
    cycles.caustics_reflective = cycles.caustics_refractive = False
    return camera


def _background(world: bpy.types.World) -> bpy.types.Node:
    tree = world.node_tree
    if "Background" not in tree.nodes:
        background, output = tree.nodes.new("ShaderNodeBackground"), tree.nodes.new("ShaderNodeOutputWorld")
        tree.links.new(background.outputs[0], output.inputs["Surface"])
    return tree.nodes["Background"]


def _render_to(path: Path) -> None:
    bpy.context.scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def _write_still(folder: Path, frames: int) -> float:
    """Write which pixels have the same distance in all frames; returns their share."""
    first = _pixels(folder / "distance" / "000000.exr")
    low, high = first.copy(), first.copy()
    for frame in range(1, frames):
        distance = _pixels(folder / "distance" / f"{frame:06d}.exr")
        np.minimum(low, distance, out=low)
        np.maximum(high, distance, out=high)
    still = (high - low <= STILL_M).astype(np.float32)
    height, width = still.shape[:2]
    image = bpy.data.images.new("still", width, height, float_buffer=True)
    image.colorspace_settings.name = "Non-Color"
    image.pixels.foreach_set(
        np.concatenate([np.repeat(still[..., :1], 3, -1), np.ones_like(still[..., :1])], -1).ravel()
    )
    image.filepath_raw, image.file_format = str(folder / "still.exr"), "OPEN_EXR"
    image.save()
    return float(still[..., 0].mean())


def _pixels(path: Path) -> np.ndarray:
    """The numbers in a picture as they are, (height, width, 4), rows from the bottom up as Blender has them."""
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    pixels = np.empty(image.size[0] * image.size[1] * 4, np.float32)
    image.pixels.foreach_get(pixels)
    size = tuple(image.size)
    bpy.data.images.remove(image)
    return pixels.reshape(size[1], size[0], 4)


if __name__ == "__main__":
    main()
