"""Splats in textures, where shaders find them by number."""

from __future__ import annotations

import gpu
import numpy as np

from .part import Splats
from .shaders import ROW

FORMATS = {1: "R32F", 4: "RGBA32F"}


def texture_of(values: np.ndarray) -> gpu.types.GPUTexture:
    """A float texture of (height, width, 1 or 4) numbers."""
    values = np.ascontiguousarray(values, np.float32)
    height, width, columns = values.shape
    pixels = gpu.types.Buffer("FLOAT", values.size, values.ravel())
    return gpu.types.GPUTexture((width, height), format=FORMATS[columns], data=pixels)


def rows_for(count: int) -> int:
    """Rows of a texture that ``count`` splats fill."""
    return -(-count // ROW)


def in_rows(values: np.ndarray) -> np.ndarray:
    """(rows, ROW, columns) of (n, columns), the last row filled with zeros; at least one row."""
    count, columns = values.shape
    rows = np.zeros((max(rows_for(count), 1), ROW, columns), np.float32)
    rows.reshape(-1, columns)[:count] = values
    return rows


class SplatTextures:
    """Shapes and radiances of several objects' splats; each object begins a row.

    Attributes:
        starts: of each object, its first row.
        rows: how many there are in all.
        shape: two texels a splat: position, first scale; x, y, z of the quaternion with w >= 0, second scale.
        radiance: one texel a splat.
    """

    def __init__(self) -> None:
        self._held: list[Splats] | None = None
        self.starts: list[int] = []
        self.rows = 0

    def hold(self, splats: list[Splats]) -> bool:
        """Have the textures show these; whether any shape is new."""
        before = self._held
        if before is not None and len(before) == len(splats) and all(map(_same, before, splats)):
            return False
        keeps_shapes = before is not None and len(before) == len(splats) and all(map(_same_shape, before, splats))
        self._held = list(splats)
        if not keeps_shapes:
            counts = [rows_for(len(each)) for each in splats]
            self.starts = [sum(counts[:i]) for i in range(len(counts))]
            self.rows = sum(counts)
            self.shape = texture_of(_joined([_shape(each) for each in splats], 8).reshape(-1, 2 * ROW, 4))
        self.radiance = texture_of(_joined([each.radiance for each in splats], 4))
        return not keeps_shapes


def _same(a: Splats, b: Splats) -> bool:
    return a is b


def _same_shape(a: Splats, b: Splats) -> bool:
    return a is b or all(
        x is y or np.array_equal(x, y)
        for x, y in ((a.position, b.position), (a.rotation, b.rotation), (a.scale, b.scale))
    )


def _shape(splats: Splats) -> np.ndarray:
    turn = splats.rotation[:, 1:] * np.where(splats.rotation[:, :1] < 0, np.float32(-1), np.float32(1))
    return np.concatenate([splats.position, splats.scale[:, :1], turn, splats.scale[:, 1:2]], axis=1)


def _joined(parts: list[np.ndarray], columns: int) -> np.ndarray:
    filled = [in_rows(part) for part in parts if len(part)]
    return np.concatenate(filled) if filled else np.zeros((1, ROW, columns), np.float32)
