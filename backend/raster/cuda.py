"""Pictures of Gaussians on a CUDA device, by gsplat's kernels."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...bridge.errors import CycloramaError
from .splats import Cameras, Mode, Rendered, Splats

NEAR_M = 0.01
"""Metres along the optical axis: Gaussians whose centre is nearer are not drawn (gsplat's ``near_plane``)."""

LOW_PASS_PX2 = 0.3
"""Pixel² that widen a projected Gaussian in the classic and antialiased modes (gsplat's ``eps2d``)."""

TILE_PX = 16
"""gsplat's tiles; it says of all other sizes that they are untested."""


def render(splats: Splats, cameras: Cameras, mode: Mode, *, low_pass: bool = True) -> Rendered:
    """Pictures without a background, differentiable with respect to every tensor of ``splats``.

    ``centres`` takes the gradient that gsplat's strategies densify by: of the projected centre in the classic and
    antialiased modes; in the surfel mode gsplat's own measure, the gradient of the centre's column of the ray transform
    times its z_depth. Where ``radii`` is 0 the centres are undefined (classic, antialiased) or 0 (surfels).

    Args:
        low_pass: False is refused: the filter of surfels (2DGS section 4.2: no spot narrower than √½ pixel) is
            compiled into gsplat.

    Raises:
        CycloramaError: "gsplat-missing", "gsplat-not-built", "surfels-low-pass".
    """
    if not low_pass:
        raise CycloramaError(
            "surfels-low-pass",
            "On the GPU, surfels cannot be drawn without their low-pass filter.",
            "Draw a larger picture and average its pixels, or draw on the CPU.",
        )
    require_kernels()
    if not len(splats):
        return _empty(splats, cameras)
    draw = _surfels if mode == "surfels" else _ellipsoids
    return draw(splats, cameras, mode)


def require_kernels() -> None:
    """Raise unless gsplat is installed and its CUDA kernels can be loaded; builds them at their first use (minutes)."""
    try:
        import gsplat  # noqa: F401 (looked for)
    except ImportError as error:
        raise CycloramaError(
            "gsplat-missing",
            "The package that draws Gaussians on NVIDIA cards, gsplat, is not installed.",
            "Install it into the backend's environment (pip install gsplat), or choose the CPU as the device.",
        ) from error
    try:
        from gsplat.cuda import _backend
    except Exception as error:  # the build runs a compiler: whatever it raises means the same here
        raise _not_built(f"{type(error).__name__}: {error}") from error
    if _backend._C is None:
        raise _not_built("no CUDA toolkit was found")


def _not_built(reason: str) -> CycloramaError:
    first_line = reason.strip().splitlines()[0][:200]
    return CycloramaError(
        "gsplat-not-built",
        f"gsplat's GPU code could not be built ({first_line}).",
        "Install the CUDA toolkit that fits PyTorch, or a ready-built gsplat, or choose the CPU as the device.",
    )


def _ellipsoids(splats: Splats, cameras: Cameras, mode: Mode) -> Rendered:
    from gsplat.rendering import rasterization

    painted, alpha, seen = rasterization(
        means=splats.position,
        quats=splats.rotation,
        scales=splats.scale,
        opacities=splats.opacity,
        colors=_channels(splats, cameras),
        viewmats=_extrinsics(cameras),
        Ks=_intrinsics(cameras),
        width=cameras.width,
        height=cameras.height,
        near_plane=NEAR_M,
        eps2d=LOW_PASS_PX2,
        packed=False,  # the strategies and ``Rendered`` want (c, n, 2) centres
        tile_size=TILE_PX,
        rasterize_mode="antialiased" if mode == "antialiased" else "classic",
    )
    return _rendered(painted, alpha, seen["means2d"], seen["radii"])


def _surfels(splats: Splats, cameras: Cameras, mode: Mode) -> Rendered:
    """``gsplat.rasterization_2dgs`` in its steps.

    The whole makes the tensor that takes the densification gradient itself, of zeros and on the default device; here
    that tensor is ``centres``. It also makes normals from depth, which nobody here asks for.
    """
    import gsplat

    size = cameras.width, cameras.height
    projected = gsplat.fully_fused_projection_2dgs(
        splats.position,
        splats.rotation,
        splats.scale,
        _extrinsics(cameras),
        _intrinsics(cameras),
        *size,
        near_plane=NEAR_M,
    )
    radii, means2d, z_depth, ray_transforms, normals = projected  # pyright: ignore[reportAssignmentType]: declared as 4
    radii = radii.masked_fill(_reaches_behind(ray_transforms)[..., None], 0)
    columns, rows = (-(-pixels // TILE_PX) for pixels in size)
    _, crossings, order = gsplat.isect_tiles(means2d, radii, z_depth, TILE_PX, columns, rows)
    starts = gsplat.isect_offset_encode(crossings, len(cameras), columns, rows)
    centres = means2d.detach().masked_fill((radii == 0).any(-1, keepdim=True), 0).requires_grad_(means2d.requires_grad)
    painted, alpha, *_ = gsplat.rasterize_to_pixels_2dgs(
        means2d,
        ray_transforms,
        _channels(splats, cameras),
        splats.opacity.expand(len(cameras), -1),
        normals,
        centres,  # only its gradient is used, its values are never read
        *size,
        TILE_PX,
        starts.reshape(len(cameras), rows, columns),
        order,
    )
    return _rendered(painted, alpha, centres, radii)


def _reaches_behind(ray_transforms: Float[Tensor, "c n 3 3"]) -> Bool[Tensor, "c n"]:
    """Which surfels reach behind the camera at one standard deviation.

    Their outline is a hyperbola, and gsplat takes its centre for the middle of a disc: without this, surfels beside the
    camera leave dots anywhere in the picture. The price: one so near that it should be seen is not drawn either.
    """
    *axes, z_depth = ray_transforms.detach()[..., 2, :].unbind(-1)
    return axes[0] ** 2 + axes[1] ** 2 >= z_depth**2


def _channels(splats: Splats, cameras: Cameras) -> Float[Tensor, "c n 4"]:
    """What is composited: linear colour, and the distance of the Gaussian's centre from the camera."""
    distance = torch.linalg.vector_norm(splats.position - cameras.position[:, None], dim=-1)
    return torch.cat([splats.colour.expand(len(cameras), -1, -1), distance[..., None]], -1)


def _extrinsics(cameras: Cameras) -> Float[Tensor, "c 4 4"]:
    R_view_from_scene = cameras.R_scene_from_view.transpose(1, 2)
    T = torch.eye(4, device=cameras.position.device).repeat(len(cameras), 1, 1)
    T[:, :3, :3] = R_view_from_scene
    T[:, :3, 3] = -(R_view_from_scene @ cameras.position[..., None])[..., 0]
    return T


def _intrinsics(cameras: Cameras) -> Float[Tensor, "c 3 3"]:
    K = torch.zeros(len(cameras), 3, 3, device=cameras.position.device)
    K[:, 0, 0], K[:, 1, 1] = cameras.focal.unbind(1)
    K[:, :2, 2] = cameras.centre
    K[:, 2, 2] = 1
    return K


def _rendered(
    painted: Float[Tensor, "c height width 4"],
    alpha: Float[Tensor, "c height width 1"],
    centres: Float[Tensor, "c n 2"],
    radii: Int[Tensor, "c n 2"],
) -> Rendered:
    alpha = alpha[..., 0]
    covered = alpha > 0
    # dividing by 1 where nothing is seen keeps 0 / 0 out of the gradient
    distance = torch.where(covered, painted[..., 3] / torch.where(covered, alpha, 1), 0)
    return Rendered(painted[..., :3], alpha, distance, centres, _reach(radii))


def _reach(radii: Int[Tensor, "c n 2"]) -> Int[Tensor, "c n"]:
    """gsplat's half widths and heights as one number; it draws only what has both."""
    return torch.where((radii > 0).all(-1), radii.amax(-1), 0).int()


def _empty(splats: Splats, cameras: Cameras) -> Rendered:
    """No Gaussians: gsplat's kernels would divide by their number."""
    black = splats.colour.new_zeros(len(cameras), cameras.height, cameras.width, 3)
    centres = splats.position.new_zeros(len(cameras), 0, 2)
    radii = torch.zeros(len(cameras), 0, dtype=torch.int32, device=splats.position.device)
    return Rendered(black, black[..., 0], black[..., 0], centres, radii)
