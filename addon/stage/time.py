"""Which frame of a 4D scene shows at a frame of the timeline; nothing here knows Blender."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor

LOOP = "LOOP"
PING_PONG = "PING_PONG"
HOLD = "HOLD"

_ROUNDING = 1e-3
"""Frames; so that equal rates never slip by one through the fractions."""


def travelled(start: float, frame: float, speed: Callable[[float], float]) -> float:
    """The integral of a keyframed ``speed`` from ``start`` to ``frame`` (negative before it), in timeline frames.

    By trapezoids of at most one frame: exact wherever the speed is linear between whole frames.
    """
    low, high = sorted((start, frame))
    between = range(floor(low) + 1, ceil(high))
    places = [low, *between, high]
    speeds = [speed(place) for place in places]
    area = sum(
        (after - before) * (first + second) / 2
        for before, after, first, second in zip(places, places[1:], speeds, speeds[1:], strict=False)
    )
    return area if frame >= start else -area


def package_frame(position: float, count: int, at_the_end: str = LOOP, reverse: bool = False) -> int:
    """Which of ``count`` frames shows at ``position``, the package frames played so far (any number, any sign).

    Args:
        at_the_end: ``LOOP`` 0 1 2 0 1 2, ``PING_PONG`` 0 1 2 1 0 1, ``HOLD`` 0 1 2 2 2 2 (and 0 before the start).
        reverse: the last frame first.
    """
    whole = floor(position + _ROUNDING)
    if at_the_end == HOLD:
        index = min(max(whole, 0), count - 1)
    elif at_the_end == PING_PONG and count > 1:
        turned = whole % (2 * (count - 1))
        index = min(turned, 2 * (count - 1) - turned)
    else:
        index = whole % count
    return count - 1 - index if reverse else index
