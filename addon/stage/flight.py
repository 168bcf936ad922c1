"""Flights of a camera through the room of a 4D scene: places and directions over time. Knows no keyframes.

All in the scene's own space: metres, Z up, the panorama taken at the origin.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi, radians, sin
from random import Random

from mathutils import Euler, Quaternion, Vector

Reach = Callable[[Vector], float]
"""How far from the origin the camera may go towards a direction, metres."""


@dataclass(frozen=True)
class Stop:
    """Where the camera is after ``share`` of the flight's time, and how it is turned (it looks along its own -Z)."""

    share: float
    place: Vector
    rotation: Quaternion


def orbit(reach: Reach, rotation: Quaternion, focus: float, stops: int = 12) -> list[Stop]:
    """Once around the origin on a level, as far out as ``reach`` allows, looking at a point ``focus`` metres ahead.

    The last stop is the first again, so that the flight can be repeated.
    """
    ahead = rotation @ Vector((0, 0, -1))
    target = ahead * focus
    flat = Vector((ahead.x, ahead.y, 0))
    start = flat.normalized() if flat.length > 1e-3 else Vector((0, 1, 0))
    right = start.cross(Vector((0, 0, 1)))
    flight = []
    for number in range(stops + 1):
        angle = 2 * pi * number / stops
        direction = right * sin(angle) - start * cos(angle)
        place = direction * reach(direction)
        flight.append(Stop(number / stops, place, towards(target - place, rotation)))
    return flight


def dolly(reach: Reach, rotation: Quaternion) -> list[Stop]:
    """Straight ahead, from as far back as ``reach`` allows to as far forward, without a turn."""
    ahead = rotation @ Vector((0, 0, -1))
    return [Stop(0.0, -ahead * reach(-ahead), rotation.copy()), Stop(1.0, ahead * reach(ahead), rotation.copy())]


def drift(reach: Reach, rotation: Quaternion, seconds: float, seed: int = 0, sway_degrees: float = 0.5) -> list[Stop]:
    """A camera held by hand around the origin: slow sways of place and direction; five stops a second.

    Each axis is a sum of three sines of 0.1 to 0.9 Hz, weighted by their wavelength as a hand's are.
    """
    chance = Random(seed)
    waves = [[(rate, chance.uniform(0, 2 * pi)) for rate in (0.11, 0.29, 0.83)] for _ in range(6)]
    weights = [1.0, 0.45, 0.12]

    def sway(axis: int, time: float) -> float:
        parts = zip(waves[axis], weights, strict=True)
        return sum(weight * sin(2 * pi * rate * time + phase) for (rate, phase), weight in parts) / sum(weights)

    count = max(int(5 * seconds), 2)
    flight = []
    for number in range(count + 1):
        time = seconds * number / count
        step = Vector((sway(0, time), sway(1, time), sway(2, time))) / 3**0.5
        place = step * reach(step) if step.length > 1e-9 else step
        turn = Euler([radians(sway_degrees) * sway(axis, time) for axis in (3, 4, 5)]).to_quaternion()
        flight.append(Stop(number / count, place, rotation @ turn))
    return flight


def along(path: Sequence[Vector], reach: Reach, rotation: Quaternion, look: str) -> list[Stop]:
    """Along a drawn line at an even speed; where it goes farther than ``reach``, it is pulled in.

    Args:
        path: two points or more.
        look: ``KEEP`` the direction, or look ``AHEAD`` along the line.

    Raises:
        ValueError: the line has no length.
    """
    lengths = [0.0]
    for one, other in itertools.pairwise(path):
        lengths.append(lengths[-1] + (other - one).length)
    whole = lengths[-1]
    if whole <= 0:
        raise ValueError("The line has no length")
    count = min(max(len(path), 8), 64)
    places = [_at(path, lengths, whole * number / count) for number in range(count + 1)]
    flight, turned = [], rotation
    for number, place in enumerate(places):
        if look == "AHEAD":
            before, after = places[max(number - 1, 0)], places[min(number + 1, count)]
            turned = towards(after - before, turned)
        flight.append(Stop(number / count, _held(place, reach), turned.copy()))
    return flight


def towards(direction: Vector, otherwise: Quaternion) -> Quaternion:
    """How a camera is turned that looks along ``direction`` with its head up; ``otherwise`` where there is none."""
    return direction.to_track_quat("-Z", "Y") if direction.length > 1e-6 else otherwise.copy()


def _held(place: Vector, reach: Reach) -> Vector:
    allowed = reach(place) if place.length > 0 else 0.0
    return place.copy() if place.length <= allowed else place.normalized() * allowed


def _at(path: Sequence[Vector], lengths: Sequence[float], length: float) -> Vector:
    for index in range(1, len(path)):
        if lengths[index] >= length:
            span = lengths[index] - lengths[index - 1]
            share = (length - lengths[index - 1]) / span if span > 0 else 0.0
            return path[index - 1].lerp(path[index], share)
    return path[-1].copy()
