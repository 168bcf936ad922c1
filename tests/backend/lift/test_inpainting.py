"""Inpainters paint what is covered and nothing else; on the sphere neither seam nor foreground shows in it."""

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint import StableDiffusionInpaintPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from cyclorama.backend.lift.inpainting import OPENCV, DiffusionInpainter, OpenCVInpainter, inpainter, painted_cells
from cyclorama.backend.sphere.colour import psnr, srgb_from_linear
from cyclorama.backend.sphere.equirectangular import direction, directions
from cyclorama.backend.sphere.lattice import Lattice
from cyclorama.bridge.errors import CycloramaError

HEIGHT = 128
CPU = torch.device("cpu")


def make_checkpoint(folder, channels: int = 9):
    """The real classes with random weights."""
    torch.manual_seed(0)
    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"{letter}</w>" for letter in "abcdefghijklmnopqrstuvwxyz")]
    words = {word: number for number, word in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    text = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=words["<|startoftext|>"],
        eos_token_id=words["<|endoftext|>"],
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=channels,
        out_channels=4,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=8,
    )
    vae = AutoencoderKL(
        block_out_channels=(32, 32, 32, 32),  # pyright: ignore[reportArgumentType] (their annotation says a 1-tuple)
        down_block_types=("DownEncoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        latent_channels=4,
        sample_size=64,
    )
    pipeline = StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=CLIPTokenizer(vocab=words, merges=[], model_max_length=16),
        unet=unet,
        scheduler=DDIMScheduler(),  # pyright: ignore[reportArgumentType]
        safety_checker=None,  # pyright: ignore[reportArgumentType]
        feature_extractor=None,  # pyright: ignore[reportArgumentType]
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("inpainting") / "tiny")


def gradient(size: int = 64) -> np.ndarray:
    ramp = np.linspace(0.1, 0.9, size, dtype=np.float32)
    return np.stack(np.broadcast_arrays(ramp[None, :], ramp[:, None], np.float32(0.5)), axis=-1)


def hole(size: int = 64) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[24:40, 20:44] = True
    return mask


# Pictures


def test_opencv_continues_a_gradient_and_leaves_the_rest_to_the_bit():
    covered = gradient()
    covered[hole()] = 1.0
    painted = OpenCVInpainter()(covered, hole())
    np.testing.assert_array_equal(painted[~hole()], gradient()[~hole()])
    assert np.abs(painted - gradient())[hole()].max() < 0.15
    assert np.abs(covered - gradient())[hole()].max() > 0.5


def test_the_network_paints_only_what_is_covered_and_always_the_same(checkpoint):
    network = DiffusionInpainter(str(checkpoint), CPU, steps=2)
    painted = network(gradient(), hole())
    assert painted.dtype == np.float32 and painted.shape == (64, 64, 3)
    np.testing.assert_array_equal(painted[~hole()], gradient()[~hole()])
    assert painted[hole()].min() >= 0 and painted[hole()].max() <= 1
    assert np.abs(painted - gradient())[hole()].mean() > 0.01  # random weights: something else than what was there
    np.testing.assert_array_equal(painted, network(gradient(), hole()))


def test_the_network_never_sees_what_is_covered(checkpoint):
    covered = gradient()
    covered[hole()] = 1.0
    network = DiffusionInpainter(str(checkpoint), CPU, steps=2)
    np.testing.assert_allclose(network(covered, hole())[hole()], network(gradient(), hole())[hole()], atol=1e-5)


def test_pictures_of_any_size_are_painted(checkpoint):
    network = DiffusionInpainter(str(checkpoint), CPU, steps=1)
    assert network(gradient(90), hole(90)).shape == (90, 90, 3)


def test_an_inpainter_is_named_by_what_it_is(checkpoint):
    assert isinstance(inpainter(OPENCV), OpenCVInpainter) and isinstance(inpainter(""), OpenCVInpainter)
    network = inpainter(str(checkpoint))
    assert isinstance(network, DiffusionInpainter)
    assert (network.name, network.licence) == ("tiny", "cc0-1.0")


def refusal(folder) -> str:
    with pytest.raises(CycloramaError) as refused:
        inpainter(str(folder))
    assert "\n" not in refused.value.sentence
    return refused.value.code


def test_a_checkpoint_that_cannot_inpaint_is_refused(checkpoint, tmp_path):
    assert refusal(make_checkpoint(tmp_path / "plain", channels=4)) == "checkpoint-wrong-class"
    for component in ("unet", "vae", "text_encoder", "scheduler"):
        shutil.rmtree(shutil.copytree(checkpoint, tmp_path / component) / component)
        assert refusal(tmp_path / component) == "checkpoint-lacks-component"
    assert refusal(tmp_path / "nowhere") == "checkpoint-not-found"


def test_weights_in_pickles_are_not_read(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "pickled")
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    assert refusal(folder) == "checkpoint-lacks-component"
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionInpaintPipeline"


# The sphere


def world() -> np.ndarray:
    """Colours that change slowly everywhere, the poles and the seam included."""
    return (0.3 + 0.2 * directions(HEIGHT)).astype(np.float32)


def painted(longitude: float, latitude: float) -> tuple[np.ndarray, np.ndarray]:
    """Of a red disc on that world, its outer ring painted (its middle guarded), and how the world is there."""
    arc = np.arccos(np.clip(directions(HEIGHT) @ direction(longitude, latitude), -1, 1))
    picture = np.where((arc < 0.5)[..., None], np.float32([5, 0, 0]), world())
    lattice = Lattice(HEIGHT)
    towards = direction(lattice.longitude, lattice.latitude)
    of_cell = np.arccos(np.clip(towards @ direction(longitude, latitude), -1, 1))
    hidden, guard = np.flatnonzero((of_cell < 0.51) & (of_cell > 0.35)), np.flatnonzero(of_cell <= 0.35)
    truth = 0.3 + 0.2 * towards
    return painted_cells(picture, lattice, hidden, guard, truth[guard], OpenCVInpainter()), truth[hidden]


@pytest.mark.parametrize("place", [(0.0, 0.0), (np.pi, 0.2), (0.8, 0.7), (0.0, np.pi / 2), (1.0, -np.pi / 2)])
def test_no_foreground_and_no_seam_is_in_what_is_painted_anywhere(place):
    colour, truth = painted(*place)
    error = np.abs(srgb_from_linear(colour) - srgb_from_linear(truth))
    assert error.max() < 0.05 and psnr(srgb_from_linear(colour), srgb_from_linear(truth)) > 35


def test_light_above_one_stays_above_one():
    lattice = Lattice(HEIGHT)
    bright = np.full((HEIGHT, 2 * HEIGHT, 3), 6.0, np.float32)
    arc = np.arccos(np.clip(direction(lattice.longitude, lattice.latitude) @ direction(0.3, 0.1), -1, 1))
    guard = np.flatnonzero(arc < 0.1)
    colour = painted_cells(
        bright, lattice, np.flatnonzero((arc >= 0.1) & (arc < 0.2)), guard, bright[0, : len(guard)], OpenCVInpainter()
    )
    np.testing.assert_allclose(colour, 6, rtol=0.03)
