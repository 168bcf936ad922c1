"""Looking things up between pixels: a panorama in any direction, tangent views of it, and the way back.

Torch, on the CPU as on CUDA, with gradients; channels come first. Coordinates are float32 (float64 for float64 images)
whatever the image's type, and sums too, so half precision loses only what its own rounding loses.

Kernels. *nearest* takes values as they are. *bilinear*. *bicubic* is Catmull-Rom (Keys' a = -1/2), which OpenCV and
``grid_sample`` do not have: theirs is a = -3/4 and displaces even a ramp by up to 0.048 pixels. *lanczos* has
radius 3, its weights scaled to the sum 1. Bicubic and lanczos overshoot at hard edges: for linear light with a sun in
it, bilinear is the right choice.

On the CPU, where no gradient is asked, work is done in strips that fit the processor's cache, views side by side, and
OpenCV does the bilinear lookups. Since version 5 it takes float32 coordinates as they are for these; older ones round
them to 1/32 pixel (as all do for cubic and Lanczos), which is found out and avoided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, pad

from .views import plane

Mode = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Places = tuple[Tensor, Tensor]
"""Columns and rows (rows, columns) in pixels; 0 is the first pixel's centre."""

REACH: dict[Mode, int] = {"nearest": 1, "bilinear": 1, "bicubic": 2, "lanczos": 3}
"""Pixels to either side of a place that a kernel may ask for."""

_SLACK = 1.25
"""Lookups may lie so many pixels apart before we filter: what this folds back, the kernels have all but removed."""

_GROUP = 1 << 25
"""Values of images that are made ready at once; bounds the memory that copies take."""

_STRIP = 1 << 15
"""Places looked up at once on the CPU: what belongs to them fits its cache, and torch and OpenCV use one thread."""


def sample(
    image: Float[Tensor, "*image channel height width"],
    directions: Float[Tensor, "*view rows columns 3"],
    mode: Mode = "bilinear",
) -> Float[Tensor, "*view *image channel rows columns"]:
    """What equirectangular images (width = 2·height, height at least 3) show in directions of any length.

    All images are looked up in all directions. Right across ±180° and over the poles, where an image goes on along the
    meridian down the other side. Not anti-aliased. Differentiable in the images and, but for "nearest", in the
    directions (except exactly at a pole, which has no longitude).
    """
    views = directions.to(image.device, _precision(image)).reshape(-1, *directions.shape[-3:])
    height, (rows, columns) = image.shape[-2], views.shape[1:3]

    def places(view: int, strip: slice) -> Places:
        x, y, z = views[view, strip].unbind(-1)
        return _column_and_row(x, y, z, height)

    found = _look_up(image, places, (len(views), rows, columns), mode, follows=_asks_gradient(image, directions))
    return found.reshape(*directions.shape[:-3], *image.shape[:-2], rows, columns)


def tangent_views(
    panorama: Float[Tensor, "*image channel rows columns"],
    R_scene_from_view: Float[Tensor, "*view 3 3"],
    width: int,
    height: int,
    fov: float,
    mode: Mode = "bicubic",
    oversampling: int | None = None,
) -> Float[Tensor, "*view *image channel height width"]:
    """Perspective pictures of equirectangular images; ``fov`` is horizontal, in radians; all views of all images.

    Anti-aliased: a pixel is the mean of ``oversampling``² lookups spread evenly over its square. By default there are
    as many as bring them to the panorama's own pixel distance (one where the view is about as fine as the panorama, so
    that it stays sharp). A panorama's rows are denser on the ground by 1 / cos(latitude) and would alias even then, so
    they are filtered first to what the lookups can tell apart (``continued``). "nearest" only picks values: one lookup,
    no filter. An ``oversampling`` that is given is taken as it is, and no row is filtered.
    """
    spacing = 2 * math.tan(fov / 2) / width  # radians between pixels in the middle, where they are farthest apart
    chosen = oversampling is None and mode != "nearest"
    per_side = max(1, math.ceil(spacing * panorama.shape[-2] / math.pi / _SLACK)) if chosen else oversampling or 1
    rotations = R_scene_from_view.to(panorama.device, _precision(panorama)).reshape(-1, 3, 3)
    x, y = (torch.from_numpy(part).to(rotations) for part in plane(width * per_side, height * per_side, fov))
    y = y[:, None]

    def places(view: int, strip: slice) -> Places:
        right, forward, up = (axis[0] * x + (axis[1] * y[strip] + axis[2]) for axis in rotations[view])
        return _column_and_row(right, forward, up, panorama.shape[-2])

    size = (len(rotations), height, width)
    follows = _asks_gradient(panorama, R_scene_from_view)
    found = _look_up(panorama, places, size, mode, follows, per_side, spacing / per_side if chosen else 0.0)
    return found.reshape(*R_scene_from_view.shape[:-2], *panorama.shape[:-2], height, width)


def sample_views(
    views: Float[Tensor, "*view *image channel rows columns"],
    R_scene_from_view: Float[Tensor, "*view 3 3"],
    fov: float,
    directions: Float[Tensor, "height width 3"],
    mode: Mode = "bilinear",
) -> tuple[Float[Tensor, "*view *image channel height width"], Bool[Tensor, "*view height width"]]:
    """What perspective pictures show in the given directions (``equirectangular.directions`` for a panorama's pixels).

    Returns:
        The values, 0 where a picture does not reach, and which directions each picture covers, up to its very edge (its
        outermost pixels go on beyond it for the kernel). ``fov`` is horizontal, in radians. Not anti-aliased.
    """
    rotations = R_scene_from_view.to(views.device, _precision(views)).reshape(-1, 3, 3)
    pictures = views.reshape(len(rotations), -1, *views.shape[-2:])
    towards = directions.to(rotations)
    (rows, columns), (height, width) = views.shape[-2:], towards.shape[:2]
    follows = _asks_gradient(views, R_scene_from_view, directions)
    found = []
    for picture, R in zip(pictures, rotations, strict=True):
        at = _lookup(pad(picture.to(R.dtype)[None], (REACH[mode],) * 4, mode="replicate")[0], mode, follows)

        def values_and_cover(_: int, strip: slice, at: _At = at, R: Tensor = R) -> Tensor:
            places, inside = _places_in_view(towards[strip] @ R, rows, columns, fov)
            return torch.cat((torch.where(inside, at(*places), 0), inside[None].to(R.dtype)))

        found.append(_assembled(values_and_cover, (1, height, width), len(picture) + 1, follows, towards)[0])
    values, covered = torch.stack(found).split((pictures.shape[1], 1), dim=1)
    values = values.to(views.dtype).reshape(*views.shape[:-2], height, width)
    return values, (covered > 0).reshape(*R_scene_from_view.shape[:-2], height, width)


def continued(
    image: Float[Tensor, "*image height width"], border: int, spacing: float = 0.0
) -> Float[Tensor, "*image height+2*border width+2*border"]:
    """The image continued by ``border`` (at most its height) around ±180° and over the poles.

    With a ``spacing`` (radians), without what is too fine along its rows for lookups that far apart. On the ground at
    latitude φ, m waves around a row are m / cosφ radians of phase per radian of arc; such lookups can tell apart
    m ≤ m₀ = π·cosφ / spacing. A raised cosine takes the waves down from 1 at m₀ + 2 to 0 at 1.5·m₀ + 4. A function on
    the sphere that the lookups could resolve has next to no waves beyond m₀ + 2, so it is left alone; so are rows whose
    finest waves are hardly beyond m₀.
    """
    height, width = image.shape[-2:]
    wide = image.new_empty(*image.shape[:-2], height + 2 * border, width + 2 * border)
    inner = wide[..., border : border + height, border : border + width]
    inner.copy_(image)
    passes = _waves_that_pass(height, spacing)
    if len(passes):
        passes = passes.to(image)
        inner[..., : len(passes), :] = _filtered(image[..., : len(passes), :], passes)
        passes = passes[: height - len(passes)].flip(0)  # the middle row of an odd number is done
        inner[..., height - len(passes) :, :] = _filtered(image[..., height - len(passes) :, :], passes)
    wide[..., :border, border:-border] = inner[..., :border, :].flip(-2).roll(width // 2, -1)
    wide[..., -border:, border:-border] = inner[..., -border:, :].flip(-2).roll(width // 2, -1)
    wide[..., :border] = wide[..., width : width + border]
    wide[..., -border:] = wide[..., border : 2 * border]
    return wide


def _waves_that_pass(height: int, spacing: float) -> Float[Tensor, "rows waves"]:
    """What ``continued`` leaves of 0, 1, … ``height`` waves, for the rows from a pole on that need it."""
    latitude = math.pi / 2 - (torch.arange((height + 1) // 2) + 0.5) * (math.pi / height)
    resolved = latitude.cos()[:, None] * (math.pi / spacing if spacing else math.inf)
    resolved = resolved[resolved[:, 0] * _SLACK < height]
    beyond = (torch.arange(height + 1) - resolved - 2) / (resolved / 2 + 2)
    return 0.5 + 0.5 * torch.cos(math.pi * beyond.clamp(0, 1))


def _filtered(rows: Float[Tensor, "*image row column"], passes: Float[Tensor, "row wave"]) -> Tensor:
    return torch.fft.irfft(torch.fft.rfft(rows) * passes, n=rows.shape[-1])


def _precision(image: Tensor) -> torch.dtype:
    return torch.float64 if image.dtype == torch.float64 else torch.float32


def _asks_gradient(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _column_and_row(x: Tensor, y: Tensor, z: Tensor, height: int) -> Places:
    """``equirectangular.pixels``."""
    column = torch.atan2(x, y) * (height / math.pi) + (height - 0.5)
    row = torch.atan2(-z, torch.hypot(x, y)) * (height / math.pi) + (height / 2 - 0.5)
    return column, row


def _places_in_view(towards: Float[Tensor, "*shape 3"], rows: int, columns: int, fov: float) -> tuple[Places, Tensor]:
    """Where directions in the view's own axes lie in its picture (at its edge if they do not), and whether they do."""
    x, y, z = towards.unbind(-1)
    ahead = z > 0
    scale = columns / 2 / math.tan(fov / 2) / torch.where(ahead, z, 1)
    x, y = x * scale, y * scale
    inside = ahead & (x.abs() <= columns / 2) & (y.abs() <= rows / 2)
    x, y = x.clamp(-columns / 2, columns / 2), y.clamp(-rows / 2, rows / 2)
    return (x + (columns - 1) / 2, y + (rows - 1) / 2), inside


def _look_up(
    image: Tensor,
    places: Callable[[int, slice], Places],
    size: tuple[int, int, int],
    mode: Mode,
    follows: bool,
    per_side: int = 1,
    spacing: float = 0.0,
) -> Float[Tensor, "view image rows columns"]:
    """Equirectangular images (all but their last two axes in one) at each view's places, the mean of ``per_side``²."""
    flat = image.reshape(-1, *image.shape[-2:])
    found = []
    for group in flat.split(max(1, _GROUP // flat[0].numel())):
        at = _lookup(continued(group.to(_precision(image)), REACH[mode], spacing), mode, follows)

        def means(view: int, strip: slice, at: _At = at) -> Tensor:
            values = at(*places(view, slice(strip.start * per_side, strip.stop * per_side)))
            return (avg_pool2d(values, per_side) if per_side > 1 else values).to(image.dtype)

        found.append(_assembled(means, size, len(group), follows, image, per_side))
    return found[0] if len(found) == 1 else torch.cat(found, dim=1)


def _assembled(
    part: Callable[[int, slice], Tensor],
    size: tuple[int, int, int],
    images: int,
    follows: bool,
    like: Tensor,
    per_side: int = 1,
) -> Float[Tensor, "view image rows columns"]:
    """All rows of all views of ``size`` (views, rows, columns), whose ``part`` knows a few rows of one view."""
    views, rows, columns = size
    if follows or like.device.type != "cpu":
        return torch.stack([part(view, slice(0, rows)) for view in range(views)])
    whole = like.new_empty(views, images, rows, columns)
    step = max(1, _STRIP // (columns * per_side**2))

    def fill(view: int, first: int) -> None:
        strip = slice(first, min(first + step, rows))
        whole[view, :, strip] = part(view, strip)

    _side_by_side(fill, [(view, first) for view in range(views) for first in range(0, rows, step)])
    return whole


def _side_by_side(do: Callable[..., None], tasks: Sequence[tuple]) -> None:
    """Calls with each task's arguments, on as many threads as torch has."""
    inference = torch.is_inference_mode_enabled()

    def one(task: tuple) -> None:
        with torch.inference_mode(inference), torch.no_grad():  # a thread starts without its caller's
            do(*task)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(one, tasks))


_At = Callable[[Tensor, Tensor], Float[Tensor, "image rows columns"]]
"""Looks images up at columns and rows, in pixels of the image without its border."""


def _lookup(bordered: Float[Tensor, "image height width"], mode: Mode, follows: bool) -> _At:
    """Makes images ready that are ``bordered`` by the kernel's reach; ``follows``: whether gradients are asked."""
    with_opencv = (
        not follows and bordered.device.type == "cpu" and bordered.dtype == torch.float32 and _opencv_is_exact()
    )
    bordered = bordered if follows else bordered.detach()
    bilinear = _bilinear_by_opencv if with_opencv else _bilinear
    if mode == "bicubic":
        planes = _with_bends(bordered, -1 if with_opencv else 0)
        kernel = partial(_catmull_rom_by_opencv if with_opencv else _catmull_rom, planes)
        border = REACH[mode] - 1
    else:
        kernel = partial({"nearest": _nearest, "bilinear": bilinear, "lanczos": _lanczos}[mode], bordered)
        border = REACH[mode]
    return lambda column, row: kernel(column + border, row + border)


def _nearest(planes: Float[Tensor, "image height width"], x: Tensor, y: Tensor) -> Tensor:
    return planes[:, (y + 0.5).floor().long(), (x + 0.5).floor().long()]


def _bilinear(planes: Float[Tensor, "image height width"], x: Tensor, y: Tensor) -> Tensor:
    height, width = planes.shape[-2:]
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
    return grid_sample(planes[None], grid[None], mode="bilinear", padding_mode="border", align_corners=False)[0]


def _bilinear_by_opencv(planes: Float[Tensor, "image height width"], x: Tensor, y: Tensor) -> Tensor:
    found = planes.new_empty(len(planes), *x.shape)
    for image, target in zip(planes.numpy(), found.numpy(), strict=True):
        cv2.remap(image, x.numpy(), y.numpy(), cv2.INTER_LINEAR, dst=target, borderMode=cv2.BORDER_REPLICATE)
    return found


@cache
def _opencv_is_exact() -> bool:
    """Whether ``cv2.remap`` keeps fractions of a pixel finer than 1/32."""
    ramp = np.tile(np.arange(32, dtype=np.float32), (32, 1))
    places = np.linspace(8, 9, 100, dtype=np.float32)[None]
    found = cv2.remap(ramp, places, np.full_like(places, 8.3), cv2.INTER_LINEAR)
    return bool(np.abs(found - places).max() < 1e-4)


def _with_bends(image: Float[Tensor, "image height width"], axis: int) -> Tensor:
    """The image and its second differences along x, along y and along both, one pixel smaller on all sides; stacked.

    Catmull-Rom between two pixels, at t from the one, is the straight line between the values less t(1 - t)/2 times the
    straight line between the second differences; so four exact bilinear lookups make the bicubic one, on every device.
    """
    if axis == 0:
        return torch.stack(_bends(image))
    rows, columns = image.shape[-2] - 2, image.shape[-1] - 2
    packed = image.new_empty(len(image), rows, columns, 4)
    step = max(1, _STRIP // columns)

    def pack(number: int, first: int) -> None:
        for index, bend in enumerate(_bends(image[number, first : first + step + 2])):
            packed[number, first : first + step, :, index] = bend

    _side_by_side(pack, [(number, first) for number in range(len(image)) for first in range(0, rows, step)])
    return packed


def _bends(image: Float[Tensor, "*image height width"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inner = image[..., 1:-1]
    along_x = image[..., :-2] - 2 * inner + image[..., 2:]
    along_y = inner[..., :-2, :] - 2 * inner[..., 1:-1, :] + inner[..., 2:, :]
    both = along_x[..., :-2, :] - 2 * along_x[..., 1:-1, :] + along_x[..., 2:, :]
    return inner[..., 1:-1, :], along_x[..., 1:-1, :], along_y, both


def _bend_weight(place: Tensor) -> Tensor:
    t = place - place.detach().floor()
    return t * (t - 1) / 2


def _catmull_rom(bends: Float[Tensor, "4 image height width"], x: Tensor, y: Tensor) -> Tensor:
    value, along_x, along_y, both = _bilinear(bends.flatten(0, 1), x, y).unflatten(0, bends.shape[:2])
    across, down = _bend_weight(x), _bend_weight(y)
    return value + along_x * across + (along_y + both * across) * down


def _catmull_rom_by_opencv(bends: Float[Tensor, "image height width 4"], x: Tensor, y: Tensor) -> Tensor:
    found = bends.new_empty(len(bends), *x.shape)
    across, down = _bend_weight(x), _bend_weight(y)
    for image, target in zip(bends.numpy(), found, strict=True):
        four = cv2.remap(image, x.numpy(), y.numpy(), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        value, along_x, along_y, both = map(torch.from_numpy, cv2.split(four))
        torch.addcmul(value, along_x, across, out=target).addcmul_(both.mul_(across).add_(along_y), down)
    return found


def _lanczos(planes: Float[Tensor, "image height width"], x: Tensor, y: Tensor) -> Tensor:
    width = planes.shape[-1]
    column, weights_x = _lanczos_taps(x)
    row, weights_y = _lanczos_taps(y)
    flat, first = planes.flatten(1), (row * width + column).flatten()
    found = planes.new_zeros(len(planes), *x.shape)
    for down, weight_y in enumerate(weights_y):
        for across, weight_x in enumerate(weights_x):
            values = flat.index_select(1, first + (down * width + across)).unflatten(1, x.shape)
            found = found + values * (weight_x * weight_y)
    return found


def _lanczos_taps(place: Tensor) -> tuple[Tensor, Tensor]:
    """The first of the pixels around each place, and the weight of each."""
    radius = REACH["lanczos"]
    first = place.detach().floor() - (radius - 1)
    away = place - first - torch.arange(2 * radius, device=place.device).view(-1, 1, 1)
    weights = torch.sinc(away) * torch.sinc(away / radius)
    return first.long(), weights / weights.sum(0)
