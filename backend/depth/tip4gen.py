"""Alignment as TiP4GEN does it (eq. 5-8): α per view, β per pixel, and a network of the direction for the panorama.

Beside the linear solution this is a reference: a thousand steps for each frame, and nothing is held together over time
(the paper does that afterwards, eq. 9-11).

The paper names neither the network nor any number. Ours: sines and cosines of the direction's coordinates (six
octaves), then linear layers with ReLU, as radiance fields have them. The coefficients are those of 4K4DGen eq. 4, means
are taken where the paper has norms and sums, and the scale that multiplies D is the softplus(α) that eq. 7 holds to 1.
Each step looks at some pixels drawn at random. The shift is added before values along the view's axis become values
along the ray, as in ``least_squares``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..sphere.charts import view_rays
from ..sphere.icosphere import VIEW_FOV, view_rotations
from ..sphere.views import rays
from .alignment import Alignment, cosine_power
from .least_squares import SCALE, SHIFT, Corrections, in_unit, least_squares
from .predictions import Predictions

_OCTAVES = 6
_WIDTH = 64
_PIXELS_AT_ONCE = 8192


def tip4gen(
    predictions: Predictions,
    report: Callable[[int, int], None] = lambda done, steps: None,
    iterations: int = 1000,
    learning_rate: float = 0.01,
    seed: int = 0,
) -> Alignment:
    """Scale for each view and frame, and shift for each of their pixels, by TiP4GEN eq. 5-8 and Adam.

    Args:
        report: called with steps done and all before each; what it raises ends the work.
        iterations: for each frame.
        learning_rate: not given in the paper; not tuned.
        seed: of the network's start and of the pixels looked at.

    Raises ``CycloramaError`` ("no-values") when no value is finite.
    """
    unit, values = in_unit(predictions)
    frames, views, size = values.shape[:3]
    towards = torch.from_numpy(view_rays(view_rotations(), size)).float().flatten(0, 2)
    along_ray = torch.from_numpy(np.linalg.norm(rays(size, size, VIEW_FOV), axis=-1)) ** -cosine_power(predictions.kind)
    scale, shift = np.ones((views, frames), np.float32), np.zeros((views, size * size, frames), np.float32)
    says_something = ~np.isnan(values).all(axis=(2, 3)).T
    for frame in np.flatnonzero(says_something.any(axis=0)):
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            of_frame = _Views(torch.from_numpy(values[frame]), towards, along_ray)
            for step in of_frame.fit(iterations, learning_rate):
                report(int(frame) * iterations + step, frames * iterations)
        scale[:, frame] = softplus(of_frame.alpha).detach()
        shift[:, :, frame] = of_frame.beta.detach().flatten(1)
    report(frames * iterations, frames * iterations)
    return least_squares(values, predictions.kind).alignment(unit, Corrections(scale, shift))


class _Views:
    """One frame: what its views say, and how they are corrected."""

    def __init__(
        self,
        values: Float[Tensor, "view row column"],
        towards: Float[Tensor, "pixel 3"],
        along_ray: Float[Tensor, "row column"],
    ):
        self.values, self.towards, self.along_ray = values.flatten(), towards, along_ray.flatten()
        self.known = torch.isfinite(self.values).nonzero()[:, 0]
        self.alpha = torch.full((len(values),), math.log(math.e - 1), requires_grad=True)  # softplus gives 1
        self.beta = torch.zeros_like(values, requires_grad=True)
        self.field = _field()

    def fit(self, iterations: int, learning_rate: float) -> Iterator[int]:
        """Yields the number of each step before it is taken."""
        parameters = [self.alpha, self.beta, *self.field.parameters()]
        optimiser = torch.optim.Adam(parameters, lr=learning_rate)
        for step in range(iterations):
            yield step
            optimiser.zero_grad()
            self.loss(self.known[torch.randint(len(self.known), (_PIXELS_AT_ONCE,))]).backward()
            optimiser.step()

    def loss(self, pixels: Tensor) -> Tensor:
        """TiP4GEN eq. 5, the first term at some ``pixels``."""
        scale, in_view = softplus(self.alpha), len(self.along_ray)
        said = scale[pixels // in_view] * self.values[pixels] + self.beta.flatten()[pixels]
        away = said * self.along_ray[pixels % in_view] - self.field(_waves(self.towards[pixels]))[:, 0]
        varies = self.beta.diff(dim=1).square().sum() + self.beta.diff(dim=2).square().sum()
        held = SCALE * (scale - 1).square().mean() + SHIFT * varies / self.beta.numel()  # eq. 7 and 8
        return away.square().mean() + held  # eq. 6


def _field() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(6 * _OCTAVES + 3, _WIDTH), nn.ReLU()]
    for _ in range(2):
        layers += [nn.Linear(_WIDTH, _WIDTH), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(_WIDTH, 1))


def _waves(towards: Float[Tensor, "pixel 3"]) -> Float[Tensor, "pixel wave"]:
    phase = (towards[:, None] * (math.pi / 2 * 2 ** torch.arange(_OCTAVES)[:, None])).flatten(1)
    return torch.cat((towards, phase.sin(), phase.cos()), dim=1)
