"""Following points through a whole panoramic video, from keyframe to keyframe, with every frame turned upright first.

A turn of the camera would shift and shear what the views show. So each frame is rendered as if its camera had not
turned (as far as is known by then), and points are always compared with the keyframe they were found in: errors do not
add up from frame to frame, and a camera that only turns never needs a second keyframe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from .bearings import angle_of, turn
from .tracks import Points, Views, cells, corners, directions_of, follow, grey, one_vote_a_cell, views_of

_NEW_KEYFRAME_BELOW = 0.5
"""When only this share of a keyframe's points is still found, the next keyframe begins."""

_LOST_BELOW = 0.2
_SMALL_TURN = np.deg2rad(0.5)
"""A frame that turned by more than was expected is rendered once more."""

_RENDERINGS = 5

_AT_REST = np.deg2rad(0.25)
_REST_SHARE = 0.4
"""As long as so much of the sphere rests, frames are rendered like the keyframe: a large sky must not turn them."""

ROUGHLY = np.deg2rad(2.0)
"""How well a turn alone must explain a frame to render it upright: parallax may be as large, and must not decide that
something small that turns in itself is the world."""


@dataclass(frozen=True)
class Segment:
    """What a keyframe and the frames after it see.

    Attributes:
        key: number of the keyframe.
        b: (track, 3) bearings at the keyframe, in its camera's axes.
        earlier: (track,) the same point's track in the segment before, or -1.
        frames, o: the frames after it, and (track, 3) bearings in each one's axes, NaN where a point was not found.
    """

    key: int
    b: Float[np.ndarray, "track 3"]
    earlier: Int[np.ndarray, " track"]
    frames: list[int] = field(default_factory=list)
    o: list[Float[np.ndarray, "track 3"]] = field(default_factory=list)


@dataclass(frozen=True)
class _Key:
    """A keyframe's rendering with the turn ``R``, and the bearings of its points along the level axes."""

    views: Views
    R: Float[np.ndarray, "3 3"]
    points: Points
    level: Float[np.ndarray, "track 3"]


@dataclass(frozen=True)
class _Found:
    """A frame's rendering with the turn ``R`` (level from camera), and where the keyframe's points are in it."""

    views: Views
    R: Float[np.ndarray, "3 3"]
    place: Float[np.ndarray, "track 2"]
    found: np.ndarray
    R_better: Float[np.ndarray, "3 3"]


def walk(
    frames: Float[np.ndarray, "frame height width 3"],
    fewest: int,
    report: Callable[[int, int], None] = lambda done, frames: None,
) -> tuple[list[Segment], list[int]]:
    """Segments in order of time, and the frames in which fewer than ``fewest`` points were found again."""
    random = np.random.default_rng(0)
    none = np.zeros(0, int)
    key, segment = _begin(0, views_of(grey(frames[0]), np.eye(3)), np.eye(3), _NOTHING, none)
    segments, blind = [segment], []
    place, R, step, last = key.points.place, np.eye(3), np.eye(3), None
    for number in range(1, len(frames)):
        report(number, len(frames))
        picture = grey(frames[number])
        if len(segment.b) < fewest:  # the video begins with black, perhaps
            blind.append(segment.key)
            key, segment = _begin(number, views_of(picture, R), R, _NOTHING, none)
            segments, place = [segment], key.points.place
            continue
        seen = _find(key, picture, step @ R, place, fewest, random)
        if seen.found.mean() < _LOST_BELOW and last is not None and segment.frames:
            key, segment = _begin(segment.frames[-1], last.views, last.R, *_survivors(key, last))
            segments.append(segment)
            place, last = key.points.place, None
            seen = _find(key, picture, step @ R, place, fewest, random)
        if seen.found.sum() < fewest:
            blind.append(number)
            step = np.eye(3)
            continue
        segment.frames.append(number)
        segment.o.append(_bearings(key, seen))
        place = np.where(seen.found[:, None], seen.place, place)
        step, R, last = seen.R_better @ R.T, seen.R_better, seen
        if seen.found.mean() < _NEW_KEYFRAME_BELOW and number + 1 < len(frames):
            after = _begin(number, seen.views, seen.R, *_survivors(key, seen))
            if len(after[1].b) > len(segment.b) / 2:
                key, segment = after
                segments.append(segment)
                place, last = key.points.place, None
    report(len(frames), len(frames))
    return segments, blind


_NOTHING = Points(np.zeros((0, 2), np.float32), np.zeros(0, int))


def _begin(
    number: int, views: Views, R: Float[np.ndarray, "3 3"], kept: Points, earlier: Int[np.ndarray, " track"]
) -> tuple[_Key, Segment]:
    """A keyframe with the points that it takes over and new corners."""
    new = corners(views)
    points = Points(np.concatenate([kept.place, new.place]), np.concatenate([kept.view, new.view]))
    level = directions_of(points.place, points.view, views.shape[-1])
    earlier = np.concatenate([earlier, np.full(len(new.view), -1)])
    return _Key(views, R, points, level), Segment(number, level @ R, earlier)


def _survivors(key: _Key, seen: _Found) -> tuple[Points, Int[np.ndarray, " track"]]:
    kept = np.flatnonzero(seen.found)
    return Points(seen.place[kept], key.points.view[kept]), kept


def _find(key: _Key, picture: np.ndarray, R, place, fewest: int, random) -> _Found:
    """Follow the points into a frame whose camera is turned by about ``R``, and find better how it is turned."""
    for rendering in range(_RENDERINGS):
        views = views_of(picture, R)
        there, found = follow(key.views, key.points, views, place)
        if found.sum() < fewest:
            break
        now = directions_of(there[found], key.points.view[found], views.shape[-1])
        vote = one_vote_a_cell(cells(key.level[found]))
        if (
            np.array_equal(R, key.R)
            and vote @ (np.linalg.norm(key.level[found] - now, axis=1) < _AT_REST) > _REST_SHARE
        ):
            return _Found(views, R, there, found, R)
        correction = turn(key.level[found], now, vote, ROUGHLY, random)
        if angle_of(correction) < _SMALL_TURN or rendering == _RENDERINGS - 1:
            return _Found(views, R, there, found, correction @ R)
        R = correction @ R
    return _Found(views, R, there, found, R)


def _bearings(key: _Key, seen: _Found) -> Float[np.ndarray, "track 3"]:
    """In the frame's own camera axes; NaN for points that were not found."""
    towards = directions_of(seen.place, key.points.view, seen.views.shape[-1]) @ seen.R
    return np.where(seen.found[:, None], towards, np.nan)
