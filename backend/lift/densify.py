"""Gaussians are added where a fit needs them and taken away where it does not, by gsplat's strategies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import gsplat
import torch
from gsplat.cuda import _torch_impl
from gsplat.strategy import ops
from jaxtyping import Float, Int
from torch import Tensor

from ...bridge.errors import CycloramaError
from ..raster.splats import Rendered
from .optimiser import Parameters

Kind = Literal["default", "mcmc", "none"]
"""How Gaussians multiply. "default" (3DGS section 5): those that the picture pulls at are duplicated or split,
transparent ones go; "mcmc" (3DGS-MCMC): transparent ones are moved onto opaque ones, new ones are added there, and all
are shaken."""


@dataclass(frozen=True)
class Densification:
    """When and how Gaussians multiply. Sizes are shares of a Gaussian's distance from the origin.

    Attributes:
        kind: which strategy.
        start, stop, every: steps between which, and at which distance, Gaussians are added and removed.
        transparent: those of less opacity are removed (default) or moved (MCMC).
        grow_gradient: default: add where the loss's gradient by the projected centre, in half pictures, is above this.
        split_above: default: larger Gaussians are split, smaller ones duplicated.
        remove_above: default: larger Gaussians are removed, from ``reset_every`` on.
        reset_every: default: steps between resets of all opacities to twice ``transparent``.
        noise: MCMC: in units of the rate of position.
        seed: of all that is drawn by chance.
    """

    kind: Kind = "default"
    start: int = 500
    stop: int = 15_000
    every: int = 100
    transparent: float = 0.005
    grow_gradient: float = 0.0002
    split_above: float = 0.01
    remove_above: float = 0.1
    reset_every: int = 3000
    noise: float = 5e5
    seed: int = 0


class Densifier:
    """Changes how many Gaussians ``parameters`` has, never to more than ``budget``.

    In the loop of a fit: render, ``before_backward``, ``loss.backward()``, ``parameters.step()``, ``after_backward``.
    What is drawn by chance depends on the seed and the step alone, so that a resumed fit draws the same.
    """

    def __init__(self, settings: Densification, parameters: Parameters, budget: int):
        """
        Args:
            budget: how many Gaussians there may be, the fixed ones among them.

        Raises:
            CycloramaError: "gaussian-budget-too-small" if there are more already.
        """
        if budget < len(parameters):
            raise CycloramaError(
                "gaussian-budget-too-small",
                f"The scene starts with {len(parameters):,} Gaussians, but only {budget:,} are allowed.",
                "Allow more Gaussians, or lift at a smaller width.",
            )
        self._settings, self._parameters = settings, parameters
        self._strategy = _strategy(settings, budget - len(parameters.fixed))
        self._state: dict[str, Any] = {} if self._strategy is None else self._strategy.initialize_state()
        if self._strategy is not None:
            self._strategy.check_sanity(parameters.tensors, parameters.optimisers)

    def before_backward(self, step: int, rendered: Rendered) -> None:
        """To be called between rendering and ``loss.backward()``."""
        if self._settings.kind == "default" and step < self._settings.stop and rendered.centres.requires_grad:
            rendered.centres.retain_grad()

    def after_backward(self, step: int, rendered: Rendered) -> None:
        """To be called after ``loss.backward()`` and ``parameters.step()``; ``rendered`` shows all Gaussians."""
        if self._strategy is None or not len(self._parameters.tensors["means"]):
            return
        on_cpu = not self._parameters.tensors["means"].is_cuda
        with _drawing(self._settings.seed, step, self._parameters), _kernels_in_torch(on_cpu):
            self._after_backward(step, rendered)
        self._parameters.confine()

    def state(self) -> dict[str, Tensor]:
        """Copies of what ``restore`` needs to go on bit for bit, beside the parameters' own state."""
        return {name: kept.clone() for name, kept in self._state.items() if name in _RUNNING and kept is not None}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Become what ``state`` was taken of."""
        device = self._parameters.tensors["means"].device
        self._state |= {name: state[name].to(device, copy=True) for name in _RUNNING if name in state}

    def _after_backward(self, step: int, rendered: Rendered) -> None:
        tensors, optimisers = self._parameters.tensors, self._parameters.optimisers
        if isinstance(self._strategy, _Mcmc):
            rate = self._parameters.position_rate()
            self._strategy.step_post_backward(tensors, optimisers, self._state, step, {}, lr=rate)
        elif isinstance(self._strategy, _Default) and step < self._settings.stop and rendered.centres.grad is not None:
            seen = _seen(rendered, len(self._parameters.fixed))
            self._strategy.step_post_backward(tensors, optimisers, self._state, step, seen)


_RUNNING = ("grad2d", "count")
"""What gsplat's default strategy adds up between two refinements, one number a Gaussian."""


class _Default(gsplat.DefaultStrategy):
    """gsplat's, within a budget, and with the opacity reset that its 1.5.3 never comes to (its condition reads
    ``step % reset_every == 0 & step > 0``, which is never true)."""

    budget = 0

    def step_post_backward(self, params, optimizers, state, step, info, packed=False):
        super().step_post_backward(params, optimizers, state, step, info, packed)
        if 0 < step < self.refine_stop_iter and step % self.reset_every == 0:
            ops.reset_opa(params, optimizers, state, self.prune_opa * 2)

    def _grow_gs(self, params, optimizers, state, step):
        """Every Gaussian duplicated or split makes one more: those that are pulled at most, while there is room."""
        pull = state["grad2d"] / state["count"].clamp_min(1)
        room = max(self.budget - len(pull), 0)
        if int((pull > self.grow_grad2d).sum()) > room:
            kept = torch.zeros_like(pull)
            kept[pull.topk(room).indices] = 1
            state["grad2d"] *= kept
        return super()._grow_gs(params, optimizers, state, step)


class _Mcmc(gsplat.MCMCStrategy):
    """gsplat's, which cannot choose where to move the transparent if all are."""

    def _relocate_gs(self, params, optimizers, binoms):
        if bool((params["opacities"].sigmoid() <= self.min_opacity).all()):
            return 0
        return super()._relocate_gs(params, optimizers, binoms)


def _strategy(settings: Densification, budget: int) -> _Default | _Mcmc | None:
    if settings.kind == "none":
        return None
    if settings.kind == "mcmc":
        strategy = _Mcmc(cap_max=budget, noise_lr=settings.noise, min_opacity=settings.transparent)
    else:
        strategy = _Default(
            prune_opa=settings.transparent,
            grow_grad2d=settings.grow_gradient,
            grow_scale3d=settings.split_above,
            prune_scale3d=settings.remove_above,
            reset_every=settings.reset_every,
        )
        strategy.budget = budget
    strategy.refine_start_iter = settings.start
    strategy.refine_stop_iter = settings.stop
    strategy.refine_every = settings.every
    return strategy


def _seen(rendered: Rendered, fixed: int) -> dict[str, Any]:
    """What gsplat's default strategy reads of a picture, of the free Gaussians, which come last."""
    centres = rendered.centres.detach()[:, fixed:]
    assert rendered.centres.grad is not None
    centres.grad = rendered.centres.grad[:, fixed:]
    count, height, width = rendered.alpha.shape
    return {
        "means2d": centres,
        "radii": rendered.radii[:, fixed:, None],
        "width": width,
        "height": height,
        "n_cameras": count,
        "gaussian_ids": None,
    }


@contextmanager
def _drawing(seed: int, step: int, parameters: Parameters) -> Iterator[None]:
    """Chance that depends on these two numbers alone, and leaves all other chance as it was."""
    device = parameters.tensors["means"].device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed * 1_000_003 + step)
        yield


@contextmanager
def _kernels_in_torch(wanted: bool) -> Iterator[None]:
    """Where there is no CUDA, gsplat's MCMC operations find these two in place of the kernels they call."""
    if not wanted:
        yield
        return
    kernels = ops.compute_relocation, ops.quat_scale_to_covar_preci
    ops.compute_relocation = relocation
    ops.quat_scale_to_covar_preci = _torch_impl._quat_scale_to_covar_preci
    try:
        yield
    finally:
        ops.compute_relocation, ops.quat_scale_to_covar_preci = kernels


def relocation(
    opacities: Float[Tensor, " n"],
    scales: Float[Tensor, "n 3"],
    ratios: Int[Tensor, " n"],
    binoms: Float[Tensor, "most most"],
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
    """Opacity and scale of each of N Gaussians in one place that together look like the one that was there.

    3DGS-MCMC eq. 9. Its double sum is one sum, since Σ_i C(i − 1, k) over i = k + 1 … N is C(N, k + 1); in double
    precision, because its terms alternate.

    Args:
        ratios: N of each, 1 at least; more than ``most`` count as ``most``.
        binoms: only its size is read.
    """
    most, place = len(binoms), {"dtype": torch.float64, "device": opacities.device}
    copies = ratios.clamp(1, most)
    new = 1 - (1 - opacities.double()) ** (1 / copies.double())
    choose = torch.tensor([[math.comb(n, j) for j in range(1, most + 1)] for n in range(most + 1)], **place)
    j = torch.arange(1, most + 1, **place)
    signs = 2 * (j % 2) - 1
    together = (choose[copies.long()] * signs / j.sqrt() * new[:, None] ** j).sum(1)
    return new.to(opacities.dtype), ((opacities / together)[:, None] * scales).to(scales.dtype)
