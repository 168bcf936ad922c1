"""How far the stage set of ``skyline`` is from the truth, and how it looks from beside the viewer.

    .venv-blender/bin/python benchmarks/scenes/render.py TRUTH
    .venv/bin/python benchmarks/skyline_depth.py TRUTH [PICTURES ...] [--looks FOLDER]

Printed for each scene, over the whole sphere by solid angle and again without its sky: mean and median relative error,
up to one factor and as metres, and the share within a factor of 1.25 as metres. For all, and for any other panorama:
whether every distance is finite and within the range that is promised, and how much of a picture from half a metre
beside or above the viewer lies open. FOLDER gets PNGs to look at: the panorama over its distance, and those pictures,
where nothing is known magenta; for scenes beside what is truly seen from there, for others two directions.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from cyclorama.backend.depth.edges import broken_links
from cyclorama.backend.depth.skyline import NEAREST, skyline_distance
from cyclorama.backend.sphere.colour import srgb_from_linear
from cyclorama.backend.sphere.equirectangular import directions, latitudes, with_border
from cyclorama.backend.sphere.pictures import read_panorama
from cyclorama.backend.sphere.skyline import parse
from cyclorama.backend.sphere.views import look, tangent_view

sys.path.append(str(Path(__file__).parent / "scenes"))

from truth import Truth, read

WIDTH = 1024
EYE, FAR = 1.6, 120.0
"""Metres; of a panorama of which nothing else is known."""

ASIDE, ABOVE = (0.5, 0.0, 0.0), (0.0, 0.0, 0.5)
"""Where it is looked from, metres."""

TOWARDS = {"ahead": look(0.0, 0.0), "behind": look(np.pi * 0.75, np.radians(-10)), "up": look(0.0, np.radians(60))}
VIEW, FOV = 512, np.pi / 2
MAGENTA = (1.0, 0.0, 1.0)
FINEST = 64
"""Points along a pixel's side, at most."""

AT_ONCE = 1 << 22
"""Points."""

_NEAR = 0.01
"""Metres before the camera; nothing nearer is drawn."""

Image = Float[np.ndarray, "height width 3"]
Map = Float[np.ndarray, "height width"]


def main() -> None:
    """Print a block for each scene, a line for each picture."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("truth", type=Path)
    asked.add_argument("pictures", type=Path, nargs="*")
    asked.add_argument("--scenes", nargs="+", default=["valley", "street", "room"])
    asked.add_argument("--looks", type=Path, help="folder for PNGs")
    options = asked.parse_args()
    if options.looks:
        options.looks.mkdir(parents=True, exist_ok=True)
    print("scene               up to one factor: AbsRel  median   in metres: AbsRel  median  within 1.25")
    for name in options.scenes:
        scene = read(options.truth / name, frames=1)
        found = skyline_distance(
            parse(scene.colour[0]), scene.distance.shape[1], eye_height=scene.eye_height, far_distance=scene.far
        )
        true = scene.distance[0]
        for part, where in (("", np.ones_like(true, bool)), (" without sky", true < 0.999 * scene.far)):
            print(f"{name + part:20} {compared(found, true, where)}")
        print(f"{name:20} {promised(scene.colour[0], found, scene.eye_height, scene.far)}", flush=True)
        if options.looks:
            write(options.looks / f"{name}.png", sheet(scene.colour[0], found, scene.far, scene))
    for path in options.pictures:
        image = read_panorama(path, WIDTH).image
        found = skyline_distance(parse(image), len(image), eye_height=EYE, far_distance=FAR)
        print(f"{path.stem:20} {promised(image, found, EYE, FAR)}", flush=True)
        if options.looks:
            write(options.looks / f"{path.stem}.png", sheet(image, found, FAR))


def compared(found: Map, true: Map, where: Bool[np.ndarray, "height width"]) -> str:
    """The errors of one line, by solid angle."""
    weight = np.broadcast_to(np.cos(latitudes(len(true)))[:, None], true.shape)[where]
    ratio = (found[where] / true[where]).astype(np.float64)
    free = ratio / weighted_median(ratio, weight)
    within = np.average(np.abs(np.log(ratio)) < np.log(1.25), weights=weight)
    errors = [
        f"{100 * figure:6.1f} %"
        for error in (np.abs(free - 1), np.abs(ratio - 1))
        for figure in (np.average(error, weights=weight), weighted_median(error, weight))
    ]
    return f"                 {errors[0]} {errors[1]}            {errors[2]} {errors[3]} {100 * within:7.1f} %"


def weighted_median(values: np.ndarray, weight: np.ndarray) -> float:
    """The value below which half of the weight lies."""
    order = np.argsort(values)
    rising = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(rising, rising[-1] / 2)]])


def promised(image: Image, distance: Map, eye: float, far: float) -> str:
    """Whether what ``skyline_distance`` promises holds, and how much lies open beside and above the viewer."""
    whole = bool(np.isfinite(distance).all())
    least, most = float(np.nanmin(distance)), float(np.nanmax(distance))
    kept = whole and least >= np.float32(NEAREST * eye) and most <= np.float32(far)
    surface = Surface.of(image, distance)
    opened = [
        np.mean([surface.seen(place, towards)[1].mean() for towards in TOWARDS.values()])
        for place in ((0.0, 0.0, 0.0), ASIDE, ABOVE)
    ]
    shares = ", ".join(f"{100 * share:.2f} %" for share in opened)
    verdict = "finite, in range" if kept else "BROKEN"
    return f"{verdict}: {least:.2f} m to {most:.1f} m; open from the middle, aside, above: {shares}"


@dataclass(frozen=True)
class Surface:
    """A panorama over its distance: squares between four pixels, torn where links cross a depth edge.

    Attributes:
        towards: (row + 2, column + 1, 3) unit vectors; over the poles and around ±180°, so that the squares close.
        distance, colour: likewise.
        torn: (row + 1, column) squares of which each quarter lies at the distance of its own corner.
    """

    towards: Float[np.ndarray, "rows columns 3"]
    distance: Float[np.ndarray, "rows columns"]
    colour: Float[np.ndarray, "rows columns 3"]
    torn: Bool[np.ndarray, "rows columns"]

    @classmethod
    def of(cls, image: Image, distance: Map) -> Surface:
        """The surface of one frame."""
        east, north = broken_links(distance)
        beside = with_border(east, 1)[:, 1:-1]
        torn = beside[:-1] | beside[1:] | north | np.roll(north, -1, axis=1)
        towards, around, colour = (
            with_border(field, 1)[:, 1:] for field in (directions(len(distance)), distance, image)
        )
        return cls(towards, around, colour, torn)

    def seen(
        self, place: tuple[float, float, float], R_scene_from_view: Float[np.ndarray, "3 3"]
    ) -> tuple[Image, Bool[np.ndarray, "height width"]]:
        """The picture from ``place`` (metres), and where nothing is known (there it is magenta)."""
        focal = VIEW / 2 / np.tan(FOV / 2)
        towards = self.towards @ R_scene_from_view  # the view's axes
        offset = np.asarray(place, np.float32) @ R_scene_from_view
        corners = towards * self.distance[..., None] - offset
        column, row = (_corners(part) for part in _projected(corners, focal))
        reach = np.maximum(np.ptp(column, axis=0), np.ptp(row, axis=0))
        shown = _corners(corners[..., 2]).max(axis=0) > _NEAR
        for part in (column, row):
            shown &= (part.max(axis=0) > 0) & (part.min(axis=0) < VIEW)
        finer = np.exp2(np.ceil(np.log2(np.clip(1.5 * reach, 1, FINEST)))).astype(int)
        nearest = np.full(VIEW * VIEW, np.inf, np.float32)
        picture = np.tile(np.array(MAGENTA, np.float32), (VIEW * VIEW, 1))
        for points in np.unique(finer[shown]):
            for torn in (False, True):
                squares = np.nonzero(shown & (finer == points) & (self.torn == torn))
                for some in np.array_split(np.arange(len(squares[0])), 1 + len(squares[0]) * points**2 // AT_ONCE):
                    where, colour = self._points(towards, squares[0][some], squares[1][some], int(points), torn)
                    _drawn(picture, nearest, where - offset, colour, focal)
        return picture.reshape(VIEW, VIEW, 3), np.isinf(nearest).reshape(VIEW, VIEW)

    def _points(self, towards: np.ndarray, row: np.ndarray, column: np.ndarray, points: int, torn: bool) -> tuple:
        """Where points² points of each square lie, and their colours."""
        steps = (np.arange(points, dtype=np.float32) + 0.5) / points
        down, right = (share.ravel()[None, :, None] for share in np.meshgrid(steps, steps, indexing="ij"))

        def between(field: np.ndarray) -> np.ndarray:
            upper, lower = (
                field[row + below, column][:, None] * (1 - right) + field[row + below, column + 1][:, None] * right
                for below in (0, 1)
            )
            return upper * (1 - down) + lower * down

        if not torn:
            where = between(towards * self.distance[..., None])
            return where.reshape(-1, 3), between(self.colour).reshape(-1, 3)
        own = row[:, None] + (down[..., 0] > 0.5), column[:, None] + (right[..., 0] > 0.5)
        where = between(towards)
        where *= (self.distance[own] / np.linalg.norm(where, axis=-1))[..., None]
        return where.reshape(-1, 3), self.colour[own].reshape(-1, 3)


def _corners(field: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "4 row column"]:
    """The values at the four corners of each square."""
    return np.stack([field[:-1, :-1], field[:-1, 1:], field[1:, :-1], field[1:, 1:]])


def _projected(points: Float[np.ndarray, "*shape 3"], focal: float) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows; 0 is the picture's edge. What lies behind is put far outside."""
    z = np.where(points[..., 2] > _NEAR, points[..., 2], _NEAR)
    return points[..., 0] / z * focal + VIEW / 2, points[..., 1] / z * focal + VIEW / 2


def _drawn(picture: np.ndarray, nearest: np.ndarray, points: np.ndarray, colour: np.ndarray, focal: float) -> None:
    """Draw points where they are the nearest."""
    column, row = _projected(points, focal)
    inside = (points[:, 2] > _NEAR) & (column >= 0) & (column < VIEW) & (row >= 0) & (row < VIEW)
    pixel = row[inside].astype(int) * VIEW + column[inside].astype(int)
    z, colour = points[inside, 2], colour[inside]
    np.minimum.at(nearest, pixel, z)
    first = z == nearest[pixel]
    picture[pixel[first]] = colour[first]


def sheet(image: Image, distance: Map, far: float, scene: Truth | None = None) -> UInt8[np.ndarray, "height width 3"]:
    """The picture to look at: panorama and distance, below them views from beside the viewer."""
    light = 0.18 / np.exp(np.log(image.mean(axis=2) + 1e-4).mean())
    maps = [shown(image * light), coloured(distance, far)]
    if scene is not None:
        maps.append(coloured(scene.distance[0], far))
    surface = Surface.of(image * light, distance)
    rows = [[shown(surface.seen(place, towards)[0]) for towards in TOWARDS.values()] for place in (ASIDE, ABOVE)]
    for offset in scene.offsets[::3] if scene else ():
        for name in ("ahead", "behind"):
            true = tangent_view(offset.colour * light, TOWARDS[name], VIEW, VIEW, FOV)
            rows.append([shown(surface.seen(offset.position, TOWARDS[name])[0]), shown(true)])
    width = 2 * VIEW
    fitted = [cv2.resize(one, (width, width // 2), interpolation=cv2.INTER_AREA) for one in maps]
    return np.concatenate([*_side_by_side(fitted, 2), *_side_by_side([view for row in rows for view in row], 4)])


def _side_by_side(pictures: list[np.ndarray], columns: int) -> list[np.ndarray]:
    lines = []
    for first in range(0, len(pictures), columns):
        line = pictures[first : first + columns]
        line += [np.zeros_like(line[0])] * (columns - len(line))
        lines.append(np.concatenate(line, axis=1))
    return lines


def shown(linear: Image) -> UInt8[np.ndarray, "height width 3"]:
    """8-bit sRGB."""
    return np.rint(255 * srgb_from_linear(linear)).astype(np.uint8)


def coloured(distance: Map, far: float) -> UInt8[np.ndarray, "height width 3"]:
    """The logarithm of the distance from 0.5 m to ``far``, blue to red."""
    share = np.log(distance / 0.5) / np.log(far / 0.5)
    grey = np.rint(255 * np.clip(np.nan_to_num(share), 0, 1)).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)


def write(path: Path, picture: UInt8[np.ndarray, "height width 3"]) -> None:
    """Write a PNG. Raises ``OSError``."""
    if not cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
        raise OSError(f"{path} cannot be written")


if __name__ == "__main__":
    main()
