"""The video starts with the still, loops exactly, moves only what should, and keeps its contrast."""

import numpy as np
import pytest

from cyclorama.backend.animate.advection import Advection, animate
from cyclorama.backend.animate.flow import drift, stroke_flow
from cyclorama.backend.sphere.equirectangular import direction, directions
from cyclorama.backend.sphere.panorama import Panorama
from cyclorama.backend.sphere.periodic import blur
from cyclorama.bridge.errors import Cancelled
from cyclorama.bridge.settings import Stroke

HEIGHT, WIDTH = 64, 128
FRAMES, FPS = 8, 16.0
EVERYWHERE = np.ones((HEIGHT, WIDTH), np.float32)


def panorama(image: np.ndarray) -> Panorama:
    return Panorama(image.astype(np.float32), image.shape[1], image.shape[0])


def smooth(longitude_offset: float = 0.0, height: int = HEIGHT) -> np.ndarray:
    """An analytic picture, turned to the right by an angle."""
    x, y, z = np.moveaxis(directions(height).astype(np.float64), -1, 0)
    cos, sin = np.cos(longitude_offset), np.sin(longitude_offset)
    x, y = x * cos - y * sin, y * cos + x * sin
    return np.stack([0.5 + 0.4 * x, 0.5 + 0.3 * x * y - 0.1 * z, 0.5 + 0.3 * y * z], axis=-1).astype(np.float32)


def noise(height: int = HEIGHT) -> np.ndarray:
    return np.random.default_rng(0).random((height, 2 * height, 3), np.float32)


def turning(radians_per_second: float, height: int = HEIGHT) -> np.ndarray:
    """The flow of a sphere that turns to the right (from +Y towards +X) about the zenith."""
    return np.cross([0, 0, -radians_per_second], directions(height)).astype(np.float32)


def disc_flow() -> np.ndarray:
    mask = (directions(HEIGHT) @ direction(3.0, 0.4) > 0.7).astype(np.float32)  # over the seam
    return stroke_flow(mask, [Stroke(171, 23, 10, 5, 20)])


def test_frame_0_is_the_still():
    np.testing.assert_array_equal(animate(panorama(noise()), turning(0.3), FRAMES, FPS).frames[0], noise())


def frame_after_the_last(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Frame N, by the formula of the frames before it."""
    advection = Advection(panorama(image), flow, FRAMES, FPS)
    for _ in range(FRAMES - 1):
        advection.look_ahead()
    advection._ahead.append(advection._start)  # where frame N's second phase looks: at itself, 0 frames from the end
    return [advection.frame(index) for index in range(1, FRAMES + 1)][-1]


@pytest.mark.parametrize("flow", [turning(0.3), disc_flow()], ids=["turning", "disc"])
def test_the_loop_closes(flow):
    """The last frames run into the first: the steps over the loop's end are like all others."""
    frames = animate(panorama(blur(noise(), 3.0)), flow, 24, 24.0).frames
    steps = np.abs(np.diff(np.concatenate([frames, frames[:1]]), axis=0)).mean(axis=(1, 2, 3))
    assert steps.min() > 0
    assert steps[-1] < 1.25 * steps[:-1].max()
    assert steps[-1] < 3 * np.median(steps)


def test_frame_n_would_be_frame_0():
    assert np.abs(frame_after_the_last(noise(), disc_flow()) - noise()).mean() < 1e-4


def test_the_loop_played_backwards_is_the_loop_of_the_opposite_flow():
    """Both phases are treated alike, so there is no jump in speed at the loop's end."""
    forwards = animate(panorama(smooth()), disc_flow(), FRAMES, FPS).frames
    backwards = animate(panorama(smooth()), -disc_flow(), FRAMES, FPS).frames
    np.testing.assert_allclose(forwards[1:], backwards[:0:-1], atol=2e-3)


def test_where_nothing_flows_all_frames_are_identical_bit_by_bit():
    flow = disc_flow()
    video = animate(panorama(noise() * 100), flow, FRAMES, FPS)
    still = (flow == 0).all(axis=-1)
    assert 0.5 < still.mean() < 0.95
    np.testing.assert_array_equal(video.moves, ~still)
    for frame in video.frames:
        assert frame[still].tobytes() == video.frames[0][still].tobytes()
    assert (np.abs(video.frames[3] - video.frames[0]) > 0.5)[~still].mean() > 0.5


@pytest.mark.parametrize("frames", [4, 7])
def test_a_whole_turn_in_one_loop_shows_the_rolled_panorama(frames):
    """Both phases then see the same picture: frame i is the still, turned by i of n parts."""
    video = animate(panorama(smooth()), turning(2 * np.pi / frames * FPS), frames, FPS)
    for index in range(frames):
        np.testing.assert_allclose(video.frames[index], smooth(2 * np.pi * index / frames), atol=4e-3)


def test_a_slow_turn_is_the_cross_fade_of_two_turned_panoramas():
    """Closed form on a picture without detail: (1 - s) · turned on by s + s · turned back by what is left."""
    angle = 0.3  # radians in the whole loop
    video = animate(panorama(smooth(height=128)), turning(angle / FRAMES * FPS, 128), FRAMES, FPS)
    for index in range(FRAMES):
        share = index / FRAMES
        expected = (1 - share) * smooth(angle * share, 128) + share * smooth(-angle * (1 - share), 128)
        np.testing.assert_allclose(video.frames[index], expected, atol=5e-3)


def test_what_moves_to_the_right_is_later_further_right():
    """A soft dot in the first frames, in which the first phase is nearly alone."""
    dot = np.exp(60 * (directions(HEIGHT) @ direction(0.0, 0.0) - 1))[..., None] * np.ones(3)
    per_frame = 2 * np.pi / WIDTH  # a column a frame
    video = animate(panorama(dot), turning(per_frame * FPS), 100, FPS)
    for index in (1, 2, 3, 7):
        around = np.arange(-8, 9)
        row = video.frames[index][HEIGHT // 2, WIDTH // 2 + index + around, 0]
        assert (row * around).sum() / row.sum() == pytest.approx(-0.5, abs=0.1)  # its centre is a column's left edge


def test_the_frame_rate_slows_the_step_of_a_frame():
    fast = animate(panorama(smooth()), turning(1.0), FRAMES, 10.0)
    slow = animate(panorama(smooth()), turning(2.0), FRAMES, 20.0)
    np.testing.assert_allclose(fast.frames, slow.frames, atol=1e-5)
    assert fast.frame_rate == 10.0


@pytest.mark.parametrize("index", [4, 8, 12])
def test_contrast_is_kept_through_the_cross_fade(index):
    texture = noise(128)
    flow = turning(2 * np.pi / 256 * 5.0 * FPS, 128)  # five columns a frame: the phases are unlike
    middle = animate(panorama(texture), flow, 16, FPS).frames[index]
    band = slice(32, 96)
    kept = middle[band].std() / texture[band].std()
    assert kept == pytest.approx(1, abs=0.1)
    assert middle[band].mean() == pytest.approx(texture[band].mean(), rel=0.01)


def test_one_frame_does_not_move():
    video = animate(panorama(noise()), turning(1.0), 1, FPS)
    assert len(video.frames) == 1 and not video.moves.any()
    np.testing.assert_array_equal(video.frames[0], noise())


def test_without_flow_nothing_moves():
    video = animate(panorama(noise()), 0 * turning(1.0), FRAMES, FPS)
    assert not video.moves.any()
    for frame in video.frames:
        np.testing.assert_array_equal(frame, noise())


@pytest.mark.parametrize("speed", [0.02, 1.0, 30.0])
def test_with_a_blazing_sun_all_frames_are_finite_and_none_is_negative(speed):
    image = noise() * 0.2
    image[12:14, 126:128], image[0, 5], image[63, 80] = 60_000, 1e6, 3e4
    frames = animate(panorama(image), stroke_flow(EVERYWHERE, [Stroke(0, 30, 30, 30, 10)]) * speed, FRAMES, FPS).frames
    assert np.isfinite(frames).all()
    assert frames.min() >= 0
    assert frames.max() <= 2e6


def test_the_sun_of_a_drifting_sky_stays_where_and_as_it_is():
    image = smooth()
    image[20:22, 40:42] = 5000
    video = animate(panorama(image), drift(EVERYWHERE, 0 * EVERYWHERE, image, 1.6, 0), FRAMES, 2.0)
    for frame in video.frames:
        np.testing.assert_array_equal(frame[20:22, 40:42], 5000)


def test_the_still_is_not_changed():
    image = noise()
    animate(panorama(image), disc_flow(), FRAMES, FPS)
    np.testing.assert_array_equal(image, noise())


def test_every_step_is_reported_in_order():
    steps = []
    animate(panorama(smooth()), disc_flow(), FRAMES, FPS, steps.append)
    assert steps[-1] == 2 * FRAMES
    assert steps == sorted(set(steps)) and len(steps) >= 2 * FRAMES - 1


@pytest.mark.parametrize("stop_at", [1, FRAMES + 1, 2 * FRAMES])
def test_raising_at_a_step_stops_it(stop_at):
    def stop(step):
        if step >= stop_at:
            raise Cancelled

    with pytest.raises(Cancelled):
        animate(panorama(smooth()), disc_flow(), FRAMES, FPS, stop)


def test_a_sun_leaves_no_dark_ring_in_the_sky_it_crosses():
    image = np.full((64, 128, 3), 0.6, np.float32)
    image[20, 60:62] = 3e4
    video = animate(panorama(image), turning(2 * np.pi / 128 * 2.0 * FPS), 12, FPS)
    assert video.frames.min() > 0.9 * 0.6


def test_what_stands_still_before_the_sky_casts_no_halo_on_it():
    image = np.full((64, 128, 3), 0.6, np.float32)
    image[32:] = 0.01
    flow = turning(2 * np.pi / 128 * 2.0 * FPS)
    flow[32:] = 0
    video = animate(panorama(image), flow, 12, FPS)
    np.testing.assert_allclose(video.frames[:, :30], 0.6, rtol=1e-3)
