"""From a panorama to a panoramic video by a video diffusion model: 4K4DGen's animating phase as a whole.

picture -> latents' noise -> denoised on the sphere, then in windows -> decoded in wrapping tiles -> laid over the still
panorama where it moves. What does not move keeps every pixel of the panorama.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from ...bridge.errors import CycloramaError
from .. import __version__
from ..digests import digest
from ..keepsake import Keepsake
from ..models.memory import Budget, is_out_of_memory, shots_at_once
from ..sphere import periodic
from ..sphere.panorama import Panorama, PanoramaVideo
from ..sphere.periodic import blur, resize
from .denoisers.protocol import Denoiser, Latents
from .exposure import Exposure
from .panoramic_denoiser import PanoramicDenoiser, Schedule, State
from .regions import MotionRegion, union
from .tiles import LARGEST_TILE, PREVIEW_BORDER, PREVIEW_WIDTH, WIDTH_MULTIPLE, Tiling, decode_panorama

_GB = 1e9

_TONE_DEGREES = 3.0
"""What is coarser than this (standard deviation) is tone; what is finer is the picture."""

_MOST_AT_ONCE = {"cuda": 20, "cpu": 4}
"""All views there are; on a CPU more at once are no faster, and a job that is stopped has to wait for them."""

_FIELDS = 8
"""Fields as large as all views that a step has in memory at its peak: noise, signal, predictions, their fusion, …"""

_BYTES_A_PLACE = 700
"""For each pixel of all views: the operators between charts, and the points of the noise."""

_FIT_BYTES_A_PLACE, _LARGEST_FIT = 24_000, 420 << 20
"""What building these operators takes for a while: the same again for every pixel, but no more than that."""

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
        local_prompts: for the views that look to the front, right, back and left.
    """

    frames: int
    fps: float
    seed: int
    schedule: Schedule
    budget: Budget
    local_prompts: tuple[str, str, str, str] = ("", "", "", "")


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


def calls_at_once(model: Denoiser, width: int, making: Making, panorama_width: int = 0) -> int:
    """How many views fit into the memory budget together; lays the model's weights out so that at least one does.

    Args:
        width: at which the panorama is animated.
        panorama_width: that of the panorama itself, if it is another.

    Raises:
        CycloramaError: ``memory-too-small``, with the least that works.
    """
    side = width // 4 // model.scale
    rows, columns = (2 * side, 4 * side) if making.schedule.agreement == "panorama" else (side, side)
    tile = max(Tiling.of(2 * side, model).size, min(side, LARGEST_TILE // model.scale))  # the latter over the poles
    shown = [min(PREVIEW_WIDTH // part, 4 * side // part) + 2 * PREVIEW_BORDER for part in (2, 1)]
    model.release()
    left = making.budget.left()
    own = _Own(0, 0, 0, 0)
    if making.budget.device.type == "cpu":
        left += model.weights_bytes  # which the model counts too
        own = _Own.of(model, width, panorama_width or width, making.frames)
    least = None
    for placement in model.placements:
        model.place(placement)
        predicting = cache(lambda shots: own.predicting + model.predict_bytes(shots, making.frames, rows, columns))
        needed = max(
            own.preparing + model.prepare_bytes(rows, columns),
            predicting(1),
            own.predicting + model.tile_bytes(1, *shown),
            own.decoding + model.tile_bytes(making.frames, tile, tile),
            own.alone,
        )
        least = needed if least is None else min(least, needed)
        if needed <= left:
            return shots_at_once(predicting, left, _MOST_AT_ONCE[making.budget.device.type])
    raise CycloramaError(
        "memory-too-small",
        f"Animating views of {columns * model.scale} x {rows * model.scale} pixels and {making.frames} frames with "
        f"{model.name} takes at least {_rounded_up(making.budget.bytes - left + (least or 0))} GB of memory; "
        f"{making.budget.bytes / _GB:g} GB may be used.",
        "Raise the memory, or lower the width or the number of frames.",
    )


@dataclass(frozen=True)
class _Own:
    """Main memory, in bytes, that is taken beside what the model takes, while it does one thing or another.

    Attributes:
        preparing: conditions of the views.
        predicting: views.
        decoding: tiles.
        alone: while the model rests; with its weights.
    """

    preparing: int
    predicting: int
    decoding: int
    alone: int

    @classmethod
    def of(cls, model: Denoiser, width: int, panorama_width: int, frames: int) -> _Own:
        """Fitted to what ``benchmarks/memory_budget.py`` measures with a model that takes nothing, 512 to 4096 wide."""
        image = 4 * 3 * width**2 // 2
        places = 20 * (width // 4 // model.scale) ** 2
        fields = _FIELDS * 4 * places * model.channels * model.latent_frames(frames)
        kept = 3 * image + _BYTES_A_PLACE * places
        video = frames * image
        frames_of_other_size = 0 if panorama_width == width else frames * 4 * 3 * panorama_width**2 // 2
        fit = min(places * _FIT_BYTES_A_PLACE, _LARGEST_FIT)
        finishing = video + frames_of_other_size + 6 * 4 * 3 * panorama_width**2 // 2
        return cls(
            preparing=kept + fields // 2 + 8 * image,
            predicting=kept + fields,
            decoding=kept + fields // 4 + video + video // 4,  # the poles' own, too
            alone=kept + max(fields + fit, finishing) + model.weights_bytes,
        )


def _rounded_up(needed_bytes: int) -> str:
    """In GB, with a little more, because the memory in use is not the same in every run."""
    return f"{math.ceil((needed_bytes * 1.01 + 1e7) / _GB * 10) / 10:.1f}"


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
        report: hears of the stages "animate", "decode" and "finish", between any two calls of the model; may raise
            to stop.
        show: is given small pictures on the way.

    Returns:
        The video, and what to call when it is safe elsewhere: until then a second run goes on where this one ended.

    Raises:
        CycloramaError: too many frames, too small a budget or region, no memory, values that are no numbers.
    """
    width = working_width(panorama.image.shape[1], model)
    model.latent_frames(making.frames)  # says so at once if it cannot
    at_once = calls_at_once(model, width, making, panorama.image.shape[1])
    exposure = Exposure.of(panorama.image)
    picture = exposure.to_display(resize(panorama.image, width // 2, width)) * 2 - 1
    masks = [MotionRegion(resize(region.mask, width // 2, width), region.prompt, region.strength) for region in regions]
    keepsake = Keepsake(_named(picture, masks, model, making))
    try:
        latents = _denoised(picture, masks, model, making, at_once, keepsake, report, show)
        mask = union(masks)
        reached = _latents_reached(mask, width // 2 // model.scale)
        display = decode_panorama(model, latents, making.frames, partial(report, "decode"), reached)
    except Exception as error:
        if is_out_of_memory(error):
            raise _out_of_memory(model, width, making) from error
        raise
    finally:
        model.release()
    if not all(np.isfinite(frame.sum()) for frame in display):
        keepsake.forget()
        raise CycloramaError(
            "latents-not-finite",
            f"In decoding the video the model {model.name} made values that are no numbers.",
            "Try another seed; if it happens again, the checkpoint is damaged.",
        )
    _restore_tones(display, (picture + 1) / 2, mask, partial(report, "finish"))
    mask = union(regions)
    return PanoramaVideo(_laid_over(panorama, display, mask, exposure), mask > 0, making.fps), keepsake.forget


def _denoised(
    picture: Float[np.ndarray, "rows columns 3"],
    regions: Sequence[MotionRegion],
    model: Denoiser,
    making: Making,
    at_once: int,
    keepsake: Keepsake,
    report: Callable[[str, int, int], None],
    show: Callable[[UInt8[np.ndarray, "height width 3"]], None],
) -> Latents:
    """The video's latents; all else that making them took is given back."""
    tensor = torch.from_numpy(picture).permute(2, 0, 1).contiguous()
    making_of = (making.frames, making.fps, making.seed, making.schedule)
    denoiser = PanoramicDenoiser(model, tensor, regions, *making_of, at_once, making.local_prompts)
    if denoiser.calls() == 0:
        raise CycloramaError(
            "region-too-small",
            f"What shall move is smaller than a pixel of the video model at a width of {picture.shape[1]}.",
            "Paint a larger region, or set a larger width.",
        )
    kept = _kept(keepsake)
    if kept is not None and not denoiser.accepts(kept):
        kept = None
    return denoiser.run(kept, partial(report, "animate"), partial(_keep, keepsake), show)


def _kept(keepsake: Keepsake) -> State | None:
    tensors = keepsake.part("state")
    if tensors is None or set(tensors) != {"step", "signal"}:
        return None
    return State(int(tensors["step"]), tensors["signal"])


def _keep(keepsake: Keepsake, state: State) -> None:
    keepsake.keep("state", {"step": torch.tensor(state.step), "signal": state.signal})


def _latents_reached(mask: Float[np.ndarray, "rows columns"], height: int) -> Bool[np.ndarray, "row column"]:
    """The latents whose pixels are needed where ``mask`` is not black, and beside it, for whatever is resized."""
    return periodic.dilate(resize((mask > 0).astype(np.float32), height, 2 * height) > 0, 1)


def _out_of_memory(model: Denoiser, width: int, making: Making) -> CycloramaError:
    return CycloramaError(
        "out-of-memory",
        f"There is not enough memory to animate {making.frames} frames at a width of {width} pixels with {model.name}.",
        "Close other programs that use it, set a memory that is really free, or lower the width or the frames.",
    )


def _restore_tones(
    display: Float[np.ndarray, "frame rows columns 3"],
    still: Float[np.ndarray, "rows columns 3"],
    mask: np.ndarray,
    report: Callable[[int, int], None],
) -> None:
    """Correct all frames by what the first one, which shows the still picture, got wrong in tone; in place.

    Models drift in colour, and what moves would stand out from what does not.
    """
    reach = _TONE_DEGREES * len(still) / 180
    weight = blur(mask.astype(np.float32), reach)[..., None]
    wrong = blur((still - display[0]) * mask[..., None], reach) / np.maximum(weight, 1e-3)
    for done, frame in enumerate(display):
        report(done, len(display))
        np.clip(frame + wrong, 0, 1, out=frame)
    report(len(display), len(display))


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
    """A digest of everything the latents depend on, this program's version included."""
    words = (__version__, model.fingerprint, model.noise_levels(making.schedule.steps), making.schedule)
    of_video = (making.frames, making.fps, making.seed, making.local_prompts)
    masks = (part for region in regions for part in (region.mask.data, f"{region.prompt!r} {region.strength}"))
    return digest((repr((words, of_video)), picture.data, *masks))
