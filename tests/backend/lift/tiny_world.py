"""A world of a few pixels to lift: a room without windows, a picture on its walls, and what can move in it."""

from __future__ import annotations

import numpy as np
import torch

from cyclorama.backend.depth.edges import depth_edges
from cyclorama.backend.models.memory import Budget
from cyclorama.backend.raster.splats import Splats
from cyclorama.backend.sphere.colour import linear_from_srgb
from cyclorama.backend.sphere.equirectangular import directions
from cyclorama.backend.sphere.panorama import DepthVideo, PanoramaVideo
from cyclorama.bridge.gaussians import Gaussians

AMPLE = Budget(1 << 40, torch.device("cpu"))
HALF_ROOM = (4.0, 3.0, 2.0)
"""Metres from the origin to its walls, along x, y and z."""


def room(height: int) -> np.ndarray:
    """(height, 2·height) metres along the ray to the walls of the room."""
    with np.errstate(divide="ignore"):
        return (np.array(HALF_ROOM) / np.abs(directions(height))).min(axis=-1).astype(np.float32)


def wallpaper(height: int, phase: float = 0.0) -> np.ndarray:
    """Scene-linear: soft waves of colour, each a few pixels long at least; ``phase`` in turns."""
    x, y, z = np.moveaxis(directions(height), -1, 0)
    waves = [np.sin(7 * x + 3 * y + 2 * np.pi * (phase + k / 3)) * np.cos(6 * z + 5 * y + k) for k in range(3)]
    return linear_from_srgb(0.5 + 0.35 * np.stack(waves, axis=-1))


def ahead(height: int, radius: float = 0.6) -> np.ndarray:
    """(height, 2·height) whether a pixel lies within ``radius`` radians of straight ahead (+Y)."""
    return directions(height)[..., 1] > np.cos(radius)


def moving_picture(height: int, frames: int = 3) -> PanoramaVideo:
    """On surfaces that stand still a picture moves, in a disc ahead."""
    where = ahead(height)
    still = wallpaper(height)
    pictures = [np.where(where[..., None], wallpaper(height, k / frames), still) for k in range(frames)]
    return PanoramaVideo(np.stack(pictures).astype(np.float32), where, 8.0)


def all_moving(height: int, frames: int = 2) -> PanoramaVideo:
    """The whole picture moves."""
    pictures = np.stack([wallpaper(height, k / frames) for k in range(frames)])
    return PanoramaVideo(pictures, np.ones(pictures.shape[1:3], bool), 8.0)


def standing_still(height: int, frames: int = 1) -> PanoramaVideo:
    """Nothing moves."""
    pictures = np.repeat(wallpaper(height)[None], frames, axis=0)
    return PanoramaVideo(pictures, np.zeros(pictures.shape[1:3], bool), 8.0)


def depth_of(*distances: np.ndarray) -> DepthVideo:
    """With the edges that belong to it."""
    maps = np.stack(distances).astype(np.float32)
    return DepthVideo(maps, np.stack([depth_edges(each) for each in maps]))


def passing_ball(height: int, frames: int = 3) -> tuple[PanoramaVideo, DepthVideo]:
    """A red ball, 1.5 m away, passes from left to right in front of a wall."""
    pictures, distances = [], []
    towards = directions(height)
    for longitude in np.linspace(-0.35, 0.35, frames):
        ball = towards @ np.array([np.sin(longitude), np.cos(longitude), 0]) > np.cos(0.3)
        pictures.append(np.where(ball[..., None], np.float32([0.7, 0.05, 0.05]), wallpaper(height)))
        distances.append(np.where(ball, 1.5, room(height)))
    video = np.stack(pictures).astype(np.float32)
    return PanoramaVideo(video, (video != video[0]).any(axis=(0, 3)), 8.0), depth_of(*distances)


def whole(lift, index: int) -> Gaussians:
    """All Gaussians of a lift's frame, as a reader of the scene puts them together."""
    arrays = dict(lift.still_arrays()) | dict(lift.frame(index))
    if not lift.moving_count:
        return lift.static
    moving = Gaussians.from_arrays(arrays)
    pairs = zip(lift.static.arrays().values(), moving.arrays().values(), strict=True)
    return Gaussians(*(np.concatenate(pair) for pair in pairs))


def splats_of(gaussians: Gaussians) -> Splats:
    return Splats.of(gaussians)
