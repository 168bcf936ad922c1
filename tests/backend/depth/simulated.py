"""Depth estimators that are wrong in a known way: true depth, scaled, shifted, noisy and bent in each view."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from cyclorama.backend.depth.predictions import Kind, Predictions
from cyclorama.backend.sphere.charts import view_rays
from cyclorama.backend.sphere.equirectangular import pixels
from cyclorama.backend.sphere.icosphere import VIEW_FOV, view_rotations
from cyclorama.backend.sphere.views import rays

EYE, FAR = 1.6, 120.0
BEND_NODES = 4


@dataclass(frozen=True)
class Simulated:
    """Predictions, and what was done to the truth: value = scale · truth · (1 + bend) · (1 + noise) + shift."""

    predictions: Predictions
    scale: Float[np.ndarray, "frame view"]
    shift: Float[np.ndarray, "frame view"]


def simulated(
    true_z: Float[np.ndarray, "frame view row column"],
    kind: Kind,
    *,
    noise: float = 0.02,
    bend: float = 0.0,
    seed: int = 0,
) -> Simulated:
    """An estimator's answer where ``true_z`` is the depth along each view's axis.

    Args:
        noise: relative standard deviation, each pixel for itself.
        bend: largest relative error of a smooth field, one for each view.
    """
    chance = np.random.default_rng(seed)
    frames, views, size = true_z.shape[:3]
    truth = 1 / true_z if kind == "disparity" else true_z
    scale = np.exp(chance.uniform(-0.7, 0.7, (frames, views)))
    shift = np.zeros_like(scale)
    if kind == "metric":
        scale = np.exp(chance.uniform(-0.1, 0.1, (frames, views)))
    else:
        shift = chance.uniform(-0.5, 0.5, (frames, views)) * scale * np.median(truth, axis=(2, 3))
    fields = chance.uniform(-1, 1, (views, BEND_NODES, BEND_NODES)).astype(np.float32)
    fields = np.stack([cv2.resize(field, (size, size), interpolation=cv2.INTER_CUBIC) for field in fields])
    fields *= bend / np.abs(fields).max(axis=(1, 2), keepdims=True)
    values = np.empty(true_z.shape, np.float32)
    for frame in range(frames):
        wrong = (1 + fields) * (1 + noise * chance.standard_normal(true_z.shape[1:], np.float32))
        values[frame] = scale[frame, :, None, None] * truth[frame] * wrong + shift[frame, :, None, None]
    return Simulated(Predictions(values, kind), scale, shift)


def z_of_views(
    distance: Float[np.ndarray, "frame height width"], size: int
) -> Float[np.ndarray, "frame view row column"]:
    """Depth along each view's axis, looked up in maps of the distance along the ray (nearest pixel)."""
    column, row = pixels(view_rays(view_rotations(), size), distance.shape[1])
    column, row = (np.floor(place + 0.5).astype(int) for place in (column, row))
    found = distance[:, row.clip(0, distance.shape[1] - 1), column % distance.shape[2]]
    return (found / np.linalg.norm(rays(size, size, VIEW_FOV), axis=-1)).astype(np.float32)


def street(towards: Float[np.ndarray, "*shape 3"], car: float = 0.0) -> Float[np.ndarray, "*shape"]:
    """True distance along unit vectors in a small world: ground, houses, pole, ball, a car at y = ``car``."""
    nearest = np.full(towards.shape[:-1], FAR)
    z = towards[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        nearest = np.minimum(nearest, np.where(z < 0, EYE / np.maximum(-z, 1e-9), np.inf))
        for low, high in (
            ((-14, 3, -EYE), (-6, 20, 9)),
            ((5, 6, -EYE), (12, 30, 6)),
            ((-9, -25, -EYE), (-4, -4, 5)),
            ((3, -12, -EYE), (9, -3, 12)),
            ((-3, 24, -EYE), (3, 30, 15)),
            ((1.9, 3.0, -EYE), (2.1, 3.2, 3)),
            ((-2.5, car - 1, -EYE), (-1.2, car + 1, -0.2)),
        ):
            nearest = np.minimum(nearest, _box(towards, np.array(low, float), np.array(high, float)))
        nearest = np.minimum(nearest, _ball(towards, np.array([2.0, -2.0, -0.9]), 0.7))
    return nearest.astype(np.float32)


def _box(towards: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    one, other = low / towards, high / towards
    enter, leave = np.minimum(one, other).max(axis=-1), np.maximum(one, other).min(axis=-1)
    return np.where((enter < leave) & (enter > 0), enter, np.inf)


def _ball(towards: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    along = towards @ centre
    under = along**2 - centre @ centre + radius**2
    hit = along - np.sqrt(np.maximum(under, 0))
    return np.where((under > 0) & (hit > 0), hit, np.inf)
