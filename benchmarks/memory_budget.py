"""Does animating a panorama keep within the memory that it was given?

    python benchmarks/memory_budget.py [--model tiny|wide|none] [--width 512 1024] [--frames 3]

Each run is a process of its own on the CPU, from loading the checkpoint to the finished video. For each width the first
budget is far too small, to be told the least that works; then that, a little less (which has to be refused), and more.
The peak is the process's own (VmHWM), with Python, torch and the weights: that is what a budget on a CPU means.

* tiny: Stable Video Diffusion's classes, a few channels (``tests/tiny_checkpoints.py``); our own fields count most.
* wide: its UNet with four times the channels; the views count most.
* none: no network at all; nothing but our own fields.

Measured on 2 cores (2026-11-21), 512 wide, 2 frames: tiny 0.90 GB -> peak 0.91 GB, wide 1.00 GB -> peak 1.01 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

TINY_CHECKPOINTS = Path(__file__).parents[1] / "tests" / "tiny_checkpoints.py"
WIDE = (256, 128)
ABOVE_THE_LEAST = (0.0, 0.15, 0.5, 2.0, 8.0)
"""Gigabytes; 0 stands for the automatic budget at the end."""


def peak_bytes() -> int:
    """The most resident memory of this process so far."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024  # pyright: ignore[reportOptionalSubscript]


def animate_once(kind: str, checkpoint: str, width: int, frames: int, memory: float) -> dict[str, Any]:
    """One run in this process: budget, peak, views at once, seconds; or what was said when it was refused."""
    import torch

    from cyclorama.backend.animate import panoramic
    from cyclorama.backend.animate.denoisers.loading import load
    from cyclorama.backend.animate.panoramic_denoiser import Schedule
    from cyclorama.backend.animate.regions import MotionRegion
    from cyclorama.backend.models.memory import Budget
    from cyclorama.backend.sphere.panorama import Panorama
    from cyclorama.bridge.errors import CycloramaError

    cpu = torch.device("cpu")
    model = no_network() if kind == "none" else load("svd", checkpoint, cpu)
    image = np.random.default_rng(0).uniform(0, 1, (width // 2, width, 3)).astype(np.float32)
    region = MotionRegion(np.ones((width // 2, width), np.float32), "", 1.0)
    budget = Budget.of(round(memory * 1e9), cpu)
    views: list[int] = []
    chosen = panoramic.calls_at_once
    panoramic.calls_at_once = lambda *told: views.append(chosen(*told)) or views[-1]
    started = time.monotonic()
    try:
        making = panoramic.Making(frames, 7.0, 0, Schedule(2, 1), budget)
        panoramic.animate(Panorama(image, width, width // 2), (region,), model, making)
    except CycloramaError as error:
        return {"refused": str(error)}
    return {"budget": budget.bytes, "peak": peak_bytes(), "views": views[0], "seconds": time.monotonic() - started}


def no_network() -> Any:
    """A ``Denoiser`` that takes no memory: latents are the grey of 8 x 8 pixels."""
    from torch.nn import functional

    class NoNetwork:
        name, licence, fingerprint = "no network", "", ""
        scale, multiple, channels = 8, 1, 4
        takes_prompt = takes_strength = False
        placements = ("whole",)
        weights_bytes = 0

        def latent_frames(self, frames):
            return frames

        def noise_levels(self, steps):
            return (*(80.0 / 10**step for step in range(steps)), 0.0)

        def prepare(self, shots, frames, fps, between=lambda: None):
            return [{} for _ in shots]

        def predict(self, noisy, step, levels, conditions):
            return noisy / (1 + levels[step] ** 2)

        def encode_still(self, image, frames):
            return functional.avg_pool2d(image, 8).mean(0).expand(frames, 4, -1, -1)

        def decode(self, latents, frames):
            return functional.interpolate(latents[:, :3], scale_factor=8)

        def place(self, placement): ...

        def release(self): ...

        def predict_bytes(self, shots, frames, rows, columns):
            return 2 * shots * frames * 4 * 4 * rows * columns

        def tile_bytes(self, frames, rows, columns):
            return 2 * frames * 4 * 3 * 64 * rows * columns

        def prepare_bytes(self, rows, columns):
            return 0

    return NoNetwork()


def make_checkpoint(kind: str, folder: Path) -> None:
    """A tiny checkpoint, or one with a wide UNet of random weights."""
    subprocess.run([sys.executable, TINY_CHECKPOINTS, folder], check=True, stdout=subprocess.DEVNULL)
    if kind == "wide":
        from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel as UNet

        tiny = UNet.load_config(folder / "unet")
        UNet.from_config(tiny, block_out_channels=WIDE).save_pretrained(folder / "unet", variant="fp16")  # pyright: ignore


def in_own_process(*told: object) -> dict[str, Any]:
    """``animate_once`` in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        own = os.environ | {"CYCLORAMA_FOLDER": folder}
        command = [sys.executable, __file__, "--once", json.dumps(told)]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=own)
    return json.loads(said.stdout.splitlines()[-1])


def measure(kind: str, checkpoint: str, width: int, frames: int, table: Table) -> None:
    """Rows for one width: the least, a little less, more, automatic."""
    refused = in_own_process(kind, checkpoint, width, frames, 0.01)["refused"]
    least = float(re.search(r"at least ([\d.]+) GB", refused)[1])  # pyright: ignore[reportOptionalSubscript]
    for memory in (least - 0.2, *(least + more for more in ABOVE_THE_LEAST), 0.0):
        run = in_own_process(kind, checkpoint, width, frames, memory)
        name = f"{memory:.2f}" if memory else "automatic"
        row = [kind, str(width), str(frames), name]
        if "refused" in run:
            row += ["refused", "", "", ""]
        else:
            budget, peak = run["budget"], run["peak"]
            row += [f"{peak / 1e9:.2f}", f"{peak / budget:.0%}", str(run["views"]), f"{run['seconds']:.0f}"]
        table.add_row(*row)
        print(*row, sep="\t", file=sys.stderr, flush=True)


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description="Measure whether animating keeps within its memory budget.")
    parser.add_argument("--model", nargs="+", choices=("tiny", "wide", "none"), default=["tiny", "wide", "none"])
    parser.add_argument("--width", nargs="+", type=int, default=[512, 1024])
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--once", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.once:
        print(json.dumps(animate_once(*json.loads(asked.once))))
        return
    table = Table("model", "width", "frames", "budget GB", "peak GB", "peak / budget", "views at once", "seconds")
    with tempfile.TemporaryDirectory() as folder:
        for kind in asked.model:
            checkpoint = Path(folder) / kind
            if kind != "none":
                make_checkpoint(kind, checkpoint)
            for width in asked.width:
                measure(kind, str(checkpoint), width, asked.frames, table)
    Console().print(table)


if __name__ == "__main__":
    main()
