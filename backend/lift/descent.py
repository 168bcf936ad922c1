"""A fit by gradient descent, as 3DGS and both panoramic papers do it: one view after another, a step of Adam each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..raster.rasterize import rasterize
from ..raster.splats import Rendered, Splats
from .aims import Aim, Aims
from .cover import Cover, preview
from .densify import Densifier
from .losses import geometric, photometric, srgb, temporal
from .optimiser import Parameters
from .settings import FitSettings

if TYPE_CHECKING:
    from .perceptual import PerceptualLoss
    from .semantic import SemanticLoss

_GOOD_EVERY = 50
"""Iterations between states that are gone back to when the loss explodes."""

_EXPLODED = 4.0
"""Times the least mean loss so far. A restless fit's goes up and down by half of it."""

_BAD = 0.1
"""However small it was before, no loss below this is an explosion."""

_MEMORY = 0.98
"""Of the running mean of the loss, per iteration. Views differ: those of empty sky cost next to nothing."""

_FIRST_LOOKS = 4
"""Views of which the loss is known before the first step: it may be the one that explodes."""

_RECOVERY = 500
"""Iterations in which opacities come back after they were set to next to nothing (3DGS section 5.2)."""

_PREVIEW_SECONDS = 2.0
_PREVIEW_FACE = 128


@dataclass(frozen=True)
class Networks:
    """Those that losses ask; None: the loss is left out."""

    semantic: SemanticLoss | None = None
    perceptual: PerceptualLoss | None = None


@dataclass(frozen=True)
class Outcome:
    """How a descent ended.

    Attributes:
        iterations: how many were done.
        exploded: whether it was stopped because its loss grew without bounds or was no number; the parameters are then
            those of the last good state.
    """

    iterations: int
    exploded: bool


class Descent:
    """The descent of one set of parameters towards one or more frames.

    Args:
        fixed: per frame what else is in the picture and stays; drawn with the frame.
        previous: the splats of the frame before, for the temporal loss.
        tiles: a view is cut into so many squares along each side, where memory is scarce; a step sees one.
    """

    def __init__(
        self,
        parameters: Parameters,
        aims: Mapping[int, Aims],
        settings: FitSettings,
        networks: Networks,
        *,
        iterations: int,
        seed: int,
        densifier: Densifier | None = None,
        fixed: Callable[[int], Splats] | None = None,
        previous: Splats | None = None,
        tiles: int = 1,
    ):
        self._parameters, self._aims, self._settings, self._networks = parameters, aims, settings, networks
        self._iterations, self._seed, self._densifier = iterations, seed, densifier
        self._fixed, self._previous, self._tiles = fixed, previous, tiles
        self._good: dict[str, Tensor] = parameters.state()
        self._mean = self._least = float("inf")
        self._shown_at = time.monotonic()

    def run(self, report: Callable[[int], None], show: Callable[[np.ndarray], None]) -> Outcome:
        """All iterations, or until the loss explodes.

        Args:
            report: told before every iteration; may raise to stop.
            show: given a small picture every other second.
        """
        for iteration in range(self._iterations):
            report(iteration)
            if not self._step(iteration):
                self._parameters.restore(self._good)
                return Outcome(iteration, exploded=True)
            self._show(show)
        return Outcome(self._iterations, exploded=False)

    def _step(self, iteration: int) -> bool:
        draw = np.random.default_rng((self._seed, iteration))
        aim = self._aim(draw)
        splats = self._parameters.splats()
        rendered = rasterize(splats, aim.cameras, self._settings.mode)
        loss = self._loss(rendered, aim)
        if not self._is_sound(float(loss.detach()), iteration):
            return False
        loss = loss + self._semantic(rendered, splats, aim, iteration, draw)
        if self._densifier is not None:
            self._densifier.before_backward(iteration, rendered)
        loss.backward()
        if not self._parameters.step(rendered.radii.flatten(1).gt(0).any(0) if len(rendered.radii) else None):
            return False
        if self._densifier is not None:
            self._densifier.after_backward(iteration, rendered)
        return True

    def _aim(self, draw: np.random.Generator) -> Aim:
        frame = int(draw.choice(list(self._aims)))
        if self._fixed is not None:
            self._parameters.fixed = self._fixed(frame)
        aim = self._aims[frame].at(draw)
        return aim.tile(int(draw.integers(self._tiles**2)), self._tiles) if self._tiles > 1 else aim

    def _loss(self, rendered: Rendered, aim: Aim) -> Float[Tensor, ""]:
        """4K4DGen eq. 5; TiP4GEN eq. 12; without the semantic loss."""
        weights, seen = self._settings.weights, srgb(rendered.colour)
        # where nothing is asked, all is well: neither SSIM's windows nor a network look at what is there
        shown = torch.where(aim.weights[..., None] > 0, seen, aim.srgb)
        loss = photometric(shown, aim.srgb, weights.l1, weights.ssim, aim.weights)
        if weights.geometric:
            loss = loss + weights.geometric * geometric(rendered.distance, aim.distance, aim.weights)
        if weights.temporal and self._previous is not None:
            with torch.no_grad():
                before = srgb(rasterize(self._previous, aim.cameras, self._settings.mode).colour)
            loss = loss + weights.temporal * temporal(seen, before)
        if weights.lpips and self._networks.perceptual is not None:
            loss = loss + weights.lpips * self._networks.perceptual(shown, aim.srgb)
        return loss

    def _semantic(
        self, rendered: Rendered, splats: Splats, aim: Aim, iteration: int, draw: np.random.Generator
    ) -> Float[Tensor, ""] | float:
        """4K4DGen section 3.4; 0 where it is not its time. It comes in midway: that is no explosion."""
        weight, reach = self._settings.weights.semantic, self._settings.disturbance.reach(iteration, self._iterations)
        if not weight or not reach or self._networks.semantic is None:
            return 0.0
        beside = torch.from_numpy(draw.uniform(-reach, reach, 3).astype(np.float32)).to(aim.cameras.position)
        cameras = replace(aim.cameras, position=aim.cameras.position + beside)
        disturbed = srgb(rasterize(splats, cameras, self._settings.mode).colour)
        return weight * self._networks.semantic(srgb(rendered.colour), disturbed)

    def _is_sound(self, loss: float, iteration: int) -> bool:
        """Whether the loss is a number and not far above what it was; a good state is remembered now and then."""
        if not np.isfinite(loss):
            return False
        if iteration == 0:
            self._mean = self._least = float(np.mean([loss, *self._first_losses()]))
        self._mean = _MEMORY * self._mean + (1 - _MEMORY) * loss
        if self._recovers(iteration):
            return True
        if self._mean > max(_EXPLODED * self._least, _BAD):
            return False
        if iteration >= _GOOD_EVERY:
            self._least = min(self._least, self._mean)
        if iteration % _GOOD_EVERY == 0 and self._mean <= max(2 * self._least, _BAD):
            self._good = self._parameters.state()
        return True

    @torch.no_grad()
    def _first_losses(self) -> list[float]:
        """Of some views, before the first step."""
        found = []
        for look in range(_FIRST_LOOKS):
            aim = self._aim(np.random.default_rng((self._seed, self._iterations + look)))
            rendered = rasterize(self._parameters.splats(), aim.cameras, self._settings.mode)
            found.append(float(self._loss(rendered, aim)))
        return [loss for loss in found if np.isfinite(loss)]

    def _recovers(self, iteration: int) -> bool:
        """Whether opacities were set to next to nothing a short while ago."""
        how = self._settings.densification
        if self._densifier is None or how.kind != "default":
            return False
        since = (iteration - 1) % how.reset_every
        reset_at = iteration - 1 - since
        return 0 < reset_at < how.stop and since < _RECOVERY

    def _show(self, show: Callable[[np.ndarray], None]) -> None:
        if time.monotonic() - self._shown_at < _PREVIEW_SECONDS:
            return
        cover = Cover(_PREVIEW_FACE)
        with torch.no_grad():
            splats = self._parameters.splats()
            cameras = cover.cameras(device=splats.position.device)
            seen = rasterize(splats, cameras, self._settings.mode).colour
        show(preview(cover, seen.cpu().numpy()))
        self._shown_at = time.monotonic()
