"""Wan image-to-video: the same videos as diffusers' own pipeline makes, for all three kinds of checkpoint."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.pipelines.wan.pipeline_wan_i2v import WanImageToVideoPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from diffusers.schedulers.scheduling_flow_match_heun_discrete import FlowMatchHeunDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from PIL import Image
from torch import Tensor

from cyclorama.backend.animate.denoisers.protocol import Shot
from cyclorama.backend.animate.denoisers.wan import COMPONENTS, NEGATIVE_PROMPT, Wan
from cyclorama.backend.models.checkpoints import locate
from cyclorama.bridge.errors import CycloramaError

from ....tiny_wan import make

KINDS = ["wan-2.1", "wan-2.2-a14b", "wan-2.2-5b"]
HEIGHT, WIDTH, FRAMES, STEPS = 32, 64, 9, 4
LATENT_FRAMES = 3
PROMPT = "the river flows"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """``checkpoint(kind)``: folder of a tiny checkpoint, made once."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return lambda kind: folder / kind if (folder / kind).exists() else make(kind, folder / kind)


@pytest.fixture(scope="module")
def load(checkpoint):
    """``load(kind)``: that model."""
    models: dict[str, Wan] = {}
    return lambda kind: models.setdefault(kind, load_folder(checkpoint(kind)))


def load_folder(folder: Path, device: torch.device = CPU, dtype: torch.dtype = torch.float32) -> Wan:
    return Wan(locate(str(folder), COMPONENTS), device, dtype)


def picture(seed: int) -> np.ndarray:
    """(height, width, 3) uint8: soft blobs, so that resizing it is no matter of luck."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def shot(prompt: str = PROMPT, seed: int = 0) -> Shot:
    image = torch.tensor(picture(seed)).permute(2, 0, 1) / 127.5 - 1
    return Shot(image=image, mask=torch.ones(1, 1), prompt=prompt, strength=1.0, seed=0)


def noise(wan: Wan, shots: int = 1, seed: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = (shots, LATENT_FRAMES, wan.channels, HEIGHT // wan.scale, WIDTH // wan.scale)
    return torch.randn(size, generator=generator)


def denoise(wan: Wan, noisy: Tensor, shots: list[Shot]) -> Tensor:
    """Straight Euler steps from noise to clean latents, as the panoramic denoiser takes them."""
    levels = wan.noise_levels(STEPS)
    conditions = wan.prepare(shots, FRAMES, fps=16.0)
    for step, (level, lower) in enumerate(pairwise(levels)):
        clean = wan.predict(noisy, step, levels, conditions)
        noisy = lower / level * noisy + (1 - lower / level) * clean
    return noisy


def difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("kind", KINDS)
def test_makes_the_video_that_diffusers_makes(kind, checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint(kind), tmp_path / kind)
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder / "scheduler")
    wan = load_folder(folder)
    pipeline = WanImageToVideoPipeline.from_pretrained(folder)
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        image=Image.fromarray(picture(0)),
        prompt=PROMPT,
        negative_prompt=NEGATIVE_PROMPT,
        height=HEIGHT,
        width=WIDTH,
        num_frames=FRAMES,
        num_inference_steps=STEPS,
        guidance_scale=3.5 if kind == "wan-2.2-a14b" else 5.0,
        latents=noise(wan).transpose(1, 2),
        output_type="latent",
        return_dict=False,
    )[0]
    ours = denoise(wan, noise(wan), [shot()])
    assert difference(ours.transpose(1, 2), theirs) < 1e-5
    assert difference(ours, noise(wan)) > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_shots_in_a_batch_do_not_see_each_other(kind, load):
    wan = load(kind)
    shots = [shot(), shot("leaves in the wind", seed=1), shot("", seed=2)]
    noisy, levels = noise(wan, shots=3), wan.noise_levels(STEPS)
    together = wan.prepare(shots, FRAMES, fps=16.0)
    at_once = wan.predict(noisy, 1, levels, together)
    for i in range(3):
        alone = wan.predict(noisy[i : i + 1], 1, levels, wan.prepare(shots[i : i + 1], FRAMES, fps=16.0))
        assert difference(at_once[i : i + 1], alone) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_the_prompt_and_the_image_matter(kind, load):
    wan = load(kind)
    noisy, levels = noise(wan), wan.noise_levels(STEPS)
    shots = [shot(), shot("leaves in the wind"), shot(seed=1)]
    first, *others = (wan.predict(noisy, 0, levels, [c]) for c in wan.prepare(shots, FRAMES, fps=16.0))
    assert all(difference(other, first) > 1e-3 for other in others)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_levels_are_those_of_the_checkpoints_scheduler(kind, load):
    shift = 5.0
    even = np.linspace(1, 1 / 1000, STEPS + 1)[:-1]
    levels = load(kind).noise_levels(STEPS)
    assert levels == pytest.approx([*(shift * even / (1 + (shift - 1) * even)), 0.0], abs=1e-5)
    assert all(a > b for a, b in pairwise(levels))


SCHEDULERS = {
    "another at each size": (FlowMatchEulerDiscreteScheduler, {"use_dynamic_shifting": True}, "for a number of steps"),
    "rising": (FlowMatchEulerDiscreteScheduler, {"invert_sigmas": True}, "do not fall"),
    "not to 0": (
        UniPCMultistepScheduler,
        {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "final_sigmas_type": "sigma_min"},
        "do not fall from step to step to 0",
    ),
    "two of each": (FlowMatchHeunDiscreteScheduler, {}, "do not fall"),
    "no shares": (UniPCMultistepScheduler, {"prediction_type": "flow_prediction"}, "begin at .*, not at 1"),
    "noise predicted": (UniPCMultistepScheduler, {"use_flow_sigmas": True}, "not for flow matching"),
    "without levels": (DDIMScheduler, {}, "not for flow matching"),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_that_does_not_lead_from_noise_to_the_video_is_refused(name, checkpoint, tmp_path):
    cls, settings, says = SCHEDULERS[name]
    folder = shutil.copytree(checkpoint("wan-2.2-5b"), tmp_path / "checkpoint")
    cls(**settings).save_pretrained(folder / "scheduler")
    with pytest.raises(CycloramaError, match=f"The scheduler of the checkpoint {folder} .* {says}") as error:
        load_folder(folder)
    assert error.value.code == "checkpoint-wrong-scheduler"


def test_each_prompt_is_encoded_once(load):
    wan = load("wan-2.2-5b")
    first, second = wan.prepare([shot(), shot("leaves")], FRAMES, fps=24.0)
    (later,) = wan.prepare([shot(seed=1)], FRAMES, fps=24.0)
    assert later["prompt"] is first["prompt"] is not second["prompt"]
    assert later["negative"] is first["negative"] is second["negative"]


def test_the_first_latent_frame_of_the_5b_model_is_the_image(load):
    wan = load("wan-2.2-5b")
    clean = wan.predict(noise(wan), 0, wan.noise_levels(STEPS), wan.prepare([shot()], FRAMES, fps=24.0))
    assert torch.equal(clean[0, 0], wan.encode_still(shot().image, 1)[0])


def test_each_expert_does_its_own_noise_levels(load, checkpoint, tmp_path):
    """With the low-noise expert in both places only the steps above the boundary, 0.9, change."""
    folder = shutil.copytree(checkpoint("wan-2.2-a14b"), tmp_path / "twins")
    shutil.copytree(folder / "transformer_2", folder / "transformer", dirs_exist_ok=True)
    wan, twins = load("wan-2.2-a14b"), load_folder(folder)
    levels, conditions = wan.noise_levels(STEPS), wan.prepare([shot()], FRAMES, fps=16.0)
    same = [
        torch.equal(*(model.predict(noise(wan), step, levels, conditions) for model in (wan, twins)))
        for step in range(STEPS)
    ]
    assert same == [level < 0.9 for level in levels[:-1]] and len(set(same)) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_still_video_goes_through_the_vae_and_back(kind, load):
    wan = load(kind)
    latents = wan.encode_still(shot().image, FRAMES)
    assert latents.shape == noise(wan).shape[1:] and latents.isfinite().all()
    video = wan.decode(latents, FRAMES)
    assert video.shape == (FRAMES, 3, HEIGHT, WIDTH) and video.dtype == torch.float32
    assert video.isfinite().all() and video.abs().max() <= 1


def test_no_latent_of_a_still_video_can_stand_for_the_next_ones(load):
    """The causal encoder sees zeros before the first frame, and looks back over almost all of the video."""
    latents = load("wan-2.1").encode_still(shot().image, 61)
    assert all(difference(later, earlier) > 1e-4 for earlier, later in pairwise(latents))


def test_a_longer_still_video_begins_like_a_shorter_one(load):
    wan = load("wan-2.1")
    shorter, longer = (wan.encode_still(shot().image, frames) for frames in (5, 9))
    torch.testing.assert_close(longer[:2], shorter)


@pytest.mark.parametrize("kind", KINDS)
def test_the_latents_are_normalised_as_the_checkpoint_says(kind, load, checkpoint):
    config = json.loads((checkpoint(kind) / "vae" / "config.json").read_text())
    mean, std = (torch.tensor(config[key])[:, None, None] for key in ("latents_mean", "latents_std"))
    wan = load(kind)
    vae = WanImageToVideoPipeline.from_pretrained(checkpoint(kind)).vae
    raw = vae.encode(shot().image[None, :, None]).latent_dist.mode()[0, :, 0]
    torch.testing.assert_close(wan.encode_still(shot().image, 1)[0] * std + mean, raw)


@pytest.mark.parametrize(("kind", "most"), [("wan-2.1", 81), ("wan-2.2-a14b", 81), ("wan-2.2-5b", 121)])
def test_makes_as_many_frames_as_it_was_trained_for(kind, most, load):
    wan = load(kind)
    assert [wan.latent_frames(frames) for frames in (1, 5, most)] == [1, 2, (most - 1) // 4 + 1]
    assert wan.default_frames == wan.most_frames == most
    with pytest.raises(
        CycloramaError, match=f"^{kind} makes videos of at most {most} frames, not of {most + 4}"
    ) as error:
        wan.latent_frames(most + 4)
    assert error.value.code == "too-many-frames"


@pytest.mark.parametrize(("frames", "nearest"), [(14, "13 or 17"), (80, "77 or 81"), (2, "1 or 5"), (0, "1")])
def test_names_the_nearest_possible_numbers_of_frames(frames, nearest, load):
    with pytest.raises(CycloramaError, match=f"of {nearest} frames, but not of {frames}") as error:
        load("wan-2.1").prepare([shot()], frames, fps=16.0)
    assert error.value.code == "frames-not-possible"


def test_what_it_offers_is_possible_however_many_frames_share_a_latent(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("wan-2.2-5b"), tmp_path / "checkpoint")
    config = folder / "vae/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"scale_factor_temporal": 16}))
    wan = load_folder(folder)
    assert wan.latent_frames(wan.default_frames) == 8 and wan.most_frames == 113
    with pytest.raises(CycloramaError, match="of 97 or 113 frames, but not of 112"):
        wan.latent_frames(112)
    with pytest.raises(CycloramaError, match="at most 113 frames, not of 118"):
        wan.latent_frames(118)


@pytest.mark.parametrize(
    ("kind", "edit", "code"),
    [
        ("wan-text-to-video", {}, "checkpoint-takes-no-image"),
        ("wan-2.1", {"pos_embed_seq_len": 514}, "checkpoint-needs-more-than-an-image"),  # first and last frame
        ("wan-2.1", {"in_channels": 52}, "checkpoint-needs-more-than-an-image"),  # control videos
        ("wan-2.1", {"_class_name": "CogVideoXTransformer3DModel"}, "checkpoint-wrong-class"),
    ],
)
def test_says_when_a_checkpoint_is_another_kind_of_model(kind, edit, code, checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint(kind), tmp_path / "edited")
    config = folder / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | edit))
    index = folder / "model_index.json"
    if "_class_name" in edit:
        index.write_text(
            json.dumps(json.loads(index.read_text()) | {"transformer": ["diffusers", edit["_class_name"]]})
        )
    with pytest.raises(CycloramaError, match=str(folder)) as error:
        load_folder(folder)
    assert error.value.code == code


@pytest.mark.parametrize(
    ("kind", "part"),
    [("wan-2.1", "image_encoder"), ("wan-2.1", "image_processor"), ("wan-2.2-a14b", "transformer_2")],
)
def test_says_which_part_a_checkpoint_lacks(kind, part, checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint(kind), tmp_path / "incomplete")
    shutil.rmtree(folder / part)
    with pytest.raises(CycloramaError, match=f"has no {part}"):
        load_folder(folder)


def test_says_when_the_image_processor_is_damaged(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("wan-2.1"), tmp_path / "damaged")
    (folder / "image_processor" / "preprocessor_config.json").write_text('{"image_processor_type": "Nothing"}')
    with pytest.raises(CycloramaError, match=f"image_processor of the checkpoint {folder}"):
        load_folder(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_can_lie_in_blocks_and_be_put_away(kind, load):
    """On the CPU, where blocks save nothing but are laid out all the same."""
    wan = load(kind)
    noisy, levels = noise(wan), wan.noise_levels(STEPS)
    clean = {}
    for placement in ("whole", "blocks", "whole"):
        wan.place(placement)
        conditions = wan.prepare([shot()], FRAMES, fps=16.0)
        clean[placement] = wan.predict(noisy, 0, levels, conditions), wan.predict(noisy, 3, levels, conditions)
        wan.release()
    torch.testing.assert_close(clean["blocks"], clean["whole"], rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_on_a_gpu_blocks_need_less_memory_and_never_lie_all_networks_there(kind, load, checkpoint):
    gpu = load_folder(checkpoint(kind), torch.device("cuda"))
    size = FRAMES, *noise(gpu).shape[-2:]
    assert gpu.placements == ("whole", "blocks")
    whole = gpu.predict_bytes(1, *size), gpu.prepare_bytes(*size[1:])
    gpu.place("blocks")
    blocks = gpu.predict_bytes(1, *size), gpu.prepare_bytes(*size[1:])
    assert blocks[0] < whole[0] and blocks[1] <= whole[1]
    activations = load(kind).predict_bytes(1, *size) - gpu.weights_bytes
    assert whole[0] - activations < gpu.weights_bytes


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_computes_what_the_cpu_computes_however_the_weights_lie(kind, load, checkpoint):
    gpu = load_folder(checkpoint(kind), torch.device("cuda"))
    expected = denoise(load(kind), noise(gpu), [shot()])
    for placement in gpu.placements:
        gpu.place(placement)
        assert difference(denoise(gpu, noise(gpu), [shot()]), expected) < 1e-2
    gpu.release()
    assert torch.cuda.memory_allocated() < 2**20


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_changes_little(kind, load, checkpoint):
    half = load_folder(checkpoint(kind), dtype=torch.bfloat16)
    clean = denoise(half, noise(half), [shot()])
    assert clean.dtype == torch.float32
    assert difference(clean, denoise(load(kind), noise(half), [shot()])) < 0.1


@pytest.mark.parametrize("kind", ["wan-2.1", "wan-2.2-5b"])
def test_memory_is_foretold_without_computing(kind, load):
    wan = load(kind)
    rows, columns = noise(wan).shape[-2:]
    one, two, four = (wan.predict_bytes(shots, FRAMES, rows, columns) for shots in (1, 2, 4))
    assert four - two == pytest.approx(2 * (two - one), rel=0.05)
    assert one > wan.weights_bytes
    video = wan.decode(wan.encode_still(shot().image, FRAMES), FRAMES)
    assert wan.tile_bytes(FRAMES, rows, columns) > wan.weights_bytes + video.nbytes
    assert wan.prepare_bytes(rows, columns) > wan.weights_bytes
    still_view = wan.most_frames * 3 * (32 * wan.scale) ** 2 * 4
    assert wan.prepare_bytes(32, 32) > wan.weights_bytes + still_view
    noisy, levels = noise(wan), wan.noise_levels(STEPS)
    assert wan.predict(noisy, 0, levels, wan.prepare([shot()], FRAMES, fps=16.0)).isfinite().all()
