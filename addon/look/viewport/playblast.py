"""What a 3D viewport shows, splats included, as a picture of any size: Blender's own leaves out what add-ons draw."""

from __future__ import annotations

import bpy
import gpu
import numpy as np
from mathutils import Matrix

from .drawing import Drawing, Eye


def eye_of(context: bpy.types.Context, width: int, height: int) -> tuple[Matrix, Matrix]:
    """View and projection matrix of the context's 3D viewport for a picture of another shape, as Blender frames it.

    Through the camera: the camera's frame. Else what the viewport shows, its longer side fitted to the picture's.
    """
    space, region, eye = context.space_data, context.region, context.region_data
    camera = space.camera if space.use_local_camera else context.scene.camera
    if eye.view_perspective == "CAMERA" and camera is not None:
        depsgraph, render = context.evaluated_depsgraph_get(), context.scene.render
        seen = camera.evaluated_get(depsgraph)
        projection = seen.calc_matrix_camera(
            depsgraph, x=width, y=height, scale_x=render.pixel_aspect_x, scale_y=render.pixel_aspect_y
        )
        return seen.matrix_world.normalized().inverted(), projection
    longer = max(width, height) / max(region.width, region.height)
    fitted = Matrix.Diagonal((region.width * longer / width, region.height * longer / height, 1.0, 1.0))
    return eye.view_matrix.copy(), fitted @ eye.window_matrix


def picture(context: bpy.types.Context, drawing: Drawing | None, width: int, height: int) -> np.ndarray:
    """The context's 3D viewport as displayed, (height, width, 4) uint8 premultiplied, the lowest row first.

    Args:
        drawing: draws the splats; None where Blender shows them itself.

    Raises:
        Exception: of the ``gpu`` module.
    """
    scene, space, region = context.scene, context.space_data, context.region
    view, projection = eye_of(context, width, height)
    screen = gpu.types.GPUOffScreen(width, height, format="RGBA8")
    try:
        screen.draw_view3d(
            scene,
            context.view_layer,
            space,
            region,
            view,
            projection,
            do_color_management=True,
            draw_background=not scene.render.film_transparent,
        )
        with screen.bind():
            frame = gpu.state.active_framebuffer_get()
            if drawing is not None:
                drawing.draw(context, Eye(view, projection, (0, 0, width, height)), is_stored_as_srgb=False, wait=True)
            pixels = frame.read_color(0, 0, width, height, 4, 0, "UBYTE")
        return np.array(pixels, np.uint8).reshape(height, width, 4)
    finally:
        screen.free()
