"""How well time and memory are foretold: what ``bridge.estimate`` says of a scene, beside what making it took.

    .venv/bin/python benchmarks/estimates.py PANORAMA [--widths 512 768] [--frames 12] [--lifts direct fast]

Every scene is made in a process of its own. A ratio is taken / told; it should lie between 1/2 and 2 on a machine that
has nothing else to do. "learned" is told after the scenes above it, as in Blender after its first jobs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from itertools import product
from pathlib import Path

from cyclorama.bridge.estimate import Device, Past, estimate, worked_width
from cyclorama.bridge.picture_size import picture_size
from cyclorama.bridge.settings import PanoramaTo4D


def main() -> None:
    """Print a line for each scene."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("panorama", type=Path)
    asked.add_argument("--widths", type=int, nargs="+", default=[512, 768])
    asked.add_argument("--frames", type=int, nargs="+", default=[12])
    asked.add_argument("--lifts", nargs="+", default=["direct", "fast"])
    asked.add_argument("--one", help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.one:
        print(json.dumps(made(options.panorama, PanoramaTo4D(**json.loads(options.one)))))
        return
    size = picture_size(options.panorama)
    if size is None:
        sys.exit(f"{options.panorama} is no panorama.")
    device = Device(cores=os.cpu_count() or 1)
    past: list[Past] = []
    print(f"{device.cores} cores, load {os.getloadavg()[0]:.1f}")
    print("lift    width  frames     told    taken  ratio  learned  ratio   GB told  taken  ratio")
    for lift, width, frames in product(options.lifts, options.widths, options.frames):
        settings = PanoramaTo4D(lift=lift, width=width, frames=frames)
        told, learned = estimate(settings, size[0], device), estimate(settings, size[0], device, past)
        command = [sys.executable, __file__, str(options.panorama), "--one", json.dumps(asdict(settings))]
        ran = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(ran.stdout.splitlines()[-1])
        taken, peak = sum(found["seconds"].values()), found["peak_bytes"]
        past.append(Past(settings, worked_width(settings, size[0]), found["seconds"], peak))
        print(
            f"{lift:7} {width:5}  {frames:6} {told.seconds:7.1f}s {taken:7.1f}s  {taken / told.seconds:5.2f} "
            f"{learned.seconds:7.1f}s  {taken / learned.seconds:5.2f}   "
            f"{told.peak_bytes / 1e9:7.2f} {peak / 1e9:6.2f}  {peak / told.peak_bytes:5.2f}",
            flush=True,
        )


def made(panorama: Path, settings: PanoramaTo4D) -> dict:
    """Make the scene, and throw it away."""
    from cyclorama.backend.recipes.panorama_to_4d import panorama_to_4d, stages
    from cyclorama.backend.recipes.progress import Clock
    from cyclorama.bridge.memory import peak_bytes

    clock = Clock(stages(settings))

    def report(stage: str, step: int, total: int) -> None:
        clock.advance(stage, step, total)

    with tempfile.TemporaryDirectory() as folder:
        panorama_to_4d(panorama, Path(folder) / "scene.cyclorama", settings, report)
    return {"seconds": clock.seconds, "peak_bytes": peak_bytes()}


if __name__ == "__main__":
    main()
