"""Whether the world light and the splats coincide: both rendered as a panorama from the origin, edge by edge.

    .venv/bin/python benchmarks/world_against_splats.py [--panorama PANORAMA] [--package SCENE.cyclorama]

Cycles renders 1024 x 512 twice with an equirectangular camera: the world alone, and the splats alone. In each block of
32 x 32 pixels that has edges in both directions the shift between the two is found by least squares on the gradients
(Lucas and Kanade 1981), repeated until it stands. Prints the median, the 95th percentile and the largest, in pixels.
Wanted: all edges within half a pixel.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from math import pi
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 1024
SAMPLES = 16
BLOCK = 32
LEAST_GRADIENT = 0.02
"""Of sRGB a pixel, in the weaker of the two directions: blocks with less have no edge that could lie beside another."""


def main() -> None:
    """Render both, compare, print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--panorama", type=Path, default=ROOT / "presets" / "panoramas" / "sunset.exr")
    asked.add_argument("--package", type=Path, help="a 4D scene to take in its place")
    asked.add_argument("--render", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.render:
        render(*options.render)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        package = options.package or _lifted(options.panorama, folder)
        blender = ROOT / ".venv-blender" / "bin" / "python"
        command = [blender, __file__, "--render", package.absolute(), folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        compare(folder)


def _lifted(panorama: Path, folder: Path) -> Path:
    from cyclorama.backend.recipes.panorama_to_4d import panorama_to_4d
    from cyclorama.bridge.settings import PanoramaTo4D

    panorama_to_4d(panorama, folder / "scene.cyclorama", PanoramaTo4D(frames=1, width=WIDTH))
    return folder / "scene.cyclorama"


def compare(folder: Path) -> None:
    """In the backend's environment: the shift in every block that has edges."""
    import numpy as np

    from cyclorama.backend.sphere.colour import srgb_from_linear
    from cyclorama.backend.sphere.pictures import read_panorama

    world, splats = (
        srgb_from_linear(read_panorama(folder / f"{name}.exr", WIDTH).image).mean(axis=2).astype(float)
        for name in ("world", "splats")
    )
    shifts = []
    for top in range(BLOCK, WIDTH // 2 - 2 * BLOCK, BLOCK):
        for left in range(BLOCK, WIDTH - 2 * BLOCK, BLOCK):
            shift = _shift(world, splats, top, left)
            if shift is not None:
                shifts.append(float(np.linalg.norm(shift)))
    print(
        f"{len(shifts)} blocks with edges: shift of the splats against the world, median {np.median(shifts):.3f}, "
        f"95 % under {np.percentile(shifts, 95):.3f}, largest {max(shifts):.3f} pixels of {WIDTH} x {WIDTH // 2}"
    )


def _shift(one, other, top: int, left: int):
    """(across, down) pixels by which ``other`` lies beside ``one`` in a block; None where there is no edge."""
    import cv2
    import numpy as np

    block = np.s_[top : top + BLOCK, left : left + BLOCK]
    down, across = np.gradient(one)
    slopes = np.stack([across[block].ravel(), down[block].ravel()], axis=1)
    structure = slopes.T @ slopes / len(slopes)
    if np.linalg.eigvalsh(structure)[0] < LEAST_GRADIENT**2:
        return None
    shift = np.zeros(2)
    for _ in range(10):
        moved = cv2.warpAffine(
            other, np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), other.shape[::-1], flags=cv2.INTER_CUBIC | 16
        )
        difference = (one[block] - moved[block]).ravel()
        difference -= difference.mean()
        shift += np.linalg.lstsq(slopes, difference, rcond=None)[0]
    return shift


def render(package: Path, folder: Path) -> None:
    """In Blender: the world alone and the splats alone."""
    import bpy

    import cyclorama
    from cyclorama.addon.stage.importing import import_scene
    from cyclorama.addon.stage.scene_object import SPLATS, is_root, parts

    bpy.ops.wm.read_factory_settings(use_empty=True)
    cyclorama.register()
    scene = bpy.context.scene
    import_scene(bpy.context, package)
    bpy.ops.cyclorama.setup_render()
    camera = scene.camera.data
    camera.type = "PANO"
    if hasattr(camera, "panorama_type"):
        camera.panorama_type = "EQUIRECTANGULAR"
    else:
        camera.cycles.panorama_type = "EQUIRECTANGULAR"
    scene.camera.rotation_euler = (pi / 2, 0, 0)
    scene.cycles.samples = SAMPLES
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BOX", 1.0
    scene.cycles.use_denoising = scene.cycles.use_adaptive_sampling = False
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, WIDTH // 2
    scene.render.resolution_percentage = 100
    scene.render.image_settings.file_format = "OPEN_EXR"
    root = next(filter(is_root, scene.objects))
    world = scene.world
    for name in ("world", "splats"):
        for part in parts(root, *SPLATS):
            part.hide_render = name == "world"
        scene.world = world if name == "world" else None
        scene.render.filepath = str(folder / f"{name}.exr")
        bpy.ops.render.render(write_still=True)
    cyclorama.unregister()


if __name__ == "__main__":
    main()
