"""The room a camera has in a 4D scene: how far it may leave the origin in each direction before holes show."""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Matrix, Vector

from ...bridge.scene import SceneInfo
from .scene_object import POINTS, SPLATS, parts, roots

UNMEASURED_M = 0.3
"""Room that is assumed where it was not measured."""

_RADII = "cyclorama_safe_radii"
"""Property of the root: x, y, z, metres of each direction, one after the other."""

_NEAR = 1e-3
"""Radians from a measured direction within which its own radius counts."""


def note_room(root: bpy.types.Object, info: SceneInfo) -> None:
    """Remember with ``root`` how much room the package says there is."""
    table = info.safe_radii or ([(0.0, 1.0, 0.0, info.safe_radius)] if info.safe_radius else [])
    root[_RADII] = [float(number) for row in table for number in row]


def measured(root: bpy.types.Object) -> bool:
    """Whether the scene's room was measured when it was generated."""
    return bool(len(root.get(_RADII, ())))


def safe_radius(root: bpy.types.Object, direction: Vector) -> float:
    """Metres from the origin, towards ``direction``, both in the scene's own space."""
    return float(safe_radii(_table(root), np.array([direction[:]]))[0])


def safe_radii(table: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(n,) metres towards ``directions`` (n, 3) from those measured, (m, 4) x, y, z, metres.

    Exact in the measured directions; in between, those nearby count by the square of their nearness (Shepard).
    """
    units = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-9)
    angles = np.arccos(np.clip(units @ table[:, :3].T, -1, 1))
    weights = 1 / np.maximum(angles, _NEAR) ** 2
    return (weights @ table[:, 3]) / weights.sum(axis=1)


def leaves(root: bpy.types.Object, place: Vector) -> bool:
    """Whether ``place`` (in Blender's world) is farther from the scene's origin than its room allows."""
    inside = own_space(root) @ place
    return inside.length > safe_radius(root, inside) if inside.length > 0 else False


def left_by(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The 4D scenes of which the scene's camera has left the room."""
    return [root for root in roots(scene) if scene.camera and leaves(root, scene.camera.matrix_world.translation)]


def reach(root: bpy.types.Object) -> float:
    """Metres in Blender's world from where the panorama was taken to the farthest corner of what is shown.

    A view or a camera that ends nearer cuts the sky off.
    """
    eye = root.matrix_world.translation
    return max(
        (
            (part.matrix_world @ Vector(corner) - eye).length
            for part in parts(root, *SPLATS, POINTS)
            for corner in part.bound_box
        ),
        default=0.0,
    )


def own_space(root: bpy.types.Object) -> Matrix:
    """From Blender's world into the scene's own space, where the panorama was taken at the origin."""
    return root.matrix_world.inverted_safe()


def outline(root: bpy.types.Object, rings: int = 6, corners: int = 48) -> np.ndarray:
    """(rings + 2, corners + 1, 3) points in the scene's own space: meridians, and two circles, around its room."""
    around = np.linspace(0, 2 * np.pi, corners + 1)
    turns = np.arange(rings)[:, None] * np.pi / rings
    meridians = np.stack(
        [np.sin(around) * np.sin(turns), np.sin(around) * np.cos(turns), np.cos(around) * np.ones_like(turns)], axis=-1
    )
    level = np.stack([np.sin(around), np.cos(around), np.zeros_like(around)], axis=-1)
    raised = np.stack([np.sin(around), np.cos(around), np.ones_like(around)], axis=-1) / np.sqrt(2)
    lines = np.concatenate([meridians, level[None], raised[None]])
    radii = safe_radii(_table(root), lines.reshape(-1, 3)).reshape(lines.shape[:2])
    return lines * radii[..., None]


def _table(root: bpy.types.Object) -> np.ndarray:
    numbers = np.array(root.get(_RADII, ()), float).reshape(-1, 4)
    return numbers if len(numbers) else np.array([[0.0, 1.0, 0.0, UNMEASURED_M]])
