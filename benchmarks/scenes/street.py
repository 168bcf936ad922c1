"""Test scene 2: a street with houses, poles, cables and railings. What moves: a car that drives along."""

from __future__ import annotations

import random
from collections.abc import Callable

import bpy
import materials
from light import daylight
from shapes import Solid

GROUND_M = -1.6
KERB_M, HOUSES_M, END_M = 5.0, 8.0, 72.0
"""How far to the side the kerb and the houses are, and how far the street goes, metres."""
CAR_SPEED = 9.0
"""Metres per second."""


def build() -> Callable[[float], None]:
    """Fill the current scene; the function returned puts everything where it is after some seconds."""
    daylight(sun_latitude=47.0, sun_longitude=35.0)
    chance = random.Random(42)
    _ground()
    _houses(chance)
    _poles()
    _railings()
    for index, (x, y) in enumerate(((3.9, 7.0), (3.9, -6.5), (-4.0, -11.0), (-4.0, 17.0), (3.9, 21.0))):
        _car(f"parked {index}", chance).location = (x, y, GROUND_M)
    driving = _car("driving", chance)

    def animate(seconds: float) -> None:
        driving.location = (-1.7, 4.5 + CAR_SPEED * seconds, GROUND_M)

    return animate


def _ground() -> None:
    asphalt = materials.speckled("asphalt", (0.05, 0.05, 0.055), (0.15, 0.15, 0.15), 0.12)
    slabs = materials.bricks("slabs", (0.33, 0.31, 0.29), (0.25, 0.24, 0.23), (0.1, 0.1, 0.1), 0.9, 0.6, 0.012)
    paint = materials.speckled("paint", (0.5, 0.5, 0.48), (0.75, 0.75, 0.7), 0.1)
    ground = Solid()
    corners = [(-300, -300, GROUND_M), (300, -300, GROUND_M), (300, 300, GROUND_M), (-300, 300, GROUND_M)]
    ground.add(corners, [(0, 1, 2, 3)], asphalt)
    for side in (-1, 1):
        low, high = sorted((side * KERB_M, side * (HOUSES_M + 12)))
        ground.box((low, -END_M, GROUND_M - 0.1), (high, END_M, GROUND_M + 0.13), slabs)
    for y in range(-60, 61, 5):
        ground.box((-0.08, y, GROUND_M - 0.1), (0.08, y + 2.4, GROUND_M + 0.004), paint)
    for stripe in range(-4, 5):
        ground.box((stripe - 0.25, 10.5, GROUND_M - 0.1), (stripe + 0.25, 13.0, GROUND_M + 0.004), paint)
    ground.object("ground")


def _houses(chance: random.Random) -> None:
    walls = [
        materials.facade("red", (0.22, 0.07, 0.05), (0.36, 0.15, 0.10), 2.5, 3.1),
        materials.facade("ochre", (0.38, 0.27, 0.12), (0.55, 0.42, 0.22), 2.4, 2.9),
        materials.facade("grey", (0.24, 0.25, 0.26), (0.42, 0.42, 0.42), 2.8, 3.3),
        materials.facade("green", (0.15, 0.22, 0.18), (0.28, 0.36, 0.30), 2.6, 3.0),
    ]
    stone = materials.speckled("stone", (0.35, 0.33, 0.30), (0.55, 0.52, 0.47), 0.2)
    roof = materials.bricks("roof", (0.25, 0.08, 0.05), (0.18, 0.06, 0.04), (0.05, 0.02, 0.02), 0.3, 0.25, 0.02)
    for side in (-1, 1):
        y = -END_M
        while y < END_M:
            length, height = chance.uniform(9, 14), chance.choice((6.4, 9.4, 12.5, 15.6))
            _house(side, y, min(y + length, END_M), GROUND_M + height, chance.choice(walls), stone, roof)
            y += length + chance.choice((0.0, 0.0, 2.2))
    closing = Solid()
    closing.box((-14, END_M + 6, GROUND_M), (14, END_M + 16, GROUND_M + 19), walls[2])
    closing.object("end of the street")


def _house(side: int, start: float, end: float, top: float, wall, stone, roof) -> None:
    house = Solid()

    def box(
        near: float, far: float, y0: float, y1: float, low: float, high: float, material, taper: float = 0.0
    ) -> None:
        x0, x1 = sorted((side * (HOUSES_M + near), side * (HOUSES_M + far)))
        house.box((x0, y0, low), (x1, y1, high), material, taper)

    box(0, 10, start, end, GROUND_M, top, wall)
    box(-0.3, 10.3, start, end, top, top + 0.25, stone)
    box(0, 10, start, end, top + 0.25, top + 2.4, roof, taper=2.8)
    box(-0.12, 0, start, end, GROUND_M, GROUND_M + 0.75, stone)
    middle = (start + end) / 2
    box(-0.2, 0, middle - 0.8, middle + 0.8, GROUND_M, GROUND_M + 2.5, stone)
    for level in range(1, int((top - GROUND_M) / 3.1)):
        box(-0.18, 0, start, end, GROUND_M + 3.1 * level, GROUND_M + 3.1 * level + 0.14, stone)
        if level == 2:
            _balcony(house, side, middle, GROUND_M + 3.1 * level, stone)
    box(3, 4, middle - 3, middle - 2, top, top + 3.6, stone)
    house.object("house")


def _balcony(house: Solid, side: int, y: float, floor: float, stone: bpy.types.Material) -> None:
    iron = _iron()
    x0, x1 = sorted((side * (HOUSES_M - 1.0), side * HOUSES_M))
    house.box((x0, y - 1.5, floor), (x1, y + 1.5, floor + 0.12), stone)
    edge = side * (HOUSES_M - 0.95)
    house.tube((edge, y - 1.5, floor + 1.05), (edge, y + 1.5, floor + 1.05), 0.03, iron)
    for bar in range(11):
        place = y - 1.5 + 0.3 * bar
        house.tube((edge, place, floor), (edge, place, floor + 1.05), 0.015, iron, sides=6)


def _poles() -> None:
    iron = _iron()
    rubber = materials.plain("cable", (0.02, 0.02, 0.02), 0.6)
    glass = materials.glowing("street lamp", (1.0, 0.9, 0.7), 1.0)
    places = range(-56, 57, 14)
    for y in places:
        for x, inward in ((-5.4, 1), (5.4, -1)):
            pole = Solid()
            pole.tube((x, y + 3, GROUND_M), (x, y + 3, 5.4), 0.075, iron, end_radius=0.05)
            pole.tube((x, y + 3, 5.3), (x + 1.3 * inward, y + 3, 5.7), 0.035, iron)
            head = x + 1.5 * inward
            pole.box((head - 0.3, y + 2.88, 5.6), (head + 0.3, y + 3.12, 5.72), iron)
            pole.box((head - 0.22, y + 2.92, 5.56), (head + 0.22, y + 3.08, 5.6), glass)
            pole.object("pole", smooth=False)
        lines = Solid()
        lines.cable((-5.4, y + 3, 5.35), (5.4, y + 3, 5.35), 0.5, 0.02, rubber)
        for x in (-5.4, 5.4):
            lines.cable((x, y + 3, 5.2), (x, y + 17, 5.2), 0.6, 0.025, rubber)
        lines.object("cables")


def _railings() -> None:
    iron = _iron()
    for x, start, end in ((5.25, -3.0, 5.0), (-5.25, 2.0, 12.0)):
        railing = Solid()
        floor = GROUND_M + 0.13
        for height in (0.5, 1.0):
            railing.tube((x, start, floor + height), (x, end, floor + height), 0.025, iron)
        for post in range(int((end - start) / 0.8) + 1):
            y = start + 0.8 * post
            railing.tube((x, y, floor - 0.1), (x, y, floor + 1.0), 0.022, iron)
        railing.object("railing")


def _car(name: str, chance: random.Random) -> bpy.types.Object:
    """A car of boxes, its wheels on z = 0, driving towards +Y."""
    hue = chance.choice(
        ((0.5, 0.04, 0.03), (0.05, 0.12, 0.35), (0.55, 0.55, 0.52), (0.04, 0.20, 0.12), (0.6, 0.4, 0.05))
    )
    paint = materials.plain(f"paint of {name}", hue, 0.3)
    glass = materials.plain("car glass", (0.02, 0.025, 0.03), 0.1)
    tyre, light = materials.plain("tyre", (0.02, 0.02, 0.02), 0.8), materials.plain("lamp", (0.7, 0.1, 0.08), 0.3)
    car = Solid()
    car.box((-0.88, -2.1, 0.28), (0.88, 2.1, 0.85), paint, taper=0.05)
    car.box((-0.80, -1.75, 0.85), (0.80, 0.95, 1.38), glass, taper=0.22)
    car.box((-0.57, -1.50, 1.38), (0.57, 0.70, 1.43), paint)
    car.box((-0.90, -2.15, 0.30), (0.90, 2.15, 0.42), tyre)
    for x in (-0.62, 0.62):
        car.box((x - 0.15, -2.13, 0.62), (x + 0.15, -2.06, 0.74), light)
    for x in (-0.84, 0.84):
        for y in (-1.35, 1.35):
            car.tube((x - 0.1, y, 0.33), (x + 0.1, y, 0.33), 0.33, tyre, sides=24)
            car.tube(
                (x - 0.11, y, 0.33), (x + 0.11, y, 0.33), 0.18, materials.plain("hub", (0.5, 0.5, 0.5), 0.3), sides=12
            )
    return car.object(name)


def _iron() -> bpy.types.Material:
    return bpy.data.materials.get("iron") or materials.plain("iron", (0.06, 0.065, 0.06), 0.5, metallic=0.3)
