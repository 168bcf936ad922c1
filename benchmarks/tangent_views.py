"""Twenty tangent views of a 4096 x 2048 panorama: ours beside py360convert and pyequilib, in time and in PSNR.

    .venv/bin/python benchmarks/tangent_views.py [--height 2048] [--size 1024] [--repeats 3]

The panorama is a closed-form function of direction (waves of at least --wavelength panorama pixels), so each picture is
compared with the function itself. The two peers lay their pixels out differently from us and from each other; each is
given a panorama, and judged, in its own layout, so that only its sampling counts. Views are 80° wide, along the face
centres of an icosahedron. Repeats are interleaved; "first" is the first making of all views (cold), "best" the fastest
later one (py360convert keeps the geometry of 8 views, so 20 push each other out; pyequilib keeps its rays; we keep
nothing). "processor" adds up all threads; ratios are to our kernel of the same name (quintic: to Lanczos). Needs the
"benchmarks" extra.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from equilib import Equi2Pers
from equilib.equi2pers.torch import matmul, prep_matrices
from equilib.torch_utils import create_rotation_matrices
from py360convert import e2p
from py360convert.utils import xyzpers

from cyclorama.backend.sphere.equirectangular import latitudes, longitudes
from cyclorama.backend.sphere.sampling import Mode, tangent_views
from cyclorama.backend.sphere.views import look, rays

FOV = 80.0
OURS = {"bilinear": "bilinear", "bicubic": "bicubic", "lanczos": "lanczos", "quintic": "lanczos"}
"""Which of our kernels a mode is compared with."""
GOLDEN = (1 + 5**0.5) / 2
Function = Callable[[np.ndarray], np.ndarray]


@dataclass
class Contender:
    """One way to make all views; ``pictures`` (view, row, column, channel), ``truth`` the same in its own layout."""

    name: str
    pictures: Callable[[], np.ndarray]
    truth: Callable[[int], np.ndarray]
    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)
    psnr: float = 0.0

    @property
    def best(self) -> float:
        """Seconds of the fastest but the first."""
        return min(self.seconds[1:] or self.seconds)


def main() -> None:
    """Run all contenders in turns; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=2048, help="of the panorama, in pixels")
    parser.add_argument("--size", type=int, default=1024, help="of a view, in pixels")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--wavelength", type=float, default=6.0, help="of the finest waves, in panorama pixels")
    options = parser.parse_args()
    contenders = [
        *ours(options.height, options.size, options.wavelength),
        *py360convert(options.height, options.size, options.wavelength),
        *pyequilib(options.height, options.size, options.wavelength),
    ]
    for _ in range(options.repeats):
        for contender in contenders:
            started, processor = time.perf_counter(), time.process_time()
            pictures = contender.pictures()
            contender.seconds.append(time.perf_counter() - started)
            contender.processor_seconds.append(time.process_time() - processor)
            contender.psnr = contender.psnr or psnr(pictures, contender.truth)
            del pictures
    width = 2 * options.height
    print(f"{width} x {options.height} -> {len(centres())} views of {options.size}², {torch.get_num_threads()} threads")
    print(f"{'':24} {'PSNR':>8} {'first':>8} {'best':>8} {'processor':>10} {'times ours':>11} {'(processor)':>12}")
    twins = {contender.name: contender for contender in contenders}
    for contender in contenders:
        twin = twins["ours " + OURS[contender.name.split()[1]]]
        print(
            f"{contender.name:24} {contender.psnr:5.1f} dB {contender.seconds[0]:6.2f} s {contender.best:6.2f} s"
            f" {min(contender.processor_seconds):8.2f} s {contender.best / twin.best:11.1f}"
            f" {min(contender.processor_seconds) / min(twin.processor_seconds):12.1f}"
        )


def ours(height: int, size: int, wavelength: float) -> list[Contender]:
    """The panorama as a torch tensor, all views in one call."""
    show = waves(math.pi / height * wavelength)
    panorama = torch.from_numpy(painted(show, longitudes(2 * height), latitudes(height))).movedim(-1, 0).contiguous()
    rotations = np.stack([look(*centre) for centre in centres()])
    towards = rays(size, size, math.radians(FOV)).astype(np.float64)

    def pictures(mode: Mode) -> np.ndarray:
        views = tangent_views(panorama, torch.from_numpy(rotations), size, size, math.radians(FOV), mode)
        return views.movedim(1, -1).numpy()

    def truth(view: int) -> np.ndarray:
        return show(towards @ rotations[view].T.astype(np.float64))

    modes: tuple[Mode, ...] = ("bilinear", "bicubic", "lanczos")
    return [Contender(f"ours {mode}", lambda mode=mode: pictures(mode), truth) for mode in modes]


def py360convert(height: int, size: int, wavelength: float) -> list[Contender]:
    """View by view, as its interface has it. Its outermost pixels' centres lie on the picture's edge."""
    show = waves(math.pi / height * wavelength)
    panorama = painted(show, longitudes(2 * height), latitudes(height))
    half = math.radians(FOV)

    def pictures(mode) -> np.ndarray:
        degrees = [np.rad2deg(centre) for centre in centres()]
        return np.stack([e2p(panorama, FOV, u, v, (size, size), mode=mode) for u, v in degrees])

    def truth(view: int) -> np.ndarray:
        longitude, latitude = centres()[view]
        right, up, ahead = np.moveaxis(
            xyzpers(half, half, -longitude, latitude, (size, size), 0).astype(np.float64), -1, 0
        )
        return show(np.stack([right, ahead, up], axis=-1))

    modes = ("bilinear", "bicubic", "quintic")
    return [Contender(f"py360convert {mode}", lambda mode=mode: pictures(mode), truth) for mode in modes]


def pyequilib(height: int, size: int, wavelength: float) -> list[Contender]:
    """View by view, which is faster than its batches, without its clipping, which would read the panorama each time.

    Its pixels lie a whole pixel further right and down than ours in the panorama and half a pixel in the view.
    """
    show = waves(math.pi / height * wavelength)
    step = math.pi / height
    panorama = painted(show, longitudes(2 * height) - step + 2 * math.pi, latitudes(height) + step)
    image = torch.from_numpy(panorama).movedim(-1, 0).contiguous()
    turns = [{"roll": 0.0, "pitch": float(latitude), "yaw": float(longitude)} for longitude, latitude in centres()]

    def pictures(projection: Equi2Pers) -> np.ndarray:
        return np.stack([np.asarray(projection(image, turn)) for turn in turns]).transpose(0, 2, 3, 1)

    def truth(view: int) -> np.ndarray:
        rotation = create_rotation_matrices([turns[view]], z_down=False, dtype=torch.float64)
        x, y, z = matmul(*prep_matrices(size, size, 1, FOV, dtype=torch.float64), rotation)[0].unbind(-1)
        return show(torch.stack([y, x, -z], dim=-1).numpy())

    projections = {
        m: Equi2Pers(height=size, width=size, fov_x=FOV, mode=m, clip_output=False) for m in ("bilinear", "bicubic")
    }
    return [Contender(f"pyequilib {mode}", lambda p=p: pictures(p), truth) for mode, p in projections.items()]


def waves(wavelength: float) -> Function:
    """Three channels of plane waves through the ball, 1 to 4 times ``wavelength`` (radians) long, within 0..1."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((3, 4, 3))
    lengths = wavelength * 2.0 ** np.linspace(0, 2, 4)
    vectors *= (2 * math.pi / lengths)[:, None] / np.linalg.norm(vectors, axis=-1, keepdims=True)
    phases = random.uniform(0, 2 * math.pi, (3, 4))

    def show(towards: np.ndarray) -> np.ndarray:
        unit = towards / np.linalg.norm(towards, axis=-1, keepdims=True)
        values = [np.cos(unit @ vectors[c].T + phases[c]).mean(axis=-1) for c in range(3)]
        return 0.5 + 0.5 * np.stack(values, axis=-1)

    return show


def painted(show: Function, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """The function as a panorama whose columns and rows lie at given longitudes and latitudes; float32."""
    rows = []
    for row in latitude:
        direction = (
            np.cos(row) * np.sin(longitude),
            np.cos(row) * np.cos(longitude),
            np.full_like(longitude, np.sin(row)),
        )
        rows.append(show(np.stack(direction, axis=-1)).astype(np.float32))
    return np.stack(rows)


def centres() -> list[tuple[float, float]]:
    """Longitude and latitude of an icosahedron's face centres: the corners of a dodecahedron."""
    signs = (-1, 1)
    corners = [(x, y, z) for x in signs for y in signs for z in signs]
    for one in signs:
        for other in signs:
            short, long = one / GOLDEN, other * GOLDEN
            corners += [(0, short, long), (short, long, 0), (long, 0, short)]
    return [(math.atan2(x, y), math.asin(z / math.sqrt(3))) for x, y, z in corners]


def psnr(pictures: np.ndarray, truth: Callable[[int], np.ndarray]) -> float:
    """Of every third view, peak 1."""
    errors = [np.mean((pictures[view] - truth(view)) ** 2) for view in range(0, len(pictures), 3)]
    return -10 * math.log10(np.mean(errors))


if __name__ == "__main__":
    main()
