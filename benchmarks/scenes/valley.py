"""Test scene 1: a valley with a lake. What moves: the waves, and clouds that drift."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import bpy
import materials
import numpy as np
from light import daylight
from shapes import Solid, fractal, placed, sheet, smoothstep

EYE_HEIGHT_M = 1.6
LAKE_LEVEL_M = -2.05
LAKE_CENTRE, LAKE_RADII = (4.0, 24.0), (22.0, 18.0)
WIND = np.array([2.2, 0.6, 0.0])
"""Metres per second the clouds drift."""

_PEAKS = ((-75.0, 85.0, 46.0, 34.0), (60.0, 105.0, 38.0, 30.0), (95.0, -30.0, 30.0, 32.0), (-50.0, -95.0, 34.0, 36.0))
"""x, y, height and width of the mountains, metres."""
_CLOUDS = ((-40, 26), (5, 33), (48, 24), (100, 38), (150, 27), (-150, 30), (-95, 36), (70, 58))
"""Longitude and latitude of the clouds, degrees."""


def build() -> Callable[[float], None]:
    """Fill the current scene; the function returned puts everything where it is after some seconds."""
    chance = random.Random(41)
    daylight(sun_latitude=38.0, sun_longitude=-70.0)
    _ground()
    _trees(chance)
    _rocks(chance)
    clouds = _clouds(chance)
    lake, x, y = _lake()

    def animate(seconds: float) -> None:
        for cloud in clouds:
            cloud.location = WIND * seconds
        points = np.stack([x, y, _waves(x, y, seconds)], axis=-1).astype(np.float32)
        lake.vertices.foreach_set("co", points.ravel())
        lake.update()

    return animate


def ground_height(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height of the ground in metres: level below the viewer, a basin for the lake, hills and mountains around."""
    away = np.hypot(x, y)
    height = -EYE_HEIGHT_M + 0.18 * smoothstep(1.0, 6.0, away) * fractal(x, y, 3.0, 3, seed=5)
    height += smoothstep(14, 120, away) * (9 + 13 * fractal(x, y, 42.0, 6, seed=11))
    for peak_x, peak_y, rise, width in _PEAKS:
        shape = np.exp(-((x - peak_x) ** 2 + (y - peak_y) ** 2) / (2 * width**2))
        height += smoothstep(8, 60, away) * rise * shape * (1 + 0.35 * fractal(x, y, 22.0, 6, seed=23))
    basin = 1 - smoothstep(
        0.75, 1.3, np.hypot((x - LAKE_CENTRE[0]) / LAKE_RADII[0], (y - LAKE_CENTRE[1]) / LAKE_RADII[1])
    )
    return height * (1 - basin) + basin * (LAKE_LEVEL_M - 1.2)


def _ground() -> None:
    """A polar grid: fine where the viewer stands."""
    radius = np.concatenate([[0.0], np.geomspace(0.2, 420.0, 230)])[:, None]
    angle = np.linspace(0, 2 * np.pi, 640, endpoint=False)[None]
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    sheet("ground", x, y, ground_height(x, y), materials.terrain("ground", LAKE_LEVEL_M), closed=True)


def _lake() -> tuple[bpy.types.Mesh, np.ndarray, np.ndarray]:
    """The water's mesh, and where its vertices are from above."""
    reach = 1.35
    x = LAKE_CENTRE[0] + np.linspace(-reach, reach, 260)[None] * LAKE_RADII[0]
    y = LAKE_CENTRE[1] + np.linspace(-reach, reach, 220)[:, None] * LAKE_RADII[1]
    x, y = np.broadcast_arrays(x, y)
    lake = sheet("lake", x, y, _waves(x, y, 0.0), materials.water("water"))
    return lake.data, x, y


def _waves(x: np.ndarray, y: np.ndarray, seconds: float) -> np.ndarray:
    """Height of the water: waves of several lengths that run as gravity waves do (ω² = g·k)."""
    height = np.full(x.shape, LAKE_LEVEL_M)
    for length, amplitude, heading in ((5.3, 0.045, 0.3), (3.1, 0.03, -0.5), (1.9, 0.018, 1.1), (1.3, 0.01, 2.3)):
        number = 2 * math.pi / length
        along = number * (x * math.cos(heading) + y * math.sin(heading))
        height = height + amplitude * np.sin(along - math.sqrt(9.81 * number) * seconds + 5 * length)
    return height


def _trees(chance: random.Random) -> None:
    bark = materials.speckled("bark", (0.05, 0.03, 0.02), (0.16, 0.10, 0.06), 0.08)
    needles = materials.speckled("needles", (0.008, 0.03, 0.012), (0.05, 0.11, 0.04), 0.18)
    leaves = materials.speckled("leaves", (0.03, 0.07, 0.01), (0.17, 0.22, 0.04), 0.25)
    kinds = [_conifer(bark, needles), _broadleaf(bark, leaves, 3), _broadleaf(bark, leaves, 8)]
    for x, y in _sites(chance, 90, nearest=7.0, farthest=75.0):
        _stand(chance, chance.choice(kinds), x, y, size=chance.uniform(0.7, 1.4))


def _conifer(bark: bpy.types.Material, needles: bpy.types.Material) -> bpy.types.Mesh:
    tree = Solid()
    tree.tube((0, 0, -0.4), (0, 0, 5.5), 0.16, bark, end_radius=0.05)
    for tier in range(5):
        low = 0.9 + 0.95 * tier
        tree.tube((0, 0, low), (0, 0, low + 1.7), 1.5 - 0.25 * tier, needles, sides=14, end_radius=0.04)
    return _taken_out(tree, "conifer")


def _broadleaf(bark: bpy.types.Material, leaves: bpy.types.Material, seed: int) -> bpy.types.Mesh:
    chance = random.Random(seed)
    tree = Solid()
    tree.tube((0, 0, -0.4), (0.1, 0, 2.6), 0.18, bark, end_radius=0.1)
    for branch in range(5):
        angle = 2 * math.pi * branch / 5 + chance.random()
        tip = (1.0 * math.cos(angle), 1.0 * math.sin(angle), 2.9 + chance.uniform(-0.3, 0.9))
        tree.tube((0.1, 0, 2.0), tip, 0.07, bark, end_radius=0.03)
        tree.blob(tip, (1.0, 1.0, 0.8), 0.28, leaves, seed + branch)
    tree.blob((0.1, 0, 3.9), (1.2, 1.2, 1.0), 0.28, leaves, seed + 9)
    return _taken_out(tree, f"broadleaf {seed}")


def _rocks(chance: random.Random) -> None:
    stone = materials.speckled("stone", (0.09, 0.085, 0.08), (0.36, 0.34, 0.31), 0.15)
    kinds = []
    for seed in range(3):
        rock = Solid()
        rock.blob((0, 0, 0.12), (0.55, 0.42, 0.36), 0.35, stone, 60 + 4 * seed)
        kinds.append(_taken_out(rock, f"rock {seed}", smooth=True))
    for x, y in _sites(chance, 55, nearest=2.2, farthest=30.0):
        _stand(chance, chance.choice(kinds), x, y, size=chance.uniform(0.4, 1.0) * (1 + math.hypot(x, y) / 12))


def _taken_out(solid: Solid, name: str, *, smooth: bool = False) -> bpy.types.Mesh:
    """The mesh alone, to be placed many times."""
    pattern = solid.object(name, smooth=smooth)
    mesh = pattern.data
    bpy.data.objects.remove(pattern)
    return mesh


def _stand(chance: random.Random, mesh: bpy.types.Mesh, x: float, y: float, size: float) -> None:
    thing = placed(mesh.name, mesh)
    thing.location = (x, y, float(ground_height(np.array(x), np.array(y))) - 0.05)
    thing.rotation_euler = (0, 0, chance.uniform(0, 2 * math.pi))
    thing.scale = (size, size, size * chance.uniform(0.85, 1.2))


def _sites(chance: random.Random, count: int, nearest: float, farthest: float) -> list[tuple[float, float]]:
    """Places on dry ground, denser near the viewer."""
    sites: list[tuple[float, float]] = []
    while len(sites) < count:
        away, angle = nearest * (farthest / nearest) ** chance.random(), chance.uniform(-math.pi, math.pi)
        x, y = away * math.sin(angle), away * math.cos(angle)
        if float(ground_height(np.array(x), np.array(y))) > LAKE_LEVEL_M + 0.15:
            sites.append((x, y))
    return sites


def _clouds(chance: random.Random) -> list[bpy.types.Object]:
    white = materials.cloud("cloud")
    clouds = []
    for index, (longitude, latitude) in enumerate(_CLOUDS):
        cloud = Solid()
        away, across, up = chance.uniform(84, 98), math.radians(longitude), math.radians(latitude)
        centre = away * np.array([math.cos(up) * math.sin(across), math.cos(up) * math.cos(across), math.sin(up)])
        sideways = np.array([math.cos(across), -math.sin(across), 0.0])
        for puff in range(-3, 4):
            size = chance.uniform(5.0, 7.0) * (1 - 0.16 * abs(puff))
            place = centre + sideways * puff * 5.2 + np.array([0, 0, 0.35 * size + chance.uniform(-0.6, 0.6)])
            cloud.blob(
                tuple(place), (1.25 * size, 1.1 * size, 0.8 * size), 0.22, white, 100 * index + puff + 7, rings=40
            )
        shape = cloud.object(f"cloud {index}", smooth=True)
        shape.visible_shadow = False  # a cloud's shadow that drifts over the ground would make still ground change
        clouds.append(shape)
    return clouds
