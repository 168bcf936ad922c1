"""One function for all rasterizers: Gaussians and cameras in, pictures out."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from .splats import Cameras, Mode, Rendered, Splats


def rasterize(
    splats: Splats,
    cameras: Cameras,
    mode: Mode = "classic",
    *,
    background: Float[Tensor, "c height width 3"] | Float[Tensor, " 3"] | None = None,
) -> Rendered:
    """Pictures of Gaussians, composited front to back in linear light (3DGS eq. 3; 2DGS section 4.2).

    Differentiable with respect to every tensor of ``splats``. On CUDA by gsplat, else by our own kernels.

    Args:
        background: scene-linear Rec.709 behind everything: one colour, or a picture for each camera. Black if left out.
    """
    if splats.position.is_cuda:
        from .cuda import render
    else:
        from .cpu import render
    rendered = render(splats, cameras, mode)
    if background is None:
        return rendered
    behind = (1 - rendered.alpha)[..., None] * background
    return Rendered(rendered.colour + behind, rendered.alpha, rendered.distance, rendered.centres, rendered.radii)
