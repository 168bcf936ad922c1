"""How well a lifted video looks, at the origin and beside it, on scenes that Blender rendered.

    .venv-blender/bin/python benchmarks/scenes/render.py TRUTH
    .venv/bin/python benchmarks/lifting.py TRUTH [--scenes valley street room] [--methods direct] [--frames 24]

The Gaussians of every frame are rendered over the panorama of that frame at infinity, as Blender shows them, in six
square pictures of 90° at the panorama's resolution, and compared in sRGB. Printed for each scene and method:

    origin   PSNR at the origin against the video, all frames together, and of the worst one
    grid     PSNR from 16 places within 0.3 m (first frame), mean and worst; offset: the same from 4 within 0.5 m
    seen     mean PSNR of the grid where the true surface is seen from the origin too; hidden: of the rest (and its
             share), which no panorama shows and a lift must guess
    alpha    least of any pixel of the grid, and the share of pixels below 0.98
    flicker  standard deviation over time where nothing moves, in 8-bit levels: mean, and largest
    size     Gaussians of the first frame; megabytes with what never changes stored once; share of all frames whole

"warped" is no lift: the panorama's own colours, looked up where the true points are seen. What it leaves is noise of
the renders, gloss and resampling; no lift can do much better where surfaces are seen.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import pi
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float

from cyclorama.backend.lift.descended_fit import DescendedFit
from cyclorama.backend.lift.descent import Networks
from cyclorama.backend.lift.direct import DirectLift
from cyclorama.backend.lift.fit import Name, fit, settings_of
from cyclorama.backend.lift.seed import Seeding
from cyclorama.backend.lift.solved_fit import SolvedFit
from cyclorama.backend.models.memory import Budget
from cyclorama.backend.raster.rasterize import rasterize
from cyclorama.backend.raster.splats import Cameras, Look, Splats
from cyclorama.backend.sphere.colour import psnr, srgb_from_linear
from cyclorama.backend.sphere.equirectangular import directions, sample
from cyclorama.backend.sphere.panorama import DepthVideo, PanoramaVideo
from cyclorama.backend.sphere.periodic import dilate, erode, grey_dilate
from cyclorama.backend.sphere.sampling import tangent_views
from cyclorama.backend.sphere.views import look
from cyclorama.bridge.gaussians import COLUMNS, Gaussians

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests/backend/depth"), str(ROOT / "benchmarks/scenes")]

from simulated import simulated, z_of_views  # noqa: E402
from truth import OffsetView, Truth, depth_video, panoramic_video, read, reduced, true_depth  # noqa: E402

FACES = np.stack([look(turn * pi / 2, 0.0) for turn in range(4)] + [look(0.0, pi / 2), look(0.0, -pi / 2)])
"""``R_scene_from_view`` of six pictures of 90° that together see everything."""

FINER = 2
"""Rays per pixel and axis."""

THIN = 0.98
"""Alpha of a pixel below which something shines through."""

Pictures = Float[np.ndarray, "6 size size 3"]
Lift = Callable[[PanoramaVideo, DepthVideo], Iterator[Gaussians]]
"""The Gaussians of each frame, in order: first those that never change, then the others."""


def direct(video: PanoramaVideo, depth: DepthVideo) -> Iterator[Gaussians]:
    """One Gaussian per sample of the panorama."""
    yield from frames_of(DirectLift(video, depth), len(video.frames))


def seed(video: PanoramaVideo, depth: DepthVideo) -> Iterator[Gaussians]:
    """What a fit starts from."""
    seeding = Seeding(video, depth)
    for index in range(len(video.frames)):
        yield seeding.gaussians(index)


def fitted(video: PanoramaVideo, depth: DepthVideo, name: Name, iterations: int) -> Iterator[Gaussians]:
    """A named fit, without networks; ``iterations``: see ``settings_of``. Never goes on with an earlier one."""
    budget, this_time = Budget.of(0, torch.device("cpu")), f"benchmark {time.time_ns()}"
    settings = settings_of(name, iterations)
    lift, forget = fit(video, depth, Seeding(video, depth), settings, Networks(), budget, made_with=this_time)
    yield from frames_of(lift, len(video.frames))
    forget()


def frames_of(lift: DirectLift | SolvedFit | DescendedFit, count: int) -> Iterator[Gaussians]:
    """All Gaussians of each frame."""
    still_there = lift.still_arrays()
    for index in range(count):
        moving = Gaussians.from_arrays(still_there | lift.frame(index)) if lift.moving_count else lift.static[:0]
        yield joined(lift.static, moving)


def methods(iterations: int = 0) -> dict[str, Lift]:
    """All ways to lift by their names."""
    fits: tuple[Name, ...] = ("fast", "4k4dgen", "tip4gen")
    return {"direct": direct, "seed": seed} | {name: partial(fitted, name=name, iterations=iterations) for name in fits}


def main() -> None:
    """Print a line for each scene and method."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("truth", type=Path)
    asked.add_argument("--scenes", nargs="+", default=["valley", "street", "room"])
    asked.add_argument("--methods", nargs="*", choices=methods(), default=["direct", "seed", "fast"])
    asked.add_argument("--frames", type=int, default=24)
    asked.add_argument("--iterations", type=int, default=0, help="of 4k4dgen and tip4gen; as many as they have if 0")
    asked.add_argument("--width", type=int, default=0, help="fewer pixels than were rendered")
    asked.add_argument("--depth", choices=("true", "robust"), default="true")
    asked.add_argument("--mode", choices=get_args(Look), default="tents")
    asked.add_argument("--each", action="store_true", help="a line for each camera, too")
    asked.add_argument("--pictures", type=Path, help="folder for what was rendered, beside the truth")
    options = asked.parse_args()
    print(line("scene", "method", {name: name for name in FIGURES}))
    for scene in options.scenes:
        truth = read(options.truth / scene, options.frames)
        truth = reduced(truth, options.width) if options.width else truth
        video = panoramic_video(truth)
        depth = true_depth(truth) if options.depth == "true" else estimated_depth(truth)
        views = [Aside.of(view, truth, video) for view in (*truth.grid, *truth.offsets)]
        warped = [view.judged(view.warped, np.ones(view.hidden.shape)) for view in views]
        print(line(scene, "warped", aside(warped, len(truth.grid))), flush=True)
        for name in options.methods:
            measured = Measured(video, truth, views, options.mode)
            measured.run(methods(options.iterations)[name](video, depth))
            print(line(scene, name, measured.figures()), flush=True)
            if options.each:
                print("\n".join(f"       {view.place:24} {found}" for view, found in measured.cameras()))
            if options.pictures:
                measured.save(options.pictures / scene / name)


FIGURES = {
    "grid": 5,
    "worst": 5,
    "offset": 6,
    "worst ": 5,
    "seen": 5,
    "hidden": 6,
    "(share)": 7,
    "alpha": 5,
    "<0.98": 7,
    "origin": 6,
    "worst  ": 5,
    "flicker": 7,
    "most": 5,
    "Gaussians": 9,
    "MB": 5,
    "share": 5,
    "seconds/frame": 13,
}
"""Columns of the table and their widths."""


def line(scene: str, method: str, figures: dict[str, str]) -> str:
    """A line of the table; what a method lacks stays empty."""
    return f"{scene:6}  {method:7}  " + "  ".join(
        f"{figures.get(name, ''):>{width}}" for name, width in FIGURES.items()
    )


@dataclass(frozen=True)
class Judged:
    """One camera's figures; dB in sRGB. ``hidden`` is NaN where nothing is hidden."""

    whole: float
    seen: float
    hidden: float
    hidden_share: float
    least_alpha: float
    thin_share: float

    def __str__(self) -> str:
        return (
            f"{self.whole:5.2f} dB  seen {self.seen:5.2f}  hidden {self.hidden:5.2f} ({100 * self.hidden_share:4.1f} %)"
            f"  alpha {self.least_alpha:5.3f} ({100 * self.thin_share:5.2f} % thin)"
        )


@dataclass(frozen=True)
class Aside:
    """The truth from one place, in six pictures.

    Attributes:
        position: metres.
        true: sRGB.
        background: the origin's panorama in the same directions, scene-linear.
        warped: what the origin's panorama shows of the true points, scene-linear.
        hidden: what the origin does not see.
    """

    position: tuple[float, float, float]
    true: Pictures
    background: Pictures
    warped: Pictures
    hidden: Bool[np.ndarray, "6 size size"]

    @classmethod
    def of(cls, view: OffsetView, truth: Truth, video: PanoramaVideo) -> Aside:
        """From a rendered panorama aside."""
        points = view.distance[:, :, None] * directions(len(view.distance)) + np.float32(view.position)
        warped = sample(video.frames[0], points, cv2.INTER_LINEAR)
        hidden = hidden_from_origin(points, truth.distance[0])
        return cls(
            view.position,
            srgb_from_linear(faces(view.colour)),
            faces(video.frames[0]),
            faces(warped),
            mask_faces(hidden),
        )

    @property
    def place(self) -> str:
        """For people."""
        return "({:+.2f}, {:+.2f}, {:+.2f})".format(*self.position)

    def judged(self, colour: Pictures, alpha: Float[np.ndarray, "6 size size"]) -> Judged:
        """Figures of a scene-linear picture."""
        shown, seen = srgb_from_linear(colour), ~self.hidden
        return Judged(
            psnr(shown, self.true),
            psnr(shown[seen], self.true[seen]),
            psnr(shown[self.hidden], self.true[self.hidden]) if self.hidden.any() else np.nan,
            float(self.hidden.mean()),
            float(alpha.min()),
            float((alpha < THIN).mean()),
        )


def aside(found: list[Judged], grid: int) -> dict[str, str]:
    """Figures of the grid (the first ``grid``) and of the offsets (the others); without a grid these take its place."""
    whole = np.array([one.whole for one in found])
    inner = found[:grid] or found
    share, thin = (100 * np.mean([getattr(one, name) for one in inner]) for name in ("hidden_share", "thin_share"))
    on_grid = {"grid": f"{whole[:grid].mean():.2f}", "worst": f"{whole[:grid].min():.2f}"} if grid else {}
    return on_grid | {
        "offset": f"{whole[grid:].mean():.2f}",
        "worst ": f"{whole[grid:].min():.2f}",
        "seen": f"{np.mean([one.seen for one in inner]):.2f}",
        "hidden": f"{np.nanmean([one.hidden for one in inner]):.2f}",
        "(share)": f"({share:.1f} %)",
        "alpha": f"{min(one.least_alpha for one in inner):.3f}",
        "<0.98": f"{thin:.3f} %",
    }


class Measured:
    """Renders a lift frame by frame and gathers its figures."""

    def __init__(self, video: PanoramaVideo, truth: Truth, views: list[Aside], mode: Look):
        self._video, self._views, self._grid = video, views, len(truth.grid)
        self._mode: Look = mode
        self._still = mask_faces(erode(truth.still & ~video.moves, 6))
        self._size = Size()
        self.aside: list[tuple[Pictures, Float[np.ndarray, "6 size size"]]] = []
        self.origin: list[float] = []
        self._quiet: list[np.ndarray] = []
        self._seconds = 0.0

    def run(self, frames: Iterator[Gaussians]) -> None:
        """Render all; the first frame from everywhere."""
        for index in range(len(self._video.frames)):
            started = time.perf_counter()
            gaussians = next(frames)
            self._seconds += time.perf_counter() - started
            self._size.add(gaussians)
            splats, target = Splats.of(gaussians), faces(self._video.frames[index])
            shown, _ = rendered(splats, (0.0, 0.0, 0.0), target, self._mode)
            shown = srgb_from_linear(shown)
            self.origin.append(float(np.mean((shown - srgb_from_linear(target)).astype(np.float64) ** 2)))
            self._quiet.append(shown[self._still])
            if index == 0:
                self.aside = [rendered(splats, view.position, view.background, self._mode) for view in self._views]

    def cameras(self) -> list[tuple[Aside, Judged]]:
        """Figures of each camera."""
        return [(view, view.judged(*seen)) for view, seen in zip(self._views, self.aside, strict=True)]

    def figures(self) -> dict[str, str]:
        """Columns of the table."""
        change = np.stack(self._quiet)
        flicker = 255 * (change - change[0]).std(axis=0)  # of the difference: exactly 0 where nothing changes
        count, stored, share = self._size.figures()
        return aside([found for _, found in self.cameras()], self._grid) | {
            "origin": f"{-10 * np.log10(np.mean(self.origin)):.2f}",
            "worst  ": f"{-10 * np.log10(max(self.origin)):.2f}",
            "flicker": f"{flicker.mean():.4f}",
            "most": f"{flicker.max():.2f}",
            "Gaussians": f"{count}",
            "MB": f"{stored / 1e6:.1f}",
            "share": f"{100 * share:.0f} %",
            "seconds/frame": f"{self._seconds / len(self.origin):.2f}",
        }

    def save(self, folder: Path) -> None:
        """What was rendered aside, above the truth and the cover: the four pictures around, and up and down."""
        folder.mkdir(parents=True, exist_ok=True)
        for index, (view, (colour, alpha)) in enumerate(zip(self._views, self.aside, strict=True)):
            cover = np.repeat(alpha[..., None], 3, axis=3)
            rows = [np.concatenate(list(part), axis=1) for part in (srgb_from_linear(colour), view.true, cover)]
            picture = (255 * np.concatenate(rows)[..., ::-1]).round().astype(np.uint8)
            cv2.imwrite(str(folder / f"{index:02d}.png"), picture)


class Size:
    """What the frames take when Gaussians that never change, and arrays that never change, are stored once."""

    def __init__(self):
        self._first: dict[str, np.ndarray] = {}
        self._changed: dict[str, np.ndarray] = {}
        self._counts: list[int] = []

    def add(self, gaussians: Gaussians) -> None:
        """Another frame."""
        arrays = gaussians.arrays()
        if not self._counts:
            self._first = arrays
            self._changed = {name: np.zeros(len(gaussians), bool) for name in arrays}
        self._counts.append(len(gaussians))
        both = min(len(gaussians), self._counts[0])
        for name, changed in self._changed.items():
            changed[both:] = True
            changed[:both] |= (arrays[name][:both] != self._first[name][:both]).any(axis=1)

    def figures(self) -> tuple[int, int, float]:
        """Gaussians of the first frame, bytes, and their share of all frames whole."""
        item = np.dtype(np.float32).itemsize
        moving = np.logical_or.reduce(list(self._changed.values()))
        still, frames = int((~moving).sum()), len(self._counts)
        stored = still * item * sum(COLUMNS.values())
        for name, width in COLUMNS.items():
            numbers = sum(self._counts) - still * frames if self._changed[name].any() else moving.sum()
            stored += int(numbers) * width * item
        return self._counts[0], stored, stored / (sum(self._counts) * item * sum(COLUMNS.values()))


def rendered(
    splats: Splats, position: tuple[float, float, float], background: Pictures, mode: Look
) -> tuple[Pictures, Float[np.ndarray, "6 size size"]]:
    """Scene-linear colour over the background, and alpha, of the six pictures; box-filtered, as cameras see."""
    cameras = Cameras.square(FACES, FINER * background.shape[1], pi / 2, position)
    colours, alphas = [], []
    with torch.inference_mode():
        for i in range(6):
            fine = rasterize(splats, cameras[[i]], mode, low_pass=False)
            channels = torch.cat([fine.colour, fine.alpha[..., None]], dim=3).permute(0, 3, 1, 2)
            seen = torch.nn.functional.avg_pool2d(channels, FINER)[0].permute(1, 2, 0).numpy()
            alphas.append(seen[..., 3])
            colours.append(seen[..., :3] + (1 - seen[..., 3:]) * background[i])
    return np.stack(colours), np.stack(alphas)


def faces(panorama: Float[np.ndarray, "height width 3"]) -> Pictures:
    """The six pictures of a panorama, at its resolution. Bilinear: cubic kernels leave black rims around lamps."""
    size = len(panorama) // 2
    image = torch.from_numpy(np.ascontiguousarray(panorama)).permute(2, 0, 1)
    found = tangent_views(image, torch.from_numpy(FACES), size, size, pi / 2, mode="bilinear")
    return np.ascontiguousarray(found.permute(0, 2, 3, 1).numpy())


def mask_faces(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "6 size size"]:
    """A mask in the six pictures; the nearest pixels, as they are."""
    size, flat = len(mask) // 2, torch.from_numpy(mask[None].astype(np.float32))
    found = tangent_views(flat, torch.from_numpy(FACES), size, size, pi / 2, mode="nearest")
    return found[:, 0].numpy() > 0.5


def hidden_from_origin(
    points: Float[np.ndarray, "height width 3"], distance: Float[np.ndarray, "height width"]
) -> Bool[np.ndarray, "height width"]:
    """Which points something hides from the origin, whose distance map is given; by a pixel too many at the border."""
    farthest = sample(grey_dilate(distance, 1), points, cv2.INTER_NEAREST)  # of 3 x 3: slanted surfaces hide nothing
    return dilate(np.linalg.norm(points, axis=2) > 1.02 * farthest + 0.02, 1)


def joined(*parts: Gaussians) -> Gaussians:
    """All of them as one."""
    arrays = [part.arrays() for part in parts]
    return Gaussians.from_arrays({name: np.concatenate([one[name] for one in arrays]) for name in COLUMNS})


def estimated_depth(truth: Truth) -> DepthVideo:
    """What the robust alignment makes of a simulated disparity with 2 % noise and bends of 10 %, in metres."""
    from alignment import video

    from cyclorama.backend.depth.align import align
    from cyclorama.backend.depth.edges import sharpened

    wrong = simulated(z_of_views(truth.distance, 384), "disparity", bend=0.1, seed=1)
    found = video(wrong, align(wrong.predictions, "robust"), truth.distance.shape[1], truth.still)
    found *= np.exp(np.median(np.log(truth.distance / found)))
    return depth_video(np.stack([sharpened(one.astype(np.float32), as_disparity=True) for one in found]))


if __name__ == "__main__":
    main()
