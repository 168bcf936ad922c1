"""The icosahedron: points spread evenly over the sphere, and the 20 views through its faces.

4K4DGen, appendix C: points are sampled uniformly on every face and pushed out to the unit sphere; the views look
through the middles of the faces. The paper's main text gives a field of view of 53.1°, but a face's corners are 37.4°
from its middle: only the appendix's 80° covers the sphere.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations

import numpy as np
from jaxtyping import Float, Int

from .views import look

VIEW_FOV = np.deg2rad(80.0)
"""Field of view of the 20 views, horizontally and vertically (4K4DGen, appendix C)."""


@lru_cache(maxsize=1)
def icosahedron() -> tuple[Float[np.ndarray, "12 3"], Int[np.ndarray, "20 3"]]:
    """Unit vectors to the corners, and the corners of each face. The zenith lies on the middle of an edge."""
    golden = (1 + np.sqrt(5)) / 2
    signs = [(one, other * golden) for one in (1.0, -1.0) for other in (1.0, -1.0)]
    corners = np.array(
        [(0.0, a, b) for a, b in signs] + [(a, b, 0.0) for a, b in signs] + [(b, 0.0, a) for a, b in signs]
    )
    edge = 2.0
    faces = [
        face
        for face in combinations(range(12), 3)
        if all(np.isclose(np.linalg.norm(corners[a] - corners[b]), edge) for a, b in combinations(face, 2))
    ]
    return corners / np.linalg.norm(corners[0]), np.array(faces)


def icosphere(frequency: int) -> Float[np.ndarray, "points 3"]:
    """Unit vectors to the 10·``frequency``² + 2 points of an icosahedron with edges cut into ``frequency`` parts."""
    corners, faces = icosahedron()
    first, second = np.meshgrid(np.arange(frequency + 1), np.arange(frequency + 1), indexing="ij")
    inside = first + second <= frequency
    shares = np.stack([first[inside], second[inside], frequency - first[inside] - second[inside]], axis=1) / frequency
    points = np.einsum("sc,fcx->fsx", shares, corners[faces]).reshape(-1, 3)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    _, kept = np.unique(np.rint(points * 1e7).astype(np.int64), axis=0, return_index=True)  # edges are shared
    return points[np.sort(kept)]


def frequency_for(spacing: float) -> int:
    """Frequency of the icosphere whose points are ``spacing`` radians apart in the mean."""
    return max(round(float(np.sqrt(4 * np.pi / spacing**2 / 10))), 1)


@lru_cache(maxsize=1)
def view_rotations() -> Float[np.ndarray, "20 3 3"]:
    """``R_scene_from_view`` of the 20 upright views through the middles of the faces."""
    corners, faces = icosahedron()
    middles = corners[faces].mean(axis=1)
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    return np.stack([look(float(np.arctan2(x, y)), float(np.arcsin(z))) for x, y, z in middles])
