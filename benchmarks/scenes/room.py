"""Test scene 3: a room with a doorway into a second one. What moves: a pendulum that swings, and a ball that rolls."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import bpy
import materials
from shapes import Solid

LOW, HIGH = (-2.6, -2.4, -1.6), (2.9, 3.2, 1.1)
"""Inner corners of the viewer's room, metres."""
TABLE_LOW, TABLE_HIGH = (-1.9, 0.9, -0.88), (-0.5, 1.9, -0.84)
"""The table's top."""
WALL_M = 0.15
DOOR_LEFT, DOOR_RIGHT, DOOR_TOP = 0.5, 1.5, 0.45
"""The doorway in the wall ahead: x of its sides and z of its top."""
SECOND_END = 7.4

HOOK = (1.9, 0.9, HIGH[2])
CORD_M, SWING = 1.7, math.radians(28)


def build() -> Callable[[float], None]:
    """Fill the current scene; the function returned puts everything where it is after some seconds."""
    chance = random.Random(43)
    wood = materials.bricks("boards", (0.36, 0.20, 0.10), (0.24, 0.13, 0.06), (0.05, 0.03, 0.02), 1.4, 0.14, 0.004)
    oak = materials.speckled("oak", (0.22, 0.13, 0.06), (0.42, 0.28, 0.15), 0.06, 0.5)
    white = materials.plain("white", (0.7, 0.7, 0.68), 0.6)
    _shell(wood, white)
    _table(oak, chance)
    _shelves(oak, chance)
    _lamps(white)
    _pictures(oak)
    _second_room(oak)
    pendulum, ball = _pendulum(), _ball()

    def animate(seconds: float) -> None:
        angle = SWING * math.cos(math.sqrt(9.81 / CORD_M) * seconds + 0.4)
        pendulum.rotation_euler = (0, angle, math.radians(35))
        ball.location = (-0.6 + 1.3 * seconds, -1.3, LOW[2] + 0.16)
        ball.rotation_euler = (0, 1.3 * seconds / 0.16, 0)

    return animate


def _shell(wood: bpy.types.Material, white: bpy.types.Material) -> None:
    plaster = materials.speckled("plaster", (0.50, 0.47, 0.41), (0.64, 0.61, 0.54), 0.12)
    paper = materials.bricks("wallpaper", (0.30, 0.40, 0.42), (0.38, 0.47, 0.46), (0.55, 0.55, 0.48), 0.22, 0.3, 0.012)
    tiles = materials.bricks("tiles", (0.55, 0.50, 0.42), (0.35, 0.20, 0.14), (0.2, 0.2, 0.2), 0.4, 0.4, 0.006, 0.0)
    (x0, y0, z0), (x1, y1, z1) = LOW, HIGH
    shell, beyond = Solid(), y1 + WALL_M
    shell.box((x0, y0, z0 - WALL_M), (x1, beyond, z0), wood)
    shell.box((x0, beyond, z0 - WALL_M), (x1, SECOND_END, z0), tiles)
    shell.box((x0, y0, z1), (x1, SECOND_END, z1 + WALL_M), plaster)
    shell.box((x0 - WALL_M, y0 - WALL_M, z0 - WALL_M), (x0, SECOND_END, z1 + WALL_M), plaster)
    shell.box((x1, y0 - WALL_M, z0 - WALL_M), (x1 + WALL_M, SECOND_END, z1 + WALL_M), paper)
    shell.box((x0, y0 - WALL_M, z0 - WALL_M), (x1, y0, z1 + WALL_M), paper)
    shell.box((x0, y1, z0), (DOOR_LEFT, beyond, z1), paper)
    shell.box((DOOR_RIGHT, y1, z0), (x1, beyond, z1), paper)
    shell.box((DOOR_LEFT, y1, DOOR_TOP), (DOOR_RIGHT, beyond, z1), paper)
    shell.box((x0, SECOND_END, z0 - WALL_M), (x1, SECOND_END + WALL_M, z1 + WALL_M), paper)
    for left, right in ((DOOR_LEFT - 0.08, DOOR_LEFT), (DOOR_RIGHT, DOOR_RIGHT + 0.08)):
        shell.box((left, y1 - 0.02, z0), (right, y1, DOOR_TOP + 0.08), white)
    shell.box((DOOR_LEFT, y1 - 0.02, DOOR_TOP), (DOOR_RIGHT, y1, DOOR_TOP + 0.08), white)
    shell.box((x0, y1 - 0.015, z0), (DOOR_LEFT - 0.08, y1, z0 + 0.09), white)
    shell.box((x1 - 0.015, y0, z0), (x1, y1, z0 + 0.09), white)
    shell.object("shell")


def _table(oak: bpy.types.Material, chance: random.Random) -> None:
    table = Solid()
    (x0, y0, z0), (x1, y1, z1) = TABLE_LOW, TABLE_HIGH
    table.box(TABLE_LOW, TABLE_HIGH, oak)
    for x in (x0 + 0.08, x1 - 0.08):
        for y in (y0 + 0.08, y1 - 0.08):
            table.tube((x, y, LOW[2]), (x, y, z0), 0.02, oak)
    clay = materials.speckled("clay", (0.35, 0.12, 0.05), (0.55, 0.25, 0.12), 0.05)
    blue = materials.plain("blue", (0.05, 0.12, 0.4), 0.2)
    table.tube((-1.4, 1.4, z1), (-1.4, 1.4, z1 + 0.28), 0.07, clay, sides=24, end_radius=0.11)
    table.box((-1.0, 1.1, z1), (-0.72, 1.3, z1 + 0.05), blue)
    table.tube((-0.8, 1.6, z1), (-0.8, 1.6, z1 + 0.1), 0.04, blue, sides=20)
    for stem in range(5):
        tip = (-1.4 + chance.uniform(-0.2, 0.2), 1.4 + chance.uniform(-0.2, 0.2), z1 + chance.uniform(0.45, 0.65))
        table.tube((-1.4, 1.4, z1 + 0.2), tip, 0.008, materials.plain("stem", (0.05, 0.2, 0.04)), sides=6)
        table.blob(tip, (0.05, 0.05, 0.04), 0.3, materials.plain("petal", (0.6, 0.08, 0.12)), 5 + stem, rings=10)
    table.object("table")
    rug = Solid()
    weave = materials.bricks("weave", (0.4, 0.08, 0.06), (0.1, 0.12, 0.28), (0.6, 0.5, 0.3), 0.35, 0.25, 0.03)
    rug.box((0.2, -0.6, LOW[2]), (2.2, 2.3, LOW[2] + 0.012), weave)
    rug.object("rug")


def _shelves(oak: bpy.types.Material, chance: random.Random) -> None:
    covers = [
        materials.plain(f"cover {index}", colour, 0.6)
        for index, colour in enumerate(
            (
                (0.4, 0.06, 0.05),
                (0.06, 0.15, 0.35),
                (0.08, 0.25, 0.12),
                (0.5, 0.38, 0.12),
                (0.5, 0.48, 0.42),
                (0.1, 0.1, 0.1),
            )
        )
    ]
    shelves, x = Solid(), LOW[0]
    for y in (-1.9, -0.3):
        shelves.box((x, y - 0.02, LOW[2]), (x + 0.3, y + 0.02, 0.6), oak)
    for level in range(6):
        floor = LOW[2] + 0.08 + 0.42 * level
        shelves.box((x, -1.9, floor), (x + 0.3, -0.3, floor + 0.025), oak)
        y = -1.86
        while y < -0.5 and level < 5:
            thick, height, deep = chance.uniform(0.025, 0.06), chance.uniform(0.2, 0.34), chance.uniform(0.17, 0.26)
            if chance.random() < 0.85:
                top = floor + 0.025 + height
                shelves.box((x + 0.01, y, floor + 0.025), (x + deep, y + thick, top), chance.choice(covers))
            y += thick + 0.003
    shelves.object("shelves")


def _lamps(white: bpy.types.Material) -> None:
    """Hanging globes in both rooms, and a standing lamp."""
    lamps = Solid()
    light = materials.glowing("globe lamp", (1.0, 0.93, 0.82), 30.0)
    for x, y in ((-1.2, 1.4), (0.9, -1.5), (0.9, 5.2)):
        lamps.tube((x, y, 0.75), (x, y, HIGH[2]), 0.012, white)
        lamps.blob((x, y, 0.6), (0.19, 0.19, 0.19), 0.0, light, 3, rings=10)
    x, y = 2.3, -1.9
    lamps.tube((x, y, LOW[2]), (x, y, LOW[2] + 0.03), 0.16, white, sides=32)
    lamps.tube((x, y, LOW[2]), (x, y, 0.0), 0.014, white)
    lamps.tube((x, y, -0.15), (x, y, 0.18), 0.24, materials.glowing("shade", (1.0, 0.72, 0.4), 2.0), end_radius=0.14)
    lamps.object("lamps")


def _pictures(oak: bpy.types.Material) -> None:
    pictures = Solid()
    paintings = (
        materials.speckled("painting 1", (0.05, 0.12, 0.3), (0.7, 0.5, 0.2), 0.25),
        materials.speckled("painting 2", (0.3, 0.05, 0.05), (0.2, 0.45, 0.35), 0.12),
    )
    for painting, y in zip(paintings, (-0.6, 1.2), strict=True):
        pictures.box((HIGH[0] - 0.03, y - 0.5, -0.35), (HIGH[0], y + 0.5, 0.45), oak)
        pictures.box((HIGH[0] - 0.035, y - 0.43, -0.28), (HIGH[0] - 0.03, y + 0.43, 0.38), painting)
    pictures.object("pictures")


def _second_room(oak: bpy.types.Material) -> None:
    cupboard = Solid()
    red = materials.plain("red cupboard", (0.4, 0.1, 0.07), 0.5)
    cupboard.box((0.9, SECOND_END - 0.55, LOW[2]), (2.3, SECOND_END, -0.4), red)
    cupboard.blob(
        (1.5, SECOND_END - 0.3, -0.2), (0.2, 0.2, 0.22), 0.1, materials.plain("vase", (0.1, 0.3, 0.3), 0.2), 77
    )
    for x in (0.1, 0.45):
        for y in (5.0, 5.4):
            cupboard.tube((x, y, LOW[2]), (x, y, -1.12 if y < 5.2 else -0.6), 0.018, oak)
    cupboard.box((0.06, 4.96, -1.15), (0.49, 5.44, -1.12), oak)
    cupboard.box((0.06, 5.38, -0.85), (0.49, 5.42, -0.6), oak)
    cupboard.object("second room")


def _pendulum() -> bpy.types.Object:
    """Hangs from its origin; turned about Y, it swings."""
    pendulum = Solid()
    brass = materials.plain("brass", (0.6, 0.4, 0.12), 0.35, metallic=0.6)
    pendulum.tube((0, 0, 0), (0, 0, -CORD_M), 0.012, brass)
    checks = materials.speckled("globe", (0.5, 0.1, 0.05), (0.75, 0.6, 0.3), 0.08, 0.4)
    pendulum.blob((0, 0, -CORD_M), (0.17, 0.17, 0.17), 0.0, checks, 1, rings=32)
    thing = pendulum.object("pendulum", smooth=True)
    thing.location = HOOK
    return thing


def _ball() -> bpy.types.Object:
    ball = Solid()
    patches = materials.speckled("ball", (0.05, 0.1, 0.45), (0.8, 0.75, 0.6), 0.12, 0.4)
    ball.blob((0, 0, 0), (0.16, 0.16, 0.16), 0.0, patches, 2, rings=32)
    return ball.object("ball", smooth=True)
