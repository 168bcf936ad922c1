"""A preview is small on the wire and whole on disk."""

import cv2
import numpy as np
import pytest

from cyclorama.backend.recipes.preview import PreviewFile, small_webp
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.messages import MAX_PREVIEW_BYTES

SKY, GROUND = (50, 100, 200), (60, 40, 10)


def picture(height: int = 64) -> np.ndarray:
    image = np.empty((height, 2 * height, 3), np.uint8)
    image[: height // 2], image[height // 2 :] = SKY, GROUND
    return image


def decoded(encoded: bytes) -> np.ndarray:
    """(height, width, 3) RGB."""
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image[..., ::-1]


def assert_shows(shown: np.ndarray, height: int) -> None:
    assert shown.shape == (height, 2 * height, 3)
    np.testing.assert_allclose(shown[: height // 4].mean(axis=(0, 1)), SKY, atol=4)
    np.testing.assert_allclose(shown[-height // 4 :].mean(axis=(0, 1)), GROUND, atol=4)


@pytest.mark.parametrize(("height", "sent"), [(64, 64), (1000, 512)])
def test_a_preview_on_the_wire_is_webp_and_at_most_1024_wide(height, sent):
    encoded = small_webp(picture(height))
    assert encoded[8:12] == b"WEBP"
    assert_shows(decoded(encoded), sent)


def test_what_cannot_be_compressed_is_made_smaller_until_it_fits():
    noise = np.random.default_rng(0).integers(0, 256, (1024, 2048, 3), dtype=np.uint8)
    encoded = small_webp(noise)
    assert 1000 < len(encoded) <= MAX_PREVIEW_BYTES
    height, width, _ = decoded(encoded).shape
    assert width == 2 * height


@pytest.mark.parametrize("name", ["a.webp", "a.jpg", "a.JPEG", "a.png"])
def test_a_file_keeps_the_newest_preview_and_nothing_else(tmp_path, name):
    show = PreviewFile(tmp_path / name)
    show(np.zeros((32, 64, 3), np.uint8))
    show(picture())
    assert_shows(decoded((tmp_path / name).read_bytes()), 64)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.gif", "a", "a.exr"])
def test_a_format_that_is_no_preview_is_named(tmp_path, name):
    with pytest.raises(CycloramaError, match=name) as caught:
        PreviewFile(tmp_path / name)
    assert caught.value.code == "preview-format"


def test_where_it_cannot_be_written_is_named(tmp_path):
    (tmp_path / "a.png").mkdir()
    for path in (tmp_path / "a.png", tmp_path / "none" / "a.png"):
        with pytest.raises(CycloramaError) as caught:
            PreviewFile(path)
        assert caught.value.code == "preview-not-writable" and str(path) in caught.value.sentence


def test_a_folder_that_goes_away_meanwhile_is_named(tmp_path):
    (tmp_path / "stick").mkdir()
    show = PreviewFile(tmp_path / "stick" / "a.png")
    (tmp_path / "stick").rmdir()
    with pytest.raises(CycloramaError, match="stick") as caught:
        show(picture())
    assert caught.value.code == "preview-not-writable"
