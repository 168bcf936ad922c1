"""One function for all rasterizers: Gaussians and cameras in, pictures out."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ...bridge.errors import CycloramaError
from .splats import Cameras, Look, Rendered, Splats


def rasterize(
    splats: Splats,
    cameras: Cameras,
    mode: Look = "classic",
    *,
    background: Float[Tensor, "c height width 3"] | Float[Tensor, " 3"] | None = None,
    low_pass: bool = True,
) -> Rendered:
    """Pictures of Gaussians, composited front to back in linear light (3DGS eq. 3; 2DGS section 4.2).

    Differentiable with respect to every tensor of ``splats`` (of "tents": to their colours alone). On CUDA by gsplat,
    else by our own kernels.

    Args:
        background: scene-linear Rec.709 behind everything: one colour, or a picture for each camera. Black if left out.
        low_pass: of "surfels": whether none is drawn narrower than √½ pixel, as 2DGS has it. Without, they are drawn as
            they are, as Blender draws them; the CPU's rasterizer alone can do that.
    """
    if mode == "tents":
        rendered = _tents(splats, cameras)
    elif splats.position.is_cuda:
        from .cuda import render

        rendered = render(splats, cameras, mode, low_pass=low_pass)
    else:
        from .cpu import render

        rendered = render(splats, cameras, mode, low_pass=low_pass)
    if background is None:
        return rendered
    behind = (1 - rendered.alpha)[..., None] * background
    return Rendered(rendered.colour + behind, rendered.alpha, rendered.distance, rendered.centres, rendered.radii)


def _tents(splats: Splats, cameras: Cameras) -> Rendered:
    if splats.position.is_cuda:
        raise CycloramaError(
            "tents-on-cuda", "Splats as Blender draws them are rasterized on the CPU only.", "Move them there."
        )
    from .cpu import render_tents

    return render_tents(splats, cameras)
