"""What geometry nodes cost at a frame change: of splats that move, of those that do not, and of EEVEE's sorting.

    .venv-blender/bin/python benchmarks/surfels_per_frame.py [COUNT]

COUNT (200 000) moving and as many static splats are shown as an import would; every frame gives the moving ones new
colours. Prints milliseconds a frame, the median of 5, and how many faces came out.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cyclorama
from cyclorama.bridge.gaussians import radiance_from_colour
from tests.addon.packages import gaussians


def main(count: int) -> None:
    """Make the scene, change frames, print."""
    from cyclorama.addon.look import dress
    from cyclorama.addon.look.controls import CONTROLS
    from cyclorama.addon.stage.scene_object import MOVING, SCENE, STATIC
    from cyclorama.addon.stage.splats import show, splat_object

    cyclorama.register()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    root = bpy.data.objects.new("root", None)
    root.cyclorama.role = SCENE
    scene.collection.objects.link(root)
    parts = {}
    for role in (STATIC, MOVING):
        part = parts[role] = splat_object(role, gaussians(count))
        part.parent, part.cyclorama.role = root, role
        scene.collection.objects.link(part)
        dress(part, root)
    radiance = radiance_from_colour(np.random.default_rng(0).uniform(0, 1, (count, 3)), 0.9)
    moving, mesh = parts[MOVING], parts[MOVING].data
    _print("first evaluation", lambda: None, 1)
    _print("frame change, nothing new", lambda: None)
    _print("frame change, moving splats' colours", lambda: show(mesh, {"radiance:base": radiance}))
    camera = scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    scene.frame_set(1)
    _print("the camera moves", lambda: setattr(camera, "location", (scene.frame_current, 0, 0)))
    _print("the 4D scene moves", lambda: setattr(root, "location", (scene.frame_current, 0, 0)))
    for frame in (1, 1000):
        root[CONTROLS["exposure"].key] = frame / 1000
        root.keyframe_insert(CONTROLS["exposure"].path, frame=frame)
    scene.frame_set(scene.frame_current + 1)
    _print("exposure is animated", lambda: None)
    root.cyclorama_look.floater_opacity = 0.5
    _print("the same, with a filter on", lambda: show(mesh, {"radiance:base": radiance}))
    root.cyclorama_look.floater_opacity = 0.0
    moving.modifiers[0].show_viewport = False
    _print("the same, without nodes", lambda: show(mesh, {"radiance:base": radiance}))
    cyclorama.unregister()


def _print(what: str, change, times: int = 5) -> None:
    scene = bpy.context.scene
    seconds = []
    for _ in range(times):
        change()
        started = time.perf_counter()
        scene.frame_set(scene.frame_current + 1)
        seconds.append(time.perf_counter() - started)
    print(f"{what:40} {1e3 * statistics.median(seconds):8.1f} ms", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
