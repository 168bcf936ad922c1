"""Whether EEVEE shows Gaussians as our rasterizer does, sorted and dithered: both against ``rasterize``.

    .venv/bin/python benchmarks/eevee_against_raster.py [--panorama PANORAMA] [--package SCENE.cyclorama]

As ``cycles_against_raster.py``, whose cameras and rasterizer these are, but in EEVEE (Blender 5.2 or later: earlier
ones have no GPU in the background) with a pixel filter one pixel in size (it has no box). Prints PSNR in
sRGB of colour over black and of alpha, and seconds a picture. Wanted: 34 dB, dithered (the default).
"""

from __future__ import annotations

import json
from math import pi, radians
from pathlib import Path

from cycles_against_raster import FOV, HEIGHT, PLACES, VIEWS, WIDTH, rasterized, side_by_side

SAMPLES = {"sorted": 16, "dithered": 64}
FILTER = 1.0
"""Pixels. EEVEE has its own bell-shaped filter only; of this size it comes near a box of one pixel."""


def main() -> None:
    """Have Blender render, rasterize the same, print a line for each camera and way."""
    side_by_side(__doc__, __file__, render, compare, frames=2, lift="direct", width=512)


def compare(package: Path, folder: Path, pictures: Path | None) -> None:
    """In the backend's environment: rasterize, judge, print."""
    import numpy as np
    from cycles_against_raster import _save

    from cyclorama.backend.sphere.colour import psnr, srgb_from_linear
    from cyclorama.backend.sphere.pictures import read_pixels

    seconds = json.loads((folder / "seconds.json").read_text())
    print(f"{'place':12} {'view':8} {'way':9} {'colour':>8} {'alpha':>9}   least alpha, of rasterize   time")
    for place in PLACES:
        for view in VIEWS:
            linear, cover = rasterized(package, place, view)
            ours = srgb_from_linear(linear)
            for way in SAMPLES:
                name = f"{way} {place} {view}"
                eevee = read_pixels(folder / f"{name}.exr")
                theirs, alpha = srgb_from_linear(eevee[..., :3]), eevee[..., 3].clip(0, 1)
                print(
                    f"{place:12} {view:8} {way:9} {psnr(theirs, ours):5.2f} dB {psnr(alpha, cover):6.2f} dB   "
                    f"{alpha.min():11.3f} {cover.min():14.3f} {seconds[name]:6.1f} s",
                    flush=True,
                )
                if pictures:
                    _save(pictures / f"{name}.png", [theirs, ours, np.abs(theirs - ours) * 8])


def render(order: Path) -> None:
    """In Blender: import the package and render it from everywhere both ways, beside the order."""
    import time

    import bpy

    import cyclorama
    from cyclorama.addon.stage.importing import import_scene

    cyclorama.register()
    bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    collection = import_scene(bpy.context, Path(json.loads(order.read_text())["package"]), world=False)
    root = next(thing for thing in collection.objects if thing.type == "EMPTY")
    _set_up(scene)
    seconds = {}
    for way, scene.eevee.taa_render_samples in SAMPLES.items():
        root.cyclorama_look.eevee_sorted = way == "sorted"
        for place, scene.camera.location in PLACES.items():
            for view, (longitude, latitude) in VIEWS.items():
                scene.camera.rotation_euler = (pi / 2 + radians(latitude), 0, -radians(longitude))
                scene.render.filepath = str(order.parent / f"{way} {place} {view}.exr")
                started = time.perf_counter()
                bpy.ops.render.render(write_still=True)
                seconds[f"{way} {place} {view}"] = time.perf_counter() - started
    (order.parent / "seconds.json").write_text(json.dumps(seconds))
    cyclorama.unregister()


def _set_up(scene) -> None:
    import bpy

    bpy.ops.cyclorama.setup_render(quality="EEVEE")
    render = scene.render
    render.filter_size = FILTER
    render.resolution_x, render.resolution_y, render.resolution_percentage = WIDTH, HEIGHT, 100
    render.film_transparent = True
    render.image_settings.file_format, render.image_settings.color_mode = "OPEN_EXR", "RGBA"
    render.image_settings.color_depth = "32"
    scene.camera.data.angle = FOV


if __name__ == "__main__":
    main()
