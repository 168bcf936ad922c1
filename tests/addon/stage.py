"""What the tests of the stage share: what Blender shows of the scene "lake" (fixture ``imported``)."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from cyclorama.addon.stage.scene_object import MOVING as MOVING_ROLE
from cyclorama.addon.stage.scene_object import POINTS, STATIC, parts

from .packages import WORLD_STEP, attribute, radiance, render

MOVING, FRAMES = 4, 5
ATTRIBUTES = {"position": "position", "rotation": "rotation", "scale": "scale", "radiance": "radiance"}


def parts_of(name: str) -> set[str]:
    """The names of what is shown of a 4D scene (its camera, say, is not)."""
    return {part.name for part in parts(bpy.data.objects[name], STATIC, MOVING_ROLE, POINTS)}


def moving(name: str = "lake moving") -> bpy.types.Object:
    return bpy.data.objects[name]


def shown(splats: bpy.types.Object | None = None) -> list[int]:
    """Which package frame the moving splats' radiance is, bit for bit."""
    now = attribute((splats or moving()).data, "radiance")
    return [index for index in range(FRAMES) if np.array_equal(now, radiance(MOVING, index))]


def world_shown(scene: bpy.types.Scene, tmp_path: Path) -> int:
    """Which package frame lights the scene, as Cycles sees it."""
    return round(float(render(scene, tmp_path / "world.exr", 4, 4)[0, 0, 0]) / WORLD_STEP) - 1


def evaluated(splats: bpy.types.Object) -> bpy.types.Mesh:
    return splats.evaluated_get(bpy.context.evaluated_depsgraph_get()).data


def save_and_reload(path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.open_mainfile(filepath=str(path))
