"""A small file that would become a huge picture, or none that we know, is refused before a decoder sees it."""

import resource
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import OpenImageIO as oiio  # noqa: N813
import pytest

from cyclorama.backend.sphere import pictures
from cyclorama.backend.sphere.pictures import read_mask, read_panorama, read_pixels
from cyclorama.backend.sphere.videos import read_video
from cyclorama.bridge.errors import CycloramaError

GIANT = 1_000_000, 500_000


def png(width: int, height: int, interlaced: int = 0) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def jpeg(width: int, height: int, frame: int = 0xC0) -> bytes:
    content = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8\xff" + bytes([frame]) + struct.pack(">H", 2 + len(content)) + content + b"\xff\xd9"


def webp(width: int, height: int) -> bytes:
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + (width - 1).to_bytes(3, "little")
    body += (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body)) + body


def exr(width: int, height: int, before: bytes = b"") -> bytes:
    window = b"dataWindow\0box2i\0" + struct.pack("<i4i", 16, 0, 0, width - 1, height - 1)
    return b"\x76\x2f\x31\x01\x02\0\0\0" + before + window + b"\0"


def hdr(width: int, height: int) -> bytes:
    return b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (height, width)


def tiff(width: int, height: int) -> bytes:
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)


BOMBS = {
    "png": png(*GIANT),
    "interlaced png": png(32768, 16384, 1),
    "jpeg": jpeg(65500, 32750),
    "progressive jpeg": jpeg(32768, 16384, 0xC2),
    "webp": webp(1 << 24, 1 << 23),
    "exr": exr(*GIANT),
    "exr of 2^31": exr((1 << 31) - 1, 1 << 30),
    "hdr": hdr(*GIANT),
    "tiff": tiff(*GIANT),
}


def refused(read, *arguments) -> CycloramaError:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CycloramaError) as caught:
        read(*arguments)
    if sys.platform == "linux":
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes
    assert str(arguments[0]) in caught.value.sentence and caught.value.sentence.endswith(".") and caught.value.hint
    return caught.value


@pytest.fixture
def panorama(picture):
    return read_panorama(picture("a.png", np.full((64, 128, 3), 0.5, np.float32)))


@pytest.mark.parametrize("kind", BOMBS)
def test_a_giant_in_a_small_file_is_refused_by_its_size_before_it_is_decoded(tmp_path, monkeypatch, panorama, kind):
    path = tmp_path / "bomb.png"
    path.write_bytes(BOMBS[kind])

    def opened(*_):
        raise AssertionError("a decoder was given the file")

    monkeypatch.setattr(oiio.ImageInput, "open", opened)
    for read, role in ((read_panorama, "panorama"), (read_video, "panorama"), (read_pixels, "picture")):
        error = refused(read, path)
        assert error.code == f"{role}-size" and " x " in error.sentence
        assert "32768 x 16384" in error.hint or "16384 x 8192" in error.hint
    assert refused(read_mask, path, panorama).code == "mask-size"


@pytest.mark.parametrize("name", ["p.psd", "p.dds", "p.null", "p.gif", "p.svg", "p.m3u8", "p.bmp", "p.tga"])
def test_a_kind_of_file_that_we_do_not_read_is_given_to_no_decoder(tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.write_bytes(
        {"p.gif": b"GIF89a", "p.bmp": b"BM", "p.psd": b"8BPS\0\1", "p.dds": b"DDS "}.get(name, b"#EXTM3U\n") * 50
    )
    monkeypatch.setattr(oiio.ImageInput, "open", lambda *_: pytest.fail("a decoder was given the file"))
    assert refused(read_panorama, path).code == "panorama-not-an-image"
    with pytest.raises(OSError, match="no picture"):
        read_pixels(path)


def written(path: Path, spec: oiio.ImageSpec, tiles: int = 0) -> Path:
    file = oiio.ImageOutput.create(str(path))
    assert file and file.open(str(path), spec), oiio.geterror()
    pixels = np.zeros((spec.height, spec.width, spec.nchannels), np.float32)
    assert file.write_tiles(0, spec.width, 0, spec.height, 0, 1, pixels) if tiles else file.write_image(pixels)
    file.close()
    return path


def test_a_picture_of_a_thousand_channels_is_refused_and_one_of_forty_is_read(tmp_path):
    wide = written(tmp_path / "wide.exr", oiio.ImageSpec(128, 64, 1000, "half"))
    error = refused(read_panorama, wide)
    assert error.code == "panorama-size" and "1000 channels" in error.sentence
    assert read_panorama(written(tmp_path / "layers.exr", oiio.ImageSpec(128, 64, 40, "half"))).image.shape == (
        64,
        128,
        3,
    )


def test_a_tile_as_large_as_the_picture_is_refused_where_it_would_fill_memory(tmp_path, monkeypatch):
    spec = oiio.ImageSpec(128, 64, 3, "half")
    spec.tile_width = spec.tile_height = 128
    tiled = written(tmp_path / "tiled.exr", spec, tiles=128)
    assert read_panorama(tiled).image.shape == (64, 128, 3)
    monkeypatch.setattr(pictures, "_LARGEST_TILE_BYTES", 128 * 128 * 6 - 1)
    error = refused(read_panorama, tiled)
    assert error.code == "panorama-size" and "tiles of 128 x 128" in error.sentence


def test_a_deep_picture_is_refused(tmp_path):
    spec = oiio.ImageSpec(128, 64, 5, "float")
    spec.deep = True
    spec.channelnames = ("R", "G", "B", "A", "Z")
    data = oiio.DeepData()
    data.init(128 * 64, 5, "float", spec.channelnames)
    file = oiio.ImageOutput.create(str(tmp_path / "deep.exr"))
    assert file and file.open(str(tmp_path / "deep.exr"), spec) and file.write_deep_image(data) and file.close()
    assert refused(read_panorama, tmp_path / "deep.exr").code == "panorama-not-flat"


def test_of_a_file_of_several_pictures_the_first_counts(tmp_path):
    small, large = oiio.ImageSpec(128, 64, 3, "half"), oiio.ImageSpec(4096, 4096, 3, "half")
    large.full_width, large.full_height = 128, 64  # one for all parts
    small.attribute("oiio:subimagename", "small")
    large.attribute("oiio:subimagename", "large")
    file = oiio.ImageOutput.create(str(tmp_path / "parts.exr"))
    assert file and file.open(str(tmp_path / "parts.exr"), [small, large]), oiio.geterror()
    assert file.write_image(np.zeros((64, 128, 3), np.float32))
    assert file.open(str(tmp_path / "parts.exr"), large, "AppendSubimage"), file.geterror()
    assert file.write_image(np.zeros((4096, 4096, 3), np.float32)) and file.close()
    assert read_panorama(tmp_path / "parts.exr").image.shape == (64, 128, 3)


def test_a_depth_file_has_to_fit_in_memory_whole(tmp_path):
    path = tmp_path / "depth.exr"
    path.write_bytes(exr(32768, 16384))
    assert refused(read_pixels, path).code == "picture-size"


PLAYLISTS = {
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/hostname\n#EXT-X-ENDLIST\n",
    "concat": b"ffconcat version 1.0\nfile '/etc/hostname'\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "dash": b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
    "subtitles": b"1\n00:00:00,000 --> 00:00:09,000\nhello\n",
    "text": b"Dear diary,\n" * 50,
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_list_of_other_files_or_addresses_is_no_video_whatever_its_name(tmp_path, monkeypatch, kind):
    path = tmp_path / "video.mp4"
    path.write_bytes(PLAYLISTS[kind])
    monkeypatch.setattr("cv2.VideoCapture", lambda *_: pytest.fail("a decoder was given the file"))
    assert refused(read_video, path).code == "video-unreadable"
