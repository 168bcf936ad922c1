"""Where a panoramic video changes from one shot to another.

Two frames of one shot show the same structure, whatever the camera's exposure, however it turned, and though things
move in it. So frames are compared by the correlation of their fine structure (neither brightness nor the sky above and
the ground below count), best over turns of the camera, and a shot ends only where what comes before and what comes
after have nothing to do with each other; a flash between the two does not matter.
"""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32
from scipy.spatial.transform import Rotation

from ...bridge.errors import CycloramaError
from .colour import srgb_from_linear
from .equirectangular import sample
from .icosphere import icosphere
from .periodic import blur, resize

_HEIGHT = 64
_FINE_PX, _COARSE_PX = 1.2, 5.0
"""Structure between so many pixels (of 2.8°) is compared: finer is noise, coarser is sky and ground."""

_LEAST_CONTRAST = 0.004
"""Of the structure (sRGB, 0..1); a frame with less shows nothing, as in a flash or black."""

_UNRELATED = 0.35
"""Frames correlate less only if they show different places; a walk or a waving tree stays above 0.5."""

_UNUSUAL = 2.0
"""A cut must also change so much more than the video does usually (stormy water changes a lot all the time)."""

_ALWAYS_UNUSUAL = 0.85

_LOOK_AROUND = 2
"""Frames that a flash may last."""

_DISSOLVES = (4, 8, 12, 16, 24, 32, 48)
"""Frames from the one shot alone to the other alone."""
_DISSOLVE_LEFT_OVER = 0.2
_DISSOLVE_LEAST_SHARE = 0.2
_MOST_TURN_DEGREES = 48

Structure = Float32[np.ndarray, "height width"]


def cuts(frames: Float[np.ndarray, "frame height width 3"]) -> list[int]:
    """Numbers (from 0) of the frames with which a new shot begins, hard or by a dissolve. Scene-linear frames.

    A jump within a shot (missing frames) is no cut as long as most of the sphere shows the same.
    """
    structures = [_structure(frame) for frame in frames]
    shown = [number for number, structure in enumerate(structures) if _contrast(structure) > _LEAST_CONTRAST]
    change = np.array([1 - _correlation(structures[a], structures[b]) for a, b in pairwise(shown)])
    hard = [shown[at + 1] for at in range(len(change)) if _is_hard(change, at, structures, shown)]
    soft = [at for at in _dissolves(structures, shown) if not any(abs(at - cut) <= max(_DISSOLVES) for cut in hard)]
    return sorted(hard + soft)


def check_one_shot(frames: Float[np.ndarray, "frame height width 3"], path: Path) -> None:
    """Refuse a video with cuts: each shot has a scene of its own.

    Raises:
        CycloramaError: names the frames (from 1, as players count) with which new shots begin.
    """
    found = cuts(frames)
    if found:
        names = ", ".join(str(frame + 1) for frame in found[:5]) + (", …" if len(found) > 5 else "")
        raise CycloramaError(
            "video-has-a-cut",
            f"The video {path} is not one shot: another begins at frame{'s' if len(found) > 1 else ''} {names}.",
            "Cut it into its shots and use one at a time.",
        )


def _structure(frame: Float[np.ndarray, "height width 3"]) -> Structure:
    """What lies between fine and coarse, of the brightness as the eye sees it; each pixel weighted by its area."""
    small = resize(np.ascontiguousarray(frame, np.float32), _HEIGHT, 2 * _HEIGHT)
    brightness = srgb_from_linear(small @ np.array([0.2126, 0.7152, 0.0722], np.float32))
    return blur(brightness, _FINE_PX) - blur(brightness, _COARSE_PX)


def _points() -> Float[np.ndarray, "1 point 3"]:
    return icosphere(16)[None].astype(np.float32)


def _values(structure: Structure, towards: np.ndarray) -> np.ndarray:
    return sample(structure, towards)


def _contrast(structure: Structure) -> float:
    return float(_values(structure, _points()).std())


def _correlation(a: Structure, b: Structure) -> float:
    """Of the two over the sphere, without turning."""
    return float(_normalised(_values(a, _points())[0]) @ _normalised(_values(b, _points())[0]))


def _normalised(values: Float[np.ndarray, "*view point"]) -> np.ndarray:
    # Contrast is levelled, so that a sun or a lamp does not decide alone.
    values = values / (np.abs(values) + values.std(axis=-1, keepdims=True) + 1e-9)
    values = values - values.mean(axis=-1, keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-9)


def _best_correlation(a: Structure, b: Structure) -> float:
    """Over turns of the camera: any heading, and tilts of up to 24° either way, then finer around the best."""
    wanted = _normalised(_values(a, _points())[0])
    yaws, tilts = np.arange(-180, 180, 8), np.arange(-24, 25, 8)
    coarse = _turned(b, [(yaw, pitch, roll) for yaw in yaws for pitch in tilts for roll in tilts], wanted)
    _, best = max(coarse)
    near = [tuple(np.add(best, offset)) for offset in product((-4, -2, 0, 2, 4), repeat=3)]
    return max(_turned(b, near, wanted))[0]


def _turned(structure: Structure, turns: list, wanted: np.ndarray) -> list[tuple[float, tuple]]:
    points = _points()[0]
    R = Rotation.from_euler("zxy", np.array(turns, float), degrees=True).as_matrix().astype(np.float32)
    scores: list[tuple[float, tuple]] = []
    for first in range(0, len(R), 64):
        towards = points @ R[first : first + 64].swapaxes(1, 2)
        found = _normalised(_values(structure, towards)) @ wanted
        scores += zip(found.tolist(), turns[first : first + 64], strict=True)
    return scores


def _is_hard(change: np.ndarray, at: int, structures: list[Structure], shown: list[int]) -> bool:
    """Whether nothing just before and nothing just after the step has to do with each other."""
    others = np.delete(change, at)
    usual = float(np.median(others)) if len(others) > 1 else 0.0
    if 1 - change[at] > _UNRELATED or change[at] < min(_UNUSUAL * usual, _ALWAYS_UNUSUAL):
        return False
    before = shown[max(at + 1 - _LOOK_AROUND, 0) : at + 1]
    after = shown[at + 1 : at + 1 + _LOOK_AROUND]
    pairs = list(product(before, after))
    if any(_correlation(structures[a], structures[b]) > _UNRELATED for a, b in pairs):
        return False
    return all(_best_correlation(structures[a], structures[b]) < _UNRELATED for a, b in pairs)


def _dissolves(structures: list[Structure], shown: list[int]) -> list[int]:
    """Middles of dissolves: a frame that is a mixture of two, before and after, that have nothing in common."""
    found: list[int] = []
    last = len(shown) - 1
    placed = ((start, span) for span in _DISSOLVES for start in range(-span // 4, last - span * 3 // 4 + 1))
    for start, span in placed:
        ends = max(start, 0), min(start + span, last)  # where the video begins or ends, so do its shots
        at = shown[sum(ends) // 2]
        if ends[1] - ends[0] < 2 or any(abs(at - other) <= max(_DISSOLVES) // 2 for other in found):
            continue
        a, middle, b = structures[shown[ends[0]]], structures[at], structures[shown[ends[1]]]
        if _is_mixture(middle, a, b) and _correlation(a, b) < _UNRELATED and _best_correlation(a, b) < _UNRELATED:
            found.append(at)
    return found


def _is_mixture(middle: Structure, a: Structure, b: Structure) -> bool:
    ends = np.stack([_values(each, _points())[0] for each in (a, b)], axis=1)
    mixed = _values(middle, _points())[0]
    shares = np.linalg.lstsq(ends, mixed, rcond=None)[0]
    left = float(((mixed - ends @ shares) ** 2).sum() / max(float((mixed**2).sum()), 1e-12))
    return bool(shares.min() > _DISSOLVE_LEAST_SHARE and left < _DISSOLVE_LEFT_OVER)
