"""Stable Video Diffusion: an image comes alive, all of it; regions are held by whoever calls it."""

from __future__ import annotations

import torch
from torch import Tensor

from ...models.checkpoints import Checkpoint
from .protocol import Conditions
from .spatio_temporal import COMPONENTS, SpatioTemporalDenoiser

__all__ = ["COMPONENTS", "StableVideoDiffusion"]


class StableVideoDiffusion(SpatioTemporalDenoiser):
    """Eight input channels: the noisy latents, and the latents of the image. Knows neither masks nor prompts.

    Args and errors: as ``SpatioTemporalDenoiser``.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype):
        super().__init__(checkpoint, device, dtype, in_channels=8)

    def _channels(self, scaled: Tensor, image_latents: Tensor, conditions: Conditions) -> Tensor:
        return torch.cat([scaled, image_latents], dim=2)
