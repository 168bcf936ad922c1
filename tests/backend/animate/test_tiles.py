"""A panorama goes through a video model's autoencoder in tiles, and nobody sees them."""

import tracemalloc

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from torch.nn import functional

from cyclorama.backend.animate.tiles import (
    Tiling,
    _decode_plane,
    _parts_of_plane,
    decode_panorama,
    encode_panorama,
    preview,
)
from cyclorama.backend.sphere.caps import cap_share
from cyclorama.backend.sphere.equirectangular import directions, with_border
from cyclorama.bridge.errors import Cancelled, CycloramaError


class PatchCodec:
    """Latents are the pixels themselves, ``scale`` x ``scale`` in each; notes the tiles it was given."""

    multiple = 8

    def __init__(self, scale: int):
        self.scale, self.channels = scale, 3 * scale**2
        self.calls = []

    def latent_frames(self, frames: int) -> int:
        return frames

    def encode_still(self, image: torch.Tensor, frames: int) -> torch.Tensor:
        self.calls.append(tuple(image.shape))
        return functional.pixel_unshuffle(image, self.scale).repeat(frames, 1, 1, 1)

    def decode(self, latents: torch.Tensor, frames: int) -> torch.Tensor:
        self.calls.append(tuple(latents.shape))
        return functional.pixel_shuffle(latents[:frames], self.scale)


class BlurringCodec(PatchCodec):
    """Each pixel and each latent looks ``reach`` latents far, and what is beyond the tile's edge is black to it."""

    def __init__(self, scale: int, reach: int):
        super().__init__(scale)
        self.reach = reach

    def blur(self, image: torch.Tensor) -> torch.Tensor:
        size = 2 * self.reach * self.scale + 1
        wide = functional.avg_pool2d(image, (1, size), stride=1, padding=(0, size // 2))
        return functional.avg_pool2d(wide, (size, 1), stride=1, padding=(size // 2, 0))

    def encode_still(self, image: torch.Tensor, frames: int) -> torch.Tensor:
        return super().encode_still(self.blur(image), frames)

    def decode(self, latents: torch.Tensor, frames: int) -> torch.Tensor:
        return self.blur(super().decode(latents, frames))


class RealCodec:
    """Stable Video Diffusion's autoencoder, small, with random weights; a latent is 4 x 4 pixels."""

    multiple, scale, channels = 8, 4, 4

    def __init__(self):
        torch.manual_seed(1)
        down = ("DownEncoderBlock2D",) * 3
        self.network = AutoencoderKLTemporalDecoder(
            block_out_channels=(32, 32, 32), down_block_types=down, layers_per_block=1
        ).eval()

    def latent_frames(self, frames: int) -> int:
        return frames

    @torch.no_grad()
    def encode_still(self, image: torch.Tensor, frames: int) -> torch.Tensor:
        return self.network.encode(image[None], return_dict=False)[0].mode().repeat(frames, 1, 1, 1)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor, frames: int) -> torch.Tensor:
        return self.network.decode(latents, num_frames=frames, return_dict=False)[0]


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def waves(height: int, channels: int, frequency: float) -> torch.Tensor:
    """(channels, height, 2·height) in about -2..2: plane waves cut by the sphere, smooth everywhere and alike."""
    chance = np.random.default_rng(4)
    towards = directions(height).reshape(-1, 3) @ (chance.normal(size=(3, 60)) * frequency)
    field = np.cos(towards + chance.uniform(0, 2 * np.pi, 60)) @ chance.normal(size=(60, channels)) / np.sqrt(30)
    return torch.from_numpy(field.astype(np.float32).T.reshape(channels, height, 2 * height))


def between_caps(field: torch.Tensor) -> torch.Tensor:
    """The rows of (..., height, width) that the polar caps leave alone."""
    return field[..., torch.from_numpy(cap_share(field.shape[-2]) == 0), :]


def pixels(video: np.ndarray) -> torch.Tensor:
    """(frame, 3, height, width) in -1..1 of a decoded video."""
    return torch.from_numpy(video).permute(0, 3, 1, 2) * 2 - 1


@pytest.mark.parametrize(("scale", "width"), [(8, 256), (8, 512), (8, 768), (16, 1024), (16, 256), (4, 1280)])
def test_a_codec_without_loss_gives_the_panorama_back(scale, width):
    image = noise(3, width // 2, width)
    codec = PatchCodec(scale)

    latents = encode_panorama(codec, image, 2)
    video = decode_panorama(codec, latents, 2)

    expected = functional.pixel_unshuffle(image, scale).expand(2, -1, -1, -1)
    torch.testing.assert_close(latents, expected, atol=1e-6, rtol=0)
    shown, wanted = between_caps(pixels(video)), between_caps(image).expand(2, -1, -1, -1)
    torch.testing.assert_close(shown, wanted, atol=2e-6, rtol=0)
    assert video.dtype == np.float32


def blurred_on_the_sphere(codec: BlurringCodec, image: torch.Tensor) -> torch.Tensor:
    border = (codec.reach + 1) * codec.scale
    continued = torch.from_numpy(with_border(image.permute(1, 2, 0).numpy(), border)).permute(2, 0, 1)
    return codec.blur(continued)[:, border:-border, border:-border]


@pytest.mark.parametrize(("scale", "width"), [(8, 256), (4, 512)])
def test_a_codec_that_looks_around_sees_the_sphere_and_no_edges(scale, width):
    codec = BlurringCodec(scale, reach=3)

    image = noise(3, width // 2, width)
    latents = encode_panorama(codec, image, 1)
    blurred = blurred_on_the_sphere(codec, image)
    torch.testing.assert_close(functional.pixel_shuffle(latents, scale)[0], blurred, atol=1e-5, rtol=0)

    flat_patches = noise(3, width // 2 // scale, width // scale).repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    video = decode_panorama(codec, functional.pixel_unshuffle(flat_patches, scale)[None], 1)
    shown, wanted = between_caps(pixels(video)[0]), between_caps(blurred_on_the_sphere(codec, flat_patches))
    torch.testing.assert_close(shown, wanted, atol=1e-5, rtol=0)


def test_a_panorama_turned_by_90_degrees_gives_the_same_turned():
    codec = RealCodec()
    image = waves(128, 3, 20).clamp(-1, 1)

    latents = encode_panorama(codec, image, 1)
    turned = encode_panorama(codec, image.roll(64, -1), 1)
    video = decode_panorama(codec, latents, 1)
    turned_video = decode_panorama(codec, latents.roll(16, -1), 1)

    torch.testing.assert_close(turned, latents.roll(16, -1), atol=1e-5, rtol=1e-5)
    shown, wanted = between_caps(pixels(turned_video)), between_caps(pixels(video)).roll(64, -1)
    torch.testing.assert_close(shown, wanted, atol=1e-5, rtol=1e-5)


class MeansCodec(PatchCodec):
    """Latents are means of pixels, smoothly decoded; upright lines of the decoder's own come along."""

    def __init__(self, scale: int):
        super().__init__(scale)
        self.channels = 3

    def encode_still(self, image, frames):
        return functional.avg_pool2d(image, self.scale).repeat(frames, 1, 1, 1)

    def decode(self, latents, frames):
        self.calls.append(tuple(latents.shape))
        picture = functional.interpolate(latents, scale_factor=self.scale, mode="bicubic", align_corners=False)
        picture[..., :: self.scale] += 0.1
        return picture


@pytest.mark.parametrize("width", [256, 1024])
def test_the_poles_are_decoded_as_the_views_over_them(width):
    """All meridians meet there; upright lines of a decoder do not, since it is shown no stretched picture."""
    codec = MeansCodec(8)
    image = waves(width // 2, 3, 4) / 4
    video = decode_panorama(codec, encode_panorama(codec, image, 1), 1)[0]

    plain = (image.permute(1, 2, 0).numpy() + 1) / 2
    lines = video - plain
    around = np.abs(lines).mean(axis=(1, 2))
    assert around.max() < 0.05, "the content at the poles is another"
    at_pole, at_equator = lines[2, :, 0], lines[width // 4, :, 0]
    spectrum = [np.abs(np.fft.rfft(line - line.mean()))[width // 8] for line in (at_pole, at_equator)]
    assert spectrum[0] < 0.2 * spectrum[1], "a line for every column meets in the pole"


def test_a_large_cap_is_decoded_in_tiles_that_nobody_sees():
    codec = PatchCodec(8)
    plane = functional.pixel_unshuffle(noise(3, 1024, 1024), 8)[None]
    parts = _parts_of_plane(128, codec)
    assert [(part.start, part.stop) for part in parts] == [(0, 64), (32, 96), (64, 128)]
    video = _decode_plane(codec, plane, 1, parts, lambda: None)
    torch.testing.assert_close(pixels(video), functional.pixel_shuffle(plane, 8), atol=1e-5, rtol=0)
    assert max(shape[-1] for shape in codec.calls) == 64


def steps_across(field: torch.Tensor, columns: np.ndarray) -> float:
    """Mean change from each of the ``columns`` to its right neighbour."""
    return float((field.roll(-1, -1) - field).abs()[..., columns].mean())


def test_neither_180_degrees_nor_the_borders_of_tiles_can_be_seen():
    codec = RealCodec()
    image, latents = waves(256, 3, 40).clamp(-1, 1), waves(64, 4, 10)[None]
    tiling = Tiling.of(64, codec)
    half = tiling.stride // 2  # turned by this, what lay at the border of tiles lies in their middle

    encoded = encode_panorama(codec, image, 1)
    encoded_elsewhere = encode_panorama(codec, image.roll(half * codec.scale, -1), 1).roll(-half, -1)
    decoded = pixels(decode_panorama(codec, latents, 1))
    decoded_elsewhere = pixels(decode_panorama(codec, latents.roll(half, -1), 1)).roll(-half * codec.scale, -1)

    for seen, elsewhere, stride in (
        (encoded, encoded_elsewhere, tiling.stride),
        (between_caps(decoded), between_caps(decoded_elsewhere), tiling.stride * codec.scale),
    ):
        width = seen.shape[-1]
        for columns in (np.array([width - 1]), np.arange(stride - 1, width, stride)):
            ratio = steps_across(seen, columns) / steps_across(elsewhere, columns)
            assert ratio == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("scale", [8, 16])
@pytest.mark.parametrize("width", range(256, 8192 + 1, 256))
def test_tiles_are_of_one_size_and_those_of_each_quarter_alike(scale, width):
    tiling = Tiling.of(width // 2 // scale, PatchCodec(scale))

    assert tiling.size * scale <= 512
    assert tiling.size % 8 == 0
    assert tiling.columns % (4 * tiling.stride) == 0
    assert tiling.feather % 2 == 0
    assert tiling.context >= (4 if width * 8 >= 512 * scale else 2)
    assert tiling.feather + 2 * tiling.context <= tiling.size - tiling.stride


def test_4k_is_not_cut_much_smaller_than_the_model_could_take():
    tiling = Tiling.of(256, PatchCodec(8))
    assert (tiling.size, tiling.stride) == (48, 32)
    assert len(list(tiling.tiles())) == 128


def test_every_call_of_the_model_is_reported_and_a_report_can_stop_it():
    codec, reports = PatchCodec(8), []
    image = noise(3, 128, 256)
    encode_panorama(codec, image, 1, lambda done, total: reports.append((done, total, len(codec.calls))))
    assert reports == [(done, 8, done) for done in range(9)]

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise Cancelled

    codec.calls.clear()
    with pytest.raises(Cancelled):
        decode_panorama(codec, noise(1, codec.channels, 16, 32), 1, stop)
    assert len(codec.calls) == 3


def test_decoding_takes_the_memory_of_the_video_and_little_more():
    codec = PatchCodec(4)
    latents = noise(1, codec.channels, 128, 256).expand(12, -1, -1, -1)

    tracemalloc.start()
    video = decode_panorama(codec, latents, 12)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert video.nbytes < most < 1.5 * video.nbytes


def test_colours_that_cannot_be_shown_are_clipped():
    video = decode_panorama(PatchCodec(8), 3 * noise(1, 192, 16, 32), 1)
    assert video.min() == 0
    assert video.max() == 1


@pytest.mark.parametrize(("width", "shown"), [(256, (128, 256)), (1280, (256, 512))])
def test_a_preview_is_small_and_shows_the_frame_asked_for(width, shown):
    codec = PatchCodec(8)
    colours = torch.tensor([-1.0, 0.0, 1.0])
    latents = torch.zeros(3, 192, width // 16, width // 8) + colours[:, None, None, None]

    for frame, value in enumerate((0, 128, 255)):
        picture = preview(codec, latents, frame)
        assert picture.shape == (*shown, 3)
        assert picture.dtype == np.uint8
        assert np.abs(picture.astype(int) - value).max() <= 1


def test_a_preview_has_no_dark_edges():
    codec = BlurringCodec(8, reach=3)
    picture = preview(codec, torch.ones(1, 192, 64, 128), 0)
    assert (picture == 255).all()


@pytest.mark.parametrize(("height", "width"), [(128, 250), (128, 512), (100, 200), (0, 0)])
def test_a_panorama_that_cannot_be_tiled_is_refused(height, width):
    codec = PatchCodec(2)
    with pytest.raises(CycloramaError, match=f"{width} x {height} pixels"):
        encode_panorama(codec, torch.zeros(3, height, width), 1)
    with pytest.raises(CycloramaError, match=f"{width} x {height} pixels"):
        decode_panorama(codec, torch.zeros(1, 12, height // 2, width // 2), 1)
    assert not codec.calls


def test_only_what_is_wanted_is_decoded():
    codec = PatchCodec(8)
    image = noise(3, 256, 512)
    latents = functional.pixel_unshuffle(image, 8)[None]
    whole = decode_panorama(codec, latents, 1)
    of_all = len(codec.calls)
    wanted = np.zeros((32, 64), bool)
    wanted[10:14, 62:64] = wanted[10:14, :3] = True
    codec.calls.clear()

    part = decode_panorama(codec, latents, 1, wanted=wanted)

    pixels_wanted = wanted.repeat(8, axis=0).repeat(8, axis=1)
    assert np.array_equal(part[0][pixels_wanted], whole[0][pixels_wanted])
    assert 0 < len(codec.calls) < of_all / 2
