"""The places of several cameras, and the points that they see, from bearings: each in turn until both agree.

A bundle adjustment (Triggs et al. 2000) in which a point is one number, its inverse distance along the reference
camera's bearing; so a camera with its points known, and a point with its cameras known, are small problems each.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from .bearings import Bearings, Rotation, cross_matrix, rotation, unit

_ROUNDS = 12
_POSE_STEPS = 6
_WIDER = (16, 4, 1)
_SETTLED = 1e-7
"""Radians, and shares of the first frame's distance."""


def posed(
    b: Bearings,
    o: Bearings,
    rho: Float[np.ndarray, " track"],
    weight: Float[np.ndarray, " track"],
    R: Rotation,
    p: Float[np.ndarray, " 3"],
    tolerance: float,
) -> tuple[Rotation, Float[np.ndarray, " 3"]]:
    """Rotation and place of the camera that sees the points ``b / rho`` along ``o``: robust Gauss-Newton from a guess.

    The residual is ``unit(Rᵀ (b - rho p)) - o``, in radians; points at ``tolerance`` from it count a quarter.
    """
    for _ in range(_POSE_STEPS):
        x = (b - rho[:, None] * p) @ R
        length = np.maximum(np.linalg.norm(x, axis=1), 1e-9)
        y = x / length[:, None]
        onto = (np.eye(3) - y[:, :, None] * y[:, None, :]) / length[:, None, None]
        by_turn = onto @ cross_matrix(x)
        by_place = -rho[:, None, None] * (onto @ R.T)
        J = np.concatenate([by_turn, by_place], axis=2)
        residual = o - y
        w = weight / (1 + ((residual**2).sum(axis=1)) / tolerance**2) ** 2
        normal = np.einsum("t,tri,trj->ij", w, J, J)
        damping = np.diag(1e-9 * np.diag(normal) + 1e-15)
        step = np.linalg.solve(normal + damping, np.einsum("t,tri,tr->i", w, J, residual))
        R, p = R @ rotation(step[:3]), p + step[3:]
        if np.abs(step).max() < _SETTLED:
            break
    return R, p


def posed_from_afar(
    b: Bearings,
    o: Bearings,
    rho: Float[np.ndarray, " track"],
    weight: Float[np.ndarray, " track"],
    R: Rotation,
    p: Float[np.ndarray, " 3"],
    tolerance: float,
) -> tuple[Rotation, Float[np.ndarray, " 3"]]:
    """``posed`` from a rough guess: what misses it by degrees at first is given up only little by little."""
    for wider in _WIDER:
        R, p = posed(b, o, rho, weight, R, p, wider * tolerance)
    return R, p


def seen(
    b: Bearings,
    o: Float[np.ndarray, "frame track 3"],
    R: Float[np.ndarray, "frame 3 3"],
    p: Float[np.ndarray, "frame 3"],
    tolerance: float,
) -> tuple[Float[np.ndarray, " track"], Float[np.ndarray, " track"]]:
    """Inverse distance of each track from all frames that see it (``o`` NaN where one does not), and its certainty.

    The certainty is the parallax (radians) that rho = 1 has in all frames together: 1 sigma of rho is the bearings'
    noise divided by it.
    """
    turned = np.einsum("fxy,fty->ftx", R, o)
    by_length = np.cross(turned, p[:, None])
    offset = np.cross(turned, b[None])
    weight = np.ones(o.shape[:2])
    rho = np.zeros(len(b))
    for _ in range(3):
        strength = np.nansum(weight * (by_length**2).sum(axis=2), axis=0)
        rho = np.nansum(weight * (offset * by_length).sum(axis=2), axis=0) / np.maximum(strength, 1e-15)
        away = ((offset - rho[:, None] * by_length) ** 2).sum(axis=2)
        weight = 1 / (1 + away / tolerance**2) ** 2
    return rho, np.sqrt(np.nansum((by_length**2).sum(axis=2), axis=0))


def settled(
    b: Bearings,
    o: Float[np.ndarray, "frame track 3"],
    weight: Float[np.ndarray, " track"],
    R: Float[np.ndarray, "frame 3 3"],
    first: int,
    p_first: Float[np.ndarray, " 3"],
    tolerance: float,
) -> tuple[Float[np.ndarray, "frame 3 3"], Float[np.ndarray, "frame 3"], Float[np.ndarray, " track"]]:
    """Rotations and places of all frames, and the tracks' inverse distances (NaN where they say nothing of it).

    Begins with one frame, ``first``, whose rotation and place (of length 1: the scale of all) are known; the others'
    rotations are guesses. A frame that sees too few points keeps its rotation and is placed where its neighbour is.
    """
    R, p = R.copy(), np.zeros((len(o), 3))
    p[first] = p_first
    known = np.zeros(len(o), bool)
    known[first] = True
    order = sorted(range(len(o)), key=lambda frame: abs(frame - first))
    rho = np.full(len(b), np.nan)
    for _ in range(_ROUNDS):
        rho, certainty = seen(b, np.where(known[:, None, None], o, np.nan), R, p, tolerance)
        certain = certainty > 0
        rho = np.where(certain, np.maximum(rho, 0), np.nan)
        for frame in order:
            sees = np.isfinite(o[frame, :, 0]) & certain
            if sees.sum() < 12:
                continue
            if not known[frame]:
                p[frame] = p[min(np.flatnonzero(known), key=lambda other: abs(other - frame))]
            pose = posed if known[frame] else posed_from_afar
            R[frame], p[frame] = pose(b[sees], o[frame, sees], rho[sees], weight[sees], R[frame], p[frame], tolerance)
            known[frame] = True
        length = np.linalg.norm(p[first])
        p, rho = p / length, rho * length
    for frame in np.flatnonzero(~known):
        p[frame] = p[min(np.flatnonzero(known), key=lambda other: abs(other - frame))]
    return R, p, rho


def slope(y: Float[np.ndarray, " track"], x: Float[np.ndarray, " track"], weight: Float[np.ndarray, " track"]) -> float:
    """The factor that brings ``x`` to ``y`` with the smallest sum of absolute errors (a weighted median of y / x)."""
    ratio, weight = y / x, weight * np.abs(x)
    order = np.argsort(ratio)
    total = np.cumsum(weight[order])
    return float(ratio[order][np.searchsorted(total, total[-1] / 2)])


def points(b: Bearings, rho: Float[np.ndarray, " track"], R: Rotation, p: np.ndarray) -> Float[np.ndarray, "track 3"]:
    """Points in scene space that a camera at ``p`` sees along ``b`` (its own axes) at inverse distance ``rho``."""
    return p + (b @ R.T) / rho[:, None]


def bearings_of(points: Float[np.ndarray, "track 3"], R: Rotation, p: np.ndarray) -> tuple[Bearings, np.ndarray]:
    """Unit vectors (in the camera's axes) and distances, along which a camera at ``p`` sees points."""
    towards = (points - p) @ R
    return unit(towards), np.linalg.norm(towards, axis=1)
