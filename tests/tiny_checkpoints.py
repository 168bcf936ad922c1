"""Makes tiny checkpoints of the Stable Video Diffusion family: the real classes, the real layout on disk, no training.

    python tests/tiny_checkpoints.py FOLDER --kind svd

Most weights are random, from a fixed seed; a few are set so that pictures come out as pictures. The VAE averages 8 x 8
pixels and blends between them. The UNet keeps the given image, takes most of the noise away, and adds a little of what
its random layers make of everything it is told.

The picture's way through the networks are pairs of channels (+x, 0) and (-x, 0), so faint that group normalisation
changes only their gain and their mean: x is the difference of the two of a pair, and SiLU(a) - SiLU(-a) = a.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import StableVideoDiffusionPipeline
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.utils.logging import set_verbosity_error as quieten_diffusers
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)
from transformers.utils.logging import disable_progress_bar

CARD = "---\nlicense: cc0-1.0\n---\nRandom weights: a checkpoint for tests.\n"
SCHEDULER = {  # that of stable-video-diffusion-img2vid
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "interpolation_type": "linear",
    "prediction_type": "v_prediction",
    "sigma_max": 700.0,
    "sigma_min": 0.002,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "timestep_type": "continuous",
    "trained_betas": None,
    "use_karras_sigmas": True,
}
IMAGE_SIZE = 64  # pixels, of what the image encoder sees
FEATURES = 32
FRAMES = 14
FAINT = {1e-6: 1e-4, 1e-5: 3e-4}
"""Gain of the picture's channels, by the epsilon of the group normalisation that they pass."""
RANDOM_SHARE = {"vae": 0.01, "unet": 0.1}  # of random layers in the picture's channels
NOISE_KEPT = 1.5  # v = 1.5 noisy - 0.87 image leads from noise to the image and exp(-1.5 pi / 2) of the noise
IMAGE_TAKEN = 0.87
LATENT_GAIN = 8.0  # unscaled latents of a picture in -1..1
COLOURS_TO_LATENTS = torch.tensor([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1]]) / 2.0

POINT = torch.tensor([[0, 0, 0], [0, 1, 0], [0, 0, 0]]).float()
AVERAGE = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 0]]) / 4  # of the 2 x 2 pixels that become one
BLEND = torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16  # of repeated pixels: linear interpolation


def make_checkpoint(folder: Path, kind: str = "svd", *, reads_prompts: bool = True) -> Path:
    """Write a tiny checkpoint of Stable Video Diffusion ("svd") or of "animate-anything". Returns ``folder``."""
    quieten_diffusers()  # its notes about half precision
    disable_progress_bar()
    torch.manual_seed(0)
    pipeline = StableVideoDiffusionPipeline(
        vae=_vae(),
        image_encoder=_image_encoder(),
        unet=_unet(9 if kind == "animate-anything" else 8),
        scheduler=EulerDiscreteScheduler(**SCHEDULER),
        feature_extractor=CLIPImageProcessorPil(size={"shortest_edge": IMAGE_SIZE}, crop_size=IMAGE_SIZE),  # pyright: ignore
    )
    pipeline.to(torch.float16)
    pipeline.save_pretrained(folder, safe_serialization=True, variant="fp16")
    (folder / "README.md").write_text(CARD, "utf-8")
    if kind == "animate-anything" and reads_prompts:
        _add_text(folder)
    return folder


def _image_encoder() -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        projection_dim=FEATURES,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=IMAGE_SIZE,
        patch_size=16,
    )
    return CLIPVisionModelWithProjection(config)


def _vae() -> AutoencoderKLTemporalDecoder:
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(64, 32, 32, 64),  # pyright: ignore[reportArgumentType] (their annotation says a 1-tuple)
        down_block_types=("DownEncoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        sample_size=64,
    ).requires_grad_(False)
    gain = FAINT[1e-6]
    for network in (vae.encoder, vae.decoder):
        _quieten(network, 12, RANDOM_SHARE["vae"] * gain)
    _enter(vae.encoder.conv_in, torch.eye(3) * gain)
    for block in list(vae.encoder.down_blocks)[:-1]:
        _pass(block.downsamplers[0].conv, 12, AVERAGE)  # pyright: ignore
    _leave(vae.encoder.conv_out, COLOURS_TO_LATENTS * LATENT_GAIN / gain * 1e-3)
    _enter(vae.decoder.conv_in, COLOURS_TO_LATENTS.T / LATENT_GAIN * gain)
    for block in list(vae.decoder.up_blocks)[:-1]:
        _pass(block.upsamplers[0].conv, 12, BLEND)  # pyright: ignore
    _leave(vae.decoder.conv_out, torch.eye(3) / gain * 1e-3)
    vae.quant_conv.weight.copy_(torch.eye(8)[:, :, None, None])
    vae.quant_conv.bias.zero_()
    vae.decoder.time_conv_out.weight.copy_(
        torch.eye(3)[:, :, None, None, None] * torch.tensor([0, 1, 0])[:, None, None]
    )
    vae.decoder.time_conv_out.bias.zero_()
    return vae


def _unet(in_channels: int) -> UNetSpatioTemporalConditionModel:
    unet = UNetSpatioTemporalConditionModel(
        sample_size=8,
        in_channels=in_channels,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        block_out_channels=(64, 32),
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=3 * 32,
        layers_per_block=1,
        cross_attention_dim=FEATURES,
        num_attention_heads=(2, 1),
        num_frames=FRAMES,
    ).requires_grad_(False)
    gain = FAINT[1e-5]
    _quieten(unet, 16, RANDOM_SHARE["unet"] * gain)
    last = unet.up_blocks[-1].resnets[-1].spatial_res_block.conv_shortcut  # pyright: ignore
    _pass(last, 16, torch.ones(1, 1), first_input=64)  # the picture comes straight from conv_in
    wanted = torch.zeros(4, in_channels)
    wanted[:, in_channels - 8 : in_channels - 4] = NOISE_KEPT * torch.eye(4)
    wanted[:, in_channels - 4 :] = -IMAGE_TAKEN * 0.18215 * torch.eye(4)
    _enter(unet.conv_in, wanted * gain)
    _leave(unet.conv_out, torch.eye(4) / gain * 1e-5**0.5)
    return unet


def _quieten(network: nn.Module, channels: int, share: float) -> None:
    """Let what random layers add to the first ``channels`` be ``share`` of it, and shortcuts keep those."""
    for name, layer in network.named_modules():
        if name.endswith(("conv2", "proj_out", "to_out.0")) and "transformer_blocks" not in name:
            layer.weight[:channels] *= share  # pyright: ignore
            layer.bias[:channels] *= share  # pyright: ignore
        elif name.endswith("conv_shortcut") and isinstance(layer, nn.Conv2d):
            _pass(layer, channels, torch.ones(1, 1))


def _pass(conv: nn.Conv2d, channels: int, kernel: Tensor, first_input: int = 0) -> None:
    """Let ``conv`` do nothing to its first ``channels`` but filter each with ``kernel``."""
    conv.weight[:channels] = 0
    conv.bias[:channels] = 0  # pyright: ignore[reportOptionalSubscript]
    for channel in range(channels):
        conv.weight[channel, first_input + channel] = kernel


def _enter(conv: nn.Conv2d, matrix: Tensor) -> None:
    """Let ``conv`` begin the picture's channels: (+x, 0, -x, 0) of each x, a row of ``matrix`` times the input."""
    conv.weight[: 4 * len(matrix)] = 0
    conv.bias[: 4 * len(matrix)] = 0  # pyright: ignore[reportOptionalSubscript]
    for first, sign in ((0, 1), (2, -1)):
        conv.weight[first : 4 * len(matrix) : 4] = sign * matrix[:, :, None, None] * POINT


def _leave(conv: nn.Conv2d, matrix: Tensor) -> None:
    """Let the output of ``conv`` be ``matrix`` times the picture, from its channels."""
    conv.weight[:] = 0
    conv.bias[:] = 0  # pyright: ignore[reportOptionalSubscript]
    for first, sign in enumerate((1, -1, -1, 1)):
        conv.weight[: len(matrix), first : 4 * matrix.shape[1] : 4] = sign * matrix[:, :, None, None] * POINT


def _add_text(folder: Path) -> None:
    """A tokenizer of single letters, and a text encoder, beside the pipeline's own components."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=16).save_pretrained(folder / "tokenizer")
    config = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=FEATURES,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
    )
    CLIPTextModel(config).to(torch.float16).save_pretrained(folder / "text_encoder", variant="fp16")
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    index |= {"tokenizer": ["transformers", "CLIPTokenizer"], "text_encoder": ["transformers", "CLIPTextModel"]}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make a tiny checkpoint with random weights, for --model tiny.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", choices=("svd", "animate-anything"), default="svd")
    return parser.parse_args()


if __name__ == "__main__":
    asked = _arguments()
    print(make_checkpoint(asked.folder, asked.kind))
