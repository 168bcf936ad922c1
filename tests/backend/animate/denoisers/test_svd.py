"""Stable Video Diffusion behind our protocol is the model that diffusers' own pipeline runs."""

import json
import shutil
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import StableVideoDiffusionPipeline

from cyclorama.backend.animate.denoisers.loading import load
from cyclorama.backend.animate.denoisers.protocol import Shot
from cyclorama.bridge.errors import CycloramaError

from ....tiny_checkpoints import make_checkpoint

CPU = torch.device("cpu")
FRAMES, SIZE = 4, 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "svd")


@pytest.fixture(scope="module")
def svd(folder):
    return load("svd", str(folder), CPU)


@pytest.fixture(scope="module")
def shot():
    return Shot(picture(), torch.ones(SIZE // 8, SIZE // 8), prompt="", strength=1.0, seed=5)


def picture(size=SIZE):
    """(3, size, size) in -1..1, smooth."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    return torch.stack([0.8 * x, 0.6 * y, 0.7 * torch.sin(4 * x * y)])


def noise(shots=1, frames=FRAMES):
    return torch.randn(shots, frames, 4, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(1))


def denoised(denoiser, noisy, conditions, steps):
    """All Euler steps, as ``protocol.py`` describes them."""
    levels = denoiser.noise_levels(steps)
    for step in range(steps):
        share = levels[step + 1] / levels[step]
        noisy = share * noisy + (1 - share) * denoiser.predict(noisy, step, levels, conditions)
    return noisy


def with_scheduler(folder, target, **changes):
    shutil.copytree(folder, target)
    file = target / "scheduler/scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return target


def relative_error(found, true):
    return ((found - true).norm() / true.norm()).item()


@pytest.mark.parametrize(
    "scheduler", [{}, {"prediction_type": "epsilon", "use_karras_sigmas": False}], ids=["as it is", "predicts noise"]
)
def test_all_steps_give_what_diffusers_pipeline_gives(folder, tmp_path, shot, scheduler):
    there = with_scheduler(folder, tmp_path / "checkpoint", **scheduler)
    pipeline = StableVideoDiffusionPipeline.from_pretrained(there, variant="fp16", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    theirs: Any = pipeline(
        (shot.image[None] + 1) / 2,
        height=SIZE,
        width=SIZE,
        num_frames=FRAMES,
        num_inference_steps=5,
        fps=12,
        motion_bucket_id=round(127 * 1.4),
        generator=torch.Generator().manual_seed(shot.seed),
        latents=noise(),
        output_type="latent",
    )

    ours = load("svd", str(there), CPU)
    conditions = ours.prepare([replace(shot, strength=1.4)], FRAMES, 12.0)
    pipeline.scheduler.set_timesteps(5)
    found = denoised(ours, noise() * pipeline.scheduler.init_noise_sigma, conditions, 5)

    assert relative_error(found, theirs.frames) < 1e-4


def test_shots_predicted_together_or_alone_are_the_same(svd, shot):
    shots = [shot, replace(shot, image=-shot.image, strength=0.3, seed=6), replace(shot, seed=7)]
    conditions = svd.prepare(shots, FRAMES, 7.0)
    levels, noisy = svd.noise_levels(5), 10 * noise(shots=3)

    together = svd.predict(noisy, 2, levels, conditions)
    alone = [svd.predict(noisy[i : i + 1], 2, levels, conditions[i : i + 1]) for i in range(3)]

    assert relative_error(torch.cat(alone), together) < 1e-5
    assert relative_error(together[2], together[1]) > 0.01


def test_what_is_asked_of_the_motion_is_told_to_the_model(svd, shot):
    calm, wild = svd.prepare([replace(shot, strength=0.0), replace(shot, strength=9.0)], FRAMES, 7.0)
    slow, fast = (svd.prepare([shot], FRAMES, fps)[0] for fps in (1.0, 120.0))

    assert calm["added_times"].tolist() == pytest.approx([6, 1, 0.02])
    assert wild["added_times"].tolist() == pytest.approx([6, 255, 0.02])
    assert (slow["added_times"][0], fast["added_times"][0]) == (4, 29)
    levels = svd.noise_levels(5)
    assert relative_error(svd.predict(noise(), 3, levels, [calm]), svd.predict(noise(), 3, levels, [wild])) > 1e-4


def test_guidance_pulls_later_frames_more(svd, shot):
    (condition,) = svd.prepare([shot], FRAMES, 7.0)
    unguided = condition | {
        "image_latents": torch.zeros_like(condition["image_latents"]),
        "tokens": condition["free_tokens"],
    }
    levels, noisy = svd.noise_levels(5), noise()[:, :1].repeat(1, FRAMES, 1, 1, 1)

    pull = svd.predict(noisy, 0, levels, [condition]) - svd.predict(noisy, 0, levels, [unguided])

    strengths = pull[0].flatten(1).norm(dim=1)
    assert (strengths / strengths[0]).tolist() == pytest.approx([1, 5 / 3, 7 / 3, 3], rel=0.1)


def test_the_seed_decides_the_noise_on_the_image_and_nothing_else(svd, shot):
    first, same, other = svd.prepare([shot, shot, replace(shot, seed=6)], FRAMES, 7.0)

    assert torch.equal(first["image_latents"], same["image_latents"])
    assert not torch.equal(first["image_latents"], other["image_latents"])
    assert torch.equal(first["tokens"], other["tokens"])


def test_noise_levels_are_the_schedulers_and_end_at_zero(svd):
    levels = svd.noise_levels(25)

    assert len(levels) == 26
    assert levels[0] == pytest.approx(700) and levels[-2] == pytest.approx(0.002) and levels[-1] == 0
    assert list(levels) == sorted(levels, reverse=True)


def test_a_still_image_stands_still_and_comes_back(svd):
    image = picture(128)

    latents = svd.encode_still(image, 3)
    video = svd.decode(latents, 3)

    assert latents.shape == (3, 4, 16, 16) and video.shape == (3, 3, 128, 128)
    assert torch.equal(latents[0], latents[2])
    inside = (..., slice(16, -16), slice(16, -16))  # the padding of convolutions darkens the rim
    assert (video - image)[inside].square().mean().sqrt() < 0.05


def test_noise_levels_that_do_not_end_at_zero_are_refused(folder, tmp_path):
    with_scheduler(folder, tmp_path / "checkpoint", final_sigmas_type="sigma_min")

    with pytest.raises(CycloramaError, match="its noise levels do not fall from step to step to 0") as refused:
        load("svd", str(tmp_path / "checkpoint"), CPU)

    assert refused.value.code == "checkpoint-wrong-scheduler"


def test_weights_in_another_precision_have_another_fingerprint(folder, svd):
    here, gpu = load("svd", str(folder), CPU), load("svd", str(folder), torch.device("cuda"))
    assert here.fingerprint == svd.fingerprint != gpu.fingerprint


def test_more_frames_than_the_model_was_trained_on_are_refused(svd):
    assert svd.latent_frames(14) == svd.default_frames == 14
    with pytest.raises(CycloramaError) as refused:
        svd.latent_frames(30)

    assert refused.value.code == "too-many-frames"
    assert refused.value.sentence == "The model svd makes at most 14 frames; 30 were asked for."


def test_memory_grows_with_what_is_predicted_at_once(svd):
    one, two = (svd.predict_bytes(shots, 14, 8, 8) for shots in (1, 2))
    weights = svd.predict_bytes(1, 1, 4, 4)

    assert weights < one < two < 2 * one
    assert svd.tile_bytes(14, 32, 32) > svd.tile_bytes(14, 8, 8) > weights / 2
    assert svd.prepare_bytes(64, 64) > svd.prepare_bytes(8, 8) > weights / 2


def test_it_works_on_after_a_release(svd, shot):
    conditions, levels = svd.prepare([shot], FRAMES, 7.0), svd.noise_levels(5)
    before = svd.predict(noise(), 1, levels, conditions)

    svd.release()

    assert torch.equal(svd.predict(noise(), 1, levels, conditions), before)


def test_a_checkpoint_with_a_mask_channel_is_refused(tmp_path):
    folder = make_checkpoint(tmp_path / "masked", "animate-anything", reads_prompts=False)

    with pytest.raises(CycloramaError, match="has 9 input channels, but 8 are needed") as refused:
        load("svd", str(folder), CPU)

    assert refused.value.hint == "It is for --model animate-anything."


def test_another_scheduler_is_refused(folder, tmp_path):
    with_scheduler(folder, tmp_path / "checkpoint", _class_name="DDIMScheduler")

    with pytest.raises(CycloramaError, match="is of the class DDIMScheduler, but EulerDiscreteScheduler is needed"):
        load("svd", str(tmp_path / "checkpoint"), CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("placement", ["whole", "blocks"])
def test_on_a_gpu_only_the_network_in_use_takes_memory(folder, svd, shot, placement):
    there = load("svd", str(folder), torch.device("cuda"))
    there.place(placement)
    levels, conditions = svd.noise_levels(5), svd.prepare([shot], FRAMES, 7.0)
    torch.cuda.reset_peak_memory_stats()

    found = there.predict(noise(), 3, levels, there.prepare([shot], FRAMES, 7.0))

    assert relative_error(found, svd.predict(noise(), 3, levels, conditions)) < 0.02
    assert torch.cuda.max_memory_allocated() < 1.1 * there.predict_bytes(1, FRAMES, 8, 8) + 2**26
    there.release()
    assert torch.cuda.memory_allocated() < 2**24
