"""What it buys that the views agree on the sphere: 4K4DGen's table 2, in numbers that need no audience.

    python benchmarks/agreement.py PANORAMA --model svd
    python benchmarks/agreement.py PANORAMA --model tiny --checkpoint FOLDER --width 512

The same panorama, seed and model animated three ways: all views on one sphere (4K4DGen), each view for itself, and as
one wide picture. For each:

    apart     how far two views are apart in the same direction after the tenth step, over the spread of all values
    seam      mean change across ±180° over that between any two columns, over the same of the still picture:
              latents / pixels
    poles     mean change around the pixels next to the poles over that at 60° of latitude, per degree of arc, pixels
    motion    mean change from the first frame, 8-bit levels
    minutes   on this machine
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from cyclorama.backend.animate.denoisers.loading import load
from cyclorama.backend.animate.denoisers.protocol import Denoiser
from cyclorama.backend.animate.exposure import Exposure
from cyclorama.backend.animate.panoramic import working_width
from cyclorama.backend.animate.panoramic_denoiser import Agreement, PanoramicDenoiser, Schedule, State
from cyclorama.backend.animate.regions import MotionRegion
from cyclorama.backend.animate.tiles import decode_panorama, encode_panorama
from cyclorama.backend.sphere.charts import TangentViews, charts_of
from cyclorama.backend.sphere.periodic import resize
from cyclorama.backend.sphere.pictures import read_panorama


def views_apart(state: State, height: int, agreement: Agreement) -> float:
    """What is left of the views' values, relative to their spread, when their common field is taken off."""
    views = charts_of(TangentViews, height)
    shown = Schedule(agreement=agreement).charts(0, height).project(state.signal)
    inner = views.size[0] // 8  # where at least two views look
    left = (shown - views.project(views.fuse(shown)))[..., inner:-inner, inner:-inner]
    return float(left.square().mean().sqrt() / shown.std())


def across(columns_last: np.ndarray) -> float:
    """Mean change from the last column to the first, over that between all others."""
    change = np.abs(columns_last - np.roll(columns_last, 1, axis=-1)).reshape(-1, columns_last.shape[-1]).mean(axis=0)
    return float(change[0] / change[1:].mean())


def around_poles(video: np.ndarray) -> float:
    """Change along the second row from either pole, over that at 60° of latitude, per degree of arc."""
    height = video.shape[1]
    latitude = np.pi / 2 - (np.arange(height) + 0.5) * (np.pi / height)
    change = np.abs(video - np.roll(video, 1, axis=2)).mean(axis=(0, 2, 3)) / np.cos(latitude)
    poles = change[[1, -2]].mean()
    sixty = np.abs(np.abs(latitude) - np.deg2rad(60)) < np.deg2rad(4)
    return float(poles / change[sixty].mean())


def row(model: Denoiser, picture: torch.Tensor, agreement: Agreement, steps: int, seed: int) -> list[str]:
    """One way of making the views agree."""
    frames = model.default_frames
    everywhere = (MotionRegion(np.ones(tuple(picture.shape[1:]), np.float32), "", 1.0),)
    schedule = Schedule(steps, min(10, steps), agreement)
    denoiser = PanoramicDenoiser(model, picture, everywhere, frames, model.default_fps, seed, schedule)
    states: list[State] = []
    start = time.perf_counter()
    latents = denoiser.run(
        keep=lambda state: states.append(state) if state.step == schedule.spherical_steps - 1 else None
    )
    minutes = (time.perf_counter() - start) / 60
    video = decode_panorama(model, latents, frames)
    seam = across(latents.numpy()) / across(encode_panorama(model, picture, 1).numpy())
    seam_in_pixels = across(np.moveaxis(video, 2, -1)) / across(picture.numpy())
    return [
        agreement,
        f"{views_apart(states[0], latents.shape[-2], agreement):.4f}" if states and agreement != "panorama" else "",
        f"{seam:.3f} / {seam_in_pixels:.3f}",
        f"{around_poles(video):.2f}",
        f"{255 * np.abs(video[1:] - video[0]).mean():.1f}",
        f"{minutes:.2f}",
    ]


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("panorama", type=Path)
    arguments.add_argument("--model", default="svd")
    arguments.add_argument("--checkpoint", default="")
    arguments.add_argument("--width", type=int, default=0)
    arguments.add_argument("--steps", type=int, default=25)
    arguments.add_argument("--seed", type=int, default=0)
    asked = arguments.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = load(asked.model, asked.checkpoint, device)
    panorama = read_panorama(asked.panorama, asked.width)
    width = working_width(panorama.image.shape[1], model)
    display = Exposure.of(panorama.image).to_display(resize(panorama.image, width // 2, width)) * 2 - 1
    picture = torch.from_numpy(display).permute(2, 0, 1).contiguous()
    table = Table(
        *("views agree", "apart", "seam: latents / pixels", "poles", "motion", "minutes"),
        title=f"{asked.panorama.name}, {width} x {width // 2}, {asked.model}, {asked.steps} steps",
    )
    for agreement in ("sphere", "views", "panorama"):
        table.add_row(*row(model, picture, agreement, asked.steps, asked.seed))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
