"""Whole panoramas to latents and latents to panoramas, in tiles that wrap around ±180° and go on over the poles.

The tiles depend on the panorama's size and the model alone, never on the memory at hand, and their columns divide the
width into equal parts, a multiple of four: so the result is the same on every machine, and turning the panorama by 90°
only exchanges tiles. Neighbours are blended by feathers whose weights add up to 1 exactly; beyond the feather a tile
has a band that is only context, where the zeros around the tile show that a VAE pads it with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8
from torch import Tensor

from ...bridge.errors import CycloramaError
from ..sphere.caps import cap_rows, cap_share, lay_cap
from ..sphere.charts import charts_of
from ..sphere.windows import Windows
from .denoisers.protocol import Denoiser, Latents

WIDTH_MULTIPLE = 256
"""Panoramas have to be a multiple of so many pixels wide."""

LARGEST_TILE = 512
"""Pixels: decoding 14 frames of such a tile with Stable Video Diffusion takes 7 GB in half precision."""

_OVERLAP = 16
"""Latents that neighbours share; half of them are blended, the others are context."""

PREVIEW_WIDTH = 64
PREVIEW_BORDER = 4
"""Latents that continue the preview on all sides while it is decoded, so that it has no seam either."""


Report = Callable[[int, int], None]
"""Told how many tiles are done, and of how many, before every call of the model and at the end; may raise to stop."""


@dataclass(frozen=True)
class Tiling:
    """Square tiles over a panorama, all in latents.

    A tile has a part of its own, half a feather around it, and context around that. The parts fill the panorama.

    Attributes:
        rows, columns: of the panorama.
        size: of a tile, with everything around its part.
        stride: size of a tile's part.
        feather: over so many latents neighbours are blended, half of them in each other's part; even.
    """

    rows: int
    columns: int
    size: int
    stride: int
    feather: int

    @classmethod
    def of(cls, rows: int, denoiser: Denoiser) -> Tiling:
        """The tiles of a panorama of ``rows`` latents for a model."""
        quarter, largest = rows // 2, max(LARGEST_TILE // denoiser.scale, 2 * _OVERLAP)
        stride = max(s for s in range(1, largest - _OVERLAP + 1) if quarter % s == 0)
        overlap = min(_OVERLAP, 2 * stride)
        size = -(-(stride + overlap) // denoiser.multiple) * denoiser.multiple
        return cls(rows, 2 * rows, size, stride, overlap // 4 * 2)

    @property
    def context(self) -> int:
        """Latents of a tile before its blended part; as many after it, or one more."""
        return (self.size - self.stride - self.feather) // 2

    @property
    def blended(self) -> int:
        """Latents along a side of the part of a tile that counts."""
        return self.stride + self.feather

    def tiles(self) -> Iterator[tuple[int, int]]:
        """First row and column of each tile's blended part; before 0 where it begins over the edge."""
        for row in range(0, self.rows, self.stride):
            for column in range(0, self.columns, self.stride):
                yield row - self.feather // 2, column - self.feather // 2

    def weight(self, row: int, scale: int) -> Float32[np.ndarray, "blended blended"]:
        """How much the tile at ``row`` counts in its blended part, ``scale`` values to a latent; all add up to 1.

        Nothing is blended over a pole: there the next tile's latents stand on their heads.
        """
        along = (np.arange(self.feather * scale) + 0.5) / max(self.feather * scale, 1)
        rise = 0.5 - 0.5 * np.cos(np.pi * along)
        edge = (along > 0.5).astype(np.float64)
        flat = np.ones((self.stride - self.feather) * scale)
        from_above = edge if row < 0 else rise
        from_below = edge if row + self.stride + self.feather > self.rows else rise
        down = np.concatenate([from_above, flat, from_below[::-1]])
        return np.outer(down, np.concatenate([rise, flat, rise[::-1]])).astype(np.float32)


def encode_panorama(
    denoiser: Denoiser, image: Float[Tensor, "3 height width"], frames: int, report: Report = lambda done, total: None
) -> Latents:
    """Latents of the video in which the panorama stands still, float32 on the CPU.

    Args:
        image: -1..1, sRGB.
        frames: of the video.
        report: see ``Report``.

    Raises:
        CycloramaError: the image is not twice as wide as high, or not a multiple of ``WIDTH_MULTIPLE`` wide.
    """
    height, width = image.shape[1:]
    _check(height, width)
    scale = denoiser.scale
    tiling = Tiling.of(height // scale, denoiser)
    inner = slice(tiling.context, tiling.context + tiling.blended)
    latents = torch.zeros(denoiser.latent_frames(frames), denoiser.channels, tiling.rows, tiling.columns)
    done = _Counted(report, len(list(tiling.tiles())))
    for row, column in tiling.tiles():
        done()
        size, corner = tiling.size * scale, ((row - tiling.context) * scale, (column - tiling.context) * scale)
        rows, columns = _places(*corner, (size, size), height)
        tile = denoiser.encode_still(image[:, rows, columns], frames)
        rows, columns = _places(row, column, (tiling.blended, tiling.blended), tiling.rows)
        latents[..., rows, columns] += torch.from_numpy(tiling.weight(row, 1)) * tile[..., inner, inner].float().cpu()
    done()
    return latents


def decode_panorama(
    denoiser: Denoiser,
    latents: Latents,
    frames: int,
    report: Report = lambda done, total: None,
    wanted: Bool[np.ndarray, "row column"] | None = None,
) -> Float32[np.ndarray, "frame height width 3"]:
    """The panoramic video of ``latents``: sRGB in 0..1. Takes the memory of the video, of one cap's, and of one tile.

    The poles are decoded as the tangent views that ``sphere/caps.py`` lays over them: there the latents were made.

    Args:
        latents: of the whole panorama, on any device.
        frames: of the video.
        report: see ``Report``.
        wanted: latents whose pixels are needed; tiles without any are left black. All, when left out.

    Raises:
        CycloramaError: as ``encode_panorama``.
    """
    scale = denoiser.scale
    height, width = latents.shape[-2] * scale, latents.shape[-1] * scale
    _check(height, width)
    tiling = Tiling.of(latents.shape[-2], denoiser)
    inner = slice(tiling.context * scale, (tiling.context + tiling.blended) * scale)
    video = np.zeros((frames, height, width, 3), np.float32)
    caps = charts_of(Windows, latents.shape[-2]).project(latents.flatten(2).permute(2, 0, 1).cpu())[-2:]
    parts = _parts_of_plane(caps.shape[-1], denoiser)
    wanted = np.ones(latents.shape[-2:], bool) if wanted is None else wanted
    seen = [corner for corner in tiling.tiles() if _is_wanted(wanted, tiling, *corner)]
    poles = [pole for pole in range(len(caps)) if wanted[cap_rows(len(wanted), pole)].any()]
    done = _Counted(report, len(seen) + len(poles) * len(parts) ** 2)
    for row, column in seen:
        done()
        rows, columns = _places(row - tiling.context, column - tiling.context, (tiling.size, tiling.size), tiling.rows)
        tile = _colours(denoiser.decode(latents[..., rows, columns], frames)[..., inner, inner])
        weight = tiling.weight(row, scale)[..., None]
        rows, columns = _places(row * scale, column * scale, weight.shape[:2], height)
        for frame, pixels in zip(video, tile, strict=True):
            frame[rows, columns] += weight * pixels
    for pole in poles:
        for frame, pixels in zip(video, _decode_plane(denoiser, caps[pole], frames, parts, done), strict=True):
            lay_cap(frame, pixels, pole)
    done()
    return np.clip(video, 0.0, 1.0, out=video)


def _is_wanted(wanted: Bool[np.ndarray, "row column"], tiling: Tiling, row: int, column: int) -> bool:
    """Whether any wanted pixel is made, at least in part, from the tile at this corner."""
    rows, columns = _places(row, column, (tiling.blended, tiling.blended), tiling.rows)
    not_under_a_cap = cap_share(tiling.rows)[rows] < 1
    return bool((wanted[rows, columns] & not_under_a_cap).any())


def _parts_of_plane(size: int, denoiser: Denoiser) -> list[slice]:
    """Where a square picture of ``size`` latents is cut along each side; neighbours share ``_OVERLAP`` or more."""
    largest = min(size, max(LARGEST_TILE // denoiser.scale, 2 * _OVERLAP))
    count = 1 if largest == size else -(-(size - _OVERLAP) // (largest - _OVERLAP))
    return [slice(start, start + largest) for start in np.rint(np.linspace(0, size - largest, count)).astype(int)]


def _decode_plane(
    denoiser: Denoiser, latents: Latents, frames: int, parts: list[slice], between: Callable[[], None]
) -> Float32[np.ndarray, "frame size size 3"]:
    """The video of a square picture of any size, in tiles."""
    scale, size = denoiser.scale, latents.shape[-1] * denoiser.scale
    along = np.stack([_trust_along(part, latents.shape[-1], scale) for part in parts])
    along /= along.sum(axis=0)
    video = np.zeros((frames, size, size, 3), np.float32)
    for rows, row_weight in zip(parts, along, strict=True):
        for columns, column_weight in zip(parts, along, strict=True):
            between()
            tile = _colours(denoiser.decode(latents[..., rows, columns], frames))
            down, across = _scaled(rows, scale), _scaled(columns, scale)
            video[:, down, across] += np.outer(row_weight[down], column_weight[across])[..., None] * tile
    return video


def _trust_along(part: slice, size: int, scale: int) -> Float32[np.ndarray, " pixels"]:
    """How much a part counts at each pixel of a side, before all are made to add up to 1: nothing in its context."""
    place = (np.arange(size * scale) + 0.5) / scale
    from_start = np.full_like(place, np.inf) if part.start == 0 else place - part.start
    to_end = np.full_like(place, np.inf) if part.stop == size else part.stop - place
    inside = np.clip((np.minimum(from_start, to_end) - _OVERLAP / 4) / (_OVERLAP / 2), 0, 1)
    return (inside * inside * (3 - 2 * inside)).astype(np.float32)


def _scaled(part: slice, scale: int) -> slice:
    return slice(part.start * scale, part.stop * scale)


def preview(denoiser: Denoiser, latents: Latents, frame: int) -> UInt8[np.ndarray, "height width 3"]:
    """A small sRGB picture of one latent frame of a panorama, decoded at once; roughly what the video will show."""
    still = latents[frame : frame + 1].float()
    shape = min(PREVIEW_WIDTH // 2, still.shape[-2]), min(PREVIEW_WIDTH, still.shape[-1])
    small = torch.nn.functional.adaptive_avg_pool2d(still, shape)
    padded = shape[0] + 2 * PREVIEW_BORDER, shape[1] + 2 * PREVIEW_BORDER
    rows, columns = _places(-PREVIEW_BORDER, -PREVIEW_BORDER, padded, shape[0])
    border = PREVIEW_BORDER * denoiser.scale
    picture = _colours(denoiser.decode(small[..., rows, columns], 1))[0, border:-border, border:-border]
    return np.round(np.clip(np.nan_to_num(picture), 0.0, 1.0) * 255).astype(np.uint8)


def _check(height: int, width: int) -> None:
    if not width or width != 2 * height or width % WIDTH_MULTIPLE:
        raise CycloramaError(
            "panorama-not-in-tiles",
            f"A panorama of {width} x {height} pixels cannot be cut into tiles for the video model.",
            f"Make it twice as wide as high, and a multiple of {WIDTH_MULTIPLE} pixels wide.",
        )


class _Counted:
    """Tells ``report``, at every call, how many parts have been done."""

    def __init__(self, report: Report, total: int):
        self._report, self._total, self._done = report, total, -1

    def __call__(self) -> None:
        self._done += 1
        self._report(self._done, self._total)


def _places(
    row: int, column: int, shape: tuple[int, int], height: int
) -> tuple[Int[np.ndarray, "rows columns"], Int[np.ndarray, "rows columns"]]:
    """Rows and columns in a panorama of ``height`` of the part from ``row`` and ``column`` on, over its edge too."""
    rows = (row + np.arange(shape[0])) % (2 * height)  # on along the meridian: down the image, up its other side
    beyond = rows >= height
    rows = np.where(beyond, 2 * height - 1 - rows, rows)
    columns = (column + np.arange(shape[1]) + height * beyond[:, None]) % (2 * height)
    return np.repeat(rows[:, None], shape[1], axis=1), columns


def _colours(decoded: Float[Tensor, "frame 3 height width"]) -> Float32[np.ndarray, "frame height width 3"]:
    """-1..1 -> about 0..1, channels last, on the CPU."""
    return decoded.float().cpu().permute(0, 2, 3, 1).mul(0.5).add_(0.5).numpy()
