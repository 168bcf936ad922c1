"""gsplat beside our CPU rasterizer: the same picture, the same gradients, and how fast each is.

    python benchmarks/gpu/rasterizer.py                           1K and 4K panoramas' Gaussians, views of 512 and 1024
    python benchmarks/gpu/rasterizer.py --widths 1024 --views 512 --no-cpu

The Gaussians are those of the direct lift of a panorama of smooth noise whose distances go from 2 to 80 m; views are
80 degrees wide, half of them from 0.3 m off the centre. Wanted: PSNR >= 60 dB, gradients within 1 % by relative norm.
The time is the median of all repeats for one view; gsplat's kernels are built, and ours compiled, before it starts.
"""

from __future__ import annotations

import argparse
import datetime
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import get_args

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.ndimage import zoom
from torch import Tensor

from cyclorama.backend.lift.direct import DirectLift
from cyclorama.backend.raster.rasterize import rasterize
from cyclorama.backend.raster.splats import Cameras, Mode, Rendered, Splats
from cyclorama.backend.sphere.colour import psnr, srgb_from_linear
from cyclorama.backend.sphere.panorama import DepthVideo, PanoramaVideo
from cyclorama.backend.sphere.views import look

FOV = math.radians(80)


@dataclass(frozen=True)
class Measured:
    """One rasterizer on one scene.

    Attributes:
        rendered: by it, on the CPU.
        gradients: of a smooth weighting of colour, alpha and distance, by the tensors' names, on the CPU.
        forward, both: seconds a view.
        peak: GB of GPU memory; 0 on the CPU.
    """

    rendered: Rendered
    gradients: dict[str, Tensor]
    forward: float
    both: float
    peak: float


def main() -> None:
    """Print the table."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--widths", type=int, nargs="+", default=[1024, 4096], help="of the panorama, pixels")
    asked.add_argument("--views", type=int, nargs="+", default=[512, 1024], help="of a view, pixels")
    asked.add_argument("--modes", nargs="+", choices=get_args(Mode), default=list(get_args(Mode)))
    asked.add_argument("--repeats", type=int, default=20)
    asked.add_argument("--no-cpu", action="store_true", help="time gsplat alone")
    options = asked.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("This needs a CUDA device.")
    title = f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, {torch.get_num_threads()} CPU threads"
    Console(width=190).print(
        table(
            options.widths, options.views, options.modes, options.repeats, torch.device("cuda"), options.no_cpu, title
        )
    )


def table(
    widths: Sequence[int],
    views: Sequence[int],
    modes: Sequence[Mode],
    repeats: int,
    device: torch.device,
    alone: bool,
    title: str,
) -> Table:
    """A row for each panorama, view and mode."""
    names = [field.name for field in fields(Splats)]
    columns = ("Gaussians", "view", "mode", "gsplat ms", "with backward", "peak GB")
    compared = () if alone else ("CPU ms", "with backward", "PSNR dB", *(f"d {name}" for name in names))
    rows = Table(*columns, *compared, title=f"{title}, {datetime.date.today()}")
    for width in widths:
        splats = lifted(width)
        for size in views:
            for mode in modes:
                there = measure(splats, size, mode, repeats, device)
                row = [f"{len(splats):,}", f"{size}²", mode, *_times(there), f"{there.peak:.2f}"]
                if not alone:
                    here = measure(splats, size, mode, min(repeats, 5), torch.device("cpu"))
                    row += [*_times(here), f"{_psnr(there, here):.1f}", *_differences(there, here, names)]
                rows.add_row(*row)
    return rows


def lifted(width: int) -> Splats:
    """Gaussians of the direct lift of smooth noise."""
    draw = np.random.default_rng(0)
    shape = width // 2, width
    colour = np.stack([_smooth(draw, shape, 32) for _ in range(3)], -1)[None] ** 2
    distance = 2 * 40 ** _smooth(draw, shape, 6)[None]
    video = PanoramaVideo(colour.astype(np.float32), np.zeros(shape, bool), 24.0)
    depth = DepthVideo(distance.astype(np.float32), np.zeros((1, *shape), bool))
    return Splats.of(DirectLift(video, depth).static)


def _smooth(draw: np.random.Generator, shape: tuple[int, int], waves: int) -> np.ndarray:
    coarse = draw.uniform(size=(waves // 2, waves))
    fine = zoom(coarse, (shape[0] / (waves // 2), shape[1] / waves), order=1)
    return np.clip(np.asarray(fine, np.float32), 0, 1)


def around(size: int, device: torch.device) -> Cameras:
    """Four views all around, two of them from beside the centre."""
    rotations = np.stack([look(longitude, 0.1) for longitude in (0.0, 1.6, 3.1, 4.7)])
    beside = np.array([[0, 0, 0], [0.3, 0, 0], [0, 0, 0], [0, 0.2, 0.2]])
    return Cameras.square(rotations, size, FOV, beside, device)


def measure(splats: Splats, size: int, mode: Mode, repeats: int, device: torch.device) -> Measured:
    """Draw all views at once, ``repeats`` times."""
    leaves = {name: tensor.to(device, copy=True).requires_grad_() for name, tensor in vars(splats).items()}
    cameras = around(size, device)
    weights = _waves(len(cameras), cameras.width).to(device)
    on_gpu = device.type == "cuda"

    def forward() -> Rendered:
        with torch.no_grad():
            return rasterize(Splats(**leaves), cameras, mode)

    def both() -> None:
        for leaf in leaves.values():
            leaf.grad = None
        drawn = rasterize(Splats(**leaves), cameras, mode)
        shown = torch.cat([drawn.colour, drawn.alpha[..., None], 0.01 * drawn.distance[..., None]], -1)
        (shown * weights).mean().backward()

    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds_forward, seconds_both = (_median(run, repeats, on_gpu) / len(cameras) for run in (forward, both))
    rendered = forward()
    return Measured(
        Rendered(*(getattr(rendered, field.name).cpu() for field in fields(Rendered))),
        {name: leaf.grad.cpu() for name, leaf in leaves.items() if leaf.grad is not None},
        seconds_forward,
        seconds_both,
        torch.cuda.max_memory_allocated() / 1e9 if on_gpu else 0.0,
    )


def _median(run: Callable[[], object], repeats: int, on_gpu: bool) -> float:
    """Seconds, without the first run."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def _waves(cameras: int, size: int) -> Tensor:
    """Smooth (cameras, size, size, 5), so that a pixel that a spot just reaches counts little."""
    place = torch.linspace(0, 1, size)
    phase = torch.arange(cameras * 5.0).reshape(cameras, 1, 1, 5)
    return torch.cos(3 * place[:, None, None] + phase) + torch.cos(2 * place[None, :, None] + 2 * phase)


def _times(measured: Measured) -> tuple[str, str]:
    return f"{measured.forward * 1e3:.2f}", f"{measured.both * 1e3:.2f}"


def _psnr(there: Measured, here: Measured) -> float:
    return psnr(*(srgb_from_linear(each.rendered.colour.numpy()) for each in (there, here)))


def _differences(there: Measured, here: Measured, names: Sequence[str]) -> list[str]:
    """Of the gradients, by relative norm."""
    pairs = ((there.gradients[name], here.gradients[name]) for name in names)
    return [f"{float((a - b).norm() / b.norm()):.1e}" for a, b in pairs]


if __name__ == "__main__":
    main()
