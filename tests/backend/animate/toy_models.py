"""Video models simple enough to know what they must give, behind the protocol of the real ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class ToyModel:
    """Latents are the means of 8 x 8 pixels (and a fourth channel of zeros); ``clean`` is what it predicts.

    Args:
        clean: (noisy, level, conditions) -> clean latents; the conditions hold "image" (frame, channel, row, column),
            "mask", "strength" and "prompt" (length of the prompt).
    """

    name, licence, fingerprint = "toy", "CC0-1.0", "toy"
    scale, multiple, channels = 8, 1, 4
    takes_prompt = takes_strength = True
    default_frames = most_frames = 14
    default_fps = 7.0
    placements = ("whole",)
    weights_bytes = 0

    def __init__(self, clean: Callable[[Tensor, float, dict], Tensor]):
        self.clean = clean
        self.batches: list[int] = []
        self.noisy: list[tuple[int, Tensor]] = []
        self.shots = []
        self.decoded = 0
        """Tiles of video."""

    def latent_frames(self, frames):
        return frames

    def noise_levels(self, steps):
        rho = 7.0
        ramp = torch.linspace(0, 1, steps)
        levels = (80.0 ** (1 / rho) + ramp * (0.02 ** (1 / rho) - 80.0 ** (1 / rho))) ** rho
        return (*levels.tolist(), 0.0)

    def prepare(self, shots, frames, fps, between=lambda: None):
        self.shots += shots
        for _ in shots:
            between()
        return [
            {
                "image": self.encode_still(shot.image, frames),
                "mask": shot.mask,
                "strength": torch.tensor(shot.strength),
                "prompt": torch.tensor(len(shot.prompt)),
            }
            for shot in shots
        ]

    def predict(self, noisy, step, levels, conditions):
        self.batches.append(len(noisy))
        self.noisy.append((step, noisy))
        return torch.stack([self.clean(one, levels[step], told) for one, told in zip(noisy, conditions, strict=True)])

    def encode_still(self, image, frames):
        small = torch.nn.functional.avg_pool2d(image, 8)
        latents = torch.cat([small, torch.zeros_like(small[:1])])
        return latents.expand(frames, -1, -1, -1).clone()

    def decode(self, latents, frames):
        self.decoded += frames > 1
        return torch.nn.functional.interpolate(latents[:, :3], scale_factor=8, mode="nearest")

    def place(self, placement): ...

    def predict_bytes(self, shots, frames, rows, columns):
        return 1000 + 1000 * shots

    def tile_bytes(self, frames, rows, columns):
        return 1000

    def prepare_bytes(self, rows, columns):
        return 1000

    def release(self): ...


def swaying(noisy, level, told):
    """The image, brighter and darker from frame to frame: smooth where the image is, blind to noise."""
    frames = torch.arange(len(noisy)).reshape(-1, 1, 1, 1)
    return told["image"] * (1 + 0.3 * torch.sin(frames * told["strength"]))


def restless(noisy, level, told):
    """Depends on everything: a small convolutional net, zero-padded like the real ones."""
    weight = torch.randn(4, 4, 3, 3, generator=torch.Generator().manual_seed(0)) / 6
    scaled = noisy / (level**2 + 1) ** 0.5
    seen = torch.nn.functional.conv2d(scaled, weight, padding=1)
    return torch.tanh(seen + torch.nn.functional.conv2d(seen.roll(1, 0), weight, padding=1)) * told["strength"]
