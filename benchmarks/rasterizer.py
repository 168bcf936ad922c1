"""How fast the CPU rasterizer is: forward, forward and backward, compositing weights; and beside slower ways.

    python benchmarks/rasterizer.py [--repeats 9]

Two sets of Gaussians, in pictures of 512 x 512:

    cloud       100 000 as in gsplat's profiling: positions even in a cube of 4 m, scales even in 0 .. 2 cm along each
                axis, opacities even in 0 .. 1, turned any way; here seen whole, from 4 m before the cube's middle
    panorama    the direct lift of a 1024 x 512 panorama of smooth noise, 2 to 80 m away, in a view of 90 degrees

Of each the median of all repeats; a first, uncounted one compiles. Beside it, in the same run:

    reference   the tests' slow rasterizer (torch, every Gaussian at every pixel), for 500 of the cloud in 128 x 128
    gsplat      what of gsplat's own torch code runs without CUDA: the projection of the whole cloud. (Its blending
                calls a CUDA kernel for the intersections and nerfacc; its tile intersection is a loop in Python.)
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import get_args

import numba
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.ndimage import zoom

from cyclorama.backend.lift.direct import DirectLift
from cyclorama.backend.raster import cpu
from cyclorama.backend.raster.splats import Cameras, Mode, Rendered, Splats
from cyclorama.backend.sphere.panorama import DepthVideo, PanoramaVideo
from cyclorama.backend.sphere.views import look

SIZE = 512
REFERENCE = Path(__file__).parent.parent / "tests" / "backend" / "raster" / "reference.py"


def cloud(count: int) -> Splats:
    """gsplat's profiling data, but for the positions."""
    torch.manual_seed(0)
    return Splats(
        position=4 * torch.rand(count, 3) - 2,
        rotation=torch.nn.functional.normalize(torch.randn(count, 4), dim=-1),
        scale=0.02 * torch.rand(count, 3),
        opacity=torch.rand(count),
        colour=torch.rand(count, 3),
    )


def before_the_cube(size: int) -> Cameras:
    """Sees all of the cube but its nearest corners."""
    return Cameras.square(np.eye(3)[None], size, math.radians(75), (0.0, 0.0, -4.0))


def panorama(height: int = 512) -> Splats:
    """The direct lift of smooth noise."""
    generator = np.random.default_rng(0)
    waves = np.asarray(zoom(generator.random((8, 16)), height / 8, order=3, mode="grid-wrap", grid_mode=True))
    distance = (2 * 40 ** np.clip(waves, 0, 1)).astype(np.float32)[None]
    colour = generator.random((1, height, 2 * height, 3), np.float32)
    still = np.zeros(distance.shape[1:], bool)
    lift = DirectLift(PanoramaVideo(colour, still, 24.0), DepthVideo(distance, still[None]))
    return Splats.of(lift.static)


def asking(splats: Splats) -> Splats:
    """The same, all of them with gradients."""
    return Splats(*(getattr(splats, field.name).clone().requires_grad_() for field in fields(splats)))


def back(rendered: Rendered) -> None:
    """Gradients of everything."""
    (rendered.colour.square().sum() + rendered.alpha.sum() + rendered.distance.sum()).backward()


def median_ms(task: Callable[[], object], repeats: int) -> float:
    """Milliseconds; the first run is not counted."""
    task()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def ours(name: str, splats: Splats, view: Cameras, repeats: int, table: Table) -> None:
    """A row for each mode."""
    asked = asking(splats)
    for mode in get_args(Mode):
        with torch.no_grad():
            radii = cpu.render(splats, view, mode).radii
            forward = median_ms(lambda mode=mode: cpu.render(splats, view, mode), repeats)
        both = median_ms(lambda mode=mode: back(cpu.render(asked, view, mode)), repeats)
        weights = median_ms(lambda mode=mode: cpu.compositing_weights(splats, view, mode), repeats)
        seen = radii[radii > 0].float()
        table.add_row(
            name, mode, f"{len(splats)}", f"{len(seen)}", f"{seen.median():.0f} / {seen.max():.0f}",
            *(f"{value:.0f}" for value in (forward, both, weights)),
        )  # fmt: skip


def beside_reference(mode: Mode, repeats: int) -> str:
    """Both with gradients, for a few."""
    sys.path.insert(0, str(REFERENCE.parent))
    reference = importlib.import_module(REFERENCE.stem)
    splats, view = asking(cloud(500)), before_the_cube(128)
    slow = median_ms(lambda: back(reference.render(splats, view, mode)), min(repeats, 3))
    fast = median_ms(lambda: back(cpu.render(splats, view, mode)), repeats)
    return f"{mode}: 500 in 128 x 128 with gradients: reference {slow:.0f} ms, ours {fast:.1f} ms: {slow / fast:.0f} x"


def beside_gsplat(repeats: int) -> str:
    """gsplat's projection beside all of ours."""
    from gsplat.cuda import _torch_impl as gsplat

    splats, view = cloud(100_000), before_the_cube(SIZE)
    viewmats, K = torch.eye(4)[None].clone(), torch.eye(3)[None].clone()
    viewmats[0, :3, 3] = -view.position[0]
    K[0, [0, 1], [0, 1]], K[0, :2, 2] = view.focal[0], view.centre[0]

    def project() -> None:
        covariances, _ = gsplat._quat_scale_to_covar_preci(splats.rotation, splats.scale, compute_preci=False)
        gsplat._fully_fused_projection(splats.position, covariances, viewmats, K, SIZE, SIZE)  # pyright: ignore

    with torch.no_grad():
        theirs = median_ms(project, repeats)
        whole = median_ms(lambda: cpu.render(splats, view, "classic"), repeats)
    return f"classic forward: gsplat's projection alone, in torch {theirs:.0f} ms; ours, all of it {whole:.0f} ms"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    console, table = (
        Console(width=130),
        Table(title=f"{SIZE} x {SIZE}, milliseconds, {numba.get_num_threads()} threads"),
    )
    for column in ("Gaussians", "mode", "all", "seen", "radius, median / max", "forward", "and backward", "weights"):
        table.add_column(column, justify="right")
    ours("cloud", cloud(100_000), before_the_cube(SIZE), repeats, table)
    ours("panorama", panorama(), Cameras.square(look(0.0, 0.0)[None], SIZE, math.pi / 2), repeats, table)
    console.print(table)
    for mode in get_args(Mode):
        console.print(beside_reference(mode, repeats))
    console.print(beside_gsplat(repeats), f"load {os.getloadavg()[0]:.1f}", sep="\n")


if __name__ == "__main__":
    main()
