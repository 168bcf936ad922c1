"""Inside Blender: has a 4D scene made of a panorama, as an artist would, and renders views of it to EXR files.

    shoot.py ORDER

ORDER is a JSON file: {"settings": of the panel, "samples", "width", "height", "fov", "views": [{"file", "frame",
"longitude", "latitude", "show": "splats" or "world"}]}; angles in radians, seen from the origin.
"""

from __future__ import annotations

import json
import sys
from math import pi
from pathlib import Path

import bpy  # pyright: ignore[reportMissingImports]

import cyclorama
from cyclorama.addon import link


def main(order: dict) -> None:
    """Generate, then render every view."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    cyclorama.register()
    try:
        scene = bpy.context.scene
        for name, value in order["settings"].items():
            setattr(scene.cyclorama, name, value)
        bpy.ops.cyclorama.generate()
        job = link.current_job()
        assert job
        link.wait(job, 120)
        assert job.imported, job.error
        _set_up(scene, order)
        for view in order["views"]:
            _shoot(scene, bpy.data.collections[job.imported], view)
    finally:
        cyclorama.unregister()


def _set_up(scene: bpy.types.Scene, order: dict) -> None:
    bpy.ops.cyclorama.setup_render()
    scene.cycles.samples = order["samples"]
    scene.cycles.use_adaptive_sampling = scene.cycles.use_denoising = False
    scene.render.use_persistent_data = True
    scene.render.resolution_x, scene.render.resolution_y = order["width"], order["height"]
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.image_settings.color_depth = "32"
    scene.camera.data.angle = order["fov"]


def _shoot(scene: bpy.types.Scene, collection: bpy.types.Collection, view: dict) -> None:
    """Splats alone before a black world, or the world alone."""
    splats = view["show"] == "splats"
    scene.world.cycles_visibility.camera = not splats
    for shown in collection.objects:
        shown.hide_render = shown.type == "MESH" and not splats
    scene.camera.rotation_euler = (pi / 2 + view["latitude"], 0.0, -view["longitude"])
    scene.frame_set(view["frame"])
    scene.render.filepath = view["file"]
    bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8")))
