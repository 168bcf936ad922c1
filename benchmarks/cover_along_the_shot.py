"""Whether holes show along the demo's camera path: how much of each picture the splats alone cover.

    .venv-blender/bin/python benchmarks/cover_along_the_shot.py      (after `make demo`)

Renders five frames of build/demo/scene.blend with the world hidden and prints the least and the mean alpha.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import bpy
import numpy as np

import cyclorama

FRAMES = (1, 6, 12, 18, 24)
DEMO = Path(__file__).resolve().parent.parent / "build" / "demo" / "scene.blend"


def main() -> None:
    """Render and print."""
    cyclorama.register()
    bpy.ops.wm.open_mainfile(filepath=str(DEMO))
    scene = bpy.context.scene
    scene.render.film_transparent = True
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.image_settings.color_mode = "RGBA"
    with tempfile.TemporaryDirectory() as folder:
        for frame in FRAMES:
            scene.frame_set(frame)
            scene.render.filepath = str(Path(folder) / f"{frame}.exr")
            bpy.ops.render.render(write_still=True)
            alpha = np.array(bpy.data.images.load(scene.render.filepath).pixels[:]).reshape(-1, 4)[:, 3]
            print(f"COVER frame {frame:2}: least {alpha.min():.3f}, mean {alpha.mean():.4f}", flush=True)
    cyclorama.unregister()


if __name__ == "__main__":
    main()
