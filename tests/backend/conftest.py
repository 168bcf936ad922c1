"""Pictures to make scenes of."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


def write_picture(path: Path, pixels: np.ndarray, kind: str = "uint8", tile: int = 0) -> Path:
    """(height, width, channels), 0..1 or of the type that ``kind`` names, as stored in the file. Returns ``path``."""
    import OpenImageIO as oiio  # noqa: N813 (only here: tests of the server process go without)

    height, width, channels = pixels.shape
    spec = oiio.ImageSpec(width, height, channels, kind)
    spec.tile_width = spec.tile_height = tile
    spec.attribute("compression", "webp:101" if path.suffix == ".webp" else "jpeg:100" if path.suffix == ".jpg" else "")
    file = oiio.ImageOutput.create(str(path))
    assert file and file.open(str(path), spec), oiio.geterror()
    assert file.write_image(np.ascontiguousarray(pixels)) and file.close(), file.geterror()
    return path


@pytest.fixture
def picture(tmp_path) -> Callable[..., Path]:
    """Writes a picture into the test's folder: ``picture("a.png", pixels, "uint16")``."""
    return lambda name, *args, **more: write_picture(tmp_path / name, *args, **more)
