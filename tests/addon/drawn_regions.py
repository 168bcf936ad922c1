"""What tests of regions do as an artist does: they paint, and draw boxes and arrows, by the add-on's operators."""

from __future__ import annotations

import bpy
import numpy as np

from cyclorama.bridge.settings import Box, Stroke

from .conftest import PANORAMA

BOX = Box(170.0, -10.0, 40.0, 30.0)
STROKE = Stroke(-10.0, 5.0, 20.5, -3.25, 7.0)


def prepared() -> bpy.types.Scene:
    """The scene, with the panorama chosen and one Image Editor on the screen."""
    scene = bpy.context.scene
    scene.cyclorama.panorama = str(PANORAMA)
    next(area for area in bpy.context.screen.areas if area.type == "VIEW_3D").type = "IMAGE_EDITOR"
    return scene


def editor() -> bpy.types.SpaceImageEditor:
    return next(area for area in bpy.context.screen.areas if area.type == "IMAGE_EDITOR").spaces.active


def panorama() -> bpy.types.Image:
    return next(image for image in bpy.data.images if image.filepath.endswith(PANORAMA.name))


def add_box(box: Box = BOX, **more) -> None:
    places = {"longitude": box.longitude, "latitude": box.latitude, "width": box.width, "height": box.height}
    assert bpy.ops.cyclorama.add_box(**places, **more) == {"FINISHED"}


def draw_stroke(stroke: Stroke = STROKE) -> None:
    places = {name: getattr(stroke, name) for name in Stroke.__dataclass_fields__}
    assert bpy.ops.cyclorama.draw_stroke(**places) == {"FINISHED"}


def paint(mask: bpy.types.Image, values: np.ndarray) -> None:
    """What a brush leaves: (height, width) 0..1, first row on top."""
    pixels = np.ones((*values.shape, 4), np.float32)
    pixels[..., :3] = values[::-1, :, None]
    mask.pixels.foreach_set(pixels.ravel())
    mask.update()


def painted_region(scene, values: np.ndarray | None = None):
    bpy.ops.cyclorama.add_region(kind="PAINTED")
    bpy.ops.cyclorama.paint_region()
    region = scene.cyclorama_regions.items[scene.cyclorama_regions.active]
    if values is None:
        values = np.zeros((region.mask.size[1], region.mask.size[0]), np.float32)
        values[:10, :30] = 1
    paint(region.mask, values)
    return region
