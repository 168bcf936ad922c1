"""4K4DGen eq. 4 by linear least squares and by the paper's optimiser: objective, time and memory of both.

    python benchmarks/alignment_solvers.py --size 192 --frames 2
    python benchmarks/alignment_solvers.py --size 192 --frames 24 --adam-iterations 20
    python benchmarks/alignment_solvers.py --size 48 --frames 2 --learning-rates 0.01 0.03 0.1 0.3

Simulated predictions of a small street (scale, shift and bend wrong in each view, 2% noise). Both are given the same
problem, the same operators and one thread each. Each runs in a process of its own, whose peak memory includes Python,
torch and the predictions; "before" is what these take. With ``--adam-iterations`` below 3000 its time for 3000 is
extrapolated, and its objective is not its end.

    objective   of eq. 4, with the best panorama for the method's scales and shifts
    seconds     of the processor (what other programs take does not count), and by the clock
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from cyclorama.backend.depth.adam import optimised
from cyclorama.backend.depth.least_squares import Corrections, in_unit, least_squares
from cyclorama.backend.depth.linear import solution
from cyclorama.backend.depth.predictions import Predictions
from cyclorama.backend.sphere.equirectangular import directions
from cyclorama.bridge.memory import peak_bytes

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "backend" / "depth"))
from simulated import simulated, street, z_of_views

ITERATIONS = 3000
LOOKS = (500, 1000, 1500, 1600, 1750, 2000, 2500, 3000)
"""Iterations at which Adam's objective is looked at; the clock stands still meanwhile."""


def predictions(size: int, frames: int, kind: str) -> Predictions:
    """A street with a car that drives by, as an estimator gets it wrong."""
    towards = directions(256).astype("float64")
    true = [z_of_views(street(towards, 3 + 0.3 * frame)[None], size)[0] for frame in range(frames)]
    return simulated(np.stack(true), kind, bend=0.1).predictions  # pyright: ignore[reportArgumentType]


class Watch:
    """Seconds of the processor and by the clock, without pauses."""

    def __init__(self):
        self.cpu = self.wall = 0.0
        self.go()

    def go(self) -> None:
        """Start, or go on."""
        self._from = time.process_time(), time.perf_counter()

    def stop(self) -> None:
        """Pause, or end."""
        self.cpu += time.process_time() - self._from[0]
        self.wall += time.perf_counter() - self._from[1]

    def result(self, before: int) -> dict:
        """Seconds, and bytes before and at the peak."""
        return {"cpu": self.cpu, "wall": self.wall, "before": before, "peak": peak_bytes()}


def run_linear(size: int, frames: int, kind: str) -> dict:
    """What the linear solution gives."""
    given = predictions(size, frames, kind)
    before, watch = peak_bytes(), Watch()
    calls: list[int] = []
    _, problem, found = solution(given, lambda done, steps: calls.append(done))
    watch.stop()
    return watch.result(before) | {"objective": problem.objective(found), "steps": len(calls) - 1}


def run_adam(size: int, frames: int, kind: str, iterations: int, learning_rate: float) -> dict:
    """What the paper's optimiser gives, at the end and on the way."""
    given = predictions(size, frames, kind)
    before, watch = peak_bytes(), Watch()
    _, values = in_unit(given)
    problem = least_squares(values, given.kind)
    way: dict[int, float] = {}

    def look(done: int, found: Corrections) -> None:
        if done in LOOKS and done < iterations:
            watch.stop()
            way[done] = problem.objective(found)
            watch.go()

    found = optimised(problem, lambda done, steps: None, iterations, iterations // 2, learning_rate, look)
    watch.stop()
    result = watch.result(before)
    way[iterations] = problem.objective(found)
    return result | {"objective": way[iterations], "way": way}


def alone(method: str, *args: object) -> dict:
    """One of the above in a process of its own."""
    command = [sys.executable, __file__, "--alone", method, *map(str, args)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--frames", type=int, nargs="+", default=[4], help="several: one row each")
    parser.add_argument("--kind", choices=["disparity", "z-depth", "metric"], default="disparity")
    parser.add_argument("--adam-iterations", type=int, default=ITERATIONS, help="0: only the linear solution")
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[0.1])
    parser.add_argument("--alone", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.alone:
        method, size, frames, kind, *rest = options.alone
        run = run_linear if method == "linear" else run_adam
        print(json.dumps(run(int(size), int(frames), kind, *map(json.loads, rest))))
        return
    for frames in options.frames:
        compare(options.size, frames, options.kind, options.adam_iterations, options.learning_rates)


def compare(size: int, frames: int, kind: str, iterations: int, learning_rates: list[float]) -> None:
    """One problem's table."""
    table = Table(title=f"20 views x {frames} frames x {size}², {kind}, one thread")
    for column in (
        "method",
        "objective",
        "processor s",
        "clock s",
        "s for 3000",
        "times linear",
        "peak MB",
        "before MB",
    ):
        table.add_column(column, justify="right")
    fast = alone("linear", size, frames, kind)
    table.add_row(f"linear ({fast['steps']} steps)", *_cells(fast), "", "", *_memory(fast))
    ways = []
    for rate in learning_rates if iterations else []:
        slow = alone("adam", size, frames, kind, iterations, rate)
        whole = slow["cpu"] / iterations * ITERATIONS
        ratio = f"{whole / fast['cpu']:.0f}"
        table.add_row(f"adam ({iterations}, rate {rate})", *_cells(slow), f"{whole:.0f}", ratio, *_memory(slow))
        way = (f"{done}: {value:.6f}" for done, value in slow["way"].items())
        ways.append(f"adam, rate {rate}, objective after " + ", ".join(way))
    console = Console(width=130)
    console.print(table, *ways, sep="\n")


def _cells(result: dict) -> list[str]:
    return [f"{result['objective']:.7f}", f"{result['cpu']:.2f}", f"{result['wall']:.2f}"]


def _memory(result: dict) -> list[str]:
    return [f"{result['peak'] / 1e6:.0f}", f"{result['before'] / 1e6:.0f}"]


if __name__ == "__main__":
    main()
