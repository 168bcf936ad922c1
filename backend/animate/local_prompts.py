"""What each view of the panorama is told: the prompt of all, and that of the quarter of the horizon it looks at.

TiP4GEN (section 3) leads every perspective view with a prompt of its own beside the panorama's global one. Ours are
views in all directions, so the artist's four local prompts are told to those that look their way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

HIGHEST_DEGREES = 60.0
"""A view that looks further up or down than this sees all four quarters, or none: it has no local prompt."""

BORDER_DEGREES = 15.0
"""A view whose centre is nearer than this to the border of two quarters is told both, half of it being the other's."""

_LOOKS_SOMEWHERE = 0.25
"""Length of the mean of a chart's rays; where it is shorter, the chart goes all the way around."""

_ENDS_OF_SENTENCES = ".!?…。"


def local_prompt(rays: Float[np.ndarray, "row column 3"], prompts: Sequence[str]) -> str:
    """The local prompt of a view.

    Args:
        rays: unit vectors in scene space through the view's pixels.
        prompts: of the quarters around 0° (front), 90° (right), 180° (back) and -90° (left); "" for none.

    Returns:
        That of the quarter in which the view's centre lies, those of both beside a border, "" towards the poles.
    """
    towards = rays.reshape(-1, 3).mean(axis=0)
    length = float(np.linalg.norm(towards))
    if length < _LOOKS_SOMEWHERE or abs(np.degrees(np.arcsin(towards[2] / length))) > HIGHEST_DEGREES:
        return ""
    longitude = np.degrees(np.arctan2(towards[0], towards[1]))
    away = [abs((longitude - 90 * quarter + 180) % 360 - 180) for quarter in range(4)]
    seen = [prompt for prompt, degrees in zip(prompts, away, strict=True) if degrees < 45 + BORDER_DEGREES]
    return joined(*dict.fromkeys(seen))


def joined(*prompts: str) -> str:
    """Prompts as one: with commas between them, but not after a sentence that has ended."""
    whole = ""
    for prompt in filter(None, (prompt.strip() for prompt in prompts)):
        between = "" if not whole else " " if whole[-1] in _ENDS_OF_SENTENCES else ", "
        whole += between + prompt
    return whole
