"""The tensors a fit changes, each with its Adam, and which Gaussians they may change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from ..raster.splats import Splats

POSITION_RATE = 1.6e-4
POSITION_RATE_AT_END = 1.6e-6
SCALE_RATE = 5e-3
ROTATION_RATE = 1e-3
OPACITY_RATE = 5e-2
COLOUR_RATE = 2.5e-3 * 0.28209479177387814
"""The rates of 3DGS (``OptimizationParams`` in its code): of position in units of the scene's extent, of log scale,
quaternion and logit opacity, and of the colour: its rate for the constant spherical harmonic times its height."""

_BETAS = (0.9, 0.999)
_EPSILON = 1e-15
"""3DGS, its code."""

_OPACITIES = (1e-5, 1 - 1e-5)
"""The logits of 0 and 1 are infinite."""

_TRAINED = ("means", "scales", "quats", "opacities", "colours")


@dataclass(frozen=True)
class Rates:
    """What one step of Adam changes at most, roughly.

    Attributes:
        position, position_at_end: of each Gaussian's distance from the origin; falls exponentially over the fit.
        radial: 0..1, the share that is kept of a step towards or away from the origin. From the origin only a
            Gaussian's size tells its distance, and Adam makes large steps of small gradients; below 1 the distance that
            was given is trusted more than the pictures.
        scale: of the natural logarithm.
        rotation: of a quaternion of length 1.
        opacity: of the logit.
        colour: of the sRGB value, extended above 1.
    """

    position: float = POSITION_RATE
    position_at_end: float = POSITION_RATE_AT_END
    radial: float = 1.0
    scale: float = SCALE_RATE
    rotation: float = ROTATION_RATE
    opacity: float = OPACITY_RATE
    colour: float = COLOUR_RATE


@dataclass(frozen=True)
class Limits:
    """What Gaussians are held to after every step.

    Attributes:
        nearest, farthest: metres from the origin; what is outside is moved along its ray, its size stays.
        thickness: the third scale is at most this share of the smaller of the others; None: it is free.
    """

    nearest: float = 0.05
    farthest: float = 10_000.0
    thickness: float | None = None


class Parameters:
    """Gaussians in a fit: those that stay as they are, and those that change, as the tensors Adam works on.

    *Position and size* are kept in units of each Gaussian's own distance from the origin when the fit began. 3DGS's
    rate of position is a share of the scene's extent, because its cameras see all of a scene from about that far. In a
    panorama the viewer is at the origin and distances range from 1 to 120 m: what a step of so many metres does to the
    picture goes with 1 / distance, and how far a Gaussian must go to get where it belongs goes with distance. In these
    units one rate fits all, and so do the thresholds of gsplat's strategies: each Gaussian is in a scene of extent 1.

    *Colour* is kept as its sRGB value, with the curve extended above 1, and held to 0 or more after every step. Adam's
    steps are equally large for all Gaussians: so they look equally large, in the space the loss and 3DGS's rate belong
    to; the curve is a line at black, so nothing that became black is stuck there (a square or an exponential would
    be).

    Attributes:
        fixed: the Gaussians that stay, exactly as they were given.
        tensors: name -> tensor of the m that change, by gsplat's names: "means" (m, 3), "scales" (m, 3) logarithms,
            "quats" (m, 4), "opacities" (m,) logits, "colours" (m, 3) sRGB; and "units" (m,) metres, constant.
        optimisers: name -> Adam, of all but "units". gsplat's strategies change both dictionaries in place.
        steps_done: how many.
    """

    def __init__(
        self,
        splats: Splats,
        free: Bool[Tensor, " n"] | None = None,
        *,
        steps: int = 10_000,
        rates: Rates | None = None,
        limits: Limits | None = None,
        selective: bool | None = None,
    ):
        """
        Args:
            free: which Gaussians may change; all if left out.
            steps: of the whole fit: when the rate of position has fallen to its end.
            selective: update only what is visible, by gsplat's kernel, which needs CUDA; if left out: on CUDA.
        """
        self._rates, self._limits, self._steps = rates or Rates(), limits or Limits(), steps
        splats = Splats(*(getattr(splats, field.name).detach() for field in fields(splats)))
        if free is None:
            free = torch.ones(len(splats), dtype=torch.bool, device=splats.position.device)
        self.fixed = splats[~free]
        self._selective = splats.position.is_cuda if selective is None else selective
        self.tensors = _raw(splats[free], self._limits)
        self.optimisers = self._fresh_optimisers()
        self.steps_done = 0
        self._times_seen = 0.0
        self.confine()

    def __len__(self) -> int:
        """How many Gaussians there are, fixed and free."""
        return len(self.fixed) + len(self.tensors["means"])

    def splats(self) -> Splats:
        """The fixed Gaussians, then the free ones; differentiable with respect to ``tensors``."""
        raw = self.tensors
        units = raw["units"][:, None]
        free = Splats(
            position=raw["means"] * units,
            rotation=raw["quats"],
            scale=raw["scales"].exp() * units,
            opacity=raw["opacities"].sigmoid(),
            colour=_linear_from_srgb(raw["colours"]),
        )
        if not len(self.fixed):
            return free
        pairs = ((getattr(self.fixed, field.name), getattr(free, field.name)) for field in fields(Splats))
        return Splats(*(torch.cat(pair) for pair in pairs))

    def position_rate(self) -> float:
        """Of the next step, in units of distance (3DGS: exponential decay)."""
        part = min(self.steps_done / self._steps, 1)
        return self._rates.position ** (1 - part) * self._rates.position_at_end**part

    def step(self, visible: Bool[Tensor, " n"] | None = None) -> bool:
        """One step along the gradients that ``backward`` left, which are then cleared.

        On CUDA only visible Gaussians are updated (gsplat's ``SelectiveAdam``, after Taming 3DGS). Elsewhere all are,
        and those out of sight go on by their momentum, as in 3DGS.

        Args:
            visible: of all Gaussians, in the order of ``splats()``; all if left out.

        Returns:
            False if a gradient was not finite: then nothing has changed, and the tensors are the last good ones.
        """
        gradients = [self.tensors[name].grad for name in _TRAINED]
        if not all(bool(torch.isfinite(gradient).all()) for gradient in gradients if gradient is not None):
            self._clear_gradients()
            return False
        before = self.tensors["means"].detach().clone() if self._rates.radial != 1 else None
        self._step_all(visible)
        self._clear_gradients()
        if before is not None:
            self._shorten_radially(before)
        self.confine()
        self.steps_done += 1
        return True

    @torch.no_grad()
    def confine(self) -> None:
        """Hold the free Gaussians to their limits and their colours to 0 or more."""
        raw, limits = self.tensors, self._limits
        distance = torch.linalg.vector_norm(raw["means"], dim=1) * raw["units"]
        allowed = distance.clamp(limits.nearest, limits.farthest)
        raw["means"].mul_((allowed / distance.clamp_min(torch.finfo(distance.dtype).tiny))[:, None])
        raw["colours"].clamp_(min=0)
        if limits.thickness is not None:
            thickest = raw["scales"][:, :2].amin(1) + math.log(limits.thickness)
            raw["scales"][:, 2] = torch.minimum(raw["scales"][:, 2], thickest)

    def state(self) -> dict[str, Tensor]:
        """Copies of all that ``restore`` needs to go on bit for bit (on the CPU; gsplat's gradients differ from run to
        run in their last bits). Of the fixed Gaussians nothing: they are given again."""
        state = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}
        for name, optimiser in self.optimisers.items():
            moments = optimiser.state[self.tensors[name]]
            state |= {f"{name}.{key}": moment.detach().clone() for key, moment in moments.items()}
        state["steps_done"] = torch.tensor(self.steps_done)
        state["times_seen"] = torch.tensor(self._times_seen, dtype=torch.float64)
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Become what ``state`` was taken of; ``state`` itself stays as it is."""
        for name, tensor in self.tensors.items():
            restored = state[name].to(tensor.device, copy=True)
            self.tensors[name] = Parameter(restored, requires_grad=tensor.requires_grad)
        self.optimisers = self._fresh_optimisers()
        for name, optimiser in self.optimisers.items():
            parameter, start = self.tensors[name], f"{name}."
            moments = {key.removeprefix(start): moment for key, moment in state.items() if key.startswith(start)}
            if moments:
                optimiser.state[parameter] = {key: moment.clone() for key, moment in moments.items()}
                for key in ("exp_avg", "exp_avg_sq"):
                    optimiser.state[parameter][key] = moments[key].to(parameter.device, copy=True)
        self.steps_done = int(state["steps_done"])
        self._times_seen = float(state["times_seen"])

    def _fresh_optimisers(self) -> dict[str, Optimizer]:
        return {name: _adam(self.tensors[name], self._selective) for name in _TRAINED}

    def _step_all(self, visible: Bool[Tensor, " n"] | None) -> None:
        rates = self._rates
        of_each = (self.position_rate(), rates.scale, rates.rotation, rates.opacity, rates.colour)
        seen = self._free_of(visible) if self._selective else None
        correction = 1.0 if seen is None else self._bias_correction(seen)
        for name, rate in zip(_TRAINED, of_each, strict=True):
            optimiser = self.optimisers[name]
            optimiser.param_groups[0]["lr"] = rate * correction
            if seen is None:
                optimiser.step()
            elif (gradient := self.tensors[name].grad) is not None:
                self.tensors[name].grad = gradient.contiguous()  # the kernel reads memory in order
                optimiser.step(seen)  # pyright: ignore[reportArgumentType, reportCallIssue]: SelectiveAdam's

    def _free_of(self, visible: Bool[Tensor, " n"] | None) -> Bool[Tensor, " m"]:
        if visible is None:
            means = self.tensors["means"]
            return torch.ones(len(means), dtype=torch.bool, device=means.device)
        return visible[len(self.fixed) :].contiguous()

    def _bias_correction(self, seen: Bool[Tensor, " m"]) -> float:
        """What ``SelectiveAdam`` leaves out (Adam, algorithm 1), for a Gaussian that was seen as often as the average.

        Without it the first hundred steps are 3 to 6 times as long as they should be.
        """
        self._times_seen += float(seen.float().mean()) if len(seen) else 0.0
        times = max(self._times_seen, 1.0)
        return math.sqrt(1 - _BETAS[1] ** times) / (1 - _BETAS[0] ** times)

    @torch.no_grad()
    def _shorten_radially(self, before: Float[Tensor, "m 3"]) -> None:
        outwards = torch.nn.functional.normalize(before, dim=1)
        means = self.tensors["means"]
        along = ((means - before) * outwards).sum(1, keepdim=True)
        means.sub_((1 - self._rates.radial) * along * outwards)

    def _clear_gradients(self) -> None:
        for name in _TRAINED:
            self.tensors[name].grad = None


def _raw(splats: Splats, limits: Limits) -> dict[str, Parameter]:
    units = torch.linalg.vector_norm(splats.position, dim=1).clamp(limits.nearest, limits.farthest)
    smallest = torch.finfo(splats.scale.dtype).tiny
    trained = {
        "means": splats.position / units[:, None],
        "scales": (splats.scale.clamp_min(smallest) / units[:, None]).log(),
        "quats": torch.nn.functional.normalize(splats.rotation, dim=1),
        "opacities": splats.opacity.clamp(*_OPACITIES).logit(),
        "colours": _srgb_from_linear(splats.colour.clamp_min(0)),
    }
    raw = {name: Parameter(tensor.contiguous()) for name, tensor in trained.items()}
    return raw | {"units": Parameter(units, requires_grad=False)}


def _adam(parameter: Parameter, selective: bool) -> Optimizer:
    if not selective:
        return torch.optim.Adam([parameter], eps=_EPSILON, betas=_BETAS, fused=True)
    from gsplat.optimizers import SelectiveAdam

    return SelectiveAdam([parameter], eps=_EPSILON, betas=_BETAS)


def _linear_from_srgb(srgb: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """IEC 61966-2-1, its power law extended above 1 and its line below 0."""
    curved = ((srgb.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(srgb <= 0.04045, srgb / 12.92, curved)


def _srgb_from_linear(linear: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    curved = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, curved)
