"""gsplat's CUDA kernels replaced by its own torch implementations, and by plain blending: slow, for a few Gaussians.

What goes in is checked as the kernels' wrappers check it: shapes, float32, quaternions and scales as they come.
"""

import sys
from types import SimpleNamespace

import gsplat
import gsplat.cuda
import gsplat.rendering
import torch
from gsplat.cuda import _torch_impl, _torch_impl_2dgs

FAINTEST, CLEAREST, OPAQUE = 1 / 255, 0.999, 1e-4
"""Of the kernels: a spot's least alpha and greatest, and the transmittance at which a pixel is done."""


def install(monkeypatch):
    """Until the test ends, gsplat draws on the CPU."""
    install_kernels(monkeypatch, SimpleNamespace())
    for module in (gsplat, gsplat.rendering):
        monkeypatch.setattr(module, "isect_tiles", isect_tiles)
        monkeypatch.setattr(module, "isect_offset_encode", _torch_impl._isect_offset_encode)
    monkeypatch.setattr(gsplat.rendering, "fully_fused_projection", project)
    monkeypatch.setattr(gsplat.rendering, "rasterize_to_pixels", blend)
    monkeypatch.setattr(gsplat, "fully_fused_projection_2dgs", project_surfels)
    monkeypatch.setattr(gsplat, "rasterize_to_pixels_2dgs", blend_surfels)


def install_kernels(monkeypatch, kernels):
    """In place of the module that builds them when it is imported."""
    backend = SimpleNamespace(_C=kernels)
    monkeypatch.setitem(sys.modules, "gsplat.cuda._backend", backend)
    monkeypatch.setattr(gsplat.cuda, "_backend", backend, raising=False)


def checked(cameras, **tensors):
    shapes = {"means": 3, "quats": 4, "scales": 3}
    count = len(tensors["means"])
    for name, tensor in tensors.items():
        assert tensor.dtype == torch.float32, name
        if name in shapes:
            assert tensor.shape == (count, shapes[name]), name
    assert tensors["viewmats"].shape == (cameras, 4, 4)
    assert tensors["Ks"].shape == (cameras, 3, 3)
    assert torch.equal(tensors["viewmats"][:, 3], torch.tensor([[0.0, 0, 0, 1]]).expand(cameras, 4))


def project(means, covars, quats, scales, viewmats, Ks, width, height, **settings):
    assert covars is None
    assert not settings["packed"]
    assert settings["camera_model"] == "pinhole"
    checked(len(viewmats), means=means, quats=quats, scales=scales, viewmats=viewmats, Ks=Ks)
    covars, _ = _torch_impl._quat_scale_to_covar_preci(quats, scales, True, False)
    names = ("eps2d", "near_plane", "far_plane", "calc_compensations")
    return _torch_impl._fully_fused_projection(
        means, covars, viewmats, Ks, width, height, **{name: settings[name] for name in names}
    )


def project_surfels(means, quats, scales, viewmats, Ks, width, height, near_plane):
    checked(len(viewmats), means=means, quats=quats, scales=scales, viewmats=viewmats, Ks=Ks)
    return _torch_impl_2dgs._fully_fused_projection_2dgs(
        means, quats, scales, viewmats, Ks, width, height, near_plane=near_plane
    )


def isect_tiles(means2d, radii, depths, tile_size, tile_width, tile_height, **settings):
    assert not settings.get("packed")
    return _torch_impl._isect_tiles(means2d, radii, depths, tile_size, tile_width, tile_height)


def blend(means2d, conics, colors, opacities, width, height, tile_size, isect_offsets, flatten_ids, **settings):
    assert settings["backgrounds"] is None

    def exponent(chosen, pixels):
        dx, dy = (pixels[:, None] - means2d.flatten(0, 1)[chosen]).unbind(-1)
        a, b, c = conics.flatten(0, 1)[chosen].unbind(-1)
        return (a * dx**2 + c * dy**2) / 2 + b * dx * dy

    return _blended(exponent, colors, opacities, width, height, tile_size, isect_offsets, flatten_ids)


def blend_surfels(
    means2d,
    ray_transforms,
    colors,
    opacities,
    normals,
    densify,
    width,
    height,
    tile_size,
    isect_offsets,
    flatten_ids,
):
    assert densify.shape == means2d.shape
    assert densify.is_leaf
    assert normals.shape == (*means2d.shape[:2], 3)
    assert ray_transforms.shape == (*means2d.shape[:2], 3, 3)
    # the kernel's gradient for densification: of the ray transform's third column, times its last entry
    z_depth = ray_transforms[..., 2, 2].detach()
    passed = (densify - densify.detach()) * z_depth[..., None]
    moved = ray_transforms + torch.nn.functional.pad(passed[..., None], (2, 0, 0, 1))

    def exponent(chosen, pixels):
        M = moved.flatten(0, 1)[chosen]
        h_u = pixels[:, None, :1] * M[:, 2] - M[:, 0]
        h_v = pixels[:, None, 1:] * M[:, 2] - M[:, 1]
        crossing = torch.linalg.cross(h_u, h_v)
        edge_on = crossing[..., 2:] == 0
        u, v = (crossing[..., :2] / torch.where(edge_on, 1, crossing[..., 2:])).unbind(-1)
        near = ((pixels[:, None] - means2d.flatten(0, 1)[chosen]) ** 2).sum(-1)
        return torch.where(edge_on[..., 0], torch.inf, torch.minimum(u**2 + v**2, 2 * near) / 2)

    picture, alpha = _blended(exponent, colors, opacities, width, height, tile_size, isect_offsets, flatten_ids)
    return picture, alpha, None, None, None


def _blended(exponent, colors, opacities, width, height, tile_size, isect_offsets, flatten_ids):
    """Front to back, tile by tile, as the kernels do it: (c, height, width, channels) and (c, height, width, 1)."""
    cameras, rows, columns = isect_offsets.shape
    count, channels = colors.shape[1:]
    assert colors.shape == (cameras, count, channels)
    assert opacities.shape == (cameras, count)
    ends = [*isect_offsets.flatten().tolist(), len(flatten_ids)]
    pictures = []
    for image in range(cameras):
        tiles = []
        for tile in range(rows * columns):
            start, end = ends[image * rows * columns + tile :][:2]
            chosen = flatten_ids[start:end].long()
            y, x = divmod(tile, columns)
            pixels = torch.cartesian_prod(torch.arange(tile_size), torch.arange(tile_size)).flip(1).float()
            pixels = pixels + torch.tensor([x, y]) * tile_size + 0.5
            tiles.append(_front_to_back(exponent, chosen, pixels, colors.flatten(0, 1), opacities.flatten()))
        picture = torch.stack(tiles).reshape(rows, columns, tile_size, tile_size, channels + 1)
        picture = picture.permute(0, 2, 1, 3, 4).reshape(rows * tile_size, columns * tile_size, channels + 1)
        pictures.append(picture[:height, :width])
    both = torch.stack(pictures)
    return both[..., :-1], both[..., -1:]


def _front_to_back(exponent, chosen, pixels, colours, opacities):
    if not len(chosen):
        return torch.zeros(len(pixels), colours.shape[1] + 1)
    alpha = (opacities[chosen] * torch.exp(-exponent(chosen, pixels))).clamp_max(CLEAREST)
    alpha = torch.where(alpha < FAINTEST, 0, alpha)
    left = torch.cumprod(1 - alpha, 1)
    alpha = torch.where(left <= OPAQUE, 0, alpha)
    before = torch.cumprod(1 - alpha, 1) / (1 - alpha)
    share = alpha * before
    return torch.cat([share @ colours[chosen], share.sum(1, keepdim=True)], 1)
