"""Painted masks: images in the .blend that Blender's brushes paint, and the files the backend reads."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from pathlib import Path

import bpy
import numpy as np

WIDEST = 2048
"""Pixels across; a region's edge is softened over more than one of these, so finer would be lost."""

ASPECT_TOLERANCE = 0.01
"""As the backend allows it for a panorama: by so much of the width, the width may differ from twice the height."""


def is_panoramic(width: int, height: int) -> bool:
    """Whether a picture of this size can be a whole panorama."""
    return width > 0 and abs(width - 2 * height) <= ASPECT_TOLERANCE * width


def black(width: int, height: int) -> np.ndarray:
    """(height, width) uint8 0, for a panorama of this size or, if that is larger than ``WIDEST``, in its shape."""
    reduced = min(WIDEST / width, 1.0)
    return np.zeros((max(round(height * reduced), 1), max(round(width * reduced), 1)), np.uint8)


def mask_image(name: str, values: np.ndarray) -> bpy.types.Image:
    """A new image to paint in, packed into the .blend.

    Non-Color and of 8 bits, so that white is 1 wherever it is read, and without alpha, so that no brush can erase it.

    Args:
        values: (height, width) uint8, first row on top; 255 where it moves.
    """
    height, width = values.shape
    image = bpy.data.images.new(f"{name} Mask", width, height, alpha=False, is_data=True)
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = (values[::-1] / np.float32(255))[..., None]
    image.pixels.foreach_set(pixels.ravel())
    image.update()
    image.pack()
    return image


def values(image: bpy.types.Image) -> np.ndarray:
    """(height, width) uint8 of what is painted, first row on top: the mean of red, green and blue."""
    width, height = image.size
    pixels = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(pixels)
    colours = pixels.reshape(height, width, image.channels)[::-1, :, : min(image.channels, 3)]
    return np.rint(colours.mean(axis=-1).clip(0, 1) * 255).astype(np.uint8)


def write(values: np.ndarray, folder: Path) -> Path:
    """The mask as an 8-bit grey PNG in ``folder``, named after what is in it; written only once. Raises ``OSError``."""
    shape = struct.pack(">II", values.shape[1], values.shape[0])
    path = folder / f"{hashlib.sha256(shape + values.tobytes()).hexdigest()[:32]}.png"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_bytes(_png(values))
        partial.replace(path)
    return path


def _png(values: np.ndarray) -> bytes:
    """An 8-bit grey PNG (ISO/IEC 15948): the same bytes for the same mask, which an image's own *Save* is not."""
    height, width = values.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each starts with its filter: none
    rows[:, 1:] = values
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes(), 3)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def load(path: Path, name: str) -> bpy.types.Image:
    """A mask's file as an image to paint in, which is not tied to the file. Raises ``OSError``."""
    try:
        file = bpy.data.images.load(str(path))
    except RuntimeError as error:
        raise OSError(str(error)) from error
    try:
        if not file.size[0]:
            raise OSError(f"{path} is no image")
        file.colorspace_settings.name = "Non-Color"
        return mask_image(name, values(file))
    finally:
        bpy.data.images.remove(file)


@bpy.app.handlers.persistent
def _pack(_file: str, _unused=None) -> None:
    """Blender saves what is packed, and not what was painted since."""
    for scene in bpy.data.scenes:
        for region in scene.cyclorama_regions.items:
            if region.mask and region.mask.is_dirty and region.mask.library is None:
                region.mask.pack()


def register() -> None:
    """Keep what is painted when the file is saved."""
    bpy.app.handlers.save_pre.append(_pack)


def unregister() -> None:
    """Leave it to the artist."""
    bpy.app.handlers.save_pre.remove(_pack)
