"""What 4K4DGen's temporal loss buys (its Fig. 6), and what storing still things once makes of it: flicker.

    .venv-blender/bin/python benchmarks/scenes/render.py TRUTH
    .venv/bin/python benchmarks/temporal_loss.py TRUTH [--scene room] [--frames 3] [--iterations 400] [--width 512]

Fits a video as 4K4DGen does, every frame whole, without the temporal loss (eq. 6) and with it; then with what stands
still fitted once, as we do. Prints for each the standard deviation over time of what is rendered where nothing moves
(8-bit levels, mean and largest), and the PSNR at the origin.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cyclorama.backend.keepsake import Keepsake
from cyclorama.backend.lift.cover import Cover
from cyclorama.backend.lift.descended_fit import DescendedFit
from cyclorama.backend.lift.descent import Networks
from cyclorama.backend.lift.fit import settings_of
from cyclorama.backend.lift.seed import Seeding
from cyclorama.backend.models.memory import Budget
from cyclorama.backend.raster.rasterize import rasterize
from cyclorama.backend.raster.splats import Splats
from cyclorama.backend.sphere.colour import psnr, srgb_from_linear
from cyclorama.backend.sphere.panorama import DepthVideo, PanoramaVideo
from cyclorama.backend.sphere.periodic import erode
from cyclorama.bridge.gaussians import Gaussians, joined

sys.path.append(str(Path(__file__).parent / "scenes"))

from truth import panoramic_video, read, reduced, true_depth

_MARGIN = 3
"""Pixels around what moves that are not judged: moving Gaussians reach into them."""


def main() -> None:
    """Print a line for each of the three."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("truth", type=Path)
    asked.add_argument("--scene", default="room")
    asked.add_argument("--frames", type=int, default=3)
    asked.add_argument("--iterations", type=int, default=400)
    asked.add_argument("--width", type=int, default=512)
    options = asked.parse_args()
    truth = reduced(read(options.truth / options.scene, options.frames), options.width)
    video, depth = panoramic_video(truth), true_depth(truth)
    print(f"{'fit':34} {'flicker':>8} {'most':>7} {'origin':>7} {'seconds':>8}")
    for name, temporal, split in (
        ("every frame whole, no temporal loss", 0.0, False),
        ("every frame whole, temporal loss", 0.05, False),
        ("still things once, temporal loss", 0.05, True),
    ):
        began = time.perf_counter()
        flicker, most, quality = measured(video, depth, options.iterations, temporal, split)
        print(f"{name:34} {flicker:8.3f} {most:7.2f} {quality:7.2f} {time.perf_counter() - began:8.0f}", flush=True)


def measured(
    video: PanoramaVideo, depth: DepthVideo, iterations: int, temporal: float, split: bool
) -> tuple[float, float, float]:
    """Flicker (mean, largest; 8-bit levels) where nothing moves, and PSNR at the origin."""
    usual = settings_of("4k4dgen", iterations, "none")
    settings = replace(usual, weights=replace(usual.weights, temporal=temporal, semantic=0.0))
    seeding = Seeding(video, depth)
    whole = video
    if not split:
        seeding.moves[:] = True
        whole = replace(video, moves=np.ones_like(video.moves))
    budget, keepsake = Budget.of(0, torch.device("cpu")), Keepsake(f"benchmark-{time.time_ns()}")
    lift = DescendedFit(whole, depth, seeding, settings, Networks(), budget, keepsake)
    cover = Cover.of(video.frames.shape[1])
    still = cover.pictures(erode(~video.moves, _MARGIN)[..., None].astype(np.float32))[..., 0] > 0.999
    shown, errors = [], []
    for index, frame in enumerate(video.frames):
        gaussians = joined(lift.static, Gaussians.from_arrays(dict(lift.frame(index))))
        with torch.inference_mode():
            seen = rasterize(Splats.of(gaussians), cover.cameras(), settings.mode).colour.numpy()
        shown.append(srgb_from_linear(seen))
        errors.append(psnr(shown[-1], srgb_from_linear(cover.pictures(frame))))
    keepsake.forget()
    spread = 255 * np.std(shown, axis=0).max(axis=-1)[still]
    return float(spread.mean()), float(spread.max()), float(np.mean(errors))


if __name__ == "__main__":
    main()
