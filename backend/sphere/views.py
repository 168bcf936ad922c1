"""Tangent (perspective) views of a panorama."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from .equirectangular import sample


def rays(width: int, height: int, fov: float) -> Float[np.ndarray, "height width 3"]:
    """Rays (with z = 1) through the pixel centres, OpenCV camera; ``fov`` is horizontal, in radians."""
    focal = width / 2 / np.tan(fov / 2)
    x = (np.arange(width) + 0.5 - width / 2) / focal
    y = (np.arange(height) + 0.5 - height / 2) / focal
    return np.stack([*np.meshgrid(x, y), np.ones((height, width))], axis=-1).astype(np.float32)


def look(longitude: float, latitude: float) -> Float[np.ndarray, "3 3"]:
    """``R_scene_from_view`` of an upright camera that looks towards a longitude and latitude in radians."""
    sin_lon, cos_lon, sin_lat, cos_lat = np.sin(longitude), np.cos(longitude), np.sin(latitude), np.cos(latitude)
    right = (cos_lon, -sin_lon, 0.0)
    forward = (cos_lat * sin_lon, cos_lat * cos_lon, sin_lat)
    down = np.cross(forward, right)
    return np.stack([right, down, forward], axis=1).astype(np.float32)


def tangent_view(
    image: Float[np.ndarray, "height width 3"],
    R_scene_from_view: Float[np.ndarray, "3 3"],
    width: int,
    height: int,
    fov: float,
    oversampling: int = 4,
) -> Float[np.ndarray, "rows columns 3"]:
    """The perspective picture of a panorama; each pixel the mean of ``oversampling``² bilinear samples (box filter)."""
    fine = rays(width * oversampling, height * oversampling, fov) @ R_scene_from_view.T
    return cv2.resize(sample(image, fine, cv2.INTER_LINEAR), (width, height), interpolation=cv2.INTER_AREA)
