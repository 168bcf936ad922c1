"""A panorama through the backend, the wire and the package into Blender, rendered there: is it still the panorama?"""

import json
import os
import subprocess
import sys
from math import radians
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio  # noqa: N813
import pytest

from cyclorama.backend.sphere.colour import linear_from_srgb, psnr, srgb_from_linear
from cyclorama.backend.sphere.pictures import read_panorama
from cyclorama.backend.sphere.views import look, tangent_view

ROOT = Path(__file__).resolve().parents[2]
PHOTOGRAPH = ROOT / "presets" / "panoramas" / "sunset.exr"
BLENDER = ROOT / ".venv-blender" / "bin" / "python"

WIDTH, HEIGHT, FOV = 320, 180, radians(70)
FRAMES = 4
VIEWS = {"ahead": (0, 0), "seam": (180, -5), "up": (40, 55), "down": (-60, -50)}
"""Longitude and latitude in degrees. The pole itself is in none."""

SEAM = WIDTH // 2
"""The first column of the picture to the right of ±180°, in the view of that name."""


def _shoot(folder: Path, settings: dict, views: list[tuple[str, int, str]]) -> dict[tuple, np.ndarray]:
    """Views (direction, frame, what is shown) -> (height, width, 3) as rendered in Blender, scene-linear."""
    if not BLENDER.exists():
        pytest.skip("NO .venv-blender: run tools/environment blender")
    files = {view: folder / f"{'-'.join(map(str, view))}.exr" for view in views}
    order = {
        "settings": {"frames": FRAMES, "output_folder": str(folder), **settings},
        "samples": 4,
        "width": WIDTH,
        "height": HEIGHT,
        "fov": FOV,
        "views": [
            {
                "file": str(files[view]),
                "frame": frame,
                "longitude": radians(VIEWS[direction][0]),
                "latitude": radians(VIEWS[direction][1]),
                "show": show,
            }
            for view in views
            for direction, frame, show in [view]
        ],
    }
    (folder / "order.json").write_text(json.dumps(order), encoding="utf-8")
    ran = subprocess.run(
        [BLENDER, Path(__file__).with_name("shoot.py"), folder / "order.json"],
        env=os.environ | {"CYCLORAMA_BACKEND_PYTHON": sys.executable, "CYCLORAMA_FOLDER": str(folder / "backend")},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ran.returncode == 0 and "Traceback" not in ran.stderr, ran.stdout + ran.stderr
    return {view: np.asarray(oiio.ImageBuf(str(file)).get_pixels(oiio.FLOAT))[..., :3] for view, file in files.items()}


def _view(panorama: np.ndarray, direction: str) -> np.ndarray:
    longitude, latitude = (radians(angle) for angle in VIEWS[direction])
    return tangent_view(panorama, look(longitude, latitude), WIDTH, HEIGHT, FOV)


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return read_panorama(PHOTOGRAPH).image


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    """Of the photograph's size: what is ahead and to the right, at the horizon and below, moves."""
    mask = np.zeros((512, 1024), np.uint8)
    mask[240:330, 512:700] = 255
    return mask


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, mask) -> dict[tuple, np.ndarray]:
    """Of the photograph: every view, splats alone; ahead also in the middle of the loop and after it."""
    folder = tmp_path_factory.mktemp("photograph")
    cv2.imwrite(str(folder / "mask.png"), mask)
    later = [("ahead", frame, show) for frame in (3, 1 + FRAMES) for show in ("splats", "world")]
    return _shoot(
        folder,
        {"panorama": str(PHOTOGRAPH), "mask": str(folder / "mask.png")},
        [*((direction, 1, "splats") for direction in VIEWS), ("ahead", 1, "world"), *later],
    )


@pytest.fixture(scope="module")
def pattern() -> np.ndarray:
    """(512, 1024, 3) sRGB 8 bit: sharp rectangles of all grey levels and sizes, across ±180° too."""
    chance = np.random.default_rng(5)
    image = np.full((512, 1024, 3), 128, np.uint8)
    for _ in range(1500):
        x, y = chance.integers(0, (1024, 512))
        across, down = chance.integers(6, 60, 2)
        image[y : y + down, np.arange(x, x + across) % 1024] = chance.integers(20, 236, 3)
    return image


@pytest.fixture(scope="module")
def pattern_pictures(tmp_path_factory, pattern) -> dict[tuple, np.ndarray]:
    """Of the pattern, which stands still: every view, as splats and as the world's light."""
    folder = tmp_path_factory.mktemp("pattern")
    cv2.imwrite(str(folder / "pattern.png"), pattern[..., ::-1])
    return _shoot(
        folder,
        {"panorama": str(folder / "pattern.png"), "strength": 0.0, "frames": 1},
        [(direction, 1, show) for direction in VIEWS for show in ("splats", "world")],
    )


@pytest.mark.parametrize("direction", VIEWS)
def test_the_splats_seen_from_the_origin_are_the_panorama(pictures, photograph, direction):
    """Before a black world: a hole would be black."""
    wanted = srgb_from_linear(_view(photograph, direction))
    assert psnr(srgb_from_linear(pictures[direction, 1, "splats"]), wanted) >= 32


def _gradients(picture: np.ndarray) -> np.ndarray:
    """Mean step from each column to the next, in sRGB."""
    return np.abs(np.diff(srgb_from_linear(picture), axis=1)).mean(axis=(0, 2))


def test_the_splats_have_no_seam(pictures, photograph):
    """The photograph itself changes a little across ±180°; the splats exaggerate that no more than other edges."""
    steps = _gradients(pictures["seam", 1, "splats"]) / _gradients(_view(photograph, "seam"))
    assert steps[SEAM - 1] < 1.5 * np.median(steps)


@pytest.mark.parametrize("show", ["splats", "world"])
def test_at_the_seam_a_picture_is_as_near_to_the_panorama_as_elsewhere(pattern_pictures, pattern, show):
    wanted = srgb_from_linear(_view(_linear(pattern), "seam"))
    error = np.abs(srgb_from_linear(pattern_pictures["seam", 1, show]) - wanted).mean(axis=(0, 2))
    seam = slice(SEAM - 2, SEAM + 2)
    assert error[seam].max() <= np.delete(error, seam).max()


def _linear(srgb: np.ndarray) -> np.ndarray:
    return linear_from_srgb(srgb / np.float32(255))


def _shift(a: np.ndarray, b: np.ndarray) -> float:
    """By how many pixels ``b`` lies beside ``a``."""
    grey_a, grey_b = (srgb_from_linear(picture).mean(axis=-1) for picture in (a, b))
    (across, down), _ = cv2.phaseCorrelate(grey_a, grey_b, cv2.createHanningWindow((WIDTH, HEIGHT), cv2.CV_32F))
    return float(np.hypot(across, down))


@pytest.mark.parametrize("direction", VIEWS)
def test_the_splats_coincide_with_the_world_light(pattern_pictures, direction):
    splats, world = (pattern_pictures[direction, 1, show] for show in ("splats", "world"))
    assert _shift(splats, world) < 0.25
    assert psnr(srgb_from_linear(splats), srgb_from_linear(world)) >= 30


@pytest.mark.parametrize("show", ["splats", "world"])
@pytest.mark.parametrize("direction", VIEWS)
def test_sharp_edges_lie_where_the_panorama_has_them(pattern_pictures, pattern, direction, show):
    assert _shift(_view(_linear(pattern), direction), pattern_pictures[direction, 1, show]) < 0.25


@pytest.mark.parametrize("show", ["splats", "world"])
def test_only_what_is_masked_moves_in_the_picture(pictures, mask, show):
    first, later = pictures["ahead", 1, show], pictures["ahead", 3, show]
    touched = _view(np.repeat(mask[..., None], 3, axis=2).astype(np.float32), "ahead")[..., 0] > 0
    near = cv2.dilate(touched.astype(np.uint8), np.ones((9, 9))) > 0
    assert np.array_equal(first[~near], later[~near])
    assert np.abs(first - later)[touched].mean() > 1e-3


@pytest.mark.parametrize("show", ["splats", "world"])
def test_after_the_last_frame_comes_the_first(pictures, show):
    assert np.array_equal(pictures["ahead", 1 + FRAMES, show], pictures["ahead", 1, show])
