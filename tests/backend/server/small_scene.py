"""A small scene package, written without a recipe."""

from pathlib import Path

import numpy as np

from cyclorama.bridge.gaussians import Gaussians
from cyclorama.bridge.scene import Generator
from cyclorama.bridge.scene_writer import SceneWriter


def fill(writer: SceneWriter, count: int) -> None:
    """Finish the scene with ``count`` still Gaussians and a video of ten frames."""
    random = np.random.default_rng(count)
    rotation = np.tile(np.float32([1, 0, 0, 0]), (count, 1))
    position, scale = random.standard_normal((2, count, 3)).astype(np.float32)
    writer.static(Gaussians(position, rotation, np.abs(scale), random.random((count, 4), np.float32)))
    for index in range(10):
        writer.file(f"video/{index:06d}.exr", lambda path, index=index: path.write_bytes(bytes([index]) * 70_000))
    writer.file("preview.webp", lambda path: path.touch())
    writer.finish(generator=Generator("test", "0", "by hand", {}), seed=7, frame_rate=25.0, frame_count=10, loops=True)


def write_scene(output: Path, count: int = 50) -> None:
    with SceneWriter(output, False) as writer:
        fill(writer, count)
