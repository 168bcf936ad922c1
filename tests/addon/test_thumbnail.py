"""What is being made is shown small in the panel, and leaves nothing in the artist's file."""

import bpy
import bpy.utils.previews
import numpy as np
import pytest

from cyclorama.addon.ui import thumbnail

SKY, GROUND = (51, 102, 204), (51, 51, 0)


def webp(folder) -> bytes:
    """A picture of 512 x 256 pixels, its upper half sky and its lower half ground."""
    image = bpy.data.images.new("picture", 512, 256)
    pixels = np.empty((256, 512, 4), np.float32)
    pixels[:128], pixels[128:] = (*np.divide(GROUND, 255), 1), (*np.divide(SKY, 255), 1)  # rows go upwards
    image.pixels.foreach_set(pixels.ravel())
    image.file_format = "WEBP"
    image.save(filepath=str(folder / "picture.webp"), quality=95)
    bpy.data.images.remove(image)
    return (folder / "picture.webp").read_bytes()


@pytest.fixture
def icons(addon):
    icons = bpy.utils.previews.new()
    yield icons
    bpy.utils.previews.remove(icons)


def colours(icons) -> np.ndarray:
    """(height, width, 3), 0..255, the uppermost row first."""
    shown = icons["job"]
    width, height = shown.image_size
    pixels = np.empty(width * height * 4, np.float32)
    shown.image_pixels_float.foreach_get(pixels)
    return np.flipud(pixels.reshape(height, width, 4))[..., :3] * 255


def test_the_icon_shows_the_picture_the_right_way_up(icons, tmp_path):
    thumbnail.show("job", webp(tmp_path), icons)
    shown = colours(icons)
    assert shown.shape == (128, 256, 3)
    np.testing.assert_allclose(shown[10:50].mean(axis=(0, 1)), SKY, atol=6)
    np.testing.assert_allclose(shown[-50:-10].mean(axis=(0, 1)), GROUND, atol=6)


def test_what_is_no_picture_leaves_the_one_before(icons, tmp_path):
    thumbnail.show("job", webp(tmp_path), icons)
    before = colours(icons)
    thumbnail.show("job", b"RIFF no picture at all", icons)
    np.testing.assert_array_equal(colours(icons), before)


def test_every_job_has_a_picture_of_its_own_until_it_is_forgotten(addon, tmp_path):
    icons = thumbnail._icons
    thumbnail.show("one", webp(tmp_path), icons)
    thumbnail.show("other", webp(tmp_path), icons)
    assert set(icons) == {"one", "other"}
    thumbnail._catch_up()  # the backend knows neither
    assert not icons


def test_no_image_is_left_in_the_file(icons, tmp_path):
    picture = webp(tmp_path)
    thumbnail.show("job", picture, icons)
    thumbnail.show("job", b"RIFF no picture at all", icons)
    assert len(bpy.data.images) == 0
