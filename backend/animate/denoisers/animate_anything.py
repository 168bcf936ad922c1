"""Animate-Anything on Stable Video Diffusion: told by a mask what may move, and, if trained so, by words how.

The first input channel is the mask, the same in all frames, with guidance and without (Animate-Anything, arXiv
2311.12886, and its SVD version 1.0).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers.models.clip.modeling_clip import CLIPTextModel

from ...models.checkpoints import Checkpoint
from .protocol import Conditions, Shot
from .spatio_temporal import COMPONENTS as IMAGE_COMPONENTS
from .spatio_temporal import SpatioTemporalDenoiser

COMPONENTS = (*IMAGE_COMPONENTS, "tokenizer", "text_encoder")


class AnimateAnything(SpatioTemporalDenoiser):
    """Nine input channels: the mask, the noisy latents, the latents of the image.

    If the checkpoint has a tokenizer and a text encoder, the prompt's tokens follow the image's embedding; without
    guidance they are those of the empty prompt. The public checkpoint has none.

    Args and errors: as ``SpatioTemporalDenoiser``.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype):
        self.takes_prompt = checkpoint.has("tokenizer") and checkpoint.has("text_encoder")
        encoders = {}
        if self.takes_prompt:
            self._tokenizer = checkpoint.tokenizer()
            encoders["text_encoder"] = self._text_encoder = checkpoint.model("text_encoder", CLIPTextModel, dtype)
        super().__init__(checkpoint, device, dtype, in_channels=9, encoders=encoders)
        if self.takes_prompt:
            self._check_features("text_encoder", self._text_encoder.config.hidden_size)

    def prepare_bytes(self, rows: int, columns: int) -> int:
        """See the protocol."""
        most = super().prepare_bytes(rows, columns)
        if not self.takes_prompt:
            return most
        words = torch.zeros(1, self._tokenizer.model_max_length, dtype=torch.long)
        return max(most, self._bytes("text_encoder", lambda: self._text_encoder(words)))

    def _tokens(self, shots: Sequence[Shot], between: Callable[[], None]) -> list[tuple[Tensor, Tensor]]:
        tokens = super()._tokens(shots, between)
        if not self.takes_prompt:
            return tokens
        self._turns.bring("text_encoder")
        nothing = self._read("")
        return [
            (torch.cat([image, self._read(shot.prompt)]), torch.cat([no_image, nothing]))
            for shot, (image, no_image) in zip(shots, tokens, strict=True)
        ]

    def _condition(self, shot: Shot, fps: float) -> dict[str, Tensor]:
        may_move = (shot.mask > 0).float()  # it was trained with masks of 0 and 1
        return {**super()._condition(shot, fps), "mask": may_move.cpu()}

    def _empty_condition(self, rows: int, columns: int) -> dict[str, Tensor]:
        empty = super()._empty_condition(rows, columns) | {"mask": torch.empty(rows, columns)}
        if not self.takes_prompt:
            return empty
        tokens = empty["tokens"].repeat(1 + self._tokenizer.model_max_length, 1)
        return empty | {"tokens": tokens, "free_tokens": tokens}

    def _channels(self, scaled: Tensor, image_latents: Tensor, conditions: Conditions) -> Tensor:
        mask = conditions["mask"][:, None, None].expand(-1, scaled.shape[1], -1, -1, -1)
        return torch.cat([mask, scaled, image_latents], dim=2)

    def _read(self, prompt: str) -> Tensor:
        """The prompt's tokens (token, feature), always as many."""
        words = self._tokenizer(prompt, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return self._text_encoder(words.to(self._device)).last_hidden_state[0].cpu()
