"""How a recipe tells what it is doing and shows what it makes, and hears that it should stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import UInt8

Report = Callable[[str, int, int], None]
"""``report(stage, step, total)``: called at least once a second by a recipe; raises ``Cancelled`` to stop it."""


Show = Callable[[UInt8[np.ndarray, "height width 3"]], None]
"""``show(picture)``: takes a preview of what is being made, equirectangular, sRGB; may be called at any time."""


def silent(stage: str, step: int, total: int) -> None:
    """A ``Report`` that listens to nobody."""


def unseen(picture: UInt8[np.ndarray, "height width 3"]) -> None:
    """A ``Show`` at which nobody looks."""


class Clock:
    """Turns steps into the fraction of the whole job, the seconds left, and the seconds each stage took.

    Args:
        shares: stage -> its usual share of the whole time, in the order they run; they add up to 1.
    """

    def __init__(self, shares: Mapping[str, float]):
        self._shares = dict(shares)
        self._started = time.monotonic()
        self._stage = ""
        self._stage_started = self._started
        self._had_before = 0.0
        self.seconds: dict[str, float] = {}

    def advance(self, stage: str, step: int, total: int) -> tuple[float, float]:
        """Fraction done in 0..1, and seconds left (-1 while too early to tell)."""
        now = time.monotonic()
        begins = stage != self._stage
        if begins:
            self._stage, self._stage_started = stage, now
        self.seconds[stage] = now - self._stage_started
        before = 0.0
        for name, share in self._shares.items():
            if name == stage:
                break
            before += share
        fraction = min(before + self._shares.get(stage, 0.0) * step / max(total, 1), 1.0)
        if begins:  # what is done already at its first step was done in an earlier run
            self._had_before += fraction - before
        elapsed, own = now - self._started, fraction - self._had_before
        return fraction, elapsed * (1 - fraction) / own if own > 0.05 else -1.0
