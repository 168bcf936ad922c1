"""Whether Blender shows Gaussians as our rasterizer does: Cycles against ``rasterize``, from the same cameras.

    .venv/bin/python benchmarks/cycles_against_raster.py [--panorama PANORAMA] [--package SCENE.cyclorama]

Lifts the sample panorama (or takes a package that is there), has Blender import it with the add-on and render it with
a box filter as pixel, the world hidden, from the origin and from 0.3 m aside; renders the same with ``rasterize`` in 4
x 4 samples a pixel, averaged in linear light. Prints the PSNR of the two in sRGB, of colour over black and of alpha.
Wanted: 38 dB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable
from math import pi, radians, tan
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = {"origin": (0.0, 0.0, 0.0), "0.3 m aside": (0.2, -0.15, 0.166)}
VIEWS = {"ahead": (0.0, 0.0), "behind": (180.0, 0.0), "floor": (60.0, -45.0)}
"""Longitude and latitude looked at, degrees."""

WIDTH, HEIGHT, FOV = 384, 256, radians(80)
OVERSAMPLING = 4
SAMPLES = 32


def main() -> None:
    """Have Blender render, rasterize the same, print a line for each camera."""
    side_by_side(__doc__, __file__, render, compare)


def side_by_side(
    doc: str | None,
    script: str,
    in_blender: Callable[[Path], None],
    compare: Callable[[Path, Path, Path | None], None],
    **settings,
) -> str:
    """Lift a panorama, have Blender make pictures of it in another process, compare them; returns what Blender printed.

    Args:
        script: is started in Blender, and there calls ``in_blender`` with a JSON file that names the package; the
            pictures go beside it.
        compare: is given the package, the pictures' folder, and the folder of ``--pictures``.
        settings: of the lift.
    """
    asked = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--panorama", type=Path, default=ROOT / "presets" / "panoramas" / "sunset.exr")
    asked.add_argument("--package", type=Path, help="a 4D scene to take in its place")
    asked.add_argument("--pictures", type=Path, help="folder for both pictures and their difference, side by side")
    asked.add_argument("--in-blender", type=Path, help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.in_blender:
        in_blender(options.in_blender)
        return ""
    with tempfile.TemporaryDirectory() as folder:
        package = options.package or lifted(options.panorama, Path(folder), **settings)
        order = Path(folder) / "order.json"
        order.write_text(json.dumps({"package": str(package.absolute())}))
        blender = ROOT / ".venv-blender" / "bin" / "python"
        ran = subprocess.run([blender, script, "--in-blender", order], check=True, stdout=subprocess.PIPE, text=True)
        compare(package, Path(folder), options.pictures)
    return ran.stdout


def lifted(panorama: Path, folder: Path, **settings) -> Path:
    """In the backend's environment: the package that becomes of a panorama, with one frame if not said otherwise."""
    from cyclorama.backend.recipes.panorama_to_4d import panorama_to_4d
    from cyclorama.bridge.settings import PanoramaTo4D

    package = folder / "scene.cyclorama"
    panorama_to_4d(panorama, package, PanoramaTo4D(**{"frames": 1, **settings}))
    return package


def compare(package: Path, folder: Path, pictures: Path | None) -> None:
    """In the backend's environment: rasterize, judge, print."""
    import numpy as np

    from cyclorama.backend.sphere.colour import psnr, srgb_from_linear
    from cyclorama.backend.sphere.pictures import read_pixels

    print(f"{'place':12} {'view':8} {'colour':>8} {'alpha':>8}   least alpha: Cycles, rasterize   mean level: both")
    for place in PLACES:
        for view in VIEWS:
            cycles = read_pixels(folder / f"{place} {view}.exr")
            ours, cover = rasterized(package, place, view)
            theirs = srgb_from_linear(cycles[..., :3])
            ours, alpha = srgb_from_linear(ours), cycles[..., 3].clip(0, 1)
            print(
                f"{place:12} {view:8} {psnr(theirs, ours):5.2f} dB {psnr(alpha, cover):5.2f} dB   "
                f"{alpha.min():11.3f} {cover.min():10.3f} {255 * theirs.mean():18.2f} {255 * ours.mean():6.2f}",
                flush=True,
            )
            if pictures:
                _save(pictures / f"{place} {view}.png", [theirs, ours, np.abs(theirs - ours) * 8])


def rasterized(package: Path, place: str, view: str):
    """Scene-linear colour over black (height, width, 3) and alpha of the first frame, of box-filtered pixels."""
    import torch

    from cyclorama.backend.raster.rasterize import rasterize
    from cyclorama.backend.raster.splats import Cameras, Splats
    from cyclorama.backend.sphere.views import look
    from cyclorama.bridge.scene import Scene

    scene = Scene(package)
    parts = [scene.static(), scene.moving(0)] if scene.info.moving_count else [scene.static()]
    splats = Splats(
        *(torch.cat(tensors) for tensors in zip(*(vars(Splats.of(part)).values() for part in parts), strict=True))
    )
    longitude, latitude = (radians(angle) for angle in VIEWS[view])
    focal = OVERSAMPLING * WIDTH / 2 / tan(FOV / 2)
    cameras = Cameras(
        position=torch.tensor([PLACES[place]]),
        R_scene_from_view=torch.from_numpy(look(longitude, latitude))[None],
        focal=torch.full((1, 2), focal),
        centre=torch.tensor([[OVERSAMPLING * WIDTH / 2, OVERSAMPLING * HEIGHT / 2]]),
        width=OVERSAMPLING * WIDTH,
        height=OVERSAMPLING * HEIGHT,
    )
    with torch.inference_mode():
        fine = rasterize(splats, cameras, "tents")
        colour = torch.nn.functional.avg_pool2d(fine.colour[0].permute(2, 0, 1)[None], OVERSAMPLING)[0].permute(1, 2, 0)
        alpha = torch.nn.functional.avg_pool2d(fine.alpha[None], OVERSAMPLING)[0]
    return colour.numpy(), alpha.numpy()


def _save(path: Path, pictures: list) -> None:
    import cv2
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.concatenate(pictures, axis=1).clip(0, 1)
    cv2.imwrite(str(path), (255 * whole[..., ::-1]).round().astype(np.uint8))


def render(order: Path) -> None:
    """In Blender: import the package and render it from everywhere, beside the order."""
    import bpy

    import cyclorama
    from cyclorama.addon.stage.importing import import_scene

    cyclorama.register()
    bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    import_scene(bpy.context, Path(json.loads(order.read_text())["package"]), world=False)
    _set_up(scene)
    for place, scene.camera.location in PLACES.items():
        for view, (longitude, latitude) in VIEWS.items():
            scene.camera.rotation_euler = (pi / 2 + radians(latitude), 0, -radians(longitude))
            scene.render.filepath = str(order.parent / f"{place} {view}.exr")
            bpy.ops.render.render(write_still=True)
    cyclorama.unregister()


def _set_up(scene) -> None:
    import bpy

    bpy.ops.cyclorama.setup_render()
    cycles, render = scene.cycles, scene.render
    cycles.samples, cycles.use_adaptive_sampling, cycles.use_denoising = SAMPLES, False, False
    cycles.pixel_filter_type, cycles.filter_width = "BOX", 1.0
    cycles.sample_clamp_direct = cycles.sample_clamp_indirect = 0.0
    render.resolution_x, render.resolution_y, render.resolution_percentage = WIDTH, HEIGHT, 100
    render.film_transparent = True
    render.use_persistent_data = True
    render.image_settings.file_format, render.image_settings.color_mode = "OPEN_EXR", "RGBA"
    render.image_settings.color_depth = "32"
    scene.camera.data.angle = FOV


if __name__ == "__main__":
    main()
