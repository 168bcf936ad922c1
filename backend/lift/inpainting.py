"""Painting what a foreground hides: OpenCV by default, a diffusion model by its id, both on pictures in perspective.

Panoramas are painted face by face, on six views that overlap and are blended, so nothing shows at ±180° or a pole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from ..models.checkpoints import Report, locate
from ..models.hub import first_sentence
from ..models.memory import is_out_of_memory
from ..sphere.colour import linear_from_srgb, srgb_from_linear
from ..sphere.equirectangular import direction, sample
from ..sphere.lattice import Lattice
from ..sphere.views import look, rays

if TYPE_CHECKING:
    import torch

OPENCV = "opencv"
"""The inpainter that needs no network."""

USUAL_CHECKPOINT = "stable-diffusion-v1-5/stable-diffusion-inpainting"
"""The successor on the hub of runwayml/stable-diffusion-inpainting; licence: creativeml-openrail-m."""

COMPONENTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")

_FACE_FOV = np.radians(110)
_FACE_REACH = float(np.tan(_FACE_FOV / 2))
_FACES = [(0, 0), (np.pi / 2, 0), (np.pi, 0), (-np.pi / 2, 0), (0, np.pi / 2), (0, -np.pi / 2)]
_MIXED_PX = 2
"""Pixels next to a silhouette in which both of its sides are mixed: painted anew too."""

Picture = Float[np.ndarray, "height width 3"]
Mask = Bool[np.ndarray, "height width"]


class Inpainter(Protocol):
    """Paints what a mask covers so that it goes with the rest."""

    def __call__(self, srgb: Picture, mask: Mask) -> Picture:
        """The picture (sRGB 0..1, float32) with the pixels of ``mask`` painted; all others are as they were."""
        ...


class OpenCVInpainter:
    """Telea's fast marching (*An image inpainting technique based on the fast marching method*, 2004)."""

    def __init__(self, radius: float = 4.0):
        self._radius = radius

    def __call__(self, srgb: Picture, mask: Mask) -> Picture:
        """See ``Inpainter``."""
        eight_bit = np.rint(np.clip(srgb, 0, 1) * 255).astype(np.uint8)
        painted = cv2.inpaint(eight_bit, mask.astype(np.uint8), self._radius, cv2.INPAINT_TELEA)
        return np.where(mask[..., None], painted.astype(np.float32) / 255, srgb)


class DiffusionInpainter:
    """A checkpoint of diffusers' ``StableDiffusionInpaintPipeline``, without prompt and without safety checker.

    Args:
        name: hub id or folder, in safetensors.
        device: where it computes; halves on a GPU.
        steps: of denoising.
        size: pixels of the pictures that the network sees, a multiple of 8; 0: as its configuration says.
        seed: of its noise; the same seed gives the same picture.

    Raises ``CycloramaError`` as ``locate`` and ``Checkpoint.model`` do.
    """

    def __init__(
        self,
        name: str,
        device: torch.device,
        *,
        steps: int = 20,
        size: int = 0,
        seed: int = 0,
        report: Report = lambda done, total: None,
    ):
        checkpoint = locate(name, COMPONENTS, report)
        self.name, self.licence, self.fingerprint = checkpoint.name, checkpoint.licence, checkpoint.fingerprint
        self._pipeline = _pipeline(checkpoint, device)
        self._steps, self._seed = steps, seed
        self._size = size or self._pipeline.unet.config.sample_size * self._pipeline.vae_scale_factor

    def __call__(self, srgb: Picture, mask: Mask) -> Picture:
        """See ``Inpainter``."""
        import torch

        height, width = mask.shape
        size = (self._size, self._size)
        small = cv2.resize(srgb, size, interpolation=cv2.INTER_AREA if self._size < width else cv2.INTER_LINEAR)
        covered = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0
        painted = self._pipeline(
            prompt="",
            image=torch.from_numpy(np.clip(small, 0, 1)).permute(2, 0, 1)[None],
            mask_image=torch.from_numpy(covered.astype(np.float32))[None, None],
            height=self._size,
            width=self._size,
            num_inference_steps=self._steps,
            guidance_scale=1.0,  # without a prompt there is nothing to be guided to
            strength=1.0,
            generator=torch.Generator().manual_seed(self._seed),
            output_type="np",
        ).images[0]
        large = cv2.resize(painted.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        return np.where(mask[..., None], large, srgb)


def inpainter(name: str, device: torch.device | None = None, report: Report = lambda done, total: None) -> Inpainter:
    """The inpainter of that name: ``OPENCV``, or hub id or folder of a checkpoint for ``DiffusionInpainter``."""
    if name in ("", OPENCV):
        return OpenCVInpainter()
    import torch

    return DiffusionInpainter(name, device or torch.device("cpu"), report=report)


def _pipeline(checkpoint: Any, device: torch.device) -> Any:
    import torch
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint import StableDiffusionInpaintPipeline
    from transformers import CLIPTextModel

    dtype = torch.float16 if device.type == "cuda" else torch.float32
    channels = checkpoint.config("unet").get("in_channels")
    if channels != 9:
        raise checkpoint.wrong_class("unet", f"UNet2DConditionModel of {channels} channels", "one of 9, for inpainting")
    parts = {
        "unet": checkpoint.model("unet", UNet2DConditionModel, dtype),
        "vae": checkpoint.model("vae", AutoencoderKL, dtype),
        "text_encoder": checkpoint.model("text_encoder", CLIPTextModel, dtype),
        "tokenizer": checkpoint.tokenizer(),
        "scheduler": checkpoint.scheduler(),
    }
    try:
        pipeline = StableDiffusionInpaintPipeline(
            **parts,
            safety_checker=None,  # pyright: ignore[reportArgumentType] (as their own documentation does)
            feature_extractor=None,  # pyright: ignore[reportArgumentType]
            requires_safety_checker=False,
        )
    except (ValueError, TypeError, AttributeError) as error:
        if is_out_of_memory(error):
            raise
        raise checkpoint.damaged("", first_sentence(error)) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def painted_cells(
    panorama: Float[np.ndarray, "height width 3"],
    lattice: Lattice,
    hidden: Int[np.ndarray, " hidden"],
    guard: Int[np.ndarray, " guard"],
    guard_colour: Float[np.ndarray, "guard 3"],
    inpaint: Inpainter,
) -> Float[np.ndarray, "hidden 3"]:
    """Colours for cells of the lattice that a foreground hides, painted from the background around it.

    Args:
        panorama: scene-linear Rec.709, with the foreground in it.
        hidden: the cells to paint.
        guard: cells of the foreground next to them that must not be seen by the inpainter; they show ``guard_colour``.

    Returns scene-linear Rec.709.
    """
    exposure = max(1.0, float(np.percentile(guard_colour, 99))) if len(guard) else 1.0
    srgb = srgb_from_linear(panorama / exposure)
    towards = direction(lattice.longitude[hidden], lattice.latitude[hidden])
    is_hidden = np.zeros(len(lattice.rows), bool)
    is_hidden[hidden] = True
    guarded = np.full(len(lattice.rows), -1)
    guarded[guard] = np.arange(len(guard))
    guard_srgb = srgb_from_linear(guard_colour / exposure)
    total, weights = np.zeros((len(hidden), 3), np.float32), np.zeros((len(hidden), 1), np.float32)
    for longitude, latitude in _FACES:
        R_scene_from_view = look(longitude, latitude)
        places, weight = _places(towards @ R_scene_from_view)
        inside = np.flatnonzero(weight > 0)
        if not len(inside):
            continue
        picture, mask = _face(srgb, R_scene_from_view, lattice, is_hidden, guarded, guard_srgb)
        found = _bilinear(inpaint(picture, mask), places[inside])
        total[inside] += weight[inside, None] * found
        weights[inside] += weight[inside, None]
    return linear_from_srgb(total / weights) * np.float32(exposure)


def _face(
    srgb: Picture,
    R_scene_from_view: Float[np.ndarray, "3 3"],
    lattice: Lattice,
    is_hidden: Bool[np.ndarray, " cells"],
    guarded: Int[np.ndarray, " cells"],
    guard_srgb: Float[np.ndarray, "guard 3"],
) -> tuple[Picture, Mask]:
    """A face of the panorama with its guard in place, and what of it is to be painted."""
    size = int(np.ceil(2 * _FACE_REACH * len(srgb) / np.pi / 8)) * 8  # pixels as far apart as the panorama's
    towards = rays(size, size, _FACE_FOV) @ R_scene_from_view.T
    x, y, z = towards[..., 0], towards[..., 1], towards[..., 2]
    cell = lattice.cells(np.arctan2(x, y).ravel(), np.arctan2(z, np.hypot(x, y)).ravel())
    picture = sample(srgb, towards, cv2.INTER_LINEAR).reshape(-1, 3)
    behind = guarded[cell] >= 0
    picture[behind] = guard_srgb[guarded[cell[behind]]]
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _MIXED_PX + 1,) * 2)
    mask = cv2.dilate(is_hidden[cell].reshape(size, size).astype(np.uint8), disc) > 0
    return picture.reshape(size, size, 3), mask


def _places(in_view: Float[np.ndarray, "places 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Where directions meet a face's plane (x, y), and how much the face counts there: less towards its rim."""
    z = np.maximum(in_view[:, 2], 1e-6)
    places = in_view[:, :2] / z[:, None]
    inner = np.clip((_FACE_REACH - 0.02 - np.abs(places).max(axis=1)) / (_FACE_REACH - 1), 0, 1)
    return places, np.where(in_view[:, 2] > 0, inner, 0).astype(np.float32)


def _bilinear(face: Picture, places: Float[np.ndarray, "places 2"]) -> Float[np.ndarray, "places 3"]:
    at = (places / _FACE_REACH + 1) * (len(face) / 2) - 0.5
    strips = np.array_split(at.astype(np.float32), max(1, len(at) // 16384))  # OpenCV's pictures are this high at most
    looked = [
        cv2.remap(face, strip[:, :1], strip[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]
        for strip in strips
    ]
    return np.concatenate(looked)
