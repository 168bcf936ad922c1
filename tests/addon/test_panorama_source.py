"""The panorama comes from a file or an image of the .blend, without loss, and nothing of the artist's changes."""

import subprocess
from pathlib import Path

import bpy
import numpy as np
import pytest

from cyclorama.addon.panorama import panorama_file
from cyclorama.addon.request import generate_request
from cyclorama.bridge.errors import CycloramaError

from .conftest import BACKEND_PYTHON, PANORAMA

WIDTH, HEIGHT = 64, 32


@pytest.fixture
def settings(addon, tmp_path):
    found = bpy.context.scene.cyclorama
    found.output_folder = str(tmp_path / "scenes")
    return found


def image(size=(WIDTH, HEIGHT), floats=False, alpha=False, seed=0, name="Sky: at/dusk") -> bpy.types.Image:
    """An image that was painted and never saved; 8 bit values in whole steps."""
    made = bpy.data.images.new(name, *size, float_buffer=floats, alpha=alpha)
    chance = np.random.default_rng(seed)
    values = (
        chance.uniform(0, 7, (size[1], size[0], 4)) if floats else chance.integers(0, 256, (size[1], size[0], 4)) / 255
    )
    values[..., 3] = 1
    made.pixels.foreach_set(values.astype(np.float32).ravel())
    made.update()
    return made


def choose(settings, chosen: bpy.types.Image) -> None:
    settings.panorama_source, settings.panorama_image = "IMAGE", chosen


def stored(path: Path) -> np.ndarray:
    """(height, width, 4) the numbers in the file, first row below, as Blender keeps them."""
    loaded = bpy.data.images.load(str(path))
    loaded.colorspace_settings.name = "Non-Color"
    values = np.empty(len(loaded.pixels), np.float32)
    loaded.pixels.foreach_get(values)
    return values.reshape(loaded.size[1], loaded.size[0], 4)


def held(of: bpy.types.Image) -> np.ndarray:
    values = np.empty(len(of.pixels), np.float32)
    of.pixels.foreach_get(values)
    return values.reshape(of.size[1], of.size[0], -1)


# A file


def test_a_file_is_taken_as_it_is(settings):
    settings.panorama = str(PANORAMA)
    assert panorama_file(settings) == PANORAMA


# An image


@pytest.mark.parametrize(("floats", "suffix"), [(False, ".png"), (True, ".exr")])
def test_a_painted_image_is_written_without_loss_below_the_backend_s_folder(settings, no_backend, floats, suffix):
    painted = image(floats=floats)
    choose(settings, painted)
    path = panorama_file(settings)
    assert path.parent == no_backend / "panoramas" and path.suffix == suffix
    assert path.name.startswith("Sky_ at_dusk ")
    np.testing.assert_array_equal(stored(path)[..., :3], held(painted)[..., :3])


def test_the_artist_s_image_stays_as_it_is(settings):
    painted = image()
    before = painted.filepath_raw, painted.file_format, painted.is_dirty, painted.source, len(bpy.data.images)
    choose(settings, painted)
    panorama_file(settings)
    assert (painted.filepath_raw, painted.file_format, painted.is_dirty, painted.source, len(bpy.data.images)) == before


def test_a_packed_image_is_written(settings):
    packed = image()
    packed.pack()
    choose(settings, packed)
    np.testing.assert_array_equal(stored(panorama_file(settings))[..., :3], held(packed)[..., :3])


def test_transparent_pixels_keep_their_colour(settings):
    painted = image(alpha=True)
    values = held(painted)
    values[..., 3] = 0
    painted.pixels.foreach_set(values.ravel())
    choose(settings, painted)
    np.testing.assert_array_equal(stored(panorama_file(settings))[..., :3], values[..., :3])


def test_bytes_that_mean_linear_light_are_written_as_such(settings):
    linear = image()
    linear.colorspace_settings.name = "Linear Rec.709"
    choose(settings, linear)
    path = panorama_file(settings)
    assert path.suffix == ".exr"
    np.testing.assert_allclose(stored(path)[..., :3], held(linear)[..., :3], rtol=1e-6)


def test_an_image_that_lies_on_disk_unchanged_is_not_written_again(settings, no_backend):
    choose(settings, bpy.data.images.load(str(PANORAMA)))
    assert panorama_file(settings) == PANORAMA
    assert not (no_backend / "panoramas").exists()


def test_what_was_painted_over_a_file_is_what_is_generated(settings, no_backend):
    loaded = bpy.data.images.load(str(PANORAMA))
    values = held(loaded)
    values[:20] = (9, 0, 0, 1)
    loaded.pixels.foreach_set(values.ravel())
    loaded.update()
    choose(settings, loaded)
    path = panorama_file(settings)
    assert path.parent == no_backend / "panoramas"
    assert (stored(path)[:20, :, :3] == (9, 0, 0)).all()


def test_a_file_in_unusual_colours_is_written_as_blender_sees_it(settings, no_backend):
    loaded = bpy.data.images.load(str(PANORAMA))
    loaded.colorspace_settings.name = "sRGB"
    choose(settings, loaded)
    assert panorama_file(settings).parent == no_backend / "panoramas"


def test_the_same_pixels_are_written_once_and_others_beside_them(settings):
    painted = image()
    choose(settings, painted)
    first = panorama_file(settings)
    written = first.stat().st_mtime_ns
    assert panorama_file(settings) == first and first.stat().st_mtime_ns == written
    painted.pixels[0] = 1 - painted.pixels[0]
    assert panorama_file(settings) != first and first.exists()
    assert len(list(first.parent.iterdir())) == 2


@pytest.mark.parametrize("size", [(64, 64), (32, 16), (100, 30)])
def test_an_image_that_is_no_panorama_is_refused_with_its_size(settings, size):
    choose(settings, image(size))
    with pytest.raises(CycloramaError, match=f"{size[0]} x {size[1]} pixels") as caught:
        panorama_file(settings)
    assert caught.value.code == "panorama-not-2-to-1"


def test_an_image_whose_file_is_gone_is_refused(settings, tmp_path):
    gone = tmp_path / "gone.png"
    gone.write_bytes(PANORAMA.read_bytes())
    missing = bpy.data.images.load(str(gone))
    gone.unlink()
    missing.reload()
    choose(settings, missing)
    with pytest.raises(CycloramaError, match=r"gone\.png has no pixels"):
        panorama_file(settings)


def test_no_space_below_the_backend_s_folder_is_said(settings, no_backend):
    no_backend.write_text("a file where the folder should be")
    choose(settings, image())
    with pytest.raises(CycloramaError, match="cannot be written"):
        panorama_file(settings)


def test_the_scene_is_named_after_the_image(settings):
    choose(settings, image(name="Dusk.png"))
    assert Path(generate_request(settings).output).name == "Dusk.cyclorama"


@pytest.mark.parametrize(
    ("source", "message"),
    [("FILE", "Choose a panorama"), ("IMAGE", "Choose an image"), ("SCENE", "Render the panorama")],
)
def test_generate_says_what_to_choose_first(settings, source, message):
    settings.panorama_source = source
    assert not bpy.ops.cyclorama.generate.poll()
    with pytest.raises(RuntimeError, match=message):
        bpy.ops.cyclorama.generate()
    with pytest.raises(CycloramaError, match=message):
        panorama_file(settings)


def test_the_backend_reads_what_blender_writes(settings):
    """The same light on both sides: of floats, of bytes, and of the scene."""
    if not BACKEND_PYTHON.exists():
        pytest.skip(f"NO BACKEND at {BACKEND_PYTHON}")
    read = (
        "import sys; from pathlib import Path; from cyclorama.backend.sphere.pictures import read_panorama;"
        "print(*read_panorama(Path(sys.argv[1])).image[5, 7])"
    )

    def light(path: Path) -> list[float]:
        ran = subprocess.run([BACKEND_PYTHON, "-c", read, path], capture_output=True, text=True, check=True)
        return [float(word) for word in ran.stdout.split()]

    floats, painted = image(floats=True), image()
    choose(settings, floats)
    np.testing.assert_allclose(light(panorama_file(settings)), held(floats)[-1 - 5, 7, :3], rtol=1e-5)
    choose(settings, painted)
    encoded = held(painted)[-1 - 5, 7, :3].astype(np.float64)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(light(panorama_file(settings)), linear, atol=1e-4)
