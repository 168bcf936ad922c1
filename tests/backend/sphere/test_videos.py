"""A user's 360° video is read to the right linear frames; what cannot be used, and where a shot ends, is said."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cyclorama.backend.sphere import videos
from cyclorama.backend.sphere.colour import linear_from_srgb, srgb_from_linear
from cyclorama.backend.sphere.equirectangular import directions, sample
from cyclorama.backend.sphere.pictures import read_panorama
from cyclorama.backend.sphere.shots import check_one_shot, cuts
from cyclorama.backend.sphere.videos import read_video
from cyclorama.bridge.errors import Cancelled, CycloramaError

PRESETS = Path(__file__).parents[3] / "presets" / "panoramas"
WIDTH, HEIGHT = 128, 64


def stored(number: int, width: int = WIDTH) -> np.ndarray:
    """sRGB, 0..255: smooth, as codecs like it; brighter from frame to frame in its right half."""
    height = width // 2
    image = np.empty((height, width, 3), np.float32)
    image[..., 0] = np.linspace(40, 200, width)[None, :]
    image[..., 1] = np.linspace(60, 180, height)[:, None]
    image[..., 2] = 90
    image[:, width // 2 :] += 5 * number
    return np.rint(image).astype(np.uint8)


def film(path: Path, codec: str, frames: int = 7, rate: float = 25, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, size)  # pyright: ignore
    if not writer.isOpened():
        pytest.skip(f"this OpenCV writes no {codec}")
    for number in range(frames):
        writer.write(np.ascontiguousarray(cv2.resize(stored(number), size)[..., ::-1]))
    writer.release()
    return path


def raised(path: Path, code: str, **settings) -> CycloramaError:
    with pytest.raises(CycloramaError) as caught:
        read_video(path, **settings)
    assert caught.value.code == code
    assert str(path) in caught.value.sentence or path.is_dir()
    assert caught.value.sentence.endswith(".") and "\n" not in caught.value.sentence
    assert caught.value.hint
    return caught.value


# What can be read


@pytest.mark.parametrize(
    ("name", "codec", "tolerance"),
    [
        ("a.mp4", "mp4v", 8),
        ("a.mov", "mp4v", 8),
        ("a.webm", "VP80", 8),
        ("a.avi", "MJPG", 8),
        ("a.mkv", "FFV1", 0),
        ("pänorama 全景.mkv", "FFV1", 0),
    ],
)
def test_every_container_is_read_to_linear_frames(tmp_path, name, codec, tolerance):
    read = read_video(film(tmp_path / name, codec))
    expected = np.stack([stored(number) for number in range(7)])
    assert read.video.frames.dtype == np.float32 and read.video.frames.flags.c_contiguous
    assert read.video.frames.shape == (7, HEIGHT, WIDTH, 3) and read.video.frame_rate == 25 and not read.notes
    away = np.abs(srgb_from_linear(read.video.frames) * 255 - expected)
    assert np.percentile(away, 99) <= tolerance + 0.01
    if not tolerance:
        np.testing.assert_allclose(read.video.frames, linear_from_srgb(expected / 255), atol=1e-6)


def test_what_is_the_same_in_all_frames_does_not_move(tmp_path):
    moves = read_video(film(tmp_path / "a.mkv", "FFV1")).video.moves
    assert not moves[:, : WIDTH // 2].any() and moves[:, WIDTH // 2 :].all()


def test_a_video_is_reduced_in_linear_light_and_never_enlarged(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "a.mkv"), cv2.VideoWriter_fourcc(*"FFV1"), 24, (256, 128))  # pyright: ignore
    chequered = np.where(np.indices((128, 256)).sum(axis=0)[..., None] % 2, 255, 0).astype(np.uint8)
    writer.write(np.repeat(chequered, 3, axis=2))
    writer.release()
    np.testing.assert_allclose(read_video(tmp_path / "a.mkv", width=64).video.frames, 0.5, atol=1e-5)
    assert read_video(tmp_path / "a.mkv", width=4096).video.frames.shape == (1, 128, 256, 3)


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path, picture_at):
    for number in (10, 9, 2, 1):
        picture_at(tmp_path / f"shot2 {number}.exr", np.full((64, 128, 3), number / 4, np.float32), "float")
    (tmp_path / "notes.txt").write_text("no picture")
    read = read_video(tmp_path)
    np.testing.assert_array_equal(read.video.frames[:, 0, 0, 0], [0.25, 0.5, 2.25, 2.5])
    assert read.video.frame_rate == 24 and read.video.moves.all()
    assert len(read.notes) == 1 and "between shot2 2.exr and shot2 9.exr" in read.notes[0]


def test_every_second_number_is_no_gap(tmp_path, picture_at):
    for number in (0, 2, 4):
        picture_at(tmp_path / f"{number:04}.png", stored(number) / np.float32(255))
    assert not read_video(tmp_path).notes


def test_eight_bit_pictures_are_srgb_and_equal_ones_do_not_move(tmp_path, picture_at):
    for number in range(3):
        picture_at(tmp_path / f"{number}.png", stored(0) / np.float32(255))
    video = read_video(tmp_path).video
    np.testing.assert_allclose(video.frames[1], linear_from_srgb(stored(0) / 255), atol=1e-6)
    assert not video.moves.any()


def test_one_picture_is_a_video_of_one_frame(picture):
    path = picture("a.exr", np.full((64, 128, 3), 3.0, np.float32), "float")
    video = read_video(path).video
    assert video.frames.shape == (1, 64, 128, 3) and not video.moves.any()
    np.testing.assert_array_equal(video.frames, 3.0)


def test_a_long_video_is_read_narrower_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(videos, "AUTOMATIC_WIDTHS", (128, 64))
    monkeypatch.setattr(videos, "LARGEST_VIDEO_BYTES", 7 * 64 * 32 * 12)
    read = read_video(film(tmp_path / "a.mkv", "FFV1"))
    assert read.video.frames.shape == (7, 32, 64, 3)
    assert "7 frames and is read 64 pixels wide" in read.notes[0]


def test_a_video_that_ends_early_is_read_as_far_as_it_goes_and_that_is_said(tmp_path):
    path = film(tmp_path / "a.avi", "FFV1", frames=9)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    read = read_video(path)
    assert 2 <= len(read.video.frames) <= 7
    np.testing.assert_allclose(read.video.frames[1], linear_from_srgb(stored(1) / 255), atol=1e-6)
    assert f"ends after {len(read.video.frames)} of the 9 frames" in read.notes[0]


def test_reading_reports_its_progress_and_can_be_stopped(tmp_path):
    path = film(tmp_path / "a.mkv", "FFV1")
    heard = []
    read_video(path, report=lambda done, frames: heard.append((done, frames)))
    assert heard == [(number, 7) for number in range(1, 8)]

    def stop(done: int, frames: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        read_video(path, report=stop)


# What cannot


def test_a_missing_video_is_named(tmp_path):
    raised(tmp_path / "a.mp4", "video-missing")


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "a.mp4").touch()
    raised(tmp_path / "a.mp4", "video-empty-file")


def test_what_is_no_video_is_named(tmp_path):
    (tmp_path / "a.mp4").write_text("hello " * 1000)
    raised(tmp_path / "a.mp4", "video-unreadable")


def test_an_mp4_without_its_index_is_named(tmp_path):
    path = film(tmp_path / "a.mp4", "mp4v")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    raised(path, "video-unreadable")


def test_a_flat_video_is_refused_and_a_stereo_one_recognised(tmp_path):
    assert "192 x 108" in raised(film(tmp_path / "a.mkv", "FFV1", size=(192, 108)), "video-not-2-to-1").sentence
    assert "one eye" in raised(film(tmp_path / "b.mkv", "FFV1", size=(128, 128)), "video-not-2-to-1").hint


def test_too_many_frames_are_refused_with_the_number_that_can_be_used(tmp_path, monkeypatch):
    monkeypatch.setattr(videos, "LARGEST_VIDEO_BYTES", 5 * WIDTH * HEIGHT * 12)
    path = film(tmp_path / "a.mkv", "FFV1")
    error = raised(path, "video-too-long", width=WIDTH)
    assert "7 frames" in error.sentence and "5 can be used" in error.sentence
    assert len(read_video(path, width=64).video.frames) == 7


def test_a_folder_without_pictures_is_named(tmp_path):
    (tmp_path / "a.txt").touch()
    assert str(tmp_path) in raised(tmp_path, "video-no-pictures").sentence


def test_two_series_in_a_folder_are_not_shuffled_into_one(tmp_path, picture_at):
    for name in ("left_1.png", "left_2.png", "right_1.png"):
        picture_at(tmp_path / name, stored(0) / np.float32(255))
    sentence = raised(tmp_path, "video-mixed-pictures").sentence
    assert "left_1.png" in sentence and "right_1.png" in sentence


def test_pictures_of_several_sizes_are_refused(tmp_path, picture_at):
    picture_at(tmp_path / "1.png", stored(0) / np.float32(255))
    picture_at(tmp_path / "2.png", stored(0, 256) / np.float32(255))
    assert "2.png has 256 x 128" in raised(tmp_path, "video-mixed-sizes").sentence


def test_a_picture_with_nan_is_named(tmp_path, picture_at):
    broken = np.ones((64, 128, 3), np.float32)
    picture_at(tmp_path / "1.exr", broken, "float")
    broken[5, 7] = np.nan
    picture_at(tmp_path / "2.exr", broken, "float")
    assert "2.exr has a pixel that is NaN" in raised(tmp_path, "image-not-finite").sentence


# Shots


@pytest.fixture(scope="module")
def city() -> np.ndarray:
    return read_panorama(PRESETS / "city.exr", 256).image


@pytest.fixture(scope="module")
def sunset() -> np.ndarray:
    return read_panorama(PRESETS / "sunset.exr", 256).image


def turned(image: np.ndarray, *degrees: float) -> np.ndarray:
    R = Rotation.from_euler("zxy", degrees, degrees=True).as_matrix().astype(np.float32)
    return np.maximum(sample(image, directions(len(image)) @ R.T), 0)


def dissolve(a: np.ndarray, b: np.ndarray, frames: int) -> list[np.ndarray]:
    """As editing programs do it, in sRGB; without its ends."""
    shares = np.arange(1, frames) / frames
    return [linear_from_srgb(srgb_from_linear(a) * (1 - share) + srgb_from_linear(b) * share) for share in shares]


def test_cuts_are_found_where_they_are(city, sunset):
    frames = np.stack([city] * 4 + [sunset] * 3 + [turned(city, 0, 0, 0)] * 2)
    assert cuts(frames) == [4, 7]


def test_two_frames_may_be_two_shots(city, sunset):
    assert cuts(np.stack([city, sunset])) == [1]
    assert cuts(np.stack([city, city])) == []


def test_a_cut_through_black_is_found(city, sunset):
    assert cuts(np.stack([city] * 3 + [city * 0] * 3 + [sunset] * 3)) == [6]


@pytest.mark.parametrize("frames", [6, 24])
def test_a_dissolve_is_found_about_its_middle(city, sunset, frames):
    found = cuts(np.stack([city] * 4 + dissolve(city, sunset, frames) + [sunset] * 4))
    assert len(found) == 1
    assert abs(found[0] - (4 + frames / 2)) <= frames / 3


def test_a_turning_or_jerking_camera_makes_no_cut(city):
    assert cuts(np.stack([turned(city, 20 * i, 5 * i, 0) for i in range(6)])) == []
    assert cuts(np.stack([city] * 3 + [turned(city, 100, 20, -15)] * 3)) == []


def test_a_flash_or_a_fade_to_black_and_back_makes_no_cut(city):
    assert cuts(np.stack([city] * 3 + [city * 20 + 1] + [city] * 3)) == []
    assert cuts(np.stack([city] * 3 + [np.full_like(city, 5)] * 2 + [city] * 3)) == []
    assert cuts(np.stack([city] * 3 + [city * share for share in (0.5, 0.1, 0, 0, 0.2, 0.6)] + [city] * 3)) == []


def test_a_change_of_exposure_makes_no_cut(city):
    assert cuts(np.stack([city * np.float32(2.0 ** (i % 3 - 1)) for i in range(7)])) == []


def storm(image: np.ndarray, number: int) -> np.ndarray:
    """All but a band about the horizon is different in every frame."""
    noise = np.random.default_rng(number).random(image.shape).astype(np.float32)
    waves = linear_from_srgb(np.clip(cv2.GaussianBlur(noise, (0, 0), 2) * 4 - 1.5, 0, 1))
    height = np.abs(directions(len(image))[..., 2:])
    return np.where(height > 0.25, waves, image)


def test_a_storm_makes_no_cut_but_a_cut_in_a_storm_is_one(city, sunset):
    stormy = [storm(city, number) for number in range(7)]
    assert cuts(np.stack(stormy)) == []
    assert cuts(np.stack([*stormy, sunset, sunset])) == [7]


def test_what_shows_nothing_has_no_cuts(city):
    noise = np.random.default_rng(0).normal(0.3, 0.01, (4, *city.shape)).astype(np.float32)
    assert cuts(noise) == []
    assert cuts(np.zeros_like(noise)) == []


def test_a_video_with_a_cut_is_refused_by_frame_number(city, sunset):
    check_one_shot(np.stack([city] * 3), Path("a.mp4"))
    with pytest.raises(CycloramaError) as caught:
        check_one_shot(np.stack([city] * 3 + [sunset] * 3), Path("a.mp4"))
    assert caught.value.code == "video-has-a-cut"
    assert "a.mp4" in caught.value.sentence and "frame 4." in caught.value.sentence
    assert caught.value.hint
