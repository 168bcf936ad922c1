"""What the panoramic denoiser asks of a perspective video diffusion model, Φ in 4K4DGen (section 3.1).

Both kinds of model we use follow the same straight path. With x the noisy latent at noise level σ and x̂ the clean one
that the model predicts from it, an Euler step to the lower level σ' is x' = (σ'/σ) x + (1 - σ'/σ) x̂: where noise is
added, as in Stable Video Diffusion (x = x₀ + σ·noise), as well as in flow matching (x = (1 - σ) x₀ + σ·noise). So a
model only has to predict x̂; the step is taken on the sphere, by the panoramic denoiser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

Latents = Float[Tensor, "frame channel row column"]
"""Latents of one view; a frame here is a latent frame (Wan compresses time, Stable Video Diffusion does not)."""

Conditions = Mapping[str, Tensor]
"""What ``prepare`` made of a shot, on the CPU: embeddings, image latents; each model knows its own."""


@dataclass(frozen=True)
class Shot:
    """What one run of the model is told: a view of the panorama, and what shall happen in it.

    Attributes:
        image: (3, height, width) float32 in -1..1, sRGB: the still view that is animated.
        mask: (height / scale, width / scale) float32 in 0..1: 1 where it may move.
        prompt: what shall move, and how; "" for nothing in particular.
        strength: how much shall move; 1 is the model's usual motion, 0 the least.
        seed: of the noise that some models add to the image.
    """

    image: Float[Tensor, "3 height width"]
    mask: Float[Tensor, "rows columns"]
    prompt: str
    strength: float
    seed: int


class Denoiser(Protocol):
    """One perspective video diffusion model, loaded.

    Attributes:
        name: the checkpoint, as the scene's notes name it (hub id, or a folder's own name without its path).
        licence: SPDX id or the licence's name, "" when the checkpoint does not say.
        fingerprint: the same only for the same weights and settings in the same precision.
        scale: pixels per latent, along each side of the image.
        multiple: views have to be a multiple of so many latents high and wide.
        channels: of a latent.
        takes_prompt, takes_strength: whether those of a ``Shot`` have any effect.
        default_frames, default_fps: length and rate of the videos it was trained on.
        most_frames: longest video it can make.
        placements: ways to lay the weights out, fastest first: "whole" (the network in use lies on the device), then,
            on a GPU, "blocks" (its blocks come to the device one after the other, for little memory).
        weights_bytes: of all its networks together.
    """

    name: str
    licence: str
    fingerprint: str
    scale: int
    multiple: int
    channels: int
    takes_prompt: bool
    takes_strength: bool
    default_frames: int
    default_fps: float
    most_frames: int
    placements: tuple[str, ...]
    weights_bytes: int

    def latent_frames(self, frames: int) -> int:
        """Latent frames of a video of ``frames``. Raises ``too-many-frames``, ``frames-not-possible``."""
        ...

    def noise_levels(self, steps: int) -> tuple[float, ...]:
        """``steps`` + 1 falling noise levels σ, from the checkpoint's own scheduler; the last is 0."""
        ...

    def prepare(
        self, shots: Sequence[Shot], frames: int, fps: float, between: Callable[[], None] = lambda: None
    ) -> list[Conditions]:
        """What the model has to know of each shot in all steps; one shot at a time is on the device.

        ``between`` is called before every use of a network, and may raise to stop.
        """
        ...

    def predict(
        self,
        noisy: Float[Tensor, "shot frame channel row column"],
        step: int,
        levels: Sequence[float],
        conditions: Sequence[Conditions],
    ) -> Float[Tensor, "shot frame channel row column"]:
        """The clean latents x̂ predicted from the noisy ones at noise level ``levels[step]``; float32 on the CPU or the
        device of ``noisy``, whichever ``noisy`` is on. Classifier-free guidance is done inside.

        ``levels`` are those of ``noise_levels(steps)``.
        """
        ...

    def encode_still(self, image: Float[Tensor, "3 height width"], frames: int) -> Latents:
        """Latents of the video in which ``image`` (-1..1) stands still; float32, scaled as the model has them.

        For one tile or one view: the whole image is encoded at once.
        """
        ...

    def decode(self, latents: Latents, frames: int) -> Float[Tensor, "frame 3 height width"]:
        """The video of one tile of latents, float32, about -1..1; ``encode_still``'s image, but for the VAE's error."""
        ...

    def place(self, placement: str) -> None:
        """Lay the weights out as one of ``placements`` says, from the next ``predict`` on. Results stay the same."""
        ...

    def predict_bytes(self, shots: int, frames: int, rows: int, columns: int) -> int:
        """Device memory that ``predict`` takes at its peak, as placed now; found without computing anything.

        That is the weights on the device (on a CPU those of all networks) and the activations, for so many shots at
        once, of ``frames`` of video and ``rows`` x ``columns`` latents.
        """
        ...

    def tile_bytes(self, frames: int, rows: int, columns: int) -> int:
        """Device memory that ``encode_still`` or ``decode`` (the greater) takes for one tile; as ``predict_bytes``."""
        ...

    def prepare_bytes(self, rows: int, columns: int) -> int:
        """Device memory that ``prepare`` of one shot takes, or ``encode_still`` of a whole view (the greater), of so
        many latents; as ``predict_bytes``.
        """
        ...

    def release(self) -> None:
        """Give back the device's memory; the model can still be used and is brought back when it is."""
        ...
