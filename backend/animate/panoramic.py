"""From a panorama to a panoramic video by a video diffusion model: 4K4DGen's animating phase as a whole.

picture -> latents' noise -> denoised on the sphere, then in windows -> decoded in wrapping tiles -> laid over the still
panorama where it moves. What does not move keeps every pixel of the panorama.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

from ...bridge.errors import CycloramaError
from ..models.memory import Budget, shots_at_once
from ..sphere.panorama import Panorama, PanoramaVideo
from ..sphere.periodic import blur, resize
from .denoisers.protocol import Denoiser
from .exposure import Exposure
from .keepsake import Keepsake, digest
from .panoramic_denoiser import PanoramicDenoiser, Schedule
from .regions import MotionRegion, union
from .tiles import WIDTH_MULTIPLE, Tiling, decode_panorama

_GB = 1e9

_TONE_DEGREES = 3.0
"""What is coarser than this (standard deviation) is tone; what is finer is the picture."""

_MOST_AT_ONCE = 20
"""All views there are."""

_FIELDS = 8
"""Fields as large as all views that a step has in memory at its peak: noise, signal, predictions, their fusion, …"""

_SMALLEST_SIDE = 8
"""Latents along a view; with fewer, a view is no picture."""


@dataclass(frozen=True)
class Making:
    """How a panorama is animated.

    Attributes:
        frames: of the video.
        fps: its rate.
        seed: of all noise.
        schedule: the denoiser's steps.
        budget: memory that may be in use.
    """

    frames: int
    fps: float
    seed: int
    schedule: Schedule
    budget: Budget


def working_width(panorama_width: int, model: Denoiser) -> int:
    """The width, in pixels, at which a panorama is animated: the widest whose views are whole latents of ``model``.

    Raises:
        CycloramaError: ``panorama-too-small``.
    """
    unit = math.lcm(4 * model.scale * model.multiple, WIDTH_MULTIPLE)
    smallest = 4 * model.scale * _SMALLEST_SIDE
    smallest = -(-smallest // unit) * unit
    if panorama_width < smallest:
        raise CycloramaError(
            "panorama-too-small",
            f"The panorama is worked on at {panorama_width} pixels around; {model.name} needs at least {smallest}.",
            "Use a larger panorama, or set a larger width.",
        )
    return panorama_width // unit * unit


def calls_at_once(model: Denoiser, width: int, making: Making) -> int:
    """How many views fit into the memory budget together; lays the model's weights out so that at least one does.

    Raises:
        CycloramaError: ``memory-too-small``, with the least that works.
    """
    side = width // 4 // model.scale
    rows, columns = (2 * side, 4 * side) if making.schedule.agreement == "panorama" else (side, side)
    tile = Tiling.of(2 * side, model).size
    model.release()
    left = making.budget.left()
    latents = video = 0
    if making.budget.device.type == "cpu":
        left += model.weights_bytes  # which the model counts too
        latents = _FIELDS * 4 * model.latent_frames(making.frames) * model.channels * 20 * side**2
        video = 4 * 3 * making.frames * (width // 2) * width
    least = None
    for placement in model.placements:
        model.place(placement)
        in_tiles = max(video, latents) + model.tile_bytes(making.frames, tile, tile)
        in_views = latents + max(
            model.prepare_bytes(rows, columns), model.predict_bytes(1, making.frames, rows, columns)
        )
        needed = max(in_tiles, in_views)
        least = needed if least is None else min(least, needed)
        if needed <= left:
            return shots_at_once(
                lambda shots: latents + model.predict_bytes(shots, making.frames, rows, columns), left, _MOST_AT_ONCE
            )
    asked = making.budget.bytes / _GB
    raise CycloramaError(
        "memory-too-small",
        f"Animating views of {columns * model.scale} x {rows * model.scale} pixels and {making.frames} frames with "
        f"{model.name} takes at least {(making.budget.bytes - left + (least or 0)) / _GB:.1f} GB of memory; "
        f"{asked:.1f} GB may be used.",
        "Raise the memory, or lower the width or the number of frames.",
    )


def animate(
    panorama: Panorama,
    regions: Sequence[MotionRegion],
    model: Denoiser,
    making: Making,
    report: Callable[[str, int, int], None] = lambda stage, done, total: None,
    show: Callable[[UInt8[np.ndarray, "height width 3"]], None] = lambda picture: None,
) -> tuple[PanoramaVideo, Callable[[], None]]:
    """The whole video.

    Args:
        regions: what moves; masks of the panorama's size.
        report: hears of the stages "animate" and "decode", between any two calls of the model; may raise to stop.
        show: is given small pictures on the way.

    Returns:
        The video, and what to call when it is safe elsewhere: until then a second run goes on where this one ended.

    Raises:
        CycloramaError: too many frames, too small a budget, values that are no numbers.
    """
    width = working_width(panorama.image.shape[1], model)
    model.latent_frames(making.frames)  # says so at once if it cannot
    at_once = calls_at_once(model, width, making)
    exposure = Exposure.of(panorama.image)
    picture = exposure.to_display(resize(panorama.image, width // 2, width)) * 2 - 1
    masks = [MotionRegion(resize(region.mask, width // 2, width), region.prompt, region.strength) for region in regions]
    denoiser = PanoramicDenoiser(
        model,
        torch.from_numpy(picture).permute(2, 0, 1).contiguous(),
        masks,
        making.frames,
        making.fps,
        making.seed,
        making.schedule,
        at_once,
    )
    keepsake = Keepsake(_named(picture, masks, model, making))
    latents = denoiser.run(keepsake.state(), lambda done, total: report("animate", done, total), keepsake.keep, show)
    display = decode_panorama(model, latents, making.frames, lambda done, total: report("decode", done, total))
    model.release()
    mask = union(regions)
    _restore_tones(display, (picture + 1) / 2, resize(mask, width // 2, width))
    return PanoramaVideo(_laid_over(panorama, display, mask, exposure), mask > 0, making.fps), keepsake.forget


def _restore_tones(
    display: Float[np.ndarray, "frame rows columns 3"], still: Float[np.ndarray, "rows columns 3"], mask: np.ndarray
) -> None:
    """Correct all frames by what the first one, which shows the still picture, got wrong in tone; in place.

    Models drift in colour, and what moves would stand out from what does not.
    """
    reach = _TONE_DEGREES * len(still) / 180
    weight = blur(mask.astype(np.float32), reach)[..., None]
    wrong = blur((still - display[0]) * mask[..., None], reach) / np.maximum(weight, 1e-3)
    for frame in display:
        frame += wrong
    np.clip(display, 0, 1, out=display)


def _laid_over(
    panorama: Panorama, display: Float[np.ndarray, "frame rows columns 3"], mask: np.ndarray, exposure: Exposure
) -> Float[np.ndarray, "frame height width 3"]:
    """The frames in scene-linear light and in the panorama's size, where they move; the still panorama elsewhere.

    Takes the memory of ``display`` where the sizes are the same.
    """
    height, width = panorama.image.shape[:2]
    same_size = display.shape[1] == height
    frames = display if same_size else np.empty((len(display), height, width, 3), np.float32)
    lights = exposure.lights(panorama.image)
    still = mask == 0
    for frame, shown in zip(frames, display, strict=True):
        moving = exposure.to_linear(resize(shown, height, width)) * lights
        frame[:] = panorama.image + mask[..., None] * (moving - panorama.image)
        frame[still] = panorama.image[still]
    return frames


def _named(picture: np.ndarray, regions: Sequence[MotionRegion], model: Denoiser, making: Making) -> str:
    """A digest of everything the latents depend on."""
    words = (model.name, making.frames, making.fps, making.seed, making.schedule)
    masks = [part for region in regions for part in (region.mask.tobytes(), f"{region.prompt!r} {region.strength}")]
    return digest([repr(words), picture.tobytes(), *masks])
