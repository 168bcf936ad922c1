"""Tangent (perspective) views of a panorama."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from .equirectangular import sample


def plane(width: int, height: int, fov: float) -> tuple[Float[np.ndarray, " width"], Float[np.ndarray, " height"]]:
    """Where a picture's columns and rows lie on the plane z = 1: x and y of pixel centres; ``fov`` as for ``rays``."""
    focal = width / 2 / np.tan(fov / 2)
    return (np.arange(width) + 0.5 - width / 2) / focal, (np.arange(height) + 0.5 - height / 2) / focal


def rays(width: int, height: int, fov: float) -> Float[np.ndarray, "height width 3"]:
    """Rays (with z = 1) through the pixel centres, OpenCV camera; ``fov`` is horizontal, in radians."""
    return np.stack([*np.meshgrid(*plane(width, height, fov)), np.ones((height, width))], axis=-1).astype(np.float32)


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
    """The perspective picture of a panorama; each pixel the mean of ``oversampling``² bilinear samples (box filter).

    For a picture or two without torch; ``sampling.tangent_views`` chooses its own oversampling, and is faster for many.
    """
    fine = rays(width * oversampling, height * oversampling, fov) @ R_scene_from_view.T
    return cv2.resize(sample(image, fine, cv2.INTER_LINEAR), (width, height), interpolation=cv2.INTER_AREA)
