"""The noise levels of a checkpoint's scheduler, and whether the straight path of ``protocol.py`` can follow them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from ....bridge.errors import CycloramaError
from ...models.checkpoints import Checkpoint
from ...models.memory import is_out_of_memory

_STEPS = 4
"""Tried to see the levels; their course is the same with any number."""


def noise_levels(scheduler: Any, steps: int) -> tuple[float, ...]:
    """See ``Denoiser``. Sets the scheduler's timesteps."""
    scheduler.set_timesteps(steps)
    return tuple(scheduler.sigmas.tolist())


def require_falling_levels(checkpoint: Checkpoint, scheduler: Any, highest: float = math.inf) -> None:
    """Raise unless its levels fall, from ``highest`` at most, to 0 (``wrong_scheduler``)."""
    try:
        levels = noise_levels(scheduler, _STEPS)
    except Exception as error:  # schedulers check their configuration only now, each in its own way
        if is_out_of_memory(error):
            raise
        raise wrong_scheduler(checkpoint, "it gives no noise levels for a number of steps alone") from error
    falling = all(level > lower for level, lower in pairwise(levels))
    if len(levels) != _STEPS + 1 or not falling or levels[-1] != 0:
        raise wrong_scheduler(checkpoint, "its noise levels do not fall from step to step to 0")
    if levels[0] > highest:
        raise wrong_scheduler(checkpoint, f"its noise levels begin at {levels[0]:.3g}, not at {highest:g}")


def wrong_scheduler(checkpoint: Checkpoint, reason: str) -> CycloramaError:
    """ "checkpoint-wrong-scheduler": it cannot be used, for ``reason``."""
    return CycloramaError(
        "checkpoint-wrong-scheduler",
        f"The scheduler of the checkpoint {checkpoint.address} cannot be used: {reason}.",
        "Put back the scheduler_config.json that the checkpoint came with.",
    )
