"""The second layer: what continues behind foreground edges, so that a viewer who steps aside sees no hole.

At an edge a nearer surface ends before a farther one. Seen from R metres aside, the nearer one moves by R/near and the
farther one by R/far, so a band of R·(1/near - 1/far) radians under the foreground comes to light. There the background
goes on: as the plane that it is at the edge. A plane's inverse distance is a·ω for one vector a, exactly; every pixel
with its slopes says which a that is, and pixels of one surface agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

from ..depth.edges import link_slopes, steep_links
from ..sphere.colour import srgb_from_linear
from ..sphere.equirectangular import direction, latitudes, longitudes, with_border
from ..sphere.lattice import Lattice
from ..sphere.periodic import grey_dilate
from .direct import slopes

Mask = Bool[np.ndarray, " cells"]

REACH = 0.5
"""Metres that the viewer may step aside."""

_WIDEST_BAND = np.radians(25)

_GUARD = 10.0
"""Pixels of foreground beyond a band that inpainting must not see."""

_NEIGHBOURS = 48
"""Samples, two pixels apart, that say which plane the background is: they reach about 8 pixels far."""

_AGREEMENT = 0.05
"""Pixels are of the surface at the edge if their planes pass it within so much of its inverse distance."""

_STAIRS_PX = 3
"""Pixels over which an edge may go in steps; the nearest of them is what ends there."""

_COLOUR_PX = 2.5
"""Pixels around the edge, as a standard deviation, that say which colour the background has there."""

_OUTLINE = 0.12
"""sRGB; less of the foreground in a pixel of the background stays there, ..."""

_OUTLINE_SHARE = 0.25
"""... and what is not that much like the foreground is the background's own."""

_STEADY = 0.25
"""Share of the scatter of the planes' tilts that counts against their mean: rough surfaces go on at one distance."""

_BINS_PER_OCTAVE = 12
"""Backgrounds are looked for in classes of distance, so that a near one does not hide a far one. ..."""

_ONE_CLASS = 0.03
"""... 1/metres: what lies farther is of few classes, all of it hardly moves."""

_LEAST_PARALLAX = 0.5
"""Pixels; what opens less is no gap."""

_STEEPEST = 4.0
"""d(log distance) per radian; what is drawn out more shows as a streak."""

_JUST_BEHIND = 0.02
"""Of the inverse distance: so far the second layer stays behind the first, and ..."""

_BEHIND_SPACINGS = 3.0
"""... as far as the surface rises over so many spacings, because rasterizers sort Gaussians by their centres."""


@dataclass(frozen=True)
class Background:
    """Points on the farther side of depth edges, and how the surface there goes on.

    Attributes:
        towards: (points, 3) unit vectors.
        plane: (points, 3) a, 1/metres: the inverse distance in a direction ω is a·ω.
        nearness: (points,) 1/metres: inverse distance at the point itself.
        band: (points,) radians: how far the background comes to light under the foreground.
        pixels: (points,) of the flattened image, where they lie.
        front: (points,) a pixel of the foreground next to each.
        around: (points, k) pixels next to the edge that are purely of the background.
        weights: (points, k) how much each of those says of its colour; their sum is 1.
    """

    towards: Float[np.ndarray, "points 3"]
    plane: Float[np.ndarray, "points 3"]
    nearness: Float[np.ndarray, " points"]
    band: Float[np.ndarray, " points"]
    pixels: Int[np.ndarray, " points"]
    front: Int[np.ndarray, " points"]
    around: Int[np.ndarray, "points k"]
    weights: Float[np.ndarray, "points k"]

    def colour(self, picture: Float[np.ndarray, "height width 3"]) -> Float[np.ndarray, "points 3"]:
        """Of the background at the edge, nothing of the foreground mixed in."""
        flat = picture.reshape(-1, 3)
        total = np.zeros((len(self.pixels), 3), np.float32)
        for around, weight in zip(self.around.T, self.weights.T, strict=True):
            total += weight[:, None] * flat[around]
        return total

    def outlines(self, picture: Float[np.ndarray, "height width 3"]) -> Bool[np.ndarray, " points"]:
        """Which points show much of the foreground: from aside they would stay behind as its outline."""
        flat = picture.reshape(-1, 3)
        pure, seen, front = (
            srgb_from_linear(part) for part in (self.colour(picture), flat[self.pixels], flat[self.front])
        )
        step, whole = seen - pure, front - pure
        share = (step * whole).sum(axis=1) / np.maximum((whole**2).sum(axis=1), 1e-6)
        return (np.abs(step).max(axis=1) > _OUTLINE) & (share > _OUTLINE_SHARE)

    def cleaned(self, picture: Float[np.ndarray, "height width 3"], chosen: slice | Mask = slice(None)) -> np.ndarray:
        """The picture with the background's own colour at the chosen points; all of them by default."""
        clean = picture.reshape(-1, 3).copy()
        clean[self.pixels[chosen]] = self.colour(picture)[chosen]
        return clean.reshape(picture.shape)


@dataclass(frozen=True)
class Layer:
    """Part of a second layer, on cells of a lattice.

    Attributes:
        cells: (hidden,) which.
        radius: (hidden,) metres.
        slope_east, slope_north: (hidden,) d(log distance) per radian of arc.
        colour: (hidden, 3) scene-linear: that of the background at the edge, to be painted over.
        guard: (guard,) cells of the foreground beyond the band, which no inpainting must see.
        guard_colour: (guard, 3) scene-linear: what they show instead.
    """

    cells: Int[np.ndarray, " hidden"]
    radius: Float[np.ndarray, " hidden"]
    slope_east: Float[np.ndarray, " hidden"]
    slope_north: Float[np.ndarray, " hidden"]
    colour: Float[np.ndarray, "hidden 3"]
    guard: Int[np.ndarray, " guard"]
    guard_colour: Float[np.ndarray, "guard 3"]


def layers(
    background: Background,
    distance: Float[np.ndarray, "height width"],
    picture: Float[np.ndarray, "height width 3"],
    lattice: Lattice,
) -> list[Layer]:
    """What continues behind the foreground edges of a panorama: the nearest background and, where there are two, the
    farthest as well, because it shows in the gap that opens before the nearest one ends.

    Args:
        background: of that distance.
        distance: along the ray, metres.
        picture: scene-linear Rec.709.
        lattice: whose cells the layers lie on.
    """
    if not len(background.nearness):
        return []
    found = _candidates(distance, background, lattice)
    first = np.where(found.valid, found.arc, np.inf).argmin(axis=1)
    last = np.where(found.valid, found.nearness, np.inf).argmin(axis=1)
    colour = background.colour(picture)
    row, hidden = np.arange(len(first)), np.asarray(found.valid.any(axis=1))
    depth_of_gap = np.where(hidden, found.nearness[row, first], 0) - np.where(hidden, found.nearness[row, last], 0)
    opens = REACH * depth_of_gap > 2 * _LEAST_PARALLAX * np.pi / len(distance)
    guards = ~hidden & found.guards.any(axis=1)
    guard = np.where(found.guards, found.arc, np.inf).argmin(axis=1)
    nearest_one = _layer(found, background, colour, lattice, hidden, first)
    beyond = colour[found.point[row, guard]][guards]
    made = [Layer(**nearest_one, guard=found.cells[guards], guard_colour=beyond)]
    if opens.any():
        farthest_one = _layer(found, background, colour, lattice, opens, last)
        made.append(Layer(**farthest_one, guard=found.cells[:0], guard_colour=beyond[:0]))
    return made


@dataclass(frozen=True)
class _Candidates:
    """For every chosen cell and class of distance the nearest background point: (cells, classes) each."""

    cells: np.ndarray
    point: np.ndarray
    arc: np.ndarray
    nearness: np.ndarray
    is_plane: np.ndarray
    valid: np.ndarray
    guards: np.ndarray


def _layer(
    found: _Candidates,
    background: Background,
    colour: np.ndarray,
    lattice: Lattice,
    chosen: np.ndarray,
    which: np.ndarray,
) -> dict:
    """A layer of the chosen cells' candidate ``which``, without guard."""
    row = np.flatnonzero(chosen)
    column = which[row]
    cells, point, nearness = found.cells[row], found.point[row, column], found.nearness[row, column]
    east, north = _east_and_north(lattice.longitude[cells], lattice.latitude[cells])
    tilt = -background.plane[point] * (found.is_plane[row, column] / nearness)[:, None]
    return {
        "cells": cells,
        "radius": 1 / nearness,
        "slope_east": np.clip((tilt * east).sum(axis=1), -_STEEPEST, _STEEPEST),
        "slope_north": np.clip((tilt * north).sum(axis=1), -_STEEPEST, _STEEPEST),
        "colour": colour[point],
    }


def _candidates(distance: np.ndarray, background: Background, lattice: Lattice) -> _Candidates:
    height = len(distance)
    pixel = np.pi / height
    seen = 1 / distance[nearest(lattice.longitude, lattice.latitude, height)]
    towards = direction(lattice.longitude, lattice.latitude)
    farthest = 1 / float(distance.max())
    classes = np.floor(np.log2(background.nearness + _ONE_CLASS) * _BINS_PER_OCTAVE).astype(int)
    overlap = 1.5 * max(lattice.spacing, pixel)
    near_any = _near(towards, background, float(background.band.max()) + _GUARD * pixel + overlap)
    cells = np.flatnonzero(near_any)
    columns = []
    for number in np.unique(classes).tolist():
        members = np.flatnonzero(np.equal(classes, number))
        columns.append(_of_class(cells, towards, seen, background, members, farthest, overlap, pixel, lattice.spacing))
    point, arc, nearness, is_plane, valid, guards = (np.stack(part, axis=1) for part in zip(*columns, strict=True))
    useful = (valid | guards).any(axis=1)
    return _Candidates(cells[useful], *(part[useful] for part in (point, arc, nearness, is_plane, valid, guards)))


def _of_class(cells, towards, seen, background: Background, members, farthest, overlap, pixel, spacing):
    """The nearest of the ``members`` for each cell, and what it says of the background there."""
    limit = float(background.band[members].max()) + _GUARD * pixel + overlap
    tree = KDTree(background.towards[members])
    asked = np.flatnonzero(seen[cells] > 0.8 * float(background.nearness[members].min()))
    chord, index = tree.query(towards[cells[asked]], distance_upper_bound=2 * np.sin(limit / 2))
    hit = np.flatnonzero(np.isfinite(chord))
    asked, chord, point = asked[hit], chord[hit], members[np.asarray(index)[hit]]
    here, ahead = towards[cells[asked]], seen[cells[asked]]
    at_edge = background.nearness[point]
    plane = (background.plane[point] * here).sum(axis=1)
    within = np.clip(plane, np.maximum(at_edge / 2, farthest), at_edge * 2)
    arc = 2 * np.arcsin(np.clip(chord / 2, 0, 1))
    opens = REACH * (ahead - within)
    is_behind = opens > _LEAST_PARALLAX * pixel
    level = np.abs(opens) <= _LEAST_PARALLAX * pixel  # the background itself, next to the edge
    band = background.band[point]
    valid = (is_behind & (arc <= band + overlap)) | (level & (arc <= overlap))
    guards = is_behind & ~valid & (arc <= band + overlap + _GUARD * pixel)
    tilt = np.sqrt(np.maximum((background.plane[point] ** 2).sum(axis=1) - plane**2, 0)) / np.maximum(within, 1e-12)
    lower = 1 - _JUST_BEHIND - np.minimum(tilt, _STEEPEST) * _BEHIND_SPACINGS * spacing
    nearness = np.minimum(within, ahead) * lower
    columns = [np.zeros(len(cells), int), *np.full((2, len(cells)), np.inf), *np.zeros((3, len(cells)), bool)]
    for column, values in zip(columns, (point, arc, nearness, within == plane, valid, guards), strict=True):
        column[asked] = values
    return columns


def _near(towards: np.ndarray, background: Background, reach: float) -> Bool[np.ndarray, " cells"]:
    """Which directions lie within the widest band of any edge; coarse, to save the rest the work."""
    chord = KDTree(background.towards).query(towards, distance_upper_bound=2 * np.sin(reach / 2))[0]
    return np.isfinite(chord)


def background_of(distance: Float[np.ndarray, "height width"], edges: Bool[np.ndarray, "height width"]) -> Background:
    """The farther sides of all depth edges of a panorama; ``edges``: see ``DepthVideo.edges``."""
    height = len(distance)
    far, near = _rims(distance, edges)
    nearness = 1 / distance.ravel().astype(np.float64)
    in_front = np.zeros(distance.size, np.float32)
    in_front[near] = nearness[near]
    front_of = np.zeros(distance.size, np.int64)
    front_of[far] = near
    before = grey_dilate(in_front.reshape(distance.shape), _STAIRS_PX).ravel()
    points = np.setdiff1d(far, near)  # what is both is a step on the way, or too thin to go on
    points = points[REACH * (before[points] - nearness[points]) > _LEAST_PARALLAX * np.pi / height]
    band = np.minimum(REACH * (before[points] - nearness[points]), _WIDEST_BAND)
    row, column = np.divmod(points, 2 * height)
    towards = direction(longitudes(2 * height)[column], latitudes(height)[row]).astype(np.float64)
    plane, around, weights = _planes(distance, edges, towards, nearness[points])
    return Background(towards, plane, nearness[points], band, points, front_of[points], around, weights)


def _rims(distance: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels on the farther and on the nearer side of every link over which a gap opens.

    That is so across edges, and wherever else two neighbours' planes do not meet: at steps too small for an edge, at
    what ends at the horizon, at a single row of pixels between two surfaces.
    """
    pixel = np.arange(distance.size).reshape(distance.shape)
    whole, number = (with_border(image, 1)[:, 1:-1] for image in (edges, pixel))
    across, rise = link_slopes(distance)
    steep_across, steep_rise = steep_links((across, rise))
    gaps = _gaps(distance, edges)
    opens_east, opens_north = (REACH * np.abs(gap) > _LEAST_PARALLAX * np.pi / len(distance) for gap in gaps)
    east = steep_across & edges & np.roll(edges, -1, axis=1) | opens_east
    north = steep_rise & whole[:-1] & whole[1:] | opens_north
    west_end, east_end = pixel[east], np.roll(pixel, -1, axis=1)[east]
    south_end, north_end = number[1:][north], number[:-1][north]
    rises = np.concatenate([across[east], rise[north]]) > 0
    one, other = np.concatenate([west_end, south_end]), np.concatenate([east_end, north_end])
    return np.where(rises, other, one), np.where(rises, one, other)


def _gaps(distance: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By how much inverse distance (1/metres) falls between two neighbours' planes, in the middle of each link to the
    east and to the north."""
    height = len(distance)
    half = 0.5 * np.pi / height
    nearness = 1 / distance.astype(np.float64)
    slope_east, slope_north = slopes(distance, edges)
    off_east = slope_east * half * np.cos(latitudes(height))[:, None]
    east_end, west_end = nearness * (1 + off_east), nearness * (1 - off_east)
    north_end, south_end = (with_border(nearness * (1 - side * slope_north * half), 1)[:, 1:-1] for side in (1, -1))
    return west_end - np.roll(east_end, -1, axis=1), north_end[1:] - south_end[:-1]


def _planes(
    distance: np.ndarray, edges: np.ndarray, towards: np.ndarray, at_edge: np.ndarray
) -> tuple[Float[np.ndarray, "points 3"], Int[np.ndarray, "points k"], Float[np.ndarray, "points k"]]:
    """Planes of the background at its edges, from the pixels around that are of the same surface; which these are, and
    how much they say of its colour."""
    height = len(distance)
    coarse = Lattice(max(height // 2, 2))
    row, column = nearest(coarse.longitude, coarse.latitude, height)
    omega = direction(coarse.longitude, coarse.latitude).astype(np.float64)
    east, north = _east_and_north(coarse.longitude, coarse.latitude)
    slope_east, slope_north = (part[row, column][:, None] for part in slopes(distance, edges))
    planes = (omega - slope_east * east - slope_north * north) / distance[row, column][:, None]
    if not len(towards):
        return planes[:0], row[:0, None], at_edge[:0, None]
    chord, around = KDTree(omega).query(towards, k=min(_NEIGHBOURS, len(omega)))
    theirs = planes[around]
    miss = (theirs * towards[:, None]).sum(axis=2) / at_edge[:, None] - 1
    weight = np.exp(-0.5 * (miss / _AGREEMENT) ** 2) + 1e-12
    pure = (
        weight
        * np.where(edges[row, column][around], 1e-6, 1)
        * np.exp(-0.5 * (chord / (_COLOUR_PX * np.pi / height)) ** 2)
    )
    weight /= weight.sum(axis=1, keepdims=True)
    across = theirs - (theirs * towards[:, None]).sum(axis=2)[..., None] * towards[:, None]
    tilt = (weight[..., None] * across).sum(axis=1)
    scatter = (weight * ((across - tilt[:, None]) ** 2).sum(axis=2)).sum(axis=1)
    square = (tilt**2).sum(axis=1)
    steady = square / (square + _STEADY * scatter + 1e-30)
    plane = at_edge[:, None] * towards + steady[:, None] * tilt
    pixels = (row * 2 * height + column)[around]
    return plane, pixels, (pure / pure.sum(axis=1, keepdims=True)).astype(np.float32)


def nearest(longitude: np.ndarray, latitude: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the pixels that directions (radians) lie in, of an image of that height."""
    column = np.floor((longitude / (2 * np.pi) + 0.5) * (2 * height)).astype(np.int64) % (2 * height)
    return np.clip(np.floor((0.5 - latitude / np.pi) * height), 0, height - 1).astype(np.int64), column


def _east_and_north(longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return direction(longitude + np.pi / 2, 0.0), direction(longitude, latitude + np.pi / 2)
