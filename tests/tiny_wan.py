"""Tiny Wan checkpoints of random weights, in the real classes and layout: ``python tests/tiny_wan.py KIND FOLDER``."""

from __future__ import annotations

import json
import string
import sys
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.pipelines.wan.pipeline_wan_i2v import WanImageToVideoPipeline
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from diffusers.utils.logging import set_verbosity_error as quieten_diffusers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    T5TokenizerFast,  # pyright: ignore[reportAttributeAccessIssue]
    UMT5Config,
    UMT5EncoderModel,
)

IMAGE_SIDE = 32
TEXT_CHANNELS = 32
IMAGE_CHANNELS = 16

KINDS: dict[str, dict[str, Any]] = {
    "wan-2.1": {"in_channels": 36, "sees_image": True},
    "wan-2.2-a14b": {"in_channels": 36, "boundary_ratio": 0.9},
    "wan-2.2-5b": {"in_channels": 48, "expand_timesteps": True},
    "wan-text-to-video": {"in_channels": 16},
}
"""What tells the kinds of checkpoint apart. The last one cannot take an image."""


def make(kind: str, folder: Path) -> Path:
    """Write the checkpoint of that kind (a key of ``KINDS``) into ``folder``, about 1 MB. Returns ``folder``.

    Its pictures are 8 pixels a latent (16 for "wan-2.2-5b"), its latents a quarter of the frames.
    """
    facts = KINDS[kind]
    quieten_diffusers()  # its bars and its notes about components that are absent on purpose
    wide = facts["in_channels"] == 48
    pipeline = WanImageToVideoPipeline(
        tokenizer=_tokenizer(),
        text_encoder=_text_encoder(),
        vae=_wide_vae() if wide else _vae(),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0, num_train_timesteps=1000
        ),
        image_encoder=_image_encoder() if facts.get("sees_image") else None,
        transformer=_transformer(facts, seed=3),
        transformer_2=_transformer(facts, seed=4) if "boundary_ratio" in facts else None,
        boundary_ratio=facts.get("boundary_ratio"),
        expand_timesteps=facts.get("expand_timesteps", False),
    )
    pipeline.save_pretrained(folder)
    if facts.get("sees_image"):
        _add_image_processor(folder)
    if facts.get("expand_timesteps"):  # the public one names the pipeline that goes without an image as well
        _amend_index(folder, _class_name="WanPipeline")
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\nRandom weights.\n")
    return folder


def _transformer(facts: dict[str, Any], seed: int) -> WanTransformer3DModel:
    torch.manual_seed(seed)
    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=facts["in_channels"],
        out_channels=48 if facts["in_channels"] == 48 else 16,
        text_dim=TEXT_CHANNELS,
        freq_dim=32,
        ffn_dim=32,
        num_layers=3,
        image_dim=IMAGE_CHANNELS if facts.get("sees_image") else None,
        added_kv_proj_dim=24 if facts.get("sees_image") else None,
        rope_max_seq_len=64,
    )


def _vae() -> AutoencoderKLWan:
    torch.manual_seed(1)
    return AutoencoderKLWan(base_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1)


def _wide_vae() -> AutoencoderKLWan:
    """As that of Wan 2.2 5B: pixels are put together in twos first, and each level has a short cut."""
    torch.manual_seed(1)
    return AutoencoderKLWan(
        base_dim=4,
        decoder_base_dim=4,
        z_dim=48,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=torch.linspace(-0.5, 0.5, 48).tolist(),
        latents_std=torch.linspace(0.4, 1.2, 48).tolist(),
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
    )


def _text_encoder() -> UMT5EncoderModel:
    torch.manual_seed(2)
    return UMT5EncoderModel(
        UMT5Config(vocab_size=64, d_model=TEXT_CHANNELS, d_kv=8, d_ff=32, num_layers=2, num_heads=4, dropout_rate=0.0)
    )


def _image_encoder() -> CLIPVisionModel:
    torch.manual_seed(5)
    return CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=IMAGE_CHANNELS,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=IMAGE_SIDE,
            patch_size=16,
        )
    )


def _tokenizer() -> T5TokenizerFast:
    """Every letter a token, as T5 does with words that it does not know."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -5.0), ("▁", -2.0), *((c, -3.0) for c in string.ascii_lowercase)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.Metaspace()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return T5TokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>", extra_ids=0
    )


def _add_image_processor(folder: Path) -> None:
    """Written by hand: its class in transformers is another one where torchvision is not installed."""
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": IMAGE_SIDE},
        "crop_size": {"height": IMAGE_SIDE, "width": IMAGE_SIDE},
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "rescale_factor": 1 / 255,
        **dict.fromkeys(("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"), True),
    }
    (folder / "image_processor").mkdir()
    (folder / "image_processor" / "preprocessor_config.json").write_text(json.dumps(processor, indent=2))
    _amend_index(folder, image_processor=["transformers", "CLIPImageProcessor"])


def _amend_index(folder: Path, **entries: Any) -> None:
    index = json.loads((folder / "model_index.json").read_text()) | entries
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]))
