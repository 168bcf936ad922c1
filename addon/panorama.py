"""The panorama as a file, wherever the artist has it: on disk, in an image of the .blend, or rendered of the scene."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path

import bpy
import numpy as np

from ..bridge.errors import CycloramaError
from . import preferences
from .properties import GenerateSettings

PANORAMAS_FOLDER = "panoramas"
"""Below the backend's folder: images of the .blend, written for the backend."""

_RATIO_TOLERANCE = 0.01
_SMALLEST_WIDTH = 64
_BYTES_AS_THEY_ARE = (".png", ".jpg", ".jpeg", ".webp")
_FLOATS_AS_THEY_ARE = (".exr", ".hdr")
_LINEAR = "Linear Rec.709"
_SRGB = "sRGB"


def missing(settings: GenerateSettings) -> str:
    """What the artist has to choose first, as a poll message; "" when there is a panorama. Touches no disk."""
    if settings.panorama_source == "IMAGE":
        return "" if settings.panorama_image else "Choose an image first"
    if settings.panorama_source == "SCENE":
        return "" if settings.panorama_of_scene else "Render the panorama first"
    return "" if settings.panorama else "Choose a panorama first"


def path_on_disk(settings: GenerateSettings) -> Path | None:
    """The file of the panorama, if it is one without writing anything; None: it is not, or none is chosen."""
    if settings.panorama_source == "IMAGE":
        return settings.panorama_image and _own_file(settings.panorama_image)
    path = settings.panorama_of_scene if settings.panorama_source == "SCENE" else settings.panorama
    return absolute(path) if path else None


def width(settings: GenerateSettings) -> int:
    """Pixels around the horizon of a panorama that is no file: of the image, or as it is to be rendered; 0 for none."""
    if settings.panorama_source == "SCENE":
        return settings.render_width
    image = settings.panorama_image if settings.panorama_source == "IMAGE" else None
    return image.size[0] if image else 0


def panorama_file(settings: GenerateSettings) -> Path:
    """The file that the backend shall read; an image that is no such file is written below the backend's folder.

    Raises:
        CycloramaError: ``panorama-not-set``, ``panorama-without-pixels``, ``panorama-not-2-to-1``,
            ``panorama-not-written``.
    """
    if message := missing(settings):
        raise CycloramaError("panorama-not-set", "No panorama is chosen.", f"{message}, in the Cyclorama tab.")
    if settings.panorama_source == "IMAGE":
        image = settings.panorama_image
        _check_size(image)
        return _own_file(image) or _written(image)
    path = path_on_disk(settings)
    assert path
    return path


def name_of(settings: GenerateSettings) -> str:
    """What the panorama is called, to name scenes after it."""
    if settings.panorama_source == "IMAGE" and settings.panorama_image:
        return _as_file_name(settings.panorama_image.name)
    path = path_on_disk(settings)
    return path.stem if path else "panorama"


def absolute(path: str) -> Path:
    """A path as Blender stores it, made absolute."""
    return Path(bpy.path.abspath(path)).absolute()


def _check_size(image: bpy.types.Image) -> None:
    across, down = image.size
    if not across or not down or not len(image.pixels):
        raise CycloramaError(
            "panorama-without-pixels",
            f"The image {image.name} has no pixels.",
            "Its file may be missing, or it is a render result: choose another image, or save it and open it.",
        )
    if across < _SMALLEST_WIDTH or abs(across / down - 2) > 2 * _RATIO_TOLERANCE:
        raise CycloramaError(
            "panorama-not-2-to-1",
            f"The image {image.name} has {across} x {down} pixels; a panorama is twice as wide as high, "
            f"and at least {_SMALLEST_WIDTH} pixels wide.",
            "Choose an equirectangular image of the whole sphere.",
        )


def _own_file(image: bpy.types.Image) -> Path | None:
    """The file that ``image`` shows, where it holds the same pixels in the colours that the backend takes it for."""
    if image.source != "FILE" or image.is_dirty or image.packed_file or not image.filepath:
        return None
    path = Path(bpy.path.abspath(image.filepath, library=image.library)).absolute()
    usual = {_SRGB: _BYTES_AS_THEY_ARE, _LINEAR: _FLOATS_AS_THEY_ARE}.get(image.colorspace_settings.name, ())
    return path if path.suffix.lower() in usual and path.is_file() else None


def _written(image: bpy.types.Image) -> Path:
    """A file with the pixels of ``image``: PNG of 8 bits, else EXR of scene-linear floats.

    Its name tells its content, so that jobs that wait keep theirs, and the same image is written once.
    """
    pixels = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(pixels)
    as_floats = image.is_float or image.colorspace_settings.name.startswith("Linear")
    content = hashlib.blake2b(pixels.data, digest_size=8, person=b"float" if as_floats else b"byte").hexdigest()
    folder = preferences.backend_folder() / PANORAMAS_FOLDER
    name = f"{_as_file_name(image.name)} {content}{'.exr' if as_floats else '.png'}"
    path = folder / name
    if path.exists():
        return path
    unfinished = path.with_stem(f"{path.stem} {os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(image, pixels, unfinished, as_floats)
        unfinished.replace(path)
    except (OSError, RuntimeError) as error:  # Blender's own way to say that a file was not written
        with suppress(OSError):
            unfinished.unlink()
        raise CycloramaError(
            "panorama-not-written",
            f"The image {image.name} cannot be written to {folder} for the backend: {str(error).strip()}",
            "Free some space there, or choose another Backend Folder in the preferences.",
        ) from error
    return path


def _write(image: bpy.types.Image, pixels: np.ndarray, path: Path, as_floats: bool) -> None:
    """By a data-block of its own, so that nothing of the artist's is changed."""
    # As "data" floats are written as they are; setting a colour space by its name would empty the image instead.
    copy = bpy.data.images.new("Cyclorama", *image.size, alpha=False, float_buffer=as_floats, is_data=as_floats)
    try:
        copy.pixels.foreach_set(_in_four_channels(pixels, image.channels))
        copy.file_format = "OPEN_EXR" if as_floats else "PNG"
        copy.filepath_raw = str(path)
        copy.save()
    finally:
        bpy.data.images.remove(copy)


def _in_four_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """RGBA of pixels that have fewer; opaque, because a panorama shows what is there in every direction."""
    given = pixels.reshape(-1, channels)
    colour = given[:, :3] if channels >= 3 else np.repeat(given[:, :1], 3, axis=1)
    rgba = np.ones((len(given), 4), np.float32)
    rgba[:, :3] = colour
    return rgba.ravel()


def _as_file_name(name: str) -> str:
    """A data-block's name without its ending, in letters that every disk takes."""
    return Path(re.sub(r'[\x00-\x1f<>:"/\\|?*]', "_", name)).stem.strip(" .") or "panorama"
