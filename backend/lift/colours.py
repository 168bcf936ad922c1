"""The colours that show a picture best, found at once: weighted linear least squares, by conjugate gradients.

3DGS finds them by thousands of steps of Adam; where the geometry is known they are a linear problem of W (see
``compositing``), and a few steps of conjugate gradients solve it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from .compositing import Compositing

_DARKEST = 0.01
"""Scene-linear: below it, errors count as they do there. Else a black pixel's noise would count most of all."""

_DIMMEST = 0.25
"""Of its start, for what is brighter than white; but never more than white. A sun's splats cannot be solved for against
each other: what is a little off in one would be a black dot in the next."""

Values = Float[np.ndarray, "ray 3"]
Colours = Float[np.ndarray, "n 3"]


def solved(
    compositing: Compositing,
    target: Values,
    start: Colours,
    *,
    hold: float = 0.1,
    iterations: int = 5,
    besides: Values | float = 0.0,
    before_each: Callable[[], None] = lambda: None,
) -> Colours:
    """Colours c >= 0 that minimise Σ (slope · (W c - target))² + hold · d̄ · |c - start|².

    ``slope`` is that of the sRGB curve at the target or what is shown at the start, if that is brighter: so errors
    count as they are seen, and next to a sun as little as in it; d̄ is the median of the diagonal of the first term.
    All is scene-linear; channels are independent.

    Args:
        target: what the pictures shall show, premultiplied: without the background's part.
        start: what they are held to, and where the search starts; Gaussians that are not seen stay there.
        iterations: of conjugate gradients. Few are better than many: what they would go on to fit is finer than the
            Gaussians, and can only ring.
        besides: what is seen of others at the same place, which ``target`` is without.
        before_each: is called before every one of them; may raise to stop.
    """
    colours = start.astype(np.float32)
    shown = compositing.pictures(colours)
    slope_squared = slope(np.maximum(target, shown) + besides) ** 2
    diagonal = compositing.gathered(slope_squared * compositing.alpha[:, None])
    seen = diagonal > 0
    if not seen.any():
        return colours
    held = (hold * np.nanmedian(np.where(seen, diagonal, np.nan), axis=0)).astype(np.float32)
    preconditioner = np.where(seen, 1 / (diagonal + held), 0).astype(np.float32)

    residual = compositing.gathered(slope_squared * (target - shown))
    towards = preconditioner * residual
    along, power = towards, _dots(residual, towards)
    for _ in range(iterations):
        before_each()
        if not power.any():
            break
        pushed = compositing.gathered(slope_squared * compositing.pictures(along)) + held * along
        step = power / np.maximum(_dots(along, pushed), np.finfo(np.float32).tiny)
        colours = colours + step * along
        residual = residual - step * pushed
        towards = preconditioner * residual
        power, before = _dots(residual, towards), power
        along = towards + power / np.maximum(before, np.finfo(np.float32).tiny) * along
    return np.maximum(colours, np.where(start > 1, np.minimum(start * _DIMMEST, 1), 0))


def slope(linear: Values) -> Values:
    """d sRGB / d linear (IEC 61966-2-1), going on beyond 1 for highlights."""
    return (1.055 / 2.4 * np.maximum(linear, _DARKEST) ** np.float32(1 / 2.4 - 1)).astype(np.float32)


def _dots(one: Colours, other: Colours) -> Float[np.ndarray, " 3"]:
    """A channel's dot product each."""
    return np.einsum("nc,nc->c", one, other, dtype=np.float64).astype(np.float32)
