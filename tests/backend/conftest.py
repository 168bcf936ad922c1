"""Pictures to make scenes of."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Networks as tiny as the tests' are no faster on more, and much slower where others compute too."""
    import torch  # only here, as below

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # of stages; see ``computing_device``
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="session", autouse=True)
def not_the_user_s_folder(tmp_path_factory):
    """No test finds or leaves anything in the folder of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CYCLORAMA_FOLDER", str(tmp_path_factory.mktemp("backend")))
        yield


@pytest.fixture(autouse=True)
def same_chance():
    """The same random numbers in every run."""
    import torch

    torch.manual_seed(0)


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


def read_picture(path: Path) -> np.ndarray:
    """(height, width, channels) float32, as stored in the file."""
    import OpenImageIO as oiio  # noqa: N813

    file = oiio.ImageInput.open(str(path))
    assert file, oiio.geterror()
    return np.asarray(file.read_image("float")).reshape(file.spec().height, file.spec().width, -1)


@pytest.fixture(scope="session")
def stored() -> Callable[[Path], np.ndarray]:
    """Reads a picture's values as they are in the file: ``stored(path)``."""
    return read_picture


@pytest.fixture(scope="session")
def picture_at() -> Callable[..., Path]:
    """Writes a picture anywhere: ``picture_at(path, pixels, "uint16")``."""
    return write_picture


@pytest.fixture
def picture(tmp_path) -> Callable[..., Path]:
    """Writes a picture into the test's folder: ``picture("a.png", pixels, "uint16")``."""
    return lambda name, *args, **more: write_picture(tmp_path / name, *args, **more)
