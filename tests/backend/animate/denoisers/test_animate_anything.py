"""Animate-Anything: a mask as first channel, and the prompt's words beside the image."""

import json
import shutil
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from transformers import CLIPTokenizer
from transformers.models.clip.modeling_clip import CLIPTextModel, CLIPVisionModelWithProjection

from cyclorama.backend.animate.denoisers.loading import load
from cyclorama.backend.animate.denoisers.protocol import Shot
from cyclorama.bridge.errors import CycloramaError

from ....tiny_checkpoints import make_checkpoint

CPU = torch.device("cpu")
FRAMES, SIZE, STEPS = 3, 64, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "words", "animate-anything")


@pytest.fixture(scope="module")
def wordless_folder(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "wordless", "animate-anything", reads_prompts=False)


@pytest.fixture(scope="module")
def denoiser(folder):
    return load("animate-anything", str(folder), CPU)


@pytest.fixture(scope="module")
def shot():
    mask = torch.zeros(SIZE // 8, SIZE // 8)
    mask[:, 4:] = 1
    image = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(2)) * 2 - 1
    return Shot(image, mask, prompt="waves roll in", strength=1.0, seed=5)


def noise(shots=1):
    return torch.randn(shots, FRAMES, 4, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(1))


def by_the_book(folder, shot, noisy):
    """The sampler written out with the checkpoint's own parts: both passes in one batch, diffusers' Euler steps."""

    def part(cls, name) -> Any:
        return cls.from_pretrained(folder / name, variant="fp16", dtype=torch.float32)

    unet = part(UNetSpatioTemporalConditionModel, "unet")
    vae = part(AutoencoderKLTemporalDecoder, "vae")
    image_encoder = part(CLIPVisionModelWithProjection, "image_encoder")
    tokenizer, text_encoder = CLIPTokenizer.from_pretrained(folder / "tokenizer"), part(CLIPTextModel, "text_encoder")
    statistics = json.loads((folder / "feature_extractor/preprocessor_config.json").read_text())
    scheduler: Any = EulerDiscreteScheduler.from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(STEPS)

    mean, std = (torch.tensor(statistics[name])[:, None, None] for name in ("image_mean", "image_std"))
    embedding = image_encoder(((shot.image + 1) / 2 - mean)[None] / std).image_embeds[:, None]
    words = tokenizer([shot.prompt, ""], padding="max_length", max_length=16, return_tensors="pt").input_ids
    prompt, nothing = text_encoder(words).last_hidden_state[:, None]
    tokens = torch.cat([torch.cat([0 * embedding, nothing], 1), torch.cat([embedding, prompt], 1)])
    added_noise = torch.randn(shot.image.shape, generator=torch.Generator().manual_seed(shot.seed))
    still = vae.encode((shot.image + 0.02 * added_noise)[None]).latent_dist.mode()
    still = torch.cat([0 * still, still])[:, None].repeat(1, FRAMES, 1, 1, 1)
    mask = shot.mask.repeat(2, FRAMES, 1, 1, 1)
    added_times = torch.tensor([[6, 127, 0.02]] * 2)
    guidance = torch.linspace(1, 3, FRAMES)[:, None, None, None]
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(noisy, timestep).repeat(2, 1, 1, 1, 1)
        free, guided = unet(torch.cat([mask, scaled, still], 2), timestep, tokens, added_times).sample
        noisy = scheduler.step(free + guidance * (guided - free), timestep, noisy).prev_sample
    return noisy


def relative_error(found, true):
    return ((found - true).norm() / true.norm()).item()


@torch.no_grad()
def test_all_steps_give_what_the_sampler_written_out_gives(denoiser, folder, shot):
    levels = denoiser.noise_levels(STEPS)
    conditions = denoiser.prepare([shot], FRAMES, 7.0)
    latents = noise() * levels[0]
    for step in range(STEPS):
        share = levels[step + 1] / levels[step]
        latents = share * latents + (1 - share) * denoiser.predict(latents, step, levels, conditions)

    assert relative_error(latents, by_the_book(folder, shot, noise() * levels[0])) < 1e-4


def test_shots_predicted_together_or_alone_are_the_same(denoiser, shot):
    shots = [shot, replace(shot, prompt="", mask=1 - shot.mask)]
    conditions, levels = denoiser.prepare(shots, FRAMES, 7.0), denoiser.noise_levels(STEPS)
    noisy = noise(shots=2)

    together = denoiser.predict(noisy, 2, levels, conditions)
    alone = [denoiser.predict(noisy[i : i + 1], 2, levels, conditions[i : i + 1]) for i in range(2)]

    assert relative_error(torch.cat(alone), together) < 1e-5


@pytest.mark.parametrize(
    "change",
    [{"mask": torch.ones(SIZE // 8, SIZE // 8)}, {"prompt": "leaves fall"}, {"strength": 2.0}],
    ids=["mask", "prompt", "strength"],
)
def test_mask_prompt_and_strength_have_an_effect(denoiser, shot, change):
    levels = denoiser.noise_levels(STEPS)
    usual, other = (denoiser.prepare([asked], FRAMES, 7.0) for asked in (shot, replace(shot, **change)))

    assert denoiser.takes_prompt and denoiser.takes_strength
    difference = relative_error(
        denoiser.predict(noise(), 2, levels, other), denoiser.predict(noise(), 2, levels, usual)
    )
    assert difference > 1e-5


def test_without_a_text_encoder_prompts_are_not_taken(wordless_folder, shot):
    wordless = load("animate-anything", str(wordless_folder), CPU)

    silent, told = wordless.prepare([replace(shot, prompt=""), shot], FRAMES, 7.0)

    assert not wordless.takes_prompt
    assert all(torch.equal(silent[name], told[name]) for name in silent)


def test_prompts_longer_than_the_tokenizer_reads_are_cut(denoiser, shot):
    (condition,) = denoiser.prepare([replace(shot, prompt="water " * 100)], FRAMES, 7.0)

    assert condition["tokens"].shape == condition["free_tokens"].shape == (1 + 16, 32)


def test_memory_counts_the_words_too(denoiser, wordless_folder):
    wordless = load("animate-anything", str(wordless_folder), CPU)

    assert denoiser.predict_bytes(1, FRAMES, 8, 8) > wordless.predict_bytes(1, FRAMES, 8, 8)
    assert denoiser.prepare_bytes(8, 8) > wordless.prepare_bytes(8, 8)


def test_a_checkpoint_without_a_mask_channel_is_refused(tmp_path):
    folder = make_checkpoint(tmp_path / "svd", "svd")

    with pytest.raises(CycloramaError, match="has 8 input channels, but 9 are needed") as refused:
        load("animate-anything", str(folder), CPU)

    assert refused.value.hint == "It is for --model svd."


def test_a_text_encoder_of_the_wrong_size_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "checkpoint")
    config = CLIPTextModel.from_pretrained(folder / "text_encoder", variant="fp16").config
    config.hidden_size = 64
    CLIPTextModel(config).half().save_pretrained(tmp_path / "checkpoint/text_encoder", variant="fp16")

    with pytest.raises(CycloramaError, match=r"text_encoder .* gives 64 features, but its unet takes 32"):
        load("animate-anything", str(tmp_path / "checkpoint"), CPU)


def test_without_a_folder_it_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setenv("CYCLORAMA_MODELS", str(tmp_path))

    with pytest.raises(CycloramaError) as refused:
        load("animate-anything", "", CPU)

    assert refused.value.code == "checkpoint-needed"
    assert "animate_anything_svd_v1.0" in refused.value.hint
