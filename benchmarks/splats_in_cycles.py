"""What the surfels' shape buys: flat, scattered and tent-shaped splats, side by side in Cycles.

    .venv/bin/python benchmarks/splats_in_cycles.py [PANORAMA]

Makes a scene of the sample panorama and renders three views from the origin, the splats alone, with each shape. Prints
PSNR against the panorama (sRGB), how much of the picture is covered, and seconds of processor time per picture.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from math import pi, radians
from pathlib import Path

SHAPES = {  # (rise, jitter, sides, reach); see addon/look/surfels.py
    "flat": (0.0, 0.0, 6, 2.0),
    "scattered": (0.0, 0.05, 6, 2.0),
    "tent (ours)": (0.2, 0.005, 6, 2.0),
    "tent, square, 2.6 sigma": (0.2, 0.005, 4, 2.6),
}
VIEWS = {"ahead": (0.0, 0.0), "behind": (180.0, 0.0), "floor": (0.0, -45.0)}
WIDTH, HEIGHT, FOV = 640, 360, radians(80)


def main(panorama: Path) -> None:
    """Make the scene, have Blender render it, judge the pictures."""
    from cyclorama.backend.recipes.panorama_to_4d import panorama_to_4d
    from cyclorama.backend.sphere.colour import psnr, srgb_from_linear
    from cyclorama.backend.sphere.pictures import read_panorama, read_pixels
    from cyclorama.backend.sphere.views import look, tangent_view
    from cyclorama.bridge.settings import PanoramaTo4D

    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "scene.cyclorama"
        panorama_to_4d(panorama, package, PanoramaTo4D(frames=1, lift="direct"))
        blender = Path(__file__).resolve().parent.parent / ".venv-blender" / "bin" / "python"
        subprocess.run([blender, __file__, "--render", folder], check=True, stdout=subprocess.DEVNULL)
        seconds = json.loads((Path(folder) / "seconds.json").read_text())
        image = read_panorama(panorama).image
        print(f"{'shape':24} {'view':8} {'PSNR':>8} {'cover':>7} {'CPU':>7}")
        for shape in SHAPES:
            for view, (longitude, latitude) in VIEWS.items():
                got = read_pixels(Path(folder) / f"{shape} {view}.exr")
                direction = look(radians(longitude), radians(latitude))
                wanted = srgb_from_linear(tangent_view(image, direction, WIDTH, HEIGHT, FOV))
                decibels = psnr(wanted, srgb_from_linear(got[..., :3]))
                cover, time = got[..., 3].mean(), seconds[f"{shape} {view}"]
                print(f"{shape:24} {view:8} {decibels:5.1f} dB {cover:7.3f} {time:5.1f} s")


def render(folder: Path) -> None:
    """In Blender: all shapes from all views."""
    import time

    import bpy

    import cyclorama
    from cyclorama.addon.look import surfels
    from cyclorama.addon.stage.importing import import_scene

    cyclorama.register()
    bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    import_scene(bpy.context, folder / "scene.cyclorama")
    _set_up(scene)
    seconds = {}
    for shape, (surfels.RISE, surfels.JITTER, surfels.SIDES, surfels.REACH) in SHAPES.items():
        bpy.data.node_groups.remove(bpy.data.node_groups[surfels.GROUP])
        for splats in scene.objects:
            for modifier in splats.modifiers:
                modifier.node_group = surfels.surfel_group()
        for view, (longitude, latitude) in VIEWS.items():
            scene.camera.rotation_euler = (pi / 2 + radians(latitude), 0, -radians(longitude))
            scene.render.filepath = str(folder / f"{shape} {view}.exr")
            started = time.process_time()
            bpy.ops.render.render(write_still=True)
            seconds[f"{shape} {view}"] = time.process_time() - started
    (folder / "seconds.json").write_text(json.dumps(seconds))
    cyclorama.unregister()


def _set_up(scene) -> None:
    import bpy

    bpy.ops.cyclorama.setup_render()
    scene.cycles.samples = 4
    scene.cycles.use_adaptive_sampling = scene.cycles.use_denoising = False
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.render.film_transparent = True
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.image_settings.color_mode = "RGBA"
    scene.camera.data.angle = FOV


if __name__ == "__main__":
    if sys.argv[1:2] == ["--render"]:
        render(Path(sys.argv[2]))
    else:
        sample = Path(__file__).resolve().parent.parent / "presets" / "panoramas" / "sunset.exr"
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else sample)
