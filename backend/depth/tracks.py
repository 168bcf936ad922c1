"""Points followed through a panoramic video, in six tangent views: their directions in each frame's own axes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy.spatial import KDTree

from ..sphere.colour import srgb_from_linear
from ..sphere.icosphere import icosphere
from ..sphere.sampling import tangent_views
from ..sphere.views import look
from .bearings import unit

_FOV = np.deg2rad(100.0)
"""The six views see a little more than a cube's faces, so that a point may leave the face that it was found in."""

_WIDEST = 1024
"""Wider panoramas are followed at this width: subpixel accuracy makes up for it."""

_CELLS = icosphere(6)
"""Middles of 362 cells, 10.7° apart: a cell has few points, however rich it is, and one vote."""

_POINTS_PER_CELL = 4

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)

_MIDDLE_GREY = 0.18

_LEAST_CORNER = 1e-4
"""Least eigenvalue of the structure tensor (of grey values 0..1): less is noise of 8-bit rounding."""

_RETURN_TOLERANCE = 0.35
"""Followed to the other frame and back, a point must come back to within so many pixels of the view."""

_WINDOW = (15, 15)
_LEVELS = 3

Views = UInt8[np.ndarray, "6 size size"]


@dataclass(frozen=True)
class Points:
    """Corners found in a keyframe's views.

    Attributes:
        place: (track, 2) float32 column and row in the view, pixels.
        view: (track,) which of the six.
    """

    place: Float[np.ndarray, "track 2"]
    view: Int[np.ndarray, " track"]


def cube() -> Float[np.ndarray, "6 3 3"]:
    """Rotations (of the axes of the panorama, from those of the view) of the six views."""
    places = [(longitude, 0.0) for longitude in (0.0, 0.5, 1.0, 1.5)] + [(0.0, 0.5), (0.0, -0.5)]
    return np.stack([look(longitude * np.pi, latitude * np.pi) for longitude, latitude in places])


def grey(frame: Float[np.ndarray, "height width 3"]) -> Float[np.ndarray, "rows columns"]:
    """Luminance 0..255 for following: its median at middle grey, so that a camera's exposure does not matter."""
    if frame.shape[1] > _WIDEST:
        frame = cv2.resize(frame, (_WIDEST, _WIDEST // 2), interpolation=cv2.INTER_AREA)
    luminance = frame @ _LUMINANCE
    return srgb_from_linear(luminance * (_MIDDLE_GREY / max(float(np.median(luminance)), 1e-6))) * np.float32(255)


def views_of(grey: Float[np.ndarray, "rows columns"], R_level_from_camera: Float[np.ndarray, "3 3"]) -> Views:
    """The six views along level axes, of a frame whose camera is turned: a turn of the camera moves nothing in them."""
    focal = grey.shape[1] / (2 * np.pi)  # a pixel of the panorama is one in the middle of a view
    size = round(2 * focal * np.tan(_FOV / 2))
    R_camera_from_view = torch.from_numpy((R_level_from_camera.T @ cube()).astype(np.float32))
    found = tangent_views(torch.from_numpy(grey)[None], R_camera_from_view, size, size, float(_FOV))
    return found[:, 0].clamp(0, 255).round().to(torch.uint8).numpy()


def corners(views: Views) -> Points:
    """Corners to follow, spread evenly over the sphere: the best few of each cell."""
    size = views.shape[-1]
    inside = np.zeros((size, size), np.uint8)
    margin = round(size / 2 * (1 - 1 / np.tan(_FOV / 2)))
    inside[margin : size - margin, margin : size - margin] = 1
    places, numbers, strengths = [], [], []
    for number, view in enumerate(views):
        strength = cv2.cornerMinEigenVal(view.astype(np.float32) / 255, 5)
        found = cv2.goodFeaturesToTrack(view, 2000, 1e-4, 5, mask=inside, blockSize=5)
        place = np.zeros((0, 2), np.float32) if found is None else found.reshape(-1, 2)
        strong = strength[tuple(np.rint(place[:, ::-1]).astype(int).T)]
        kept = strong > _LEAST_CORNER
        places.append(place[kept])
        numbers.append(np.full(int(kept.sum()), number))
        strengths.append(strong[kept])
    points = Points(np.concatenate(places).astype(np.float32), np.concatenate(numbers))
    best = np.argsort(-np.concatenate(strengths), kind="stable")
    cell = cells(directions_of(points.place, points.view, size))[best]
    order = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    chosen = best[order[rank < _POINTS_PER_CELL]]
    return Points(points.place[chosen], points.view[chosen])


def cells(directions: Float[np.ndarray, "track 3"]) -> Int[np.ndarray, " track"]:
    """The cell of the sphere in which each direction lies."""
    return np.asarray(KDTree(_CELLS).query(directions)[1], int) if len(directions) else np.zeros(0, int)


def one_vote_a_cell(cell: Int[np.ndarray, " track"]) -> Float[np.ndarray, " track"]:
    """Weights with which all cells that hold tracks count the same; their sum is 1."""
    count = np.bincount(cell, minlength=len(_CELLS))
    return 1 / (count[cell] * max(int((count > 0).sum()), 1))


def directions_of(
    place: Float[np.ndarray, "track 2"], view: Int[np.ndarray, " track"], size: int
) -> Float[np.ndarray, "track 3"]:
    """Unit vectors, float64, along the level axes, towards places (pixels) in the six views."""
    across = (place.astype(np.float64) + 0.5 - size / 2) / (size / 2) * np.tan(_FOV / 2)
    rays = np.concatenate([across, np.ones((len(place), 1))], axis=1)
    return unit(np.einsum("txy,ty->tx", cube().astype(np.float64)[view], rays))


def follow(
    key_views: Views, points: Points, views: Views, guess: Float[np.ndarray, "track 2"]
) -> tuple[Float[np.ndarray, "track 2"], Bool[np.ndarray, " track"]]:
    """Where a keyframe's points lie in another frame's views, and which were found.

    Pyramidal Lucas-Kanade there and back again (Kalal et al. 2010, *Forward-backward error*), from ``guess`` on.
    """
    size = views.shape[-1]
    place, found = guess.copy(), np.zeros(len(guess), bool)
    for number in range(len(views)):
        own = np.flatnonzero(points.view == number)
        if not len(own):
            continue
        start = points.place[own][:, None]
        there, status, _ = cv2.calcOpticalFlowPyrLK(
            key_views[number],
            views[number],
            start,
            guess[own][:, None].astype(np.float32),
            winSize=_WINDOW,
            maxLevel=_LEVELS,
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
            criteria=_CRITERIA,
        )
        back, returned, _ = cv2.calcOpticalFlowPyrLK(
            views[number],
            key_views[number],
            there,
            start.copy(),
            winSize=_WINDOW,
            maxLevel=_LEVELS,
            criteria=_CRITERIA,
        )
        near = np.linalg.norm(back - start, axis=2)[:, 0] < _RETURN_TOLERANCE
        inside = ((there >= 0) & (there <= size - 1)).all(axis=2)[:, 0]
        place[own] = there[:, 0]
        found[own] = (status[:, 0] > 0) & (returned[:, 0] > 0) & near & inside
    return place, found


_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 0.003)
