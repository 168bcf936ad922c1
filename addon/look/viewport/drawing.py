"""Splats over a 3D viewport in Solid or Material Preview: on the screen, or over a picture of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy
import gpu
import numpy as np

from . import sources
from .display import Over
from .layers import Layers
from .renderer import Renderer


@dataclass(frozen=True)
class Eye:
    """From where is drawn, and to which part of the framebuffer that is bound.

    Attributes:
        view_matrix: (4, 4) view from world.
        projection_matrix: (4, 4) clip from view.
        box: x, y, width and height in pixels.
    """

    view_matrix: Any
    projection_matrix: Any
    box: tuple[int, int, int, int]


class Drawing:
    """What is kept between two pictures. ``trouble`` says why it draws no more; empty while it does."""

    def __init__(self) -> None:
        self.trouble = ""
        self._renderer: Renderer | None = None
        self._over: Over | None = None
        self._layers: dict[tuple[int, int], Layers] = {}

    def draw(
        self, context: bpy.types.Context, eye: Eye | None = None, *, is_stored_as_srgb: bool = True, wait: bool = False
    ) -> bool:
        """Splats over what is in the framebuffer that is bound; whether they are in their final order.

        Args:
            context: of a 3D viewport; its scene, clipping and local view are those that count.
            eye: the viewport's if left out.
            is_stored_as_srgb: whether the framebuffer encodes what is drawn into it (see ``Over.draw``).
            wait: for the final order.
        """
        settings, space, region = context.scene.cyclorama_viewport, context.space_data, context.region_data
        parts = sources.parts_of(context.view_layer, settings.most)
        shown = sources.shown_in(context.view_layer, space)
        if not shown:
            return True
        if self._renderer is None:
            self._renderer, self._over = Renderer(), Over()
        assert self._over
        if eye is None:
            eye = Eye(region.view_matrix, region.window_matrix, gpu.state.viewport_get())
        x, y, width, height = eye.box
        if (width, height) not in self._layers:
            if len(self._layers) > 3:  # a window is being resized
                self._layers.clear()
            self._layers[width, height] = Layers(width, height)
        depth = _depth_of(gpu.state.active_framebuffer_get(), x, y, width, height)
        layers = self._layers[width, height]
        is_settled = self._renderer.draw(
            layers,
            parts,
            eye.view_matrix,
            eye.projection_matrix,
            shown=shown,
            ordinary_depth=depth,
            planes=_clip_planes(region),
            view=(region.as_pointer(), wait),
            wait=wait,
        )
        self._over.draw(layers, (x, y), context.scene.view_settings, is_stored_as_srgb)
        return is_settled

    def free(self) -> None:
        """Give the GPU's memory back."""
        if self._renderer is not None:
            self._renderer.free()
        self._renderer = self._over = None
        self._layers.clear()


def _depth_of(frame: gpu.types.GPUFrameBuffer, x: int, y: int, width: int, height: int) -> gpu.types.GPUTexture:
    """Depth of what Blender has drawn."""
    depth = frame.read_depth(x, y, width, height)
    return gpu.types.GPUTexture((width, height), format="R32F", data=gpu.types.Buffer("FLOAT", width * height, depth))


def _clip_planes(region: bpy.types.RegionView3D) -> np.ndarray | None:
    return np.array(region.clip_planes, float) if region.use_clip_planes else None
