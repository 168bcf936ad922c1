"""What lifting costs: seconds a frame and peak memory at 1K, 2K and 4K, beside what 4K4DGen's Table 4 says of an A100.

    .venv/bin/python benchmarks/lifting_cost.py PANORAMA [--widths 1024 2048 4096] [--frames 4] [--lift fast]
                                                [--iterations N] [--surfaces]

Enlarges a panorama to the width where it is smaller, animates it by the flow (``--surfaces``: waves in the distance,
too, so that all of a moving Gaussian changes) and lifts it; every width in a process of its own. On the
machine's GPU if there is one, for the ways that use it. "still" is done once a scene; "a frame" is the mean of the
others. Memory: of the process and, if used, of the GPU; the video itself is in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

PAPER = {1024: (19 * 60, 7.59), 2048: (22 * 60, 12.07), 4096: (33 * 60, 31.27)}
"""4K4DGen, Table 4: seconds a frame, GB."""


def main() -> None:
    """Print a line for each width."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("panorama", type=Path)
    asked.add_argument("--widths", type=int, nargs="+", default=[1024, 2048, 4096])
    asked.add_argument("--frames", type=int, default=4)
    asked.add_argument("--lift", choices=("direct", "fast", "4k4dgen", "tip4gen"), default="fast")
    asked.add_argument("--iterations", type=int, default=0)
    asked.add_argument("--surfaces", action="store_true")
    asked.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.one:
        print(json.dumps(measured(options.panorama, options.widths[0], options)))
        return
    print("width  Gaussians  moving    still  a frame   memory      GPU   4K4DGen on an A100")
    for width in options.widths:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", "--widths", str(width)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        seconds, memory = PAPER.get(width, (float("nan"),) * 2)
        print(
            f"{width:5} {found['gaussians']:10,} {found['moving']:6.0%} {found['still']:7.1f}s {found['frame']:7.2f}s "
            f"{found['process']:6.2f}GB {found['gpu']:6.2f}GB   {seconds:.0f} s, {memory:.1f} GB",
            flush=True,
        )


def measured(panorama: Path, width: int, options: argparse.Namespace) -> dict[str, float]:
    """Of one width."""
    import cv2
    import numpy as np
    import torch

    from cyclorama.backend.recipes.geometry import geometry
    from cyclorama.backend.recipes.lifting import lifted
    from cyclorama.backend.recipes.motion import flow_motion
    from cyclorama.backend.recipes.progress import silent, unseen
    from cyclorama.backend.sphere.panorama import DepthVideo, Panorama
    from cyclorama.backend.sphere.pictures import read_panorama
    from cyclorama.backend.sphere.skyline import parse, propose
    from cyclorama.bridge.memory import peak_bytes
    from cyclorama.bridge.settings import PanoramaTo4D

    settings = PanoramaTo4D(
        lift=options.lift,
        width=width,
        frames=options.frames,
        iterations=options.iterations,
        semantic_checkpoint="none" if options.iterations or options.lift in ("4k4dgen", "tip4gen") else "",
        perceptual_checkpoint="none" if options.lift == "tip4gen" else "",
    )
    image = read_panorama(panorama, width, lambda done, rows: None)
    if image.image.shape[1] < width:
        larger = cv2.resize(image.image, (width, width // 2), interpolation=cv2.INTER_LINEAR)
        image = Panorama(larger, width, width // 2)
    layout = parse(image.image)
    video = flow_motion(image, propose(layout), settings, silent).video
    depth = geometry(video.frames[:1], np.zeros_like(video.moves), settings, silent, layout=layout).depth
    if options.surfaces:
        waves = 1 + 0.02 * np.sin(np.arange(options.frames))[:, None, None] * video.moves
        depth = DepthVideo((depth.distance * waves).astype(np.float32), depth.edges)
    began = time.perf_counter()
    lifting = lifted(video, depth, settings, silent, unseen)
    lift = lifting.lift
    still = time.perf_counter() - began
    for index in range(options.frames):
        lift.frame(index)
    lifting.safe()
    count = len(lift.static) + lift.moving_count
    return {
        "gaussians": count,
        "moving": lift.moving_count / count,
        "still": still,
        "frame": (time.perf_counter() - began - still) / options.frames,
        "process": peak_bytes() / 1e9,
        "gpu": torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else 0.0,
    }


if __name__ == "__main__":
    main()
