"""How well views of known wrongness are aligned, on ground truth that Blender rendered.

    .venv-blender/bin/python benchmarks/scenes/render.py TRUTH
    .venv/bin/python benchmarks/alignment.py TRUTH [--scenes valley street room] [--seeds 1] [--size 384]

Two simulated estimators: true z of 20 views, scaled and shifted by chance in each view and frame with 2 % noise; and
the same bent by up to ±10 %, smoothly and in each view for itself. Printed for each: mean relative error up to one
factor (AbsRel), the share of the sphere within 5 % (δ), AbsRel of an oracle that knows every scale and shift and takes
the weighted mean, the same steadied as ours is, the error across ±180°, by how much views differ where they overlap,
the largest step of the error where a view ends, and the flicker where things stand still.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from cyclorama.backend.depth.align import align
from cyclorama.backend.depth.alignment import Alignment
from cyclorama.backend.depth.fuse import fused_distance
from cyclorama.backend.depth.predictions import Kind
from cyclorama.backend.depth.temporal import aligned, flicker, scale_and_shift, steady
from cyclorama.backend.sphere.equirectangular import latitudes

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests/backend/depth"), str(ROOT / "benchmarks/scenes")]

from simulated import Simulated, simulated, z_of_views  # noqa: E402
from truth import read  # noqa: E402

KINDS: tuple[Kind, ...] = ("disparity", "z-depth", "metric")
ESTIMATORS = {"1": 0.0, "2": 0.1}
"""Largest relative error of the smooth field, by the estimator's number."""


def main() -> None:
    """Print a line for each scene, estimator and kind."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("truth", type=Path)
    asked.add_argument("--scenes", nargs="+", default=["valley", "street", "room"])
    asked.add_argument("--kinds", nargs="+", default=KINDS)
    asked.add_argument("--seeds", nargs="+", type=int, default=[1])
    asked.add_argument("--frames", type=int, default=24)
    asked.add_argument("--size", type=int, default=384, help="pixels along each side of a view")
    asked.add_argument("--align", default="robust")
    options = asked.parse_args()
    print(
        "scene  est kind      seed  AbsRel   δ<1.05  oracle  ratio  (steady)  seam    overlap  step    flicker seconds"
    )
    for scene in options.scenes:
        truth = read(options.truth / scene)
        distance, still = truth.distance[: options.frames], truth.still
        true_z = z_of_views(distance, options.size)
        for number, bend in ESTIMATORS.items():
            for kind in options.kinds:
                for seed in options.seeds:
                    line = measured(simulated(true_z, kind, bend=bend, seed=seed), distance, still, options.align)
                    print(f"{scene:6} {number:3} {kind:9} {seed:4}  {line}", flush=True)


def measured(
    wrong: Simulated,
    distance: Float[np.ndarray, "frame height width"],
    still: Bool[np.ndarray, "height width"],
    method: str,
) -> str:
    """The figures of one line."""
    started = time.process_time()
    alignment = align(wrong.predictions, method)
    ours = video(wrong, alignment, distance.shape[1], still)
    seconds = time.process_time() - started
    known = Alignment(
        (1 / wrong.scale).astype(np.float32),
        (-wrong.shift / wrong.scale).astype(np.float32)[:, :, None, None],
        np.zeros((*wrong.scale.shape, 1, 1), np.float32),
        np.ones(wrong.scale.shape, np.float32),
        0.0,
    )
    oracle = np.stack([fused_distance(wrong.predictions, known, i, distance.shape[1]) for i in range(len(distance))])
    error, near = compared(ours, distance)
    by_oracle, _ = compared(oracle, distance)
    by_steady_oracle, _ = compared(steady(oracle, still), distance)
    relative = np.log(ours / distance)
    return (
        f"{100 * error:6.3f} % {100 * near:6.2f} % {100 * by_oracle:5.2f} % {error / by_oracle:5.3f} "
        f"({error / by_steady_oracle:5.3f}) {100 * seam(relative):5.2f} %  {100 * alignment.disagreement:5.2f} % "
        f"{100 * step(relative):5.2f} %  {100 * flicker(ours, still):5.3f} % {seconds:5.1f}"
    )


def video(wrong: Simulated, alignment: Alignment, height: int, still: Bool[np.ndarray, "height width"]):
    """Distances of all frames, as the recipe makes them: fused, brought to one scale, steadied."""
    frames = len(wrong.predictions.values)
    distance = np.stack([fused_distance(wrong.predictions, alignment, index, height) for index in range(frames)])
    if frames > 1:
        distance = aligned(distance, scale_and_shift(distance, distance[:1], still, shift=False))
    return steady(distance, still)


def compared(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """AbsRel up to one factor for all frames, and the share within 5 %; both by solid angle."""
    weight = np.broadcast_to(np.cos(latitudes(true.shape[1]))[:, None], true.shape)
    scaled = found * np.exp(np.median(np.log(true / found)))
    error = np.average(np.abs(scaled - true) / true, weights=weight)
    return float(error), float(np.average(np.abs(np.log(scaled / true)) < np.log(1.05), weights=weight))


def seam(relative: np.ndarray) -> float:
    """Mean jump of the error across ±180°, beyond the mean jump between other columns."""
    across = np.abs(relative[:, :, 0] - relative[:, :, -1]).mean()
    return float(max(across - np.abs(np.diff(relative, axis=2)).mean(), 0.0))


def step(relative: np.ndarray) -> float:
    """The largest step of the error anywhere, edges and noise aside: between means of 8 x 8 pixels side by side."""
    frame = relative[0, : relative.shape[1] // 8 * 8, : relative.shape[2] // 8 * 8]
    cells = frame.reshape(frame.shape[0] // 8, 8, frame.shape[1] // 8, 8)
    middle = np.median(cells, axis=(1, 3))[4:-4]
    return float(np.percentile(np.abs(np.diff(middle, axis=1)), 99.5))


if __name__ == "__main__":
    main()
