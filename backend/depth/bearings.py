"""Relative motion from bearings: unit vectors towards the same points, as two places see them, all around.

``b`` is seen from a reference camera, ``o`` from another, both in their own axes. A point ``b / rho`` (rho: inverse
distance) lies, for a camera at ``p`` whose axes are ``R`` (reference from camera), along ``x = Rᵀ (b - rho p)``.
OpenCV's two-view geometry expects points on a plane in front of a camera; on the whole sphere the same constraints hold
for unit vectors (Hartley and Zisserman, *Multiple View Geometry*, ch. 9), and they are far better conditioned.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import least_squares

Bearings = Float[np.ndarray, "track 3"]
Rotation = Float[np.ndarray, "3 3"]

_ROTATION_TRIES = 300
_EPIPOLAR_TRIES = 800
_REFINED = 4
"""So many of the best guesses of a translation are refined before one is chosen: a plane alone allows two."""

_NEARLY = (8, 4, 2, 2)


def rotation(axis_angle: Float[np.ndarray, " 3"]) -> Rotation:
    """Rodrigues' formula; radians."""
    angle = float(np.linalg.norm(axis_angle))
    K = cross_matrix(axis_angle)
    near_zero = angle < 1e-8
    a = 1.0 if near_zero else np.sin(angle) / angle
    b = 0.5 if near_zero else (1 - np.cos(angle)) / angle**2
    return np.eye(3) + a * K + b * (K @ K)


def angle_of(R: Rotation) -> float:
    """By how much a rotation turns, radians; exact for small angles too."""
    axis = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2
    return float(np.arctan2(np.linalg.norm(axis), (np.trace(R) - 1) / 2))


def cross_matrix(v: Float[np.ndarray, "*track 3"]) -> Float[np.ndarray, "*track 3 3"]:
    """The matrix that multiplies as ``v ×``."""
    x, y, z = np.moveaxis(v, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*v.shape, 3)


def unit(v: np.ndarray) -> np.ndarray:
    """Vectors of length 1 (zero stays near zero)."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def kabsch(b: Bearings, o: Bearings, weight: Float[np.ndarray, " track"]) -> Rotation:
    """The rotation ``R`` that brings ``R o`` nearest to ``b`` in weighted least squares (Kabsch 1976)."""
    U, _, Vt = np.linalg.svd((weight[:, None] * b).T @ o)
    return U @ np.diag([1, 1, np.sign(np.linalg.det(U @ Vt))]) @ Vt


def turn(
    b: Bearings, o: Bearings, weight: Float[np.ndarray, " track"], tolerance: float, random: np.random.Generator
) -> Rotation:
    """The rotation that most of ``o`` follow to ``b``: RANSAC on pairs, then reweighted least squares.

    No rotation is among the guesses, so that what stands still is never missed. ``tolerance``: radians.
    """
    pair = random.integers(len(b), size=(_ROTATION_TRIES, 2))
    guesses = np.concatenate([np.eye(3)[None], _axes(b[pair]) @ _axes(o[pair]).swapaxes(1, 2)])
    squared = ((np.einsum("gxy,ty->gtx", guesses, o) - b) ** 2).sum(axis=2)
    score = (np.maximum(1 - squared / (2 * tolerance) ** 2, 0) * weight).sum(axis=1)
    return settled_turn(b, o, weight, guesses[int(score.argmax())], tolerance)


def settled_turn(
    b: Bearings, o: Bearings, weight: Float[np.ndarray, " track"], R: Rotation, tolerance: float
) -> Rotation:
    """The rotation next to ``R`` that brings ``o`` to ``b``; what follows another one does not pull at it."""
    for _ in range(10):
        away = np.linalg.norm(b - o @ R.T, axis=1)
        R = kabsch(b, o, weight / (1 + (away / tolerance) ** 2) ** 2)  # Geman-McClure: far ones count for nothing
    return R


def _axes(pairs: Float[np.ndarray, "guess 2 3"]) -> Float[np.ndarray, "guess 3 3"]:
    """Right-handed orthonormal axes (columns) spanned by two directions each."""
    first = pairs[:, 0]
    across = unit(np.cross(first, pairs[:, 1]))
    return np.stack([first, across, np.cross(first, across)], axis=-1)


def epipolar_residual(b: Bearings, o: Bearings, R: Rotation, p: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " track"]:
    """Radians by which ``R o`` misses the plane through ``b`` and the direction ``p`` of the other camera."""
    normal = np.cross(p / np.linalg.norm(p), b)
    turned = o @ R.T
    size = np.sqrt((normal**2).sum(axis=1) / 2 + (np.cross(p / np.linalg.norm(p), turned) ** 2).sum(axis=1) / 2)
    return (normal * turned).sum(axis=1) / np.maximum(size, 1e-3)


def inverse_distance(
    b: Bearings, o: Bearings, R: Rotation, p: Float[np.ndarray, " 3"]
) -> tuple[Float[np.ndarray, " track"], Float[np.ndarray, " track"]]:
    """Triangulation: rho of each track (least squares of ``(R o) × (b - rho p) = 0``), and how much it moves ``o``.

    The second is |p × R o|: radians of parallax for rho = 1; its square is the weight that the first deserves.
    """
    turned = o @ R.T
    by_length = np.cross(turned, p)
    strength = (by_length**2).sum(axis=1)
    return (np.cross(turned, b) * by_length).sum(axis=1) / np.maximum(strength, 1e-12), np.sqrt(strength)


def explained(b: Bearings, o: Bearings, R: Rotation, p: np.ndarray, tolerance: float) -> Bool[np.ndarray, " track"]:
    """Which tracks a camera at ``p`` explains, by a point that stands still and lies in front, not behind."""
    rho, strength = inverse_distance(b, o, R, p)
    parallax = rho * strength
    return (np.abs(epipolar_residual(b, o, R, p)) < tolerance) & (parallax > -tolerance)


def turn_and_move(
    b: Bearings,
    o: Bearings,
    weight: Float[np.ndarray, " track"],
    R_turn: Rotation,
    tolerance: float,
    random: np.random.Generator,
) -> tuple[Rotation, Float[np.ndarray, " 3"]]:
    """Rotation and the unit direction of the other camera's place, from the epipolar constraint p · (b × R o) = 0.

    Guesses come from eight tracks each (Longuet-Higgins 1981), and from ``R_turn``, for which p is what is most
    orthogonal to all b × R o. The best are refined by robust least squares; the sign of p follows from distances, which
    are positive.
    """
    guesses = [*_eight_point_guesses(b, o, weight, tolerance, random), (R_turn, _across(b, o, R_turn, weight))]
    refined = [_refined(b, o, weight, R, p, tolerance) for R, p in guesses]
    return max(refined, key=lambda Rp: float((explained(b, o, *Rp, tolerance) * weight).sum()))


def _across(b: Bearings, o: Bearings, R: Rotation, weight: np.ndarray) -> Float[np.ndarray, " 3"]:
    normals = unit(np.cross(b, o @ R.T)) * np.sqrt(weight)[:, None]
    return np.linalg.svd(normals, full_matrices=False)[2][2]


def _eight_point_guesses(
    b: Bearings, o: Bearings, weight: np.ndarray, tolerance: float, random: np.random.Generator
) -> list[tuple[Rotation, np.ndarray]]:
    """The best few of many: E with oᵀ E b = 0 from eight tracks, as the rotation and direction that it stands for."""
    eight = np.argsort(random.random((_EPIPOLAR_TRIES, len(b))), axis=1)[:, :8]
    rows = np.einsum("gtx,gty->gtxy", o[eight], b[eight]).reshape(len(eight), 8, 9)
    E = np.linalg.svd(rows)[2][:, 8].reshape(-1, 3, 3)
    U, _, Vt = np.linalg.svd(E)
    E = U @ np.diag([1.0, 1.0, 0.0]) @ Vt
    lines = np.einsum("gxy,ty->gtx", E, b)  # in the other camera's axes: normals of the planes that hold o
    size = np.maximum(np.linalg.norm(lines, axis=2), 1e-3)
    away = np.einsum("gtx,tx->gt", lines, o) / size
    score = (np.maximum(1 - (away / (2 * tolerance)) ** 2, 0) * weight).sum(axis=1)
    best = np.argsort(-score)[:_REFINED]
    return [_in_front(b, o, weight, U[g], Vt[g], tolerance) for g in best]


def _in_front(
    b: Bearings, o: Bearings, weight: np.ndarray, U: np.ndarray, Vt: np.ndarray, tolerance: float
) -> tuple[Rotation, np.ndarray]:
    """Of the four motions that one E allows the one that puts most points in front (Hartley and Zisserman, 9.6.2)."""
    W = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    motions = []
    for swap in (W, W.T):
        R = (U @ swap @ Vt).T
        R = R * np.sign(np.linalg.det(R))
        motions += [(R, Vt[2]), (R, -Vt[2])]

    def in_front(R: Rotation, p: np.ndarray) -> float:
        rho, strength = inverse_distance(b, o, R, p)
        towards = ((o @ R.T) * (b - rho[:, None] * p)).sum(axis=1) > 0  # and not the point opposite
        return float(((rho * strength > -tolerance) & towards) @ weight)

    return max(motions, key=lambda Rp: in_front(*Rp))


def _refined(
    b: Bearings, o: Bearings, weight: np.ndarray, R: Rotation, p: np.ndarray, tolerance: float
) -> tuple[Rotation, np.ndarray]:
    """Least squares of the epipolar residual from a guess on, of fewer and fewer tracks: those that it nearly explains.

    p is turned so that distances are positive.
    """
    for wider in _NEARLY:
        rho, strength = inverse_distance(b, o, R, p)
        if (rho * strength) @ weight < 0:
            p = -p
        near = explained(b, o, R, p, wider * tolerance)
        if near.sum() < 20:
            break
        R, p = _adjusted(b[near], o[near], np.sqrt(weight[near]), R, p, tolerance)
    return R, p


def _adjusted(
    b: Bearings, o: Bearings, root_weight: np.ndarray, R: Rotation, p: np.ndarray, tolerance: float
) -> tuple[Rotation, np.ndarray]:
    side = np.linalg.svd(p[None])[2][1:]

    def motion(step: np.ndarray) -> tuple[Rotation, np.ndarray]:
        return R @ rotation(step[:3]), unit(p + step[3:] @ side)

    def residual(step: np.ndarray) -> np.ndarray:
        return root_weight * epipolar_residual(b, o, *motion(step)) / tolerance

    # Each track's residual counts as it is within about the tolerance, less beyond: sqrt(weight) scales them all.
    scale = 0.5 * float(root_weight.mean())
    return motion(least_squares(residual, np.zeros(5), loss="soft_l1", f_scale=scale, max_nfev=30).x)
