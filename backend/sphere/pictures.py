"""Reading panoramas and masks from picture files, and writing the scene's pictures (all through OpenImageIO).

A picture may come from anybody. Its kind and its size are looked at before a decoder sees it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio  # noqa: N813
from jaxtyping import Float

from ...bridge.errors import CycloramaError
from ...bridge.paths import checked_path
from ...bridge.picture_size import picture_head
from .colour import linear_from_srgb, srgb_from_linear
from .panorama import Panorama

READABLE = "JPEG, PNG, WebP, HDR or EXR"

LARGEST_AUTOMATIC_WIDTH = 2048
"""A wider panorama is reduced to this unless the artist asks for more: Gaussians grow with its square."""

LARGEST_PIXELS = 32768 * 16384
"""Of any picture that is read: more are refused before they are decoded."""

LARGEST_WHOLE_PIXELS = 16384 * 8192
"""Of one that has to lie in memory as a whole: a depth file, and what only comes out of its decoder so (WebP, TIFF,
interlaced PNG, progressive JPEG)."""

_LARGEST_TILE_BYTES = 1 << 28
"""A tile is decoded as a whole: 8192 x 8192 pixels in half float RGB would be too many."""

_LARGEST_TILE_ROW = 1 << 26
"""Pixels: of tiles, as many rows as they are high are decoded at a time."""

_MOST_CHANNELS = 256
_SMALLEST_WIDTH = 64
_RATIO_TOLERANCE = 0.01
_STRIP_PIXELS = 1 << 22
"""Pixels decoded at a time, so that a 16384 x 8192 file never lies in memory whole."""
_LARGEST_HALF = 65504.0


def read_panorama(path: Path, width: int = 0, report: Callable[[int, int], None] = lambda done, rows: None) -> Panorama:
    """Read a 2:1 panorama; 8 and 16 bit files are taken as sRGB, float files as scene-linear Rec.709.

    Args:
        width: pixels around the horizon wanted; 0: the file's, up to ``LARGEST_AUTOMATIC_WIDTH``. Never enlarged.
        report: is called with the rows read and all rows; it may raise to stop.

    Raises:
        CycloramaError: missing, no image, cut short, not 2:1, too small or large, NaN or infinite pixels.
    """
    source, spec = _open(path, "panorama")
    _check_panorama_size(path, spec.width, spec.height)
    wanted = _working_width(spec.width, width)
    image = _read_reduced(path, source, spec, wanted, is_colour=True, report=report)
    return Panorama(np.maximum(image, 0.0), spec.width, spec.height)


def read_mask(path: Path, panorama: Panorama) -> Float[np.ndarray, "height width"]:
    """Read a mask painted over ``panorama``: 0 (still) to 1 (moves), in the size of its image.

    Raises:
        CycloramaError: missing, no image, cut short, black all over, or of another size than the panorama's file and
            not twice as wide as high.
    """
    source, spec = _open(path, "mask")
    of_its_size = (spec.width, spec.height) == (panorama.file_width, panorama.file_height)
    if not of_its_size and abs(spec.width - 2 * spec.height) > _RATIO_TOLERANCE * spec.width:
        raise CycloramaError(
            "mask-size",
            f"The mask {path} has {spec.width} x {spec.height} pixels, "
            f"the panorama {panorama.file_width} x {panorama.file_height}.",
            "Paint the mask on an image of the panorama's size, or on one twice as wide as high.",
        )
    width = panorama.image.shape[1]
    mask = _read_reduced(path, source, spec, width, is_colour=False, report=lambda done, rows: None).mean(axis=-1)
    mask = np.clip(mask, 0.0, 1.0)
    if not mask.any():
        raise CycloramaError("mask-empty", f"The mask {path} is black: nothing would move.", "Paint what moves white.")
    return mask


def read_pixels(path: Path) -> Float[np.ndarray, "height width channels"]:
    """The numbers in a picture file as they are, float32. Raises ``OSError``, ``CycloramaError`` ("picture-size")."""
    if picture_head(path) is None:
        raise OSError(f"{path} cannot be read (it is no picture)")
    _check_head(path, "picture", LARGEST_WHOLE_PIXELS)
    source = oiio.ImageInput.open(str(path))
    if source is None:
        raise OSError(f"{path} cannot be read ({_first_line(oiio.geterror())})")
    _check_spec(path, "picture", source.spec(), LARGEST_WHOLE_PIXELS)
    pixels = source.read_image("float")
    if pixels is None:
        raise OSError(f"{path} cannot be read ({_first_line(source.geterror())})")
    return pixels


def write_exr(path: Path, image: Float[np.ndarray, "height width *channels"], *, half: bool) -> None:
    """Write scene-linear colour (3 channels) or a plain map (2-D) losslessly, as half or 32-bit float."""
    pixels = np.ascontiguousarray(np.minimum(image, _LARGEST_HALF) if half else image, np.float32)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], channels, "half" if half else "float")
    spec.attribute("compression", "zips" if half else "zip")
    spec.attribute("DateTime", "")  # left out: else OpenImageIO writes the time, and no two scenes were the same
    _write(path, pixels.reshape(spec.height, spec.width, channels), spec)  # OpenImageIO takes 2-D as pixels x channels


def write_preview(path: Path, image: Float[np.ndarray, "height width 3"], width: int = 512) -> None:
    """Write a small 8-bit sRGB WebP of a scene-linear panorama."""
    small = cv2.resize(image, (width, width // 2), interpolation=cv2.INTER_AREA)
    spec = oiio.ImageSpec(width, width // 2, 3, "uint8")
    spec.attribute("compression", "webp:85")
    _write(path, srgb_from_linear(small), spec)


def _write(path: Path, pixels: np.ndarray, spec: oiio.ImageSpec) -> None:
    file = oiio.ImageOutput.create(str(path))
    if file is None or not file.open(str(path), spec) or not file.write_image(pixels) or not file.close():
        raise OSError(f"{path.name}: {file.geterror() if file else oiio.geterror()}")


def _open(path: Path, role: str) -> tuple[oiio.ImageInput, oiio.ImageSpec]:
    hint = f"Choose a {READABLE} file."
    if not os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises where a folder is closed to us, or a name too long)
        raise CycloramaError(f"{role}-missing", f"There is no {role} file {path}.", hint)
    if path.stat().st_size == 0:
        raise CycloramaError(f"{role}-empty-file", f"The {role} {path} is empty (0 bytes).", "Copy or export it again.")
    _check_head(checked_path(path), role)
    as_stored = oiio.ImageSpec()
    as_stored.attribute("oiio:UnassociatedAlpha", 1)  # colours not multiplied by an alpha we do not use
    source = oiio.ImageInput.open(str(path), as_stored)
    if source is None:
        reason = _first_line(oiio.geterror())
        raise CycloramaError(f"{role}-not-an-image", f"The {role} {path} cannot be read as an image ({reason}).", hint)
    _check_spec(path, role, source.spec())
    return source, source.spec()


def _check_head(path: Path, role: str, most: int = LARGEST_PIXELS) -> None:
    """Before any decoder: only kinds that we know, for OpenImageIO reads dozens that few people ever try to break."""
    picture = picture_head(path)
    if picture is None:
        raise CycloramaError(
            f"{role}-not-an-image",
            f"The {role} {path} cannot be read as an image (it is none of those that Cyclorama knows).",
            f"Choose a {READABLE} file.",
        )
    if picture.size is not None:
        _check_pixels(path, role, *picture.size, min(most, LARGEST_WHOLE_PIXELS) if picture.whole else most)


def _check_pixels(path: Path, role: str, width: int, height: int, most: int) -> None:
    if width * height > most:
        across = 32768 if most == LARGEST_PIXELS else 16384
        raise CycloramaError(
            f"{role}-size",
            f"The {role} {path} has {width} x {height} pixels.",
            f"From {_SMALLEST_WIDTH} x {_SMALLEST_WIDTH // 2} to {across} x {across // 2} can be used"
            + (" of a file that has to be decoded as a whole." if most < LARGEST_PIXELS else "."),
        )


def _check_spec(path: Path, role: str, spec: oiio.ImageSpec, most: int = LARGEST_PIXELS) -> None:
    """What the decoder found in the head; nothing has been decoded yet."""
    _check_pixels(path, role, spec.width, spec.height, most)
    if spec.deep or spec.depth > 1:
        raise CycloramaError(
            f"{role}-not-flat", f"The {role} {path} is a deep or solid image.", "Save it as a flat picture."
        )
    tiled = bool(spec.tile_width)
    if (
        spec.nchannels > _MOST_CHANNELS
        or spec.image_bytes(True) > most * 12
        or (tiled and spec.tile_bytes(True) > _LARGEST_TILE_BYTES)
        or spec.tile_height * spec.width > _LARGEST_TILE_ROW
    ):
        raise CycloramaError(
            f"{role}-size",
            f"The {role} {path} has {spec.nchannels} channels of {spec.width} x {spec.height} pixels"
            + (f", in tiles of {spec.tile_width} x {spec.tile_height}." if tiled else "."),
            f"Save it with red, green and blue only{', and not in tiles' if tiled else ''}.",
        )


def _check_panorama_size(path: Path, width: int, height: int) -> None:
    if abs(width - 2 * height) > _RATIO_TOLERANCE * width:
        raise CycloramaError(
            "panorama-not-2-to-1",
            f"The panorama {path} has {width} x {height} pixels; a 360° panorama is twice as wide as high.",
            "Export it as equirectangular, full sphere.",
        )
    if width < _SMALLEST_WIDTH:
        raise CycloramaError(
            "panorama-size",
            f"The panorama {path} has {width} x {height} pixels.",
            f"From {_SMALLEST_WIDTH} to 32768 pixels across can be used.",
        )


def _working_width(file_width: int, wanted: int) -> int:
    width = min(file_width, wanted or LARGEST_AUTOMATIC_WIDTH)
    return max(width, _SMALLEST_WIDTH) // 4 * 4


def _read_reduced(
    path: Path,
    source: oiio.ImageInput,
    spec: oiio.ImageSpec,
    width: int,
    is_colour: bool,
    report: Callable[[int, int], None],
) -> Float[np.ndarray, "height width channels"]:
    """The picture at ``width`` x ``width / 2``, averaged over area in linear light, strip by strip."""
    factor = max(spec.width // width, 1)
    is_srgb = is_colour and spec.format.basetype in (oiio.UINT8, oiio.UINT16)
    strips = []
    rows_read = 0
    for strip in _strips(path, source, spec, factor):
        rows_read += len(strip)
        report(rows_read, spec.height)
        linear = linear_from_srgb(strip) if is_srgb else strip
        size = (-(-strip.shape[1] // factor), -(-strip.shape[0] // factor))
        strips.append(linear if factor == 1 else cv2.resize(linear, size, interpolation=cv2.INTER_AREA))
    whole = np.concatenate(strips).reshape(-1, strips[0].shape[1], strips[0].shape[2] if strips[0].ndim == 3 else 1)
    if whole.shape[:2] != (width // 2, width):
        way = cv2.INTER_AREA if len(whole) >= width // 2 else cv2.INTER_LINEAR
        whole = cv2.resize(whole, (width, width // 2), interpolation=way)
    return np.ascontiguousarray(whole.reshape(width // 2, width, -1))


def _strips(
    path: Path, source: oiio.ImageInput, spec: oiio.ImageSpec, factor: int
) -> Iterator[Float[np.ndarray, "rows width 3"]]:
    """Decode from top to bottom, as float32 RGB; every strip but the last is a multiple of ``factor`` high."""
    step = math.lcm(factor, spec.tile_height or 1)
    rows = max(_STRIP_PIXELS // spec.width // step, 1) * step
    channels = 3 if spec.nchannels >= 3 else 1
    for top in range(spec.y, spec.y + spec.height, rows):
        bottom = min(top + rows, spec.y + spec.height)
        if spec.tile_height:
            strip = source.read_tiles(spec.x, spec.x + spec.width, top, bottom, 0, 1, 0, channels, "float")
        else:
            strip = source.read_scanlines(top, bottom, 0, 0, channels, "float")
        problem = source.geterror()
        if strip is None or problem:
            raise CycloramaError(
                "image-damaged",
                f"{path} is damaged or cut short: rows {top} to {bottom - 1} cannot be read ({_first_line(problem)}).",
                "Copy or export it again.",
            )
        strip = np.asarray(strip).reshape(bottom - top, spec.width, channels)
        if not np.isfinite(strip).all():
            row, column = np.argwhere(~np.isfinite(strip).all(axis=-1))[0]
            raise CycloramaError(
                "image-not-finite",
                f"{path} has a pixel that is NaN or infinite, at column {column}, row {top - spec.y + row}.",
                "Repair it in an image editor, or export it again.",
            )
        yield np.repeat(strip, 3, axis=-1) if channels == 1 else strip


def _first_line(reason: str) -> str:
    return reason.strip().splitlines()[0] if reason.strip() else "no reason given"
