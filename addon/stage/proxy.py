"""A mesh of the set made from the distance panorama: objects stand on it, and it catches their shadows.

It is not for the eye: ``shadow_layer`` renders what falls on it apart and lays it over the picture.
"""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from ...bridge.errors import CycloramaError
from .scene_object import PROXY

ROWS = 256
"""Of the grid, from zenith to nadir; twice as many columns."""

TORN = 1.35
"""A face whose corners' distances differ by more than this factor would span from a thing to what lies behind it."""

FAR_SHARE = 0.9
"""Of the greatest distance; what lies beyond is sky, on which nothing falls."""

MATERIAL = "Cyclorama Proxy"

COVER = "Cyclorama Proxy"
"""Shader output (AOV) of the proxy: how much of a pixel shows it."""


def proxy_object(name: str, depth: Path) -> bpy.types.Object:
    """A new object (not yet in a collection) from a distance panorama, EXR, metres along the ray.

    Raises:
        CycloramaError: the picture cannot be read.
    """
    places, faces = surface(coarse(read_distance(depth)))
    mesh = bpy.data.meshes.new(name)
    _fill(mesh, places, faces)
    mesh.materials.append(_material())
    proxy = bpy.data.objects.new(name, mesh)
    proxy.cyclorama.role = PROXY
    proxy.is_shadow_catcher = True
    proxy.display_type = "WIRE"
    return proxy


def take_shape(proxy: bpy.types.Object, depth: Path) -> None:
    """Give a proxy that is there the shape of another distance panorama. Raises ``CycloramaError``."""
    places, faces = surface(coarse(read_distance(depth)))
    proxy.data.clear_geometry()
    _fill(proxy.data, places, faces)


def read_distance(path: Path) -> np.ndarray:
    """(height, width) metres, first row on top. Raises ``CycloramaError``."""
    image = bpy.data.images.load(str(path))
    try:
        image.colorspace_settings.name = "Non-Color"
        width, height = image.size
        if not width or not height:
            raise CycloramaError("depth-unreadable", f"{path} cannot be read as a picture.")
        values = np.empty(width * height * 4, np.float32)
        image.pixels.foreach_get(values)
    finally:
        bpy.data.images.remove(image)
    return values.reshape(height, width, 4)[::-1, :, 0]


def coarse(distance: np.ndarray) -> np.ndarray:
    """(rows, 2·rows) medians of blocks, at most ``ROWS`` rows."""
    block = max(distance.shape[0] // ROWS, 1)
    rows, columns = (size // block for size in distance.shape)
    blocks = distance[: rows * block, : columns * block].reshape(rows, block, columns, block)
    return np.median(blocks, axis=(1, 3))


def surface(distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (n, 3) in the scene's space and quads (m, 4), which look towards the origin.

    It closes around the back and over the poles, and is torn where one thing hides another; the sky is left out.
    """
    rows, columns = distance.shape
    longitude = ((np.arange(columns) + 0.5) / columns - 0.5) * 2 * np.pi
    latitude = (0.5 - (np.arange(rows) + 0.5) / rows) * np.pi
    across, up = np.meshgrid(longitude, latitude)
    towards = np.stack([np.cos(up) * np.sin(across), np.cos(up) * np.cos(across), np.sin(up)], axis=-1)
    places = (towards * distance[..., None]).reshape(-1, 3)
    number = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(number, -1, axis=1)
    quads = np.stack([number[:-1], number[1:], right[1:], right[:-1]], axis=-1).reshape(-1, 4)
    corners = distance.reshape(-1)[quads]
    whole = corners.max(axis=1) < TORN * corners.min(axis=1)
    near = corners.max(axis=1) < FAR_SHARE * distance.max() if distance.max() > 2 * distance.min() else True
    poles, caps = _caps(places, number)
    return np.concatenate([places, poles]).astype(np.float32), np.concatenate([quads[whole & near], caps])


def _caps(places: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nadir's vertex and its ring of triangles (as quads with a corner twice); the zenith is nearly always sky."""
    lowest = number[-1]
    nadir = places[lowest].mean(axis=0, keepdims=True)
    centre = np.full(len(lowest), number.size)
    return nadir, np.stack([np.roll(lowest, -1), lowest, centre, centre], axis=-1)


def _fill(mesh: bpy.types.Mesh, places: np.ndarray, faces: np.ndarray) -> None:
    corners = np.where(faces[:, 2] == faces[:, 3], 3, 4)
    loops = faces.reshape(-1)[(np.arange(4) < corners[:, None]).reshape(-1)]
    mesh.vertices.add(len(places))
    mesh.loops.add(len(loops))
    mesh.polygons.add(len(faces))
    mesh.vertices.foreach_set("co", np.ascontiguousarray(places).reshape(-1))
    mesh.loops.foreach_set("vertex_index", loops.astype(np.int32))
    mesh.polygons.foreach_set("loop_start", (np.cumsum(corners) - corners).astype(np.int32))
    mesh.update(calc_edges=True)


def _material() -> bpy.types.Material:
    """Grey, rough; made once in a file. A smoother one catches reflections too."""
    material = bpy.data.materials.get(MATERIAL)
    if material is None:
        material = bpy.data.materials.new(MATERIAL)
        if material.node_tree is None:  # Blender 4.5
            material.use_nodes = True
        tree = material.node_tree
        assert tree is not None
        shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
        shader.inputs["Base Color"].default_value = (0.5, 0.5, 0.5, 1.0)
        shader.inputs["Roughness"].default_value = 0.9
        cover = tree.nodes.new("ShaderNodeOutputAOV")
        cover.aov_name = COVER
        cover.inputs["Value"].default_value = 0.5  # Cycles splits its path at a shadow catcher: each half writes it
        cover.location = (300, -400)
    return material
