"""Draws the regions: over the panorama in the Image Editor, and around the origin in the 3D View."""

from __future__ import annotations

import bpy
import gpu
import numpy as np

from . import editors, shaders
from .overlay import Overlay, overlay_in, overlay_of
from .shapes import Rectangle, arrow_on_dome, head, shafts, sheet

_HEAD_PIXELS = 16.0

_SHADE = (0.0, 0.0, 0.0, 0.6)
"""Below lines, so that they are seen on any picture."""

_ABOVE, _ABOVE_ALL = 0.998, 0.985
"""Boxes on the dome lie so much nearer than the panorama, and arrows nearer still, so that none hides in another."""


def _draw_in_image_editor() -> None:
    context = bpy.context
    overlay = overlay_in(context.scene, context.space_data)
    if overlay is not None:
        draw_over_image(overlay, context.region, context.preferences.system.ui_scale)


def draw_over_image(overlay: Overlay, region: bpy.types.Region, ui_scale: float = 1.0) -> None:
    """Draw in the pixels of an Image Editor's region."""
    left, bottom = region.view2d.view_to_region(0.0, 0.0, clip=False)
    right, top = region.view2d.view_to_region(1.0, 1.0, clip=False)
    origin, size = np.array([left, bottom], np.float32), np.array([right - left, top - bottom], np.float32)
    viewport = (region.width, region.height)

    def in_pixels(point: tuple[float, float]) -> tuple[float, float]:
        return tuple(origin + np.array(point, np.float32) * size)

    whole = _flat((0.0, 0.0, 1.0, 1.0), in_pixels)
    gpu.state.blend_set("ALPHA")
    if overlay.backdrop is not None:
        shaders.draw_image(overlay.backdrop, *whole)
    for mask, pieces, colour in overlay.layers:
        if mask is not None:
            shaders.draw_tint(mask, colour, *whole)
        for piece in pieces:
            positions, _uv, triangles = _flat(piece, in_pixels)
            shaders.draw_plain(colour, positions, triangles)
    for (low, lower, high, upper), colour, width in overlay.outlines:
        corners = [(low, lower), (high, lower), (high, upper), (low, upper), (low, lower)]
        edges = [[in_pixels(corner) for corner in corners]]
        for shade, wider in ((_SHADE, 2.0), (colour, 0.0)):
            shaders.draw_lines(edges, shade, (width + wider) * ui_scale, viewport)
    for stroke, colour, width in overlay.arrows:
        lines, spots = [], []
        for start, tip in (map(in_pixels, shaft) for shaft in shafts(stroke)):
            sides = head(start, tip, _HEAD_PIXELS * ui_scale)
            lines += [[start, tip], [sides[0], tip, sides[1]]]
            spots.append(start)
        for shade, wider in ((_SHADE, 3.0), (colour, 0.0)):
            shaders.draw_lines(lines, shade, (width + wider) * ui_scale, viewport)
            for spot in spots:
                shaders.draw_plain(shade, *_disc(spot, (1.5 * width + wider / 2) * ui_scale))
    gpu.state.blend_set("NONE")


def _flat(piece: Rectangle, in_pixels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, image coordinates and triangles of a rectangle in the region."""
    left, bottom, right, top = piece
    uv = np.array([(left, bottom), (right, bottom), (right, top), (left, top)], np.float32)
    positions = np.array([(*in_pixels(tuple(corner)), 0.0) for corner in uv], np.float32)
    return positions, uv, np.array([(0, 1, 2), (0, 2, 3)], np.int32)


def _disc(middle: tuple[float, float], radius: float, corners: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Positions and triangles of an arrow's start, to take it by."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    positions = np.zeros((corners, 3), np.float32)
    positions[:, 0], positions[:, 1] = middle[0] + radius * np.cos(angles), middle[1] + radius * np.sin(angles)
    fan = np.arange(1, corners - 1)
    return positions, np.stack([np.zeros_like(fan), fan, fan + 1], axis=-1).astype(np.int32)


def _draw_in_3d_view() -> None:
    context = bpy.context
    regions = context.scene.cyclorama_regions
    if not regions.show_dome or not context.space_data.overlay.show_overlays:
        return
    panorama = editors.panorama_image(context.scene)
    if panorama is not None and panorama.size[0]:
        viewport = (context.region.width, context.region.height)
        draw_dome(overlay_of(context.scene, panorama), regions.dome_radius, viewport)


def draw_dome(overlay: Overlay, radius: float, viewport: tuple[int, int]) -> None:
    """Draw in the scene's metres: the panorama and what lies on it, behind what stands nearer to the camera.

    Of a dome that is looked at from outside, the far inside is seen.
    """
    gpu.state.blend_set("ALPHA")
    gpu.state.depth_test_set("LESS_EQUAL")
    gpu.state.face_culling_set("BACK")
    whole = _round((0.0, 0.0, 1.0, 1.0), radius)
    if overlay.backdrop is not None:
        shaders.draw_image(overlay.backdrop, *whole)
    for mask, pieces, colour in overlay.layers:
        if mask is not None:
            shaders.draw_tint(mask, colour, *whole)
        for piece in pieces:
            positions, _uv, triangles = _round(piece, radius * _ABOVE)
            shaders.draw_plain(colour, positions, triangles)
    gpu.state.face_culling_set("NONE")
    for stroke, colour, width in overlay.arrows:
        for shade, wider, near in ((_SHADE, 3.0, radius * _ABOVE_ALL), (colour, 0.0, radius * _ABOVE_ALL * _ABOVE)):
            lines = [[(x * near, y * near, z * near) for x, y, z in line] for line in arrow_on_dome(stroke)]
            shaders.draw_lines(lines, shade, width + wider, viewport)
    gpu.state.depth_test_set("NONE")
    gpu.state.blend_set("NONE")


def _round(piece: Rectangle, radius: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    positions, uv, triangles = sheet(piece)
    return positions * np.float32(radius), uv, triangles


_handlers: list[tuple[type, object]] = []


def register() -> None:
    """Have Blender call us when it draws."""
    for space, draw, when in (
        (bpy.types.SpaceImageEditor, _draw_in_image_editor, "POST_PIXEL"),
        (bpy.types.SpaceView3D, _draw_in_3d_view, "POST_VIEW"),
    ):
        _handlers.append((space, space.draw_handler_add(draw, (), "WINDOW", when)))


def unregister() -> None:
    """No longer; and free what is on the GPU."""
    while _handlers:
        space, handler = _handlers.pop()
        space.draw_handler_remove(handler, "WINDOW")
    shaders.forget()
