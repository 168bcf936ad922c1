"""Draws splats with the ``gpu`` module: sorted, blended in scene-linear light, hidden by ordinary objects.

Whole splats, sorted by their centres, are not in the order in which a ray meets their tents, as Cycles does: 30 to 38
dB. But nearly all of that is about one of them: at each pixel the nearest that is more dense than clear is found first,
by its tent's own depth; then those before and those behind it are blended by themselves, in the order of their centres:
45 to 53 dB (benchmarks/viewport_against_raster.py).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import cos, pi, sin
from threading import Thread
from typing import Any

import gpu
import numpy as np

from ..surfels import REACH, SIDES
from .layers import Layers
from .order import depths, far_to_near
from .part import Part, thinned
from .shaders import ROW, core_shader, splat_shader
from .textures import SplatTextures, rows_for, texture_of

NEAR = 0.01
"""Metres before the eye; a splat whose centre is nearer is not drawn. The reference rasterizer's."""

_CORNER = REACH / cos(pi / SIDES)

TENT = (
    (0.0, 0.0, 1.0),
    *((_CORNER * cos(2 * pi * side / SIDES), _CORNER * sin(2 * pi * side / SIDES), 0.0) for side in range(SIDES)),
)
"""The surfels' hexagon in standard deviations, cut where Cycles and EEVEE cut it, and the height of each corner."""

_TRIANGLES = tuple((0, 1 + side, 1 + (side + 1) % SIDES) for side in range(SIDES))


class _Order:
    """Which splats one view draws, from far to near; found in a thread where the view may not wait."""

    def __init__(self) -> None:
        self.count = 0
        self.texture: gpu.types.GPUTexture | None = None
        self._layout: Any = None
        self._seen_from: Any = None
        self._thread: Thread | None = None
        self._found: tuple[Any, np.ndarray] | None = None

    def bring(self, layout: Any, seen_from: Any, work, wait: bool) -> bool:
        """Have ``texture`` show the order that ``work`` finds; whether it is that of ``seen_from`` already.

        Args:
            layout: as long as it stays, an order found earlier is still one of the same splats.
        """
        if layout != self._layout or self.texture is None:
            self.finish()
            self._found = None
            self._show(work(), layout, seen_from)
            return True
        self._collect(wait)
        if seen_from == self._seen_from:
            return True
        if wait:
            self._show(work(), layout, seen_from)
            return True
        if self._thread is None:
            self._thread = Thread(target=self._find, args=(seen_from, work), name="cyclorama order", daemon=True)
            self._thread.start()
        return False

    def is_busy(self) -> bool:
        """Whether an order is still being found."""
        return self._thread is not None and self._thread.is_alive()

    def finish(self) -> None:
        """Wait for the thread, some milliseconds at most."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _find(self, seen_from: Any, work) -> None:
        self._found = (seen_from, work())

    def _collect(self, wait: bool) -> None:
        if self._thread is not None and (wait or not self._thread.is_alive()):
            self.finish()
        if self._thread is None and self._found is not None:
            seen_from, order = self._found
            self._found = None
            self._show(order, self._layout, seen_from)

    def _show(self, order: np.ndarray, layout: Any, seen_from: Any) -> None:
        self.count, self._layout, self._seen_from = len(order), layout, seen_from
        rows = np.zeros((max(rows_for(self.count), 1), ROW, 1), np.float32)
        rows.reshape(-1)[: self.count] = order
        self.texture = texture_of(rows)


class Renderer:
    """Textures of the splats of a file's objects, and the shader that draws them.

    Needs a GPU: that of the window, or ``gpu.init()`` in Blender 5.2 without one.

    Raises:
        Exception: of the ``gpu`` module, where there is no GPU or it does not take the shader.
    """

    def __init__(self) -> None:
        self._shaders = core_shader(), splat_shader()
        kind = gpu.types.GPUVertFormat()
        kind.attr_add(id="corner", comp_type="F32", len=3, fetch_mode="FLOAT")
        points = gpu.types.GPUVertBuf(format=kind, len=len(TENT))
        points.attr_fill(id="corner", data=TENT)
        faces = gpu.types.GPUIndexBuf(type="TRIS", seq=_TRIANGLES)
        self._tent = gpu.types.GPUBatch(type="TRIS", buf=points, elem=faces)
        self._still, self._moving = SplatTextures(), SplatTextures()
        self._orders: dict[Any, _Order] = {}
        self._layout: Any = None
        self._shapes = 0
        self._nothing = texture_of(np.ones((1, 1, 1)))

    def draw(
        self,
        layers: Layers,
        parts: Sequence[Part],
        view_matrix,
        projection_matrix,
        *,
        shown: Collection[Any] | None = None,
        ordinary_depth: gpu.types.GPUTexture | None = None,
        planes: np.ndarray | None = None,
        view: Any = None,
        wait: bool = True,
    ) -> bool:
        """Draw into layers, whatever was in them.

        Args:
            parts: all of the file's; their splats stay on the GPU from one call to the next.
            view_matrix: (4, 4) view from world, Blender's (looking along -Z).
            projection_matrix: (4, 4) clip from view, perspective or orthographic.
            shown: keys of those parts that this view shows; all if left out.
            ordinary_depth: one texel a pixel, 0..1: of splats only that is drawn which is nearer.
            planes: (p, 4): of splats only that is drawn for which every n · x + d >= 0 (world space).
            view: names the view; each remembers its order.
            wait: sort now. Else draw in the last order until a thread has found the new one.

        Returns:
            Whether the splats were drawn in the order of this view; if not, draw again soon.
        """
        parts = sorted((part for part in parts if len(part.splats)), key=lambda part: part.is_moving)
        chosen = [part for part in parts if shown is None or part.key in shown]
        if not chosen:
            layers.clear()
            return True
        self._hold(parts)
        order = self._orders.setdefault(view, _Order())
        view_matrix, projection_matrix = np.array(view_matrix, float), np.array(projection_matrix, float)
        is_settled = self._sort(order, parts, chosen, view_matrix, wait)
        if order.count:
            texels = np.stack([part.texels(view_matrix, projection_matrix) for part in parts])
            is_flat = bool(projection_matrix[3, 3] == 1)
            self._draw(layers, order, texture_of(texels), ordinary_depth, planes, is_flat)
        else:
            layers.clear()
        return is_settled

    def is_sorting(self) -> bool:
        """Whether any view's order is still being found."""
        return any(order.is_busy() for order in self._orders.values())

    def forget_view(self, view: Any) -> None:
        """Drop a view's order."""
        if view in self._orders:
            self._orders.pop(view).finish()

    def free(self) -> None:
        """Wait for threads; the GPU's memory goes with the last reference."""
        for view in list(self._orders):
            self.forget_view(view)

    def _hold(self, parts: list[Part]) -> None:
        still = [part for part in parts if not part.is_moving]
        moving = [part for part in parts if part.is_moving]
        # Both, always: each has its textures to renew.
        changed = [
            self._still.hold([part.splats for part in still]),
            self._moving.hold([part.splats for part in moving]),
        ]
        if not any(changed) and self._layout is not None:
            return
        self._shapes += 1
        starts = [*self._still.starts, *(self._still.rows + start for start in self._moving.starts)]
        layout = tuple((part.key, len(part.splats), start) for part, start in zip(parts, starts, strict=True))
        if layout != self._layout:
            self._layout, self._starts = layout, dict(zip((part.key for part in parts), starts, strict=True))
            rows = [rows_for(len(part.splats)) for part in parts]
            self._part_of_row = texture_of(np.repeat(np.arange(len(parts)), rows)[:, None, None])

    def _sort(self, order: _Order, parts: list[Part], chosen: list[Part], view_matrix: np.ndarray, wait: bool) -> bool:
        toward = -view_matrix[2, :3] / np.linalg.norm(view_matrix[2, :3])
        worlds = [np.asarray(part.world_from_part, float) for part in chosen]
        layout = (self._layout, tuple((part.key, part.density) for part in chosen))
        seen_from = (toward.tobytes(), *(world.tobytes() for world in worlds), self._shapes)
        firsts = [self._starts[part.key] * ROW for part in chosen]
        given = [part.splats for part in chosen]
        densities = [part.density for part in chosen]

        def work() -> np.ndarray:
            numbers = [first + np.arange(len(each)) for first, each in zip(firsts, given, strict=True)]
            found = depths([each.position for each in given], worlds, toward)
            if min(densities) < 1:
                kept = [thinned(each, density) for each, density in zip(given, densities, strict=True)]
                numbers = [each[keep] for each, keep in zip(numbers, kept, strict=True)]
                found = [each[keep] for each, keep in zip(found, kept, strict=True)]
            return np.concatenate(numbers)[far_to_near(np.concatenate(found))]

        return order.bring(layout, seen_from, work, wait)

    def _draw(self, layers: Layers, order: _Order, parts, ordinary_depth, planes, is_flat: bool) -> None:
        textures = {
            "order": order.texture,
            "parts": parts,
            "part_of_row": self._part_of_row,
            "still_shape": self._still.shape,
            "still_radiance": self._still.radiance,
            "moving_shape": self._moving.shape,
            "moving_radiance": self._moving.radiance,
            "ordinary_depth": ordinary_depth or self._nothing,
            "planes": self._nothing if planes is None or not len(planes) else texture_of(np.asarray(planes)[None]),
        }
        numbers = {
            "still_rows": self._still.rows,
            "depth_scale": int(ordinary_depth is not None),
            "plane_count": 0 if planes is None else len(planes),
        }
        finding, blending = self._shaders
        with layers.finding_cores():
            self._draw_with(finding, order.count, textures, numbers, is_flat)
        with layers.blending():
            self._draw_with(blending, order.count, textures | {"core_nearness": layers.nearness}, numbers, is_flat)

    def _draw_with(self, shader: gpu.types.GPUShader, count: int, textures, numbers, is_flat: bool) -> None:
        shader.bind()
        for name, texture in textures.items():
            shader.uniform_sampler(name, texture)
        for name, number in numbers.items():
            shader.uniform_int(name, number)
        shader.uniform_float("near", NEAR)
        shader.uniform_bool("is_flat", is_flat)
        self._tent.draw_instanced(shader, instance_count=count)
