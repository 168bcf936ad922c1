"""What projecting, fusing and animating on the sphere costs, and what it keeps.

    python benchmarks/spherical_latents.py [--width 4096]

Measured, each against 4K4DGen's own recipe (appendix C: the weighted mean of the nearest, noise interpolated with the
rest) in the same run:

* what is left of waves of a given length, in latents, after they are projected to the 20 views and fused again;
* the variance of unit noise in the views, at the first and after the tenth spherical step;
* milliseconds for projecting and fusing the latents of 14 frames, beside the time to move that memory once.

Measured on 2 cores (2026-11-21), panorama 4096 x 2048: see docs/development/panoramic_denoiser.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.spatial import KDTree

from cyclorama.backend.sphere.charts import TangentViews, charts_of
from cyclorama.backend.sphere.icosphere import VIEW_FOV, frequency_for
from cyclorama.backend.sphere.noise import WhiteNoise
from cyclorama.backend.sphere.operators import SparseOperator
from cyclorama.backend.sphere.windows import Windows

FRAMES, CHANNELS = 14, 4
REPEATS = 5
STEPS = 10


class PaperViews(TangentViews):
    """The views of 4K4DGen's appendix C: the nearest samples, weighted by the inverse of their distance."""

    NEIGHBOURS = 4

    def __init__(self, height: int):
        super().__init__(height)
        rays = np.concatenate([self.rays(view).reshape(-1, 3) for view in range(self.count)])
        self._projection = self._means(self.samples, rays)
        self._fusion = self._means(rays, self.samples)

    def _means(self, sources: np.ndarray, targets: np.ndarray) -> SparseOperator:
        distance, index = map(np.asarray, KDTree(sources).query(targets, self.NEIGHBOURS))
        weight = 1 / np.maximum(distance, 1e-9)
        weight /= weight.sum(axis=1, keepdims=True)
        return SparseOperator(
            torch.from_numpy(index.astype(np.int32)), torch.from_numpy(weight.astype(np.float32)), len(sources)
        )

    def project(self, field):
        """See ``Charts``."""
        return self._projection(field).unflatten(0, (self.count, *self.size)).permute(0, 3, 4, 1, 2).contiguous()

    def fuse(self, images):
        """See ``Charts``."""
        return self._fusion(images.permute(0, 3, 4, 1, 2).flatten(0, 2))


def waves(directions: np.ndarray, length: float) -> torch.Tensor:
    """Thirty plane waves, ``length`` radians long, at unit vectors: (sample, 1, 1)."""
    random = np.random.default_rng(1)
    total = np.zeros(len(directions))
    for _ in range(30):
        along = random.normal(size=3)
        along *= 2 * np.pi / length / np.linalg.norm(along)
        total += np.cos(directions @ along + random.uniform(0, 2 * np.pi))
    return torch.from_numpy(total.astype(np.float32)).reshape(-1, 1, 1)


def milliseconds(work: Callable[[], object]) -> float:
    """The least of some repeats."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def kept(height: int, console: Console) -> None:
    """Waves through fuse∘project."""
    table = Table("latents a wave", "ours", "windows", "appendix C", title="relative error after project and fuse")
    ours, windows, paper = charts_of(TangentViews, height), charts_of(Windows, height), PaperViews(height)
    latent = VIEW_FOV / (height // 2)
    for length in (3, 4, 6, 8, 12, 16):
        errors = []
        for charts in (ours, windows, paper):
            field = waves(charts.samples, length * latent)
            errors.append(float((charts.fuse(charts.project(field)) - field).norm() / field.norm()))
        table.add_row(str(length), *(f"{error:.1e}" for error in errors))
    console.print(table)


def variances(height: int, console: Console) -> None:
    """Unit noise in the views at the first and last of ten steps, in which a model leaves it alone."""
    table = Table("", "first step", "after 10", "at the zenith, after 10", title="variance of unit noise in the views")
    ours, paper = charts_of(TangentViews, height), PaperViews(height)
    views = ours.noise(WhiteNoise(1, frequency_for(VIEW_FOV / (height // 2))), FRAMES, CHANNELS)
    zenith = np.stack([ours.rays(view)[..., 2] for view in range(ours.count)]) > np.cos(np.deg2rad(8))

    def row(name: str, first: torch.Tensor, last: torch.Tensor) -> None:
        at_zenith = last.permute(0, 3, 4, 1, 2)[torch.from_numpy(zenith)]
        table.add_row(name, *(f"{float(part.var()):.4f}" for part in (first, last, at_zenith)))

    row("ours (noise travels apart)", views, views)
    field = torch.randn(len(paper.samples), FRAMES, CHANNELS)
    first = paper.project(field)
    for _ in range(STEPS):
        field = paper.fuse(paper.project(field))
    row("appendix C", first, paper.project(field))
    console.print(table)


def costs(height: int, console: Console) -> None:
    """Time of one step's projection and fusion."""
    table = Table("", "project", "fuse", "least memory traffic", title=f"ms for {FRAMES} frames x {CHANNELS} channels")
    gigabytes = torch.zeros(1 << 26)
    copy = torch.empty_like(gigabytes)
    rate = 2 * gigabytes.nbytes / milliseconds(lambda: copy.copy_(gigabytes))  # bytes a millisecond
    for name, charts in (("20 views", charts_of(TangentViews, height)), ("windows", charts_of(Windows, height))):
        field = torch.randn(len(charts.samples), FRAMES, CHANNELS)
        images = charts.project(field)
        operators = sum(part.bytes for part in vars(charts).values() if hasattr(part, "bytes"))
        bound = (field.nbytes + images.nbytes + operators / 2) / rate
        project = milliseconds(lambda charts=charts, field=field: charts.project(field))
        fuse = milliseconds(lambda charts=charts, images=images: charts.fuse(images))
        table.add_row(name, f"{project:.0f}", f"{fuse:.0f}", f"{bound:.0f} each")
    console.print(table, f"memory: {rate / 1e6:.1f} GB/s (copy)")


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--width", type=int, default=4096, help="of the panorama, pixels")
    height = arguments.parse_args().width // 16
    console = Console()
    start = time.perf_counter()
    views = charts_of(TangentViews, height)
    views.fuse(views.project(torch.zeros(len(views.samples), 1, 1)))
    console.print(
        f"{views.count} views of {views.size[0]}², {len(views.samples):,} samples; "
        f"operators built in {time.perf_counter() - start:.1f} s, once"
    )
    kept(height, console)
    variances(height, console)
    costs(height, console)


if __name__ == "__main__":
    main()
