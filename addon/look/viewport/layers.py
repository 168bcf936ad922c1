"""What splats are drawn into: at each pixel its core, the nearest dense splat, and those before and behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gpu
import numpy as np


class Layers:
    """Pictures of one size, lowest row first; premultiplied scene-linear.

    Attributes:
        nearness: of the core, the nearest splat whose alpha is at least one half; the larger the nearer, 0 is none.
        behind: what is farther than the core, blended.
        core: that splat alone.
        before: what is nearer, blended; all, where there is no core.
    """

    def __init__(self, width: int, height: int, precision: str = "RGBA16F") -> None:
        self.size = width, height
        self.nearness = gpu.types.GPUTexture(self.size, format="DEPTH_COMPONENT32F")
        pictures = [gpu.types.GPUTexture(self.size, format=precision) for _ in range(3)]
        self.behind, self.core, self.before = pictures
        self._near = gpu.types.GPUFrameBuffer(depth_slot=self.nearness)
        self._all = gpu.types.GPUFrameBuffer(color_slots=pictures)

    @contextmanager
    def finding_cores(self) -> Iterator[None]:
        """What is drawn meanwhile leaves its nearness."""
        before = gpu.state.depth_test_get(), gpu.state.depth_mask_get()
        with self._near.bind():
            gpu.state.depth_mask_set(True)  # else nothing is cleared
            self._near.clear(depth=0.0)
            gpu.state.depth_test_set("GREATER")
            try:
                yield
            finally:
                gpu.state.depth_test_set(before[0])
                gpu.state.depth_mask_set(before[1])

    @contextmanager
    def blending(self) -> Iterator[None]:
        """What is drawn meanwhile is blended, each of its three colours into its own picture."""
        with self._all.bind():
            self._all.clear(color=(0.0, 0.0, 0.0, 0.0))
            gpu.state.blend_set("ALPHA_PREMULT")
            try:
                yield
            finally:
                gpu.state.blend_set("NONE")

    def clear(self) -> None:
        """Nothing in them."""
        with self.blending():
            pass

    def picture(self) -> np.ndarray:
        """(height, width, 4) float32, all three together, the top row first."""
        width, height = self.size
        together = np.zeros((height, width, 4), np.float32)
        with self._all.bind():
            for slot in range(3):
                pixels = self._all.read_color(0, 0, width, height, 4, slot, "FLOAT")
                nearer = np.array(pixels, np.float32).reshape(height, width, 4)[::-1]
                together = nearer + (1 - nearer[..., 3:]) * together
        return together
