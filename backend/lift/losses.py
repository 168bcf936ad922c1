"""What a fit makes small: colour, change over time and shape, each as a differentiable number.

Pictures are (view, height, width, 3). Composited in linear light, they are compared after ``srgb``, as they are seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d

Pictures = Float[Tensor, "view height width 3"]
Values = Float[Tensor, "view height width"]

WINDOW, SIGMA = 11, 1.5
"""Pixels: of the Gaussian in which SSIM looks at a picture (Wang 2004 section III.C, and 3DGS' code)."""

C1, C2 = 0.01**2, 0.03**2
"""What keeps SSIM's fractions from 0 / 0, for colours in 0..1 (Wang 2004 section III.B)."""

FLAT = 1e-3
"""Distances that spread by less than this share of their mean are as good as constant: about what noise does."""


@dataclass(frozen=True)
class Weights:
    """How much each loss counts; 0: it is not computed. 4K4DGen's by default (eq. 5 and its appendix, "Optimization
    Details"; L1 and SSIM as 3DGS section 7.1). TiP4GEN (eq. 12 and 13, appendix A.2) has ``lpips`` 0.05, ``temporal`` 0
    and ``semantic`` 1.
    """

    l1: float = 0.8
    ssim: float = 0.2
    lpips: float = 0.0
    temporal: float = 0.05
    semantic: float = 0.05
    geometric: float = 0.05


@dataclass(frozen=True)
class Disturbance:
    """How far a camera is moved for the semantic loss, as the fit goes on.

    Attributes:
        steps: (first iteration, reach) in rising order. A camera is moved by a vector in [-reach, reach]³. The papers
            do not say of which unit; here it is metres. Reach 0: no semantic loss.
        iterations: of a whole fit, for which ``steps`` are meant.
    """

    steps: tuple[tuple[int, float], ...] = ()
    iterations: int = 1

    def reach(self, iteration: int, iterations: int) -> float:
        """At one of a fit's iterations, counted from 0; the steps come at the same share of it as of theirs."""
        reach = 0.0
        for first, value in self.steps:
            if iteration * self.iterations >= first * iterations:
                reach = value
        return reach


DISTURBED_4K4DGEN = Disturbance(((5400, 0.05), (6600, 0.1), (9000, 0.2)), iterations=10_000)
"""4K4DGen, appendix, "Optimization Details"."""

DISTURBED_TIP4GEN = Disturbance(((5400, 0.05), (9000, 0.0)), iterations=15_000)
"""TiP4GEN, appendix A.2. How far "slightly" is, it does not say: 4K4DGen's first step."""


def srgb(linear: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Scene-linear -> sRGB (IEC 61966-2-1), continued above white by a logarithm and below black by a straight line.

    Backdrops have suns of thousands. Clipped, they would be lost, and worse, a splat of 3 in front of a grey of 0.5
    would have no gradient that darkens it. Continued by its own power, the curve gives a sun of 10 000 the weight of
    50 white pixels, and fits little else. The logarithm, which has the curve's slope at white, counts what is lost or
    won there in stops, as exposure does: 0.3 each, so that the same sun is 5. In 0..1 it is
    ``sphere.colour.srgb_from_linear``. Slopes are finite everywhere: 12.92 up to 0.0031, falling from there.
    """
    dark = linear * 12.92
    middle = 1.055 * linear.clamp(0.0031308, 1) ** (1 / 2.4) - 0.055
    bright = 1 + 1.055 / 2.4 * linear.clamp(min=1).log()
    return torch.where(linear <= 0.0031308, dark, torch.where(linear <= 1, middle, bright))


def photometric(
    rendered_srgb: Pictures,
    target_srgb: Pictures,
    l1_weight: float = Weights.l1,
    ssim_weight: float = Weights.ssim,
    weights: Values | None = None,
) -> Float[Tensor, ""]:
    """L1 and 1 - SSIM, each as much as it counts (3DGS eq. 7, with λ = 0.2).

    Args:
        rendered_srgb, target_srgb: after ``srgb``.
        weights: of the pixels, at least 0; a mask will do. All count the same where there are none.
    """
    loss = l1_weight * _mean((rendered_srgb - target_srgb).abs().mean(-1), weights)
    return loss + ssim_weight * (1 - ssim(rendered_srgb, target_srgb, weights)) if ssim_weight else loss


def ssim(first_srgb: Pictures, second_srgb: Pictures, weights: Values | None = None) -> Float[Tensor, ""]:
    """How alike the pictures' structure is: 1 for equal ones, less for all others (Wang 2004 eq. 13).

    As 3DGS computes it: channels apart, black around the picture, so that there is a value at each of its pixels.

    Args:
        first_srgb, second_srgb: of one size. Either may require a gradient.
        weights: of the pixels. Those that count nothing are still seen in the windows of their neighbours.
    """
    first, second = first_srgb.permute(0, 3, 1, 2), second_srgb.permute(0, 3, 1, 2)
    seen = torch.stack([first, second, first.square() + second.square(), first * second])
    mean_first, mean_second, squares, product = _blurred(seen.flatten(0, 2)).view_as(seen)
    product_of_means, squares_of_means = mean_first * mean_second, mean_first.square() + mean_second.square()
    likeness = (2 * product_of_means + C1) / (squares_of_means + C1)
    likeness = likeness * (2 * (product - product_of_means) + C2) / (squares - squares_of_means + C2)
    return _mean(likeness.mean(1), weights)


def temporal(rendered_srgb: Pictures, previous_srgb: Pictures, weights: Values | None = None) -> Float[Tensor, ""]:
    """How much the views of a frame differ from the same views of the frame before (4K4DGen eq. 6).

    The paper adds up norms over all pixels and views; as a mean over both, its weight does not hang on their number.

    Args:
        previous_srgb: gets no gradient: the frame before is finished.
        weights: of the pixels, such as 1 where nothing should move.
    """
    return _mean((rendered_srgb - previous_srgb.detach()).abs().mean(-1), weights)


def geometric(rendered: Values, target: Values, weights: Values | None = None) -> Float[Tensor, ""]:
    """1 - Pearson's correlation, averaged over the views (4K4DGen section 3.4, TiP4GEN eq. 15): 0..2.

    Scale and shift are free, but not a bend: distance has to be compared with distance, disparity with disparity. Where
    sky is far away nearly all the variance is its own; then disparity of both is the better choice.

    Args:
        rendered, target: of distance or disparity, finite. ``target`` gets no gradient.
        weights: of the pixels: 0 where nothing was rendered or the target is unknown.

    A view in which either is constant (or no pixel counts) has no correlation and gives 1. With a constant target that
    has no gradient; what was rendered constant is drawn towards the target by a finite one (``FLAT``).
    """
    weights = torch.ones_like(rendered) if weights is None else weights.to(rendered.dtype)
    share = weights / weights.sum((1, 2), keepdim=True).clamp(min=torch.finfo(rendered.dtype).tiny)
    first, first_variance = _centred(rendered, share)
    second, second_variance = _centred(target.detach(), share)
    correlation = (share * first * second).sum((1, 2)) / (first_variance * second_variance).sqrt()
    return (1 - correlation).mean()


def _centred(values: Values, share: Values) -> tuple[Values, Float[Tensor, " view"]]:
    """Values less their mean, in units of it, and the variance of that, never less than what counts as constant."""
    mean = (share * values).sum((1, 2), keepdim=True)
    unit = mean.detach().abs().clamp(min=1e-6)
    centred = (values - mean) / unit
    return centred, (share * centred.square()).sum((1, 2)) + FLAT**2


def _mean(values: Values, weights: Values | None) -> Float[Tensor, ""]:
    """0 where no pixel counts."""
    if weights is None:
        return values.mean()
    return (values * weights).sum() / weights.sum().clamp(min=1e-12)


def _blurred(planes: Float[Tensor, "plane height width"]) -> Float[Tensor, "plane height width"]:
    """By SSIM's window, with zeros around. As channels of one picture, which is many times as fast on a CPU."""
    offsets = torch.arange(WINDOW, device=planes.device, dtype=planes.dtype) - WINDOW // 2
    kernel = torch.exp(offsets.square() / (-2 * SIGMA**2))
    kernel = (kernel / kernel.sum()).expand(len(planes), 1, 1, WINDOW)
    rows = conv2d(planes[None], kernel, padding=(0, WINDOW // 2), groups=len(planes))
    return conv2d(rows, kernel.transpose(2, 3), padding=(WINDOW // 2, 0), groups=len(planes))[0]
