"""Previews of what is being made, as picture files: small ones for the wire, whole ones for a folder."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from ...bridge.errors import CycloramaError
from ...bridge.messages import MAX_PREVIEW_BYTES

Picture = UInt8[np.ndarray, "height width 3"]
"""Equirectangular, sRGB."""

SUFFIXES = (".webp", ".jpg", ".jpeg", ".png")

_WIRE_WIDTH = 1024


def small_webp(picture: Picture) -> bytes:
    """A WebP file of at most ``MAX_PREVIEW_BYTES`` bytes; ``picture`` is reduced until it fits."""
    width = min(picture.shape[1], _WIRE_WIDTH)
    while True:
        height = max(round(width * picture.shape[0] / picture.shape[1]), 1)
        encoded = _encoded(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), ".webp")
        if len(encoded) <= MAX_PREVIEW_BYTES:
            return encoded
        width //= 2


class PreviewFile:
    """A ``Show`` that keeps the newest preview in a file, whole at any time.

    Raises:
        CycloramaError: ``preview-format``, or ``preview-not-writable``, also when called.
    """

    def __init__(self, path: Path):
        if path.suffix.lower() not in SUFFIXES:
            raise CycloramaError(
                "preview-format",
                f"The preview {path} cannot be written as '{path.suffix}'.",
                "Use .webp, .jpg or .png.",
            )
        if not os.access(path.parent, os.W_OK) or path.is_dir():
            reason = "it is a folder" if path.is_dir() else f"there is no folder {path.parent} to write to"
            raise CycloramaError("preview-not-writable", f"The preview {path} cannot be written: {reason}.")
        self._path = path

    def __call__(self, picture: Picture) -> None:
        """Replace the file."""
        partial = self._path.with_name(f".{self._path.name}.partial")
        try:
            partial.write_bytes(_encoded(picture, self._path.suffix))
            partial.replace(self._path)
        except OSError as error:
            raise CycloramaError(
                "preview-not-writable", f"The preview {self._path} cannot be written: {error.strerror}."
            ) from error
        finally:
            partial.unlink(missing_ok=True)


def _encoded(picture: Picture, suffix: str) -> bytes:
    """The bytes of a picture file."""
    quality = [cv2.IMWRITE_WEBP_QUALITY, 85] if suffix.lower() == ".webp" else []
    return cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality)[1].tobytes()
