"""Any picture an artist has is read to the right linear values; what cannot be used is named in a sentence."""

import resource
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from cyclorama.backend.sphere import pictures
from cyclorama.backend.sphere.colour import linear_from_srgb
from cyclorama.backend.sphere.pictures import read_mask, read_panorama
from cyclorama.bridge.errors import Cancelled, CycloramaError

HEIGHT, WIDTH = 64, 128


def ramps() -> np.ndarray:
    """Stored values: red rises to the right, green downwards, blue is a plateau. Smooth, as lossy formats like it."""
    image = np.empty((HEIGHT, WIDTH, 3), np.float32)
    image[..., 0] = np.linspace(0.1, 0.9, WIDTH)[None, :]
    image[..., 1] = np.linspace(0.2, 0.8, HEIGHT)[:, None]
    image[..., 2] = 0.5
    return image


def raised(read, *args, code: str, about: Path) -> str:
    with pytest.raises(CycloramaError) as caught:
        read(*args)
    assert caught.value.code == code
    assert str(about) in caught.value.sentence
    assert caught.value.sentence.endswith(".") and "\n" not in caught.value.sentence
    assert caught.value.hint
    return caught.value.sentence


# What can be read

FORMATS = {  # file -> type stored, largest difference
    "a.png": ("uint8", 0.005),
    "a 16 bit.png": ("uint16", 2e-5),
    "a.jpg": ("uint8", 0.03),
    "a.webp": ("uint8", 0.03),
    "a.hdr": ("float", 0.005),
    "a.exr": ("half", 3e-4),
    "a 32 bit.exr": ("float", 0),
    "pänorama 全景.png": ("uint8", 0.005),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_to_linear_values(picture, name):
    kind, tolerance = FORMATS[name]
    panorama = read_panorama(picture(name, ramps(), kind))
    expected = linear_from_srgb(ramps()) if kind.startswith("uint") else ramps()
    assert panorama.image.dtype == np.float32 and panorama.image.flags.c_contiguous
    np.testing.assert_allclose(panorama.image, expected, atol=tolerance)
    assert (panorama.file_width, panorama.file_height) == (WIDTH, HEIGHT)


def test_a_format_is_known_by_its_content_not_its_name(picture):
    path = picture("a.png", ramps())
    np.testing.assert_array_equal(
        read_panorama(path.rename(path.with_suffix(".jpg"))).image,
        read_panorama(picture("b.png", ramps())).image,
    )


@pytest.mark.parametrize(("name", "kind"), [("grey.png", "uint8"), ("grey.jpg", "uint8"), ("grey.exr", "float")])
def test_grey_becomes_three_equal_channels(picture, name, kind):
    image = read_panorama(picture(name, ramps()[..., :1], kind)).image
    expected = linear_from_srgb(ramps()[..., 0]) if kind == "uint8" else ramps()[..., 0]
    np.testing.assert_array_equal(image[..., 0], image[..., 2])
    np.testing.assert_allclose(image[..., 1], expected, atol=0.02)


@pytest.mark.parametrize(("name", "kind"), [("a.png", "uint8"), ("a.exr", "float"), ("a.webp", "uint8")])
def test_an_opaque_alpha_channel_changes_nothing(picture, name, kind):
    opaque = np.concatenate([ramps(), np.ones((HEIGHT, WIDTH, 1), np.float32)], axis=-1)
    np.testing.assert_allclose(
        read_panorama(picture(name, opaque, kind)).image,
        read_panorama(picture("plain-" + name, ramps(), kind)).image,
        atol=0.03,
    )


def test_a_tiled_file_is_read_as_any_other(picture):
    tiled = picture("tiled.exr", ramps(), "float", tile=32)
    np.testing.assert_array_equal(read_panorama(tiled).image, ramps())


def test_light_brighter_than_white_stays_and_negative_colour_goes(picture):
    image = ramps()
    image[3, 5] = 60_000
    image[4, 6] = -0.5
    read = read_panorama(picture("a.exr", image, "float")).image
    assert read[3, 5].tolist() == [60_000] * 3
    assert read[4, 6].tolist() == [0] * 3


@pytest.mark.parametrize(("height", "width"), [(64, 129), (65, 130), (101, 202), (67, 134)])
def test_a_size_that_is_nearly_2_to_1_is_made_exactly_so(picture, height, width):
    image = read_panorama(picture("a.png", np.full((height, width, 3), 188 / 255, np.float32))).image
    assert image.shape[1] == 2 * image.shape[0] and width - 8 <= image.shape[1] <= width
    np.testing.assert_allclose(image, linear_from_srgb(np.array(188 / 255)), atol=1e-6)


# Reduction


@pytest.mark.parametrize("strip_pixels", [1, 700, 1 << 22])
def test_a_reduced_pixel_is_the_mean_of_what_it_covers_in_linear_light(picture, monkeypatch, strip_pixels):
    monkeypatch.setattr(pictures, "_STRIP_PIXELS", strip_pixels)
    stored = np.random.default_rng(0).integers(0, 256, (2 * HEIGHT, 2 * WIDTH, 3), np.uint8)
    panorama = read_panorama(picture("a.png", stored), WIDTH)
    linear = linear_from_srgb(stored / np.float32(255))
    expected = linear.reshape(HEIGHT, 2, WIDTH, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(panorama.image, expected, atol=1e-5)
    assert (panorama.file_width, panorama.file_height) == (2 * WIDTH, 2 * HEIGHT)


def test_a_reduction_by_a_fraction_keeps_the_mean_light_and_its_place(picture):
    image = ramps()
    reduced = read_panorama(picture("a.exr", image, "float"), 100).image
    assert reduced.shape == (50, 100, 3)
    np.testing.assert_allclose(reduced.mean(axis=(0, 1)), image.mean(axis=(0, 1)), atol=1e-4)
    centres = (np.arange(100) + 0.5) / 100
    np.testing.assert_allclose(
        reduced[25, :, 0], np.interp(centres, (np.arange(WIDTH) + 0.5) / WIDTH, image[0, :, 0]), atol=2e-3
    )


def test_nothing_is_ever_enlarged(picture):
    assert read_panorama(picture("a.png", ramps()), 4096).image.shape == (HEIGHT, WIDTH, 3)


def test_16384_x_8192_pixels_become_2048_without_lying_in_memory_whole(tmp_path):
    path = tmp_path / "huge.png"
    write_checkerboard(path, 16384, 8192)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    panorama = read_panorama(path)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert panorama.image.shape == (1024, 2048, 3)
    assert (panorama.file_width, panorama.file_height) == (16384, 8192)
    np.testing.assert_allclose(panorama.image, 0.5, atol=1e-5)  # half black, half white; a mean of sRGB would be 0.21
    if sys.platform == "linux":
        assert grown < 16384 * 8192 * 12 / 2  # half of what it takes as float RGB


def write_checkerboard(path: Path, width: int, height: int) -> None:
    """A PNG of one bit per pixel, fields of one pixel, compressed row by row."""
    packed = zlib.compressobj(1)
    pair = b"\0" + b"\xaa" * (width // 8) + b"\0" + b"\x55" * (width // 8)
    rows = b"".join(packed.compress(pair) for _ in range(height // 2)) + packed.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*it) for it in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")))
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def test_reading_tells_how_far_it_is_and_stops_when_told_to(picture, monkeypatch):
    monkeypatch.setattr(pictures, "_STRIP_PIXELS", 20 * WIDTH)
    path = picture("a.png", ramps())
    heard = []
    read_panorama(path, report=lambda done, rows: heard.append((done, rows)))
    assert heard == [(20, HEIGHT), (40, HEIGHT), (60, HEIGHT), (HEIGHT, HEIGHT)]

    def stop(done, rows):
        raise Cancelled

    with pytest.raises(Cancelled):
        read_panorama(path, report=stop)


# What cannot be used


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 132), (128, 64), (100, 400)])
def test_a_picture_that_is_not_2_to_1_is_named_with_its_size(picture, height, width):
    path = picture("flat.png", np.zeros((height, width, 3), np.float32))
    sentence = raised(read_panorama, path, code="panorama-not-2-to-1", about=path)
    assert f"{width} x {height}" in sentence


def test_a_tiny_picture_is_named_with_its_size(picture):
    path = picture("tiny.png", np.zeros((16, 32, 3), np.float32))
    assert "32 x 16" in raised(read_panorama, path, code="panorama-size", about=path)


def test_a_huge_picture_is_refused_by_its_header_alone(tmp_path):
    path = tmp_path / "bomb.png"
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 20_000, 1, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", b""))
    assert "40000 x 20000" in raised(read_panorama, path, code="panorama-size", about=path)


@pytest.mark.parametrize("name", ["text.jpg", "text.png", "text.webp", "text.hdr", "text.exr", "text.txt", "text"])
def test_a_text_file_is_no_image_whatever_its_name(tmp_path, name):
    path = tmp_path / name
    path.write_text("Dear diary,\n" * 100)
    raised(read_panorama, path, code="panorama-not-an-image", about=path)


@pytest.mark.parametrize("name", ["empty.jpg", "empty.exr", "empty"])
def test_a_file_of_0_bytes_is_empty(tmp_path, name):
    path = tmp_path / name
    path.touch()
    assert "0 bytes" in raised(read_panorama, path, code="panorama-empty-file", about=path)


def test_a_missing_file_is_named(tmp_path):
    raised(read_panorama, tmp_path / "none.jpg", code="panorama-missing", about=tmp_path / "none.jpg")
    raised(read_panorama, tmp_path, code="panorama-missing", about=tmp_path)
    raised(read_panorama, tmp_path / ("a" * 300), code="panorama-missing", about=tmp_path)  # longer than names can be


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_short_is_named(picture, name, share):
    noise = np.random.default_rng(0).random((HEIGHT, WIDTH, 3), np.float32)
    path = picture(name, noise, FORMATS[name][0])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CycloramaError) as caught:
        read_panorama(path)
    assert caught.value.code in ("image-damaged", "panorama-not-an-image")
    assert str(path) in caught.value.sentence and "\n" not in caught.value.sentence


@pytest.mark.parametrize("name", ["a.exr", "a.png", "a.jpg"])
def test_damage_in_the_middle_is_named(picture, name):
    noise = np.random.default_rng(0).random((HEIGHT, WIDTH, 3), np.float32)
    path = picture(name, noise, FORMATS[name][0])
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 50] = b"\xff" * 50
    path.write_bytes(content)
    raised(read_panorama, path, code="image-damaged", about=path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("wanted", [0, 64], ids=["whole", "reduced"])
@pytest.mark.parametrize("strip_pixels", [1 << 22, 1000], ids=["one strip", "many strips"])
def test_a_pixel_that_is_not_finite_is_named_by_column_and_row(picture, monkeypatch, value, wanted, strip_pixels):
    monkeypatch.setattr(pictures, "_STRIP_PIXELS", strip_pixels)
    image = ramps()
    image[41, 17, 1] = value
    path = picture("a.exr", image, "float")
    sentence = raised(read_panorama, path, wanted, code="image-not-finite", about=path)
    assert "column 17, row 41" in sentence


# Masks


@pytest.fixture
def panorama(picture):
    return read_panorama(picture("a.png", ramps()))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_mask_is_read_as_it_was_painted(picture, panorama, channels):
    painted = np.zeros((HEIGHT, WIDTH, channels), np.uint8)
    painted[:20, :40], painted[20:30, :40] = 255, 128
    painted[..., 3:] = 255
    mask = read_mask(picture("mask.png", painted), panorama)
    assert mask.shape == (HEIGHT, WIDTH) and mask.dtype == np.float32
    assert mask[:20, :40].min() == 1 and mask[30:].max() == 0 and mask[:, 40:].max() == 0
    np.testing.assert_allclose(mask[20:30, :40], 128 / 255, atol=1e-6)  # half moves half: no sRGB curve


def test_a_mask_is_reduced_as_its_panorama_is(picture):
    panorama = read_panorama(picture("a.png", ramps()), 64)
    painted = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    painted[:, :33] = 255
    mask = read_mask(picture("mask.png", painted), panorama)
    assert mask.shape == (32, 64)
    np.testing.assert_allclose(mask[0, 14:19], [1, 1, 0.5, 0, 0], atol=1e-6)


def test_a_mask_of_another_shape_is_named_with_both_sizes(picture, panorama):
    path = picture("mask.png", np.ones((64, 64, 1), np.float32))
    sentence = raised(read_mask, path, panorama, code="mask-size", about=path)
    assert "64 x 64" in sentence and "128 x 64" in sentence


@pytest.mark.parametrize("factor", [0.5, 2])
def test_a_mask_may_be_coarser_or_finer_than_its_panorama(picture, panorama, factor):
    height = round(HEIGHT * factor)
    painted = np.zeros((height, 2 * height, 1), np.float32)
    painted[: height // 2, height:] = 1
    mask = read_mask(picture("mask.png", painted), panorama)
    assert mask.shape == (HEIGHT, WIDTH)
    expected = np.zeros_like(mask)
    expected[: HEIGHT // 2, HEIGHT:] = 1
    np.testing.assert_allclose(mask, expected, atol=0.45)  # half a coarse pixel at the edges
    assert (mask != expected).mean() < 0.03


def test_a_black_mask_is_named(picture, panorama):
    path = picture("mask.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    raised(read_mask, path, panorama, code="mask-empty", about=path)


@pytest.mark.parametrize(
    ("content", "code"), [(None, "mask-missing"), (b"", "mask-empty-file"), (b"diary", "mask-not-an-image")]
)
def test_a_mask_that_is_no_picture_is_called_a_mask(tmp_path, panorama, content, code):
    path = tmp_path / "mask.png"
    if content is not None:
        path.write_bytes(content)
    assert "mask" in raised(read_mask, path, panorama, code=code, about=path)


def test_a_mask_that_is_not_finite_is_named(picture, panorama):
    painted = np.ones((HEIGHT, WIDTH, 1), np.float32)
    painted[3, 9] = np.nan
    path = picture("mask.exr", painted, "float")
    assert "column 9, row 3" in raised(read_mask, path, panorama, code="image-not-finite", about=path)


# Writing


@pytest.mark.parametrize("half", [True, False])
def test_the_scene_s_pictures_come_back_losslessly(tmp_path, half):
    image = ramps().astype(np.float16).astype(np.float32) if half else ramps()
    pictures.write_exr(tmp_path / "a.exr", image, half=half)
    np.testing.assert_array_equal(read_panorama(tmp_path / "a.exr").image, image)


def test_a_plain_map_comes_back_in_full_precision(tmp_path, stored):
    distance = np.random.default_rng(0).random((HEIGHT, WIDTH), np.float32) * 120
    pictures.write_exr(tmp_path / "depth.exr", distance, half=False)
    np.testing.assert_array_equal(stored(tmp_path / "depth.exr"), distance[..., None])


def test_a_sun_too_bright_for_half_floats_stays_finite(tmp_path):
    image = np.full((HEIGHT, WIDTH, 3), 1e6, np.float32)
    pictures.write_exr(tmp_path / "sun.exr", image, half=True)
    np.testing.assert_array_equal(read_panorama(tmp_path / "sun.exr").image, 65504)


def test_the_preview_is_a_small_srgb_picture(tmp_path, stored):
    pictures.write_preview(tmp_path / "preview.webp", linear_from_srgb(ramps()))
    preview = stored(tmp_path / "preview.webp")
    assert preview.shape == (256, 512, 3)
    np.testing.assert_allclose(preview[128, 256], ramps()[32, 64], atol=0.03)


def test_a_place_that_cannot_be_written_raises_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError, match=r"a\.exr"):
        pictures.write_exr(tmp_path / "no folder" / "a.exr", ramps(), half=True)
