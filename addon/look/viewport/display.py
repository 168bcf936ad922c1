"""How a scene's colours are shown on the screen, where Blender does not do it for us.

What a draw handler draws is laid over the picture after its view transform. So our splats need one of their own, the
same as what lies beside them: Standard, or AgX, Blender's default. Others are shown as Standard.
"""

from __future__ import annotations

from typing import Any

import gpu
import numpy as np

from .layers import Layers
from .shaders import over_shader
from .textures import texture_of

STOPS = (-12.47393, 4.026069)
"""What AgX's curve reaches from and to, as log2 of scene-linear light."""

AGX_CURVE = (
    *(0.0, 0.002, 0.0046, 0.0073, 0.0104, 0.0138, 0.0177, 0.022, 0.0266, 0.0317, 0.0375, 0.0438, 0.0508),
    *(0.0585, 0.0674, 0.0772, 0.0881, 0.1003, 0.1142, 0.13, 0.1478, 0.1677, 0.1903, 0.2166, 0.2462, 0.2793),
    *(0.3163, 0.3586, 0.4049, 0.454, 0.5046, 0.5537, 0.5999, 0.6435, 0.6843, 0.722, 0.7559, 0.7874, 0.8164),
    *(0.8431, 0.8669, 0.8888, 0.9091, 0.9277, 0.9447, 0.9601, 0.9744, 0.9876, 0.9994),
)
"""Blender 5.2's AgX for sRGB screens at even steps of ``STOPS``, read off greys, which its matrices leave alone.

The matrices (in the shader) are those that three.js publishes for Blender's AgX. Together they agree with
``Image.save_render`` of 5.2.3 to 0.2 of 255 in the mean, of vivid colours (tests/addon/test_viewport.py).
"""


class Over:
    """Lays splats over the viewport's. Needs a GPU."""

    def __init__(self) -> None:
        self._shader = over_shader()
        self._curve = texture_of(np.array(AGX_CURVE)[None, :, None])
        kind = gpu.types.GPUVertFormat()
        kind.attr_add(id="corner", comp_type="F32", len=2, fetch_mode="FLOAT")
        points = gpu.types.GPUVertBuf(format=kind, len=3)
        points.attr_fill(id="corner", data=((-1, -1), (3, -1), (-1, 3)))  # covers the picture
        self._whole = gpu.types.GPUBatch(type="TRIS", buf=points)

    def draw(
        self,
        layers: Layers,
        corner: tuple[int, int],
        view_settings: Any,
        is_stored_as_srgb: bool = True,
    ) -> None:
        """Over what is in the framebuffer that is bound.

        Args:
            layers: of splats.
            corner: pixels, where it begins.
            view_settings: ``Scene.view_settings``.
            is_stored_as_srgb: whether the framebuffer encodes what is drawn into it, as a viewport's does; else its
                numbers are those that are displayed.
        """
        shader = self._shader
        shader.bind()
        for name, picture in (("behind", layers.behind), ("core", layers.core), ("before", layers.before)):
            shader.uniform_sampler(name, picture)
        shader.uniform_sampler("curve", self._curve)
        shader.uniform_int("corner_of_region", corner)
        shader.uniform_float("stops", STOPS)
        shader.uniform_float("exposure", 2.0**view_settings.exposure)
        shader.uniform_float("gamma", 1.0 / view_settings.gamma)
        shader.uniform_bool("is_agx", view_settings.view_transform == "AgX")
        shader.uniform_bool("is_stored_as_srgb", is_stored_as_srgb)
        depth_test = gpu.state.depth_test_get()
        gpu.state.depth_test_set("NONE")
        gpu.state.blend_set("ALPHA_PREMULT")
        try:
            self._whole.draw(shader)
        finally:
            gpu.state.blend_set("NONE")
            gpu.state.depth_test_set(depth_test)
