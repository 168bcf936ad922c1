"""Where the camera of each frame of a panoramic video stands and how it is turned; most often it does neither.

Scene space is frame 0's camera space: +Y towards its middle, +Z up. TiP4GEN initialises its scene's cameras from such
poses (section 3.3). A rig that stands still is the rule, and what moves in front of it (water, clouds, cars) must not
make it walk: the camera moves only where standing still, and then turning, cannot explain most of the sphere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation as Turns
from scipy.spatial.transform import Slerp

from ..sphere.equirectangular import directions, sample, with_border
from ..sphere.sampling import sample as sample_exactly
from .bearings import Rotation, angle_of, explained, settled_turn, turn, turn_and_move, unit
from .tracks import cells, one_vote_a_cell
from .trajectory import bearings_of, points, posed_from_afar, settled, slope
from .walk import ROUGHLY, Segment, walk

Frames = Float[np.ndarray, "frame height width 3"]

STILL_TURN = np.deg2rad(0.05)
"""A camera that turns by less is taken to stand still; measured noise is a tenth of it."""

_TOLERANCES_PX = (0.25, 0.5, 1.0)
"""A track may miss what explains it by so much of a pixel of the panorama (at most 1024 wide).

The wider are for noisy and strongly compressed videos, tried where nothing explains what is seen.
"""

_MOST = 0.5
"""The share of the sphere (where it can be followed) that an explanation by a turn or a motion must reach."""

_MOST_AT_REST = 0.4
"""The same for standing still, which is the rule: a sky that turns over half of the sphere is no camera that turns."""

_RELIABLE_FRAMES = 0.9
"""In so many of the frames it must hold; single frames may be spoilt by a flash or somebody who walks past."""

_SHARE_IN_ANY_FRAME = 0.35
_SHARE_FOLLOWED = 0.2
"""A frame in which less agrees on anything is taken from its neighbours."""

_REST_EXPLAINED = 0.6
"""Of what a turn leaves over, a camera that moves must explain this share; things that move by themselves disagree."""

_FEWEST = 40
"""Tracks with which anything can be said."""

_FEWEST_CARRIED = 20


_DOUBTFUL = 0.45
"""Share of the tracks. Wrong cameras among large moving things fitted 0.43 and less, right ones 0.48 and more."""


@dataclass(frozen=True)
class Cameras:
    """The camera of each frame.

    Attributes:
        R_scene_from_camera: (frame, 3, 3) float64; the axes of a frame's panorama in scene space. Frame 0's: identity.
        position: (frame, 3) float64, scene space; frame 0's: 0. Metres if ``metric``; else the first step has length 1.
        still: no camera moves or turns: exact identities and zeros.
        turns, moves: whether it turns; whether it changes its place.
        metric: whether positions are metres.
        notes: for the artist, a sentence each: what could not be found, and what was assumed.
    """

    R_scene_from_camera: Float[np.ndarray, "frame 3 3"]
    position: Float[np.ndarray, "frame 3"]
    still: bool
    turns: bool
    moves: bool
    metric: bool
    notes: tuple[str, ...] = ()


def cameras_of(
    frames: Frames,
    distance: Float[np.ndarray, "*frame height width"] | None = None,
    report: Callable[[int, int], None] = lambda done, frames: None,
) -> Cameras:
    """Find the camera of each frame from points followed in tangent views.

    Args:
        frames: (frame, height, 2·height, 3) float32, scene-linear; one shot (``sphere.shots.check_one_shot``).
        distance: (height, 2·height) of frame 0 or (frame, height, 2·height), metres, of any size: gives positions in
            metres. Without it their scale is free.
        report: is called with the frames done and all frames; it may raise to stop.
    """
    count = len(frames)
    if count < 2:
        return _still(count)
    segments, blind = walk(frames, _FEWEST, report)
    if len(blind) >= count - 1:
        return _still(count, "The video shows too little that can be followed; its camera is taken to stand still.")
    path = _explained_path(segments, count, 2 * np.pi / min(frames.shape[2], 1024))
    if path is None:
        return _still(count)
    if path.unexplained:
        path.notes.append(
            f"Much moves between frames {min(path.unexplained) + 1} and {max(path.unexplained) + 1} that no motion of "
            "the camera explains; there the camera is taken to keep its place."
        )
    if path.least_share < _DOUBTFUL:
        path.notes.append(
            "Less than half of what can be followed fits the camera that was found: check it, or set the rig to still."
        )
    R, position = _between(path.R, path.position, path.found)
    turns = max(angle_of(each) for each in R) >= STILL_TURN
    if not turns and not path.moves:
        return _still(count, *path.notes)
    if blind:
        path.notes.append(
            f"{_frame_list(blind)} nothing that can be followed; the camera is taken from its neighbours."
        )
    metric = path.moves and distance is not None and path.measure(np.asarray(distance))
    if path.moves and distance is not None and not metric:
        path.notes.append("The camera's steps could not be measured in metres; the first is taken to be 1 m long.")
    position = position * (path.metres if metric else 1 / _first_step(position))
    return Cameras(R, position, False, turns, path.moves, metric, tuple(path.notes))


def _explained_path(segments: list[Segment], count: int, pixel: float) -> _Path | None:
    """The path with the least tolerance that leaves nothing unexplained (None: all stands still), else with the least.

    ``pixel``: radians.
    """
    first = None
    for tolerance in (px * pixel for px in _TOLERANCES_PX):
        if _all_stand_still(segments, tolerance):
            return None
        path = _Path(count, tolerance)
        for segment in segments:
            path.go_on(segment)
        if not path.unexplained:
            return path
        first = first or path
    return first


def turned_back(frames: Frames, R_scene_from_camera: Float[np.ndarray, "frame 3 3"]) -> Frames:
    """All frames as a camera with frame 0's orientation would have seen them; bicubic, float32, not negative.

    Around lights (brighter than 1) values stay between their neighbours', lest a dark ring appear.
    """
    towards = directions(frames.shape[1]).astype(np.float64)
    turned = np.empty_like(frames)
    for number, (frame, R) in enumerate(zip(frames, R_scene_from_camera, strict=True)):
        if angle_of(R) == 0:
            turned[number] = frame
            continue
        seen = torch.from_numpy((towards @ R).astype(np.float32))
        turned[number] = np.maximum(_looked_up(frame, seen, "bicubic"), 0)
        if frame.max() > 1:
            least, most, light = (_looked_up(each, seen, "nearest") for each in _neighbours(frame))
            turned[number] = np.where(light > 1, np.clip(turned[number], least, most), turned[number])
    return turned


def _neighbours(frame: Float[np.ndarray, "height width 3"]) -> list[np.ndarray]:
    """Least and largest of each pixel's 3 x 3, between which bilinear values lie, and largest of the 5 x 5 beyond."""
    near, far, border = np.ones((3, 3), np.uint8), np.ones((5, 5), np.uint8), 3
    around = with_border(frame, border)
    found = (cv2.erode(around, near), cv2.dilate(around, near), cv2.dilate(around, far))
    return [each[border:-border, border:-border] for each in found]


def _looked_up(frame: Float[np.ndarray, "height width 3"], towards: torch.Tensor, mode) -> np.ndarray:
    image = torch.from_numpy(np.ascontiguousarray(np.moveaxis(frame, -1, 0)))
    return np.moveaxis(sample_exactly(image, towards, mode).numpy(), 0, -1)


def _still(count: int, *notes: str) -> Cameras:
    return Cameras(np.tile(np.eye(3), (count, 1, 1)), np.zeros((count, 3)), True, False, False, False, notes)


@dataclass(frozen=True)
class _View:
    """What one frame shows of its segment's tracks: those it sees, their bearings, and a vote for each cell."""

    frame: int
    sees: Int[np.ndarray, " track"]
    b: Float[np.ndarray, "track 3"]
    o: Float[np.ndarray, "track 3"]
    vote: Float[np.ndarray, " track"]

    def share(self, R: Rotation, tolerance: float) -> float:
        """Share of the cells that ``R`` alone explains."""
        return float(self.vote[np.linalg.norm(self.b - self.o @ R.T, axis=1) < tolerance].sum())

    def share_of(self, R: Rotation, p: np.ndarray, rho: Float[np.ndarray, " track"], tolerance: float) -> float:
        """Share of the cells that a turned and moved camera explains, with the points where they are known to be."""
        towards = unit(self.b - np.nan_to_num(rho)[:, None] * p)
        return float(self.vote[np.linalg.norm(towards - self.o @ R.T, axis=1) < tolerance].sum())


def _views(segment: Segment) -> list[_View]:
    found = []
    for frame, o in zip(segment.frames, segment.o, strict=True):
        sees = np.flatnonzero(np.isfinite(o[:, 0]))
        if len(sees) >= _FEWEST:
            b = segment.b[sees]
            found.append(_View(frame, sees, b, o[sees], one_vote_a_cell(cells(b))))
    return found


def _mostly(shares: list[float], least: float = _MOST) -> bool:
    often = float(np.mean([share >= least for share in shares])) >= _RELIABLE_FRAMES
    return often and min(shares) >= _SHARE_IN_ANY_FRAME


def _all_stand_still(segments: list[Segment], tolerance: float) -> bool:
    """Whether most of the sphere rests in nearly all frames, and what rests does not turn."""
    views = [view for segment in segments for view in _views(segment)]
    turns = [settled_turn(view.b, view.o, view.vote, np.eye(3), tolerance) for view in views]
    small = [angle_of(R) < STILL_TURN for R in turns]
    return _mostly([view.share(np.eye(3), tolerance) for view in views]) and float(np.mean(small)) >= (_RELIABLE_FRAMES)


class _Path:
    """The camera's path, grown segment by segment; each begins at a keyframe of the one before."""

    def __init__(self, count: int, tolerance: float):
        self.R = np.tile(np.eye(3), (count, 1, 1))
        self.position = np.zeros((count, 3))
        self.found = np.zeros(count, bool)
        self.found[0] = True
        self.moves = False
        self.unexplained: list[int] = []
        """First and last frames between which nothing explains what moves."""
        self.metres = 1.0
        self.least_share = 1.0
        """Of what is followed, that fits the camera found, in the frame where it is least."""
        self.notes: list[str] = []
        self._tolerance = tolerance
        self._random = np.random.default_rng(0)
        self._known: list[tuple[Segment, np.ndarray]] = []
        """Segments with their tracks' inverse distances (NaN: not known), all in one scale."""

    def go_on(self, segment: Segment) -> None:
        """Place the segment's frames relative to its keyframe, in the scale of what is known already."""
        views = _views(segment)
        if not views:
            return
        turns = [turn(view.b, view.o, view.vote, self._tolerance, self._random) for view in views]
        shares = [view.share(R, self._tolerance) for view, R in zip(views, turns, strict=True)]
        self._place_key(segment.key)
        carried = self._carried(segment)
        R, p, rho = np.stack(turns), np.zeros((len(views), 3)), np.full(len(segment.b), np.nan)
        if np.isfinite(carried).sum() >= _FEWEST_CARRIED:
            R, p, rho = self._along_known(segment, views, self._rough_turns(views), carried)
        elif not _mostly(shares):
            R, p, rho = self._into_the_unknown(segment, views, R, shares)
        R_key, p_key = self.R[segment.key], self.position[segment.key]
        for number, view in enumerate(views):
            share = view.share_of(R[number], p[number], rho[view.sees], self._tolerance)
            self.least_share = min(self.least_share, share)
            if share < _SHARE_FOLLOWED:
                continue  # it follows nothing: taken from its neighbours
            self.R[view.frame] = R_key @ R[number]
            self.position[view.frame] = p_key + R_key @ p[number]
            self.found[view.frame] = True
        self._known.append((segment, rho))

    def measure(self, distance: Float[np.ndarray, "*frame height width"]) -> bool:
        """Find how many metres the path's unit is, from the distances at the keyframes."""
        rhos, inverse = [], []
        for segment, rho in self._known:
            if segment.key and distance.ndim == 2:
                continue
            near = distance if distance.ndim == 2 else distance[segment.key]
            metres = sample(near, segment.b[None].astype(np.float32), cv2.INTER_NEAREST)[0]
            good = (np.nan_to_num(rho) > 0) & np.isfinite(metres) & (metres > 0)
            rhos.append(rho[good])
            inverse.append(1 / metres[good])
        y, x = (np.concatenate(part) if part else np.zeros(0) for part in (rhos, inverse))
        if len(y) < _FEWEST_CARRIED:
            return False
        self.metres = 1 / slope(x, y, np.ones(len(y)))
        return bool(np.isfinite(self.metres) and self.metres > 0)

    def _rough_turns(self, views: list[_View]) -> np.ndarray:
        """Rotations to begin with where parallax hides the exact ones."""
        return np.stack([turn(view.b, view.o, view.vote, ROUGHLY, self._random) for view in views])

    def _place_key(self, key: int) -> None:
        """A keyframe after frames that show nothing stands where the last known one does."""
        if not self.found[key]:
            last = int(np.flatnonzero(self.found[:key])[-1])
            self.R[key], self.position[key], self.found[key] = self.R[last], self.position[last], True

    def _carried(self, segment: Segment) -> Float[np.ndarray, " track"]:
        """Inverse distances, from the new keyframe, of tracks whose points the last segment knows; else NaN."""
        rho = np.full(len(segment.b), np.nan)
        if not self._known:
            return rho
        before, known = self._known[-1]
        both = np.flatnonzero((segment.earlier >= 0) & (np.append(known, np.nan)[segment.earlier] > 0))
        old = segment.earlier[both]
        places = points(before.b[old], known[old], self.R[before.key], self.position[before.key])
        towards, far = bearings_of(places, self.R[segment.key], self.position[segment.key])
        stands = np.linalg.norm(towards - segment.b[both], axis=1) < 2 * self._tolerance
        rho[both[stands]] = 1 / far[stands]
        return rho

    def _along_known(self, segment: Segment, views: list[_View], R: np.ndarray, carried: np.ndarray):
        """Frames placed by points that are known already, then all of them and the new points settled together."""
        R, p = R.copy(), np.zeros((len(views), 3))
        for number, view in enumerate(views):
            known = np.isfinite(carried[view.sees])
            if known.sum() >= 12:
                sees = view.sees[known]
                guess = R[number], p[number - 1] if number else p[0]
                seen = view.b[known], view.o[known], carried[sees], view.vote[known]
                R[number], p[number] = posed_from_afar(*seen, *guess, self._tolerance)
        length = np.linalg.norm(p, axis=1)
        first = int(length.argmax())
        if length[first] * np.nanmedian(carried) < 2 * self._tolerance:  # it rests: nothing new is learnt
            return R, p, carried
        o = _stacked(segment, views)
        R, p, rho = settled(segment.b, o, _votes(segment), R, first, p[first] / length[first], self._tolerance)
        both = np.isfinite(carried) & (np.nan_to_num(rho) > 0)
        if both.sum() < _FEWEST_CARRIED:
            return R, p * length[first], rho / length[first]
        scale = slope(rho[both], carried[both], np.ones(int(both.sum())))
        return R, p * scale, rho / scale

    def _into_the_unknown(self, segment: Segment, views: list[_View], R: np.ndarray, shares: list[float]):
        """The first segment in which the camera moves: two frames far apart give the first distances, and the scale."""
        nothing = R, np.zeros((len(views), 3)), np.full(len(segment.b), np.nan)
        enough = np.median([len(view.sees) for view in views])
        first = int(np.argmin([s if len(view.sees) >= enough else 1.0 for s, view in zip(shares, views, strict=True)]))
        view, tolerance = views[first], self._tolerance
        R_first, p_first = turn_and_move(view.b, view.o, view.vote, R[first], tolerance, self._random)
        fits = explained(view.b, view.o, R_first, p_first, tolerance)
        left = np.linalg.norm(view.b - view.o @ R[first].T, axis=1) >= tolerance
        if view.vote[fits].sum() < _MOST or view.vote[fits & left].sum() < _REST_EXPLAINED * view.vote[left].sum():
            self.unexplained += [segment.key, views[-1].frame]
            return nothing
        R = self._rough_turns(views)
        R[first] = R_first
        self.moves = True
        o = _stacked(segment, views)
        return settled(segment.b, o, _votes(segment), R, first, p_first, tolerance)


def _stacked(segment: Segment, views: list[_View]) -> Float[np.ndarray, "frame track 3"]:
    by_frame = dict(zip(segment.frames, segment.o, strict=True))
    return np.stack([by_frame[view.frame] for view in views])


def _votes(segment: Segment) -> Float[np.ndarray, " track"]:
    return one_vote_a_cell(cells(segment.b))


def _between(R: np.ndarray, position: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames of which nothing was found, put between their neighbours (at the end: left where the last one is)."""
    at, frame = np.flatnonzero(found), np.arange(len(found))
    held = np.clip(frame, at[0], at[-1])
    R = Slerp(at, Turns.from_matrix(R[at]))(held).as_matrix() if len(at) > 1 else R
    return R, np.stack([np.interp(frame, at, position[at, axis]) for axis in range(3)], axis=1)


def _first_step(position: Float[np.ndarray, "frame 3"]) -> float:
    """Length of the first step that is one: not noise before the camera sets off."""
    steps = np.linalg.norm(np.diff(position, axis=0), axis=1)
    if not steps.max() > 0:
        return 1.0
    return float(steps[np.argmax(steps > 0.2 * np.median(steps[steps > 0.01 * steps.max()]))])


def _frame_list(frames: list[int]) -> str:
    names = ", ".join(str(frame + 1) for frame in frames[:8]) + (" …" if len(frames) > 8 else "")
    return f"Frame {names} shows" if len(frames) == 1 else f"Frames {names} show"
