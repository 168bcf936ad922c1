"""Meshes of the test scenes, from numbers: boxes, tubes, blobs, height fields. UVs are in metres."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import bpy
import numpy as np

Point = tuple[float, float, float]


class Solid:
    """Quads and triangles gathered into one object; every part may bring its own material."""

    def __init__(self):
        self.points: list[np.ndarray] = []
        self.faces: list[tuple[int, ...]] = []
        self.uvs: list[tuple[float, float]] = []
        self.face_materials: list[int] = []
        self.materials: list[bpy.types.Material] = []
        self._count = 0

    def add(self, points, faces: Sequence[Sequence[int]], material, uvs: Sequence | None = None) -> None:
        """Add ``points`` (n, 3) and ``faces`` that index into them; ``uvs``: one per face corner, or none."""
        points = np.asarray(points, np.float32).reshape(-1, 3)
        if material not in self.materials:
            self.materials.append(material)
        self.faces.extend(tuple(self._count + corner for corner in face) for face in faces)
        self.face_materials.extend([self.materials.index(material)] * len(faces))
        self.uvs.extend(uvs if uvs is not None else [(0.0, 0.0)] * sum(len(face) for face in faces))
        self.points.append(points)
        self._count += len(points)

    def box(self, low: Point, high: Point, material, taper: float = 0.0) -> None:
        """An axis-aligned box; ``taper`` draws its top in by that many metres on every side."""
        (x0, y0, z0), (x1, y1, z1), t = low, high, taper
        bottom = [(x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)]
        top = [(x0 + t, y0 + t, z1), (x1 - t, y0 + t, z1), (x1 - t, y1 - t, z1), (x0 + t, y1 - t, z1)]
        sides = [(0, 1, 5, 4), (2, 3, 7, 6), (1, 2, 6, 5), (3, 0, 4, 7)]
        corners = bottom + top
        uvs = [
            (corners[i][axis], corners[i][2] - z0) for axis, face in zip((0, 0, 1, 1), sides, strict=True) for i in face
        ]
        caps = [(4, 5, 6, 7), (3, 2, 1, 0)]
        uvs += [corners[i][:2] for face in caps for i in face]
        self.add(corners, sides + caps, material, uvs)

    def tube(self, start: Point, end: Point, radius: float, material, sides: int = 10, end_radius=None) -> None:
        """A closed cylinder or cone between two points."""
        foot, tip = np.asarray(start, float), np.asarray(end, float)
        axis = (tip - foot) / np.linalg.norm(tip - foot)
        across = np.cross(axis, (0.0, 0.0, 1.0) if abs(axis[2]) < 0.9 else (1.0, 0.0, 0.0))
        across /= np.linalg.norm(across)
        angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)[:, None]
        ring = np.cos(angle) * across + np.sin(angle) * np.cross(axis, across)
        top_radius = radius if end_radius is None else end_radius
        points = np.concatenate([foot + radius * ring, tip + top_radius * ring])
        following = [(i + 1) % sides for i in range(sides)]
        faces = [(i, following[i], sides + following[i], sides + i) for i in range(sides)]
        self.add(points, [*faces, tuple(range(sides))[::-1], tuple(range(sides, 2 * sides))], material)

    def cable(self, start: Point, end: Point, sag: float, radius: float, material, pieces: int = 12) -> None:
        """A hanging line: a parabola of ``sag`` metres, in straight pieces."""
        t = np.linspace(0, 1, pieces + 1)[:, None]
        line = np.asarray(start) * (1 - t) + np.asarray(end) * t
        line[:, 2] -= sag * 4 * (t * (1 - t))[:, 0]
        for a, b in pairwise(line):
            self.tube(tuple(a), tuple(b), radius, material, sides=6)

    def blob(self, centre: Point, radii: Point, roughness: float, material, seed: int, rings: int = 24) -> None:
        """An ellipsoid with bumps of ``roughness`` (share of its radius): rocks, tree tops, clouds."""
        polar, azimuth = np.meshgrid(
            np.linspace(0, np.pi, rings + 1), np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False), indexing="ij"
        )
        unit = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1)
        bumps = np.zeros_like(polar)
        for octave in range(3):
            x, y, z = np.moveaxis(2.0**octave * 1.5 * unit, -1, 0)
            bumps += 2.0**-octave * noise(x + 31 * octave, y, seed)
            bumps += 2.0**-octave * noise(z + 17 * octave, np.full_like(z, 9.0), seed + 1)
        points = np.asarray(centre) + np.asarray(radii) * unit * (1 + roughness * bumps[..., None])
        self.add(points.reshape(-1, 3), _sheet(rings + 1, 2 * rings, closed=True), material)

    def object(self, name: str, *, smooth: bool = False) -> bpy.types.Object:
        """The parts as one object of the current scene, its origin at the scene's."""
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata(np.concatenate(self.points).tolist(), [], self.faces)
        mesh.uv_layers.new(name="metres").data.foreach_set("uv", np.asarray(self.uvs, np.float32).ravel())
        for material in self.materials:
            mesh.materials.append(material)
        mesh.polygons.foreach_set("material_index", self.face_materials)
        mesh.polygons.foreach_set("use_smooth", np.full(len(self.faces), smooth))
        mesh.update()
        return placed(name, mesh)


def placed(name: str, mesh: bpy.types.Mesh) -> bpy.types.Object:
    """A new object of the current scene that shows ``mesh``."""
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def sheet(
    name: str, x: np.ndarray, y: np.ndarray, z: np.ndarray, material, *, closed: bool = False
) -> bpy.types.Object:
    """A smooth surface through a (rows, columns) array of points; ``closed``: the last column meets the first."""
    solid = Solid()
    solid.add(np.stack([x, y, z], axis=-1).reshape(-1, 3), _sheet(*x.shape, closed=closed), material)
    return solid.object(name, smooth=True)


def _sheet(rows: int, columns: int, *, closed: bool) -> list[tuple[int, int, int, int]]:
    last = columns if closed else columns - 1
    return [
        (r * columns + c, (r + 1) * columns + c, (r + 1) * columns + (c + 1) % columns, r * columns + (c + 1) % columns)
        for r in range(rows - 1)
        for c in range(last)
    ]


def noise(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """Smooth value noise in -1..1 with features of one unit, the same for the same seed on every machine."""
    lattice = np.random.default_rng(seed).uniform(-1, 1, (64, 64))
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    s, t = x - column, y - row
    s, t = s * s * (3 - 2 * s), t * t * (3 - 2 * t)

    def corner(right: int, down: int) -> np.ndarray:
        return lattice[(row + down) % 64, (column + right) % 64]

    upper = corner(0, 0) * (1 - s) + corner(1, 0) * s
    lower = corner(0, 1) * (1 - s) + corner(1, 1) * s
    return upper * (1 - t) + lower * t


def fractal(x: np.ndarray, y: np.ndarray, size: float, octaves: int, seed: int) -> np.ndarray:
    """Noise of several octaves, about -1..1; its largest features measure ``size`` metres."""
    return sum(
        (0.5**octave * noise(x / size * 2**octave, y / size * 2**octave, seed + octave) for octave in range(octaves)),
        start=np.zeros_like(x),
    )


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
