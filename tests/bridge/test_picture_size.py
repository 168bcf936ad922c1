"""The size of a picture is read from its first bytes, whatever wrote it."""

import os
import struct

import numpy as np
import OpenImageIO as oiio  # noqa: N813
import pytest

from cyclorama.bridge.picture_size import picture_head, picture_size

WIDTH, HEIGHT = 300, 150


def written(path, kind="uint8", **attributes):
    spec = oiio.ImageSpec(WIDTH, HEIGHT, 3, kind)
    for name, value in attributes.items():
        spec.attribute(name.replace("_", ":"), value)
    output = oiio.ImageOutput.create(str(path))
    assert output and output.open(str(path), spec), oiio.geterror()
    output.write_image(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.float32) / 255)
    output.close()
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("p.jpg", "uint8"), ("p.png", "uint8"), ("p.png", "uint16"), ("p.webp", "uint8")),
        *(("p.hdr", "float"), ("p.exr", "half"), ("p.exr", "float")),
    ],
)
def test_the_size_of_every_kind_of_picture_is_found(tmp_path, name, kind):
    assert picture_size(written(tmp_path / name, kind)) == (WIDTH, HEIGHT)


def test_a_lossless_webp_too(tmp_path):
    assert picture_size(written(tmp_path / "p.webp", Compression="lossless")) == (WIDTH, HEIGHT)


def test_a_large_comment_before_the_picture_is_passed_over(tmp_path):
    plain = written(tmp_path / "p.jpg").read_bytes()
    comments = b"".join(b"\xff\xfe" + (60_002).to_bytes(2, "big") + b"c" * 60_000 for _ in range(3))
    (tmp_path / "long.jpg").write_bytes(plain[:2] + comments + plain[2:])
    assert picture_size(tmp_path / "long.jpg") == (WIDTH, HEIGHT)


@pytest.mark.parametrize("name", ["p.jpg", "p.png", "p.webp", "p.hdr", "p.exr"])
def test_what_is_cut_short_or_no_picture_has_no_size(tmp_path, name):
    whole = written(tmp_path / name, "float" if name[-3:] in ("hdr", "exr") else "uint8").read_bytes()
    for length in (0, 1, 3, 8, 13, 20):
        (tmp_path / "cut").write_bytes(whole[:length])
        assert picture_size(tmp_path / "cut") is None
    (tmp_path / "text").write_bytes(b"no picture at all, but long enough to be one" * 10)
    assert picture_size(tmp_path / "text") is None
    assert picture_size(tmp_path / "missing.png") is None
    assert picture_size(tmp_path) is None


def test_a_text_that_looks_like_a_size_does_not_count(tmp_path):
    false = b"dataWindow\0box2i\0\x10\0\0\0" + bytes(16)
    whole = written(tmp_path / "p.exr", "half", comments=false.decode("latin-1")).read_bytes()
    (tmp_path / "false.exr").write_bytes(
        whole[:8] + b"note\0string\0" + len(false).to_bytes(4, "little") + false + whole[8:]
    )
    assert picture_size(tmp_path / "false.exr") == (WIDTH, HEIGHT)


def test_a_size_that_cannot_be_is_none(tmp_path):
    for window in ((0, 0, -1, -1), (5, 5, 0, 0), (0, 0, 0, -(1 << 31))):
        head = b"\x76\x2f\x31\x01\2\0\0\0dataWindow\0box2i\0\x10\0\0\0" + struct.pack("<4i", *window)
        (tmp_path / "p.exr").write_bytes(head)
        assert picture_size(tmp_path / "p.exr") is None
    (tmp_path / "p.hdr").write_bytes(b"#?RADIANCE\n\n-Y " + b"9" * 5000 + b" +X 9\n")
    assert picture_size(tmp_path / "p.hdr") is None


@pytest.mark.parametrize("kind", ["tif", "png"])
def test_what_a_decoder_has_to_hold_as_a_whole_is_known(tmp_path, kind):
    path = written(tmp_path / f"p.{kind}")
    assert picture_size(path) == (WIDTH, HEIGHT)
    assert picture_head(path).whole == (kind == "tif")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such pipes")
def test_a_pipe_is_no_picture_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "p.png")
    assert picture_size(tmp_path / "p.png") is None
