"""Small 4D scene packages with known content, written without a backend; and what Blender shows of them."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from cyclorama.bridge.gaussians import Gaussians, radiance_from_colour
from cyclorama.bridge.packing import Compression
from cyclorama.bridge.scene import Generator, frame_name
from cyclorama.bridge.scene_writer import SceneWriter

WORLD_STEP = 0.125
"""The panoramic video's frame i is a uniform grey of (i + 1) times this."""


def gaussians(count: int, seed: int = 0) -> Gaussians:
    """Some that differ in every number, as float32."""
    chance = np.random.default_rng(seed)
    rotation = chance.normal(size=(count, 4))
    return Gaussians(
        position=chance.uniform(-9, 9, (count, 3)).astype(np.float32),
        rotation=(rotation / np.linalg.norm(rotation, axis=1, keepdims=True)).astype(np.float32),
        scale=chance.uniform(0.01, 0.9, (count, 3)).astype(np.float32),
        radiance=radiance(count, seed),
    )


def radiance(count: int, seed: int) -> np.ndarray:
    """(count, 4) ``radiance:base``, HDR, another for each seed."""
    chance = np.random.default_rng((1, seed))
    return radiance_from_colour(chance.uniform(0, 6, (count, 3)), chance.uniform(0.1, 1, count))


def facing(normal: tuple[float, float, float], count: int = 1) -> np.ndarray:
    """(count, 4) rotations that turn the local z axis to ``normal``."""
    from mathutils import Vector

    turn = Vector((0, 0, 1)).rotation_difference(Vector(normal))
    return np.tile(np.array(turn, np.float32), (count, 1))


def write_package(
    folder: Path,
    *,
    static: int = 3,
    moving: int = 4,
    frames: int = 5,
    frame_rate: float = 24.0,
    video: bool = True,
    overwrite: bool = False,
    per_frame: dict[str, int] | None = None,
    compression: Compression = "none",
    points: int = 0,
) -> Path:
    """A package of random Gaussians; frame i of the moving ones has the radiance ``radiance(moving, i)``.

    Args:
        per_frame: further arrays that differ from frame to frame, by name with their columns: uniform, of value i + 1.
        points: of a point cloud; in frame i point k is at (k, 5, i), of radius 0.5 and of ``point_colour(k, i)``.
    """
    with SceneWriter(folder, overwrite, compression) as writer:
        writer.static(gaussians(static, seed=100))
        per_frame = per_frame or {}
        if moving:
            same = gaussians(moving, seed=200).arrays()
            writer.moving({name: same[name] for name in same if name not in ("radiance:base", *per_frame)})
        if points:
            writer.points({"radius": np.full(points, 0.5)})
        for index in range(frames):
            if moving:
                others = {name: np.full((moving, columns), index + 1.0) for name, columns in per_frame.items()}
                writer.frame(index, {"radiance:base": radiance(moving, index), **others})
            if points:
                place = [(k, 5.0, index) for k in range(points)]
                colour = [point_colour(k, index) for k in range(points)]
                writer.points_frame(index, {"position": np.array(place), "colour": np.array(colour)})
            if video and (moving or index == 0):
                writer.file(frame_name(index, "video", ".exr"), lambda path, index=index: _grey(path, index))
        writer.finish(
            generator=Generator("test", "0", "none", {}),
            seed=0,
            frame_rate=frame_rate,
            frame_count=frames,
            loops=True,
        )
    return folder


def point_colour(number: int, index: int) -> tuple[float, float, float]:
    """Of one point in one frame: another for each."""
    return (0.25 + 0.5 * number, 0.1 * (index + 1), 2.0)


def _grey(path: Path, index: int) -> None:
    image = bpy.data.images.new("grey", 8, 4, float_buffer=True, is_data=True)
    image.pixels.foreach_set(np.array([*[(index + 1) * WORLD_STEP] * 3, 1] * 8 * 4, np.float32))
    image.filepath_raw, image.file_format = str(path), "OPEN_EXR"
    image.save()
    bpy.data.images.remove(image)


def attribute(mesh: bpy.types.Mesh, name: str) -> np.ndarray:
    """(n, columns) float32 values of a mesh's attribute."""
    found = mesh.attributes[name]
    key, columns = {"FLOAT_VECTOR": ("vector", 3), "QUATERNION": ("value", 4), "FLOAT_COLOR": ("color", 4)}[
        found.data_type
    ]
    values = np.empty(len(found.data) * columns, np.float32)
    found.data.foreach_get(key, values)
    return values.reshape(-1, columns)


def render(scene: bpy.types.Scene, path: Path, width: int, height: int) -> np.ndarray:
    """(height, width, 4) scene-linear, associated alpha, first row on top; one Cycles sample at the pixels' centres."""
    set_up(scene, path, width, height)
    bpy.ops.render.render(write_still=True, scene=scene.name)
    return pixels(path)


def set_up(scene: bpy.types.Scene, path: Path, width: int, height: int) -> None:
    """What ``render`` renders with; to ``path``."""
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = 1
    scene.cycles.use_adaptive_sampling = scene.cycles.use_denoising = False
    scene.cycles.pixel_filter_type = "GAUSSIAN"
    scene.cycles.filter_width = 0.01
    scene.cycles.transparent_max_bounces = scene.cycles.min_transparent_bounces = 64
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = width, height, 100
    scene.render.filepath = str(path)
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.image_settings.color_depth = "32"


def pixels(path: Path) -> np.ndarray:
    """(height, width, 4) of an EXR file as it is, first row on top."""
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    values = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(values)
    bpy.data.images.remove(image)
    return values.reshape(height, width, 4)[::-1]
