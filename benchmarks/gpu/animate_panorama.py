"""Time and peak memory of 4K4DGen's animating phase with the full Stable Video Diffusion architecture.

    python benchmarks/gpu/animate_panorama.py                     1K, 2K and 4K on the GPU, random weights
    python benchmarks/gpu/animate_panorama.py --memory 24         the same within 24 GB
    python benchmarks/gpu/animate_panorama.py --tiny              the same at tiny size, on any machine

The networks are those of stable-video-diffusion-img2vid with random weights: time and memory do not depend on them.
14 frames, 25 steps, 10 of them on the sphere; everything moves, the worst case. 4K4DGen, table 3 (A100): 0.89, 2.99 and
22.31 minutes a frame, 9.4, 29.3 and 73.4 GB.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from cyclorama.backend.animate.denoisers.loading import load
from cyclorama.backend.animate.denoisers.protocol import Denoiser
from cyclorama.backend.animate.panoramic import Making, animate, calls_at_once, working_width
from cyclorama.backend.animate.panoramic_denoiser import Schedule
from cyclorama.backend.animate.regions import MotionRegion
from cyclorama.backend.models.memory import Budget, watch
from cyclorama.backend.sphere.panorama import Panorama
from cyclorama.backend.sphere.periodic import blur

PAPER = {1024: (0.89, 9.4), 2048: (2.99, 29.3), 4096: (22.31, 73.4)}
"""Width -> minutes a frame and GB (4K4DGen, table 3)."""


def full_size(folder: Path) -> Path:
    """A checkpoint of stable-video-diffusion-img2vid's networks with random weights, in half precision."""
    from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
    from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
    from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import StableVideoDiffusionPipeline
    from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

    from tests.tiny_checkpoints import SCHEDULER

    torch.manual_seed(0)
    torch.set_default_dtype(torch.float16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        pipeline = StableVideoDiffusionPipeline(
            vae=AutoencoderKLTemporalDecoder(
                block_out_channels=(128, 256, 512, 512),  # pyright: ignore[reportArgumentType]
                down_block_types=("DownEncoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
                layers_per_block=2,
                sample_size=768,
            ),
            image_encoder=CLIPVisionModelWithProjection(
                CLIPVisionConfig(
                    hidden_size=1280,
                    intermediate_size=5120,
                    projection_dim=1024,
                    num_hidden_layers=32,
                    num_attention_heads=16,
                    patch_size=14,
                    hidden_act="gelu",
                )
            ),
            unet=UNetSpatioTemporalConditionModel(num_attention_heads=(5, 10, 20, 20), num_frames=14),
            scheduler=EulerDiscreteScheduler(**SCHEDULER),
            feature_extractor=CLIPImageProcessorPil(),  # pyright: ignore[reportArgumentType]
        )
    torch.set_default_dtype(torch.float32)
    with torch.no_grad():  # a prediction of small numbers, so that nothing overflows in half precision
        pipeline.unet.conv_out.weight *= 0.01
    pipeline.to("cpu").save_pretrained(folder, safe_serialization=True, variant="fp16")
    return folder


def panorama(width: int) -> Panorama:
    """Smooth colours; the content does not matter."""
    colours = np.random.default_rng(0).random((width // 2, width, 3)).astype(np.float32)
    return Panorama(np.clip(blur(colours, width / 64) * 8 - 3.5, 0, 1), width, width // 2)


def measure(model: Denoiser, width: int, memory_gb: float, steps: int) -> list[str]:
    """One row of the table."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    still = panorama(width)
    width = working_width(width, model)
    everywhere = (MotionRegion(np.ones(still.image.shape[:2], np.float32), "", 1.0),)
    frames = model.default_frames
    schedule = Schedule(steps, min(10, steps))
    seed = time.time_ns() % 2**31  # a run that was stopped is not to be gone on with
    making = Making(frames, model.default_fps, seed, schedule, Budget.of(round(memory_gb * 1e9), device))
    at_once = calls_at_once(model, width, making)
    with watch(device) as memory:
        start = time.perf_counter()
        _, safe = animate(still, everywhere, model, making, _heard(time.perf_counter()))
        minutes = (time.perf_counter() - start) / 60
        safe()
    paper = "{:.2f}, {:.1f}".format(*PAPER[width]) if width in PAPER else ""
    return [
        f"{width} x {width // 2}",
        str(at_once),
        f"{minutes:.2f}",
        f"{minutes / frames:.3f}",
        f"{memory.peak_bytes / 1e9:.1f}",
        f"{making.budget.bytes / 1e9:.1f}",
        paper,
    ]


def _heard(start: float):
    def report(stage: str, done: int, total: int) -> None:
        if done == total or done % 40 == 0:
            print(f"  {time.perf_counter() - start:7.1f} s  {stage} {done} / {total}", file=sys.stderr)

    return report


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--widths", type=int, nargs="+", help="of the panoramas, pixels; 1024 2048 4096")
    arguments.add_argument("--memory", type=float, default=0.0, help="GB; 0: what is free")
    arguments.add_argument("--steps", type=int, default=25)
    arguments.add_argument("--tiny", action="store_true", help="tiny networks, for machines without a GPU")
    asked = arguments.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sys.path.insert(0, str(Path(__file__).parents[2]))
    with tempfile.TemporaryDirectory() as folder:
        if asked.tiny:
            from tests.tiny_checkpoints import make_checkpoint

            checkpoint = make_checkpoint(Path(folder) / "tiny")
        else:
            checkpoint = full_size(Path(folder) / "svd")
        model = load("svd", str(checkpoint), device)
        name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
        size = "tiny networks" if asked.tiny else "full size, random weights"
        table = Table(
            *("panorama", "views at once", "minutes", "minutes a frame", "peak GB", "budget GB"),
            "4K4DGen (A100): minutes a frame, GB",
            title=f"14 frames, {asked.steps} steps, {size}; {name}, {datetime.date.today()}",
        )
        for width in asked.widths or ((256, 512, 1024) if asked.tiny else (1024, 2048, 4096)):
            table.add_row(*measure(model, width, asked.memory, asked.steps))
        Console(width=160).print(table)


if __name__ == "__main__":
    main()
