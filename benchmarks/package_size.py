"""How small a scene package gets, and what compression costs: bytes, seconds, and PSNR of its renders.

    .venv/bin/python benchmarks/package_size.py [PANORAMA | SCENE.cyclorama]      (city.exr: 30 % of it moves)

Four scenes: the one given (a panorama is lifted directly: 24 frames of light that moves over surfaces that stand
still); the surfaces move too; every number of every moving Gaussian is another in each frame, by as much as a fit
leaves in them; and that with all in random order. Each is written with both compressions, read again, and rendered
(splats alone, against themselves uncompressed) in three frames and five views, from the origin and 0.3 m beside it. The
least PSNR counts, in sRGB. "Whole" is every frame's Gaussians at 56 bytes each; times are the processor's.

The last line is of a view squarely at a flat wall (the city's has one ahead): there the order of splats in depth is
chance, and any change at all makes it another one. So it also says what the same splats, unchanged, give when only
their order in the arrays is another.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from cyclorama.backend.inspection import facts
from cyclorama.backend.raster.rasterize import rasterize
from cyclorama.backend.raster.splats import Cameras, Splats
from cyclorama.backend.recipes.panorama_to_4d import panorama_to_4d
from cyclorama.backend.sphere.colour import psnr, srgb_from_linear
from cyclorama.backend.sphere.views import look
from cyclorama.bridge.gaussians import Gaussians, colour_from_radiance, radiance_from_colour
from cyclorama.bridge.packing import Compression
from cyclorama.bridge.scene import Scene, is_package
from cyclorama.bridge.scene_writer import SceneWriter
from cyclorama.bridge.settings import PanoramaTo4D

SIZE, FOV = 512, np.radians(90)
VIEWS = [(7, 3), (97, -4), (187, 20), (277, -30), (45, 60)]
SQUARELY = [(0, 0)]
"""Longitude and latitude, degrees."""

PLACES = [(0.0, 0.0, 0.0), (0.3, 0.0, 0.0), (0.0, 0.2, 0.2)]
SHOWN = 3
"""Frames, evenly over the time."""

Frame = Callable[[int, Gaussians], Gaussians]


def main(given: Path) -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory() as folder:
        package = given if is_package(given) else Path(folder) / "lifted.cyclorama"
        if package != given:
            panorama_to_4d(given, package, PanoramaTo4D(lift="direct", frames=24))
        source = Scene(package)
        static, moving = source.info.static_count, source.info.moving_count
        print(f"{given.name}: {static:,} static, {moving:,} moving ({moving / (static + moving):.0%})")
        print(f"{'scene':26} {'':6} {'bytes':>12} {'of whole':>8} {'a frame':>10} {'write':>7} {'read':>8} {'PSNR':>9}")
        for name, frame in SCENES.items():
            exact = None
            for compression in ("none", "small"):
                output = Path(folder) / f"{compression}.cyclorama"
                seconds = write(source, output, frame, compression)
                scene = Scene(output)
                found = facts(scene)
                exact = exact or pictures(scene)
                print(
                    f"{name:26} {compression:6} {gaussian_bytes(found):12,} {found['share_of_every_frame_whole']:8.2%} "
                    f"{found['bytes_per_frame']:10,.0f} {seconds:5.1f} s {reading(scene):5.1f} ms "
                    f"{least(exact, pictures(scene)):6.1f} dB",
                    flush=True,
                )
        print_squarely(source, Path(folder) / "small.cyclorama")


def print_squarely(source: Scene, output: Path) -> None:
    """What an unlucky view shows of the first frame."""
    write(source, output, None, "small")
    gaussians = all_gaussians(source, 0)
    exact = pictures_of(gaussians, SQUARELY, PLACES[0])
    mixed_up = pictures_of(gaussians[mixed(len(gaussians))], SQUARELY, PLACES[0])
    small = pictures_of(all_gaussians(Scene(output), 0), SQUARELY, PLACES[0])
    print(f"squarely at a wall: small {least(exact, small):.1f} dB, in another order {least(exact, mixed_up):.1f} dB")


def write(source: Scene, output: Path, frame: Frame | None, compression: Compression) -> float:
    """Write only the scene's Gaussians again; seconds. ``frame``: how they change; None: as they do."""
    begin = time.process_time()
    shuffled = frame is in_any_order
    with SceneWriter(output, overwrite=True, compression=compression) as writer:
        static = source.static()
        writer.static(static[mixed(len(static))] if shuffled else static)
        if frame is None:
            changing = source.changes(0)
            shared = {name: array for name, array in source.moving(0).arrays().items() if name not in changing}
            if shared:
                writer.moving(shared)
        for index in range(source.info.frame_count):
            changed = source.changes(index) if frame is None else frame(index, source.moving(index)).arrays()
            writer.frame(index, changed)
        info = source.info
        writer.finish(
            generator=info.generator, seed=0, frame_rate=info.frame_rate, frame_count=info.frame_count, loops=info.loops
        )
    return time.process_time() - begin


def surfaces_move(index: int, gaussians: Gaussians) -> Gaussians:
    """Distances swell by 2 % in waves, as those of a video do; sizes with them."""
    position = gaussians.position
    phase = 2 * np.pi * index / 24 + np.arctan2(position[:, 0], position[:, 1]) * 7
    swell = (1 + 0.02 * np.sin(phase, dtype=np.float32))[:, None]
    return Gaussians(position * swell, gaussians.rotation, gaussians.scale * swell, gaussians.radiance)


def fitted(index: int, gaussians: Gaussians) -> Gaussians:
    """The same, and every number off by chance, another in each frame."""
    chance = np.random.default_rng(index)
    count = len(gaussians)
    moved = surfaces_move(index, gaussians)
    spread = 0.05 * moved.scale[:, :1]
    rotation = moved.rotation + 0.01 * chance.standard_normal((count, 4), np.float32)
    colour = colour_from_radiance(moved.radiance) * (1 + 0.01 * chance.standard_normal((count, 3), np.float32))
    opacity = np.clip(0.97 + 0.02 * chance.standard_normal(count, np.float32), 0, 1)
    return Gaussians(
        moved.position + spread * chance.standard_normal((count, 3), np.float32),
        rotation / np.linalg.norm(rotation, axis=1, keepdims=True),
        moved.scale * (1 + 0.02 * chance.standard_normal((count, 3), np.float32)),
        radiance_from_colour(colour, opacity),
    )


def in_any_order(index: int, gaussians: Gaussians) -> Gaussians:
    """``fitted``, in an order without meaning (the same in all frames)."""
    return fitted(index, gaussians)[mixed(len(gaussians))]


def mixed(count: int) -> np.ndarray:
    """The numbers below ``count`` in random order."""
    return np.random.default_rng(0).permutation(count)


SCENES: dict[str, Frame | None] = {
    "as given": None,
    "the surfaces too": surfaces_move,
    "fitted": fitted,
    "fitted, in any order": in_any_order,
}


def gaussian_bytes(found: dict) -> int:
    """Bytes of all files with Gaussians."""
    return sum(found["bytes"][kind] for kind in ("static", "moving", "frames"))


def reading(scene: Scene) -> float:
    """Milliseconds of processor time to read one frame's changes: the median over all, the first having been read."""
    scene.changes(0)
    times = []
    for index in range(scene.info.frame_count):
        begin = time.process_time()
        scene.changes(index)
        times.append(time.process_time() - begin)
    return 1000 * median(times)


def pictures(scene: Scene) -> list[np.ndarray]:
    """All renders, sRGB."""
    return [
        picture
        for index in np.linspace(0, scene.info.frame_count - 1, SHOWN).astype(int)
        for place in PLACES
        for picture in pictures_of(all_gaussians(scene, index), VIEWS, place)
    ]


def all_gaussians(scene: Scene, index: int) -> Gaussians:
    """Static and moving ones."""
    static, moving = scene.static().arrays(), scene.moving(index).arrays()
    return Gaussians(*(np.concatenate([static[name], moving[name]]) for name in static))


def pictures_of(gaussians: Gaussians, views: list, place: tuple[float, float, float]) -> list[np.ndarray]:
    """Renders in sRGB, by longitude and latitude in degrees."""
    cameras = Cameras.square(np.stack([look(*np.radians(view)) for view in views]), SIZE, FOV, place)
    return [
        srgb_from_linear(np.maximum(colour, 0)) for colour in rasterize(Splats.of(gaussians), cameras).colour.numpy()
    ]


def least(exact: list[np.ndarray], others: list[np.ndarray]) -> float:
    """PSNR of the worst picture."""
    return min(psnr(a, b) for a, b in zip(exact, others, strict=True))


if __name__ == "__main__":
    main(
        Path(sys.argv[1])
        if len(sys.argv) > 1
        else Path(__file__).resolve().parent.parent / "presets/panoramas/city.exr"
    )
