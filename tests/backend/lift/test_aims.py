"""A step of the fit looks where something counts, and is told what should be seen there."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cyclorama.backend.lift.aims import Aims
from cyclorama.backend.lift.losses import srgb
from cyclorama.backend.lift.settings import AS_4K4DGEN, AS_TIP4GEN, FAST
from cyclorama.backend.sphere.equirectangular import directions
from cyclorama.backend.sphere.icosphere import view_rotations
from cyclorama.backend.sphere.panorama import DepthVideo, PanoramaVideo

from .tiny_world import ahead, depth_of, moving_picture, room, wallpaper

HEIGHT = 64
CPU = torch.device("cpu")
FIXED = replace(FAST, size=24)
ANY = replace(AS_TIP4GEN, size=24)
ALL = np.ones((HEIGHT, 2 * HEIGHT), bool)


def chance(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def aims(settings=FIXED, counts=ALL, frame=0, video=None, depth=None) -> Aims:
    video = moving_picture(HEIGHT) if video is None else video
    depth = depth_of(room(HEIGHT)) if depth is None else depth
    return Aims(video, depth, frame, counts, settings, CPU)


def rays_of(aim) -> torch.Tensor:
    """(height, width, 3) unit directions of the pixels, by the camera alone."""
    lens = aim.cameras
    x = (torch.arange(lens.width) + 0.5 - lens.centre[0, 0]) / lens.focal[0, 0]
    y = (torch.arange(lens.height) + 0.5 - lens.centre[0, 1]) / lens.focal[0, 1]
    down, right = torch.meshgrid(y, x, indexing="ij")
    view = torch.stack([right, down, torch.ones_like(right)], -1)
    return torch.nn.functional.normalize(view @ lens.R_scene_from_view[0].T, dim=-1)


def room_distance(towards: torch.Tensor) -> torch.Tensor:
    return (torch.tensor([4.0, 3.0, 2.0]) / towards.abs()).amin(-1)


@pytest.mark.parametrize("settings", [FIXED, ANY], ids=["icosahedron", "any"])
def test_colour_and_distance_are_those_of_the_pixels_own_rays(settings):
    """The distance of the room has a closed form; a coded picture tells its own directions."""
    coded = 0.5 + 0.3 * directions(HEIGHT)
    video = PanoramaVideo(coded[None].astype(np.float32), np.zeros((HEIGHT, 2 * HEIGHT), bool), 8.0)
    looked = aims(settings, video=video)
    for seed in range(3):
        aim = looked.at(chance(seed))
        towards = rays_of(aim)
        expected = srgb(0.5 + 0.3 * towards)
        assert (aim.srgb[0] - expected).abs().mean() < 0.005
        relative = (aim.distance[0] / room_distance(towards) - 1).abs()
        assert relative.mean() < 0.02 and relative.max() < 0.12
        assert (aim.weights == 1).all()


def test_the_views_are_those_of_the_icosahedron_and_the_same_ones_come_again():
    looked = aims()
    seen = [looked.at(chance(seed)) for seed in range(200)]
    found = {tuple(aim.cameras.R_scene_from_view[0, :, 2].round(decimals=4).tolist()) for aim in seen}
    axes = {tuple(np.round(each.astype(np.float32)[:, 2], 4).tolist()) for each in view_rotations()}
    assert found == axes and len(found) == 20
    assert len({id(aim) for aim in seen}) == 20


def test_any_views_are_all_different_and_rolled_anyhow():
    looked = aims(ANY)
    rotations = torch.cat([looked.at(chance(seed)).cameras.R_scene_from_view for seed in range(60)])
    towards, down = rotations[:, :, 2], rotations[:, :, 1]
    assert towards.mean(0).norm() < 0.4
    assert down[:, 2].abs().mean() < 0.7 and (down[:, 2] > 0.5).any()


def test_the_same_chance_gives_the_same_view():
    for settings in (FIXED, ANY):
        one, other = aims(settings).at(chance(5)), aims(settings).at(chance(5))
        assert torch.equal(one.srgb, other.srgb)
        assert torch.equal(one.cameras.R_scene_from_view, other.cameras.R_scene_from_view)


def test_views_in_which_nothing_counts_are_not_looked_at():
    counts = ahead(HEIGHT, 0.3)
    looked = aims(counts=counts)
    seen = [looked.at(chance(seed)) for seed in range(40)]
    assert all(aim.weights.any() for aim in seen)
    assert 1 < len({id(aim) for aim in seen}) < 10
    shares = [float(aim.weights.mean()) for aim in seen]
    assert max(shares) < 0.5


def test_weights_are_one_where_a_pixel_counts_and_zero_elsewhere():
    aim = aims(counts=ahead(HEIGHT, 0.6)).at(chance(0))
    expected = (rays_of(aim)[..., 1] > np.cos(0.6)).float()
    assert set(aim.weights.unique().tolist()) <= {0.0, 1.0}
    assert (aim.weights[0] != expected).float().mean() < 0.05


def test_if_nothing_counts_at_all_there_still_is_a_view():
    assert not aims(counts=~ALL).at(chance(0)).weights.any()


def test_each_frame_has_its_own_picture_and_distance():
    video = moving_picture(HEIGHT)
    distances = np.stack([room(HEIGHT) * scale for scale in (1, 2, 3)])
    moving = DepthVideo(distances, np.zeros(distances.shape, bool))
    counts = ahead(HEIGHT)
    first, last = (aims(counts=counts, frame=frame, video=video, depth=moving).at(chance(0)) for frame in (0, 2))
    assert (first.srgb - last.srgb).abs().max() > 0.1
    torch.testing.assert_close(last.distance, 3 * first.distance)


def test_one_distance_is_that_of_all_frames():
    one, other = (aims(frame=frame).at(chance(0)).distance for frame in (0, 2))
    torch.testing.assert_close(one, other)


def test_tiles_together_are_the_view():
    aim = aims().at(chance(0))
    tiles = [[aim.tile(2 * row + column, 2) for column in range(2)] for row in range(2)]
    for name in ("srgb", "distance", "weights"):
        whole = torch.cat([torch.cat([getattr(tile, name) for tile in row], 2) for row in tiles], 1)
        assert torch.equal(whole, getattr(aim, name))
    together = torch.cat([torch.cat([rays_of(tile) for tile in row], 1) for row in tiles], 0)
    torch.testing.assert_close(together, rays_of(aim))


def test_a_view_is_a_quarter_of_the_panorama_wide_unless_said_otherwise():
    assert aims(AS_4K4DGEN).at(chance(0)).srgb.shape == (1, HEIGHT // 2, HEIGHT // 2, 3)
    assert aims(FIXED).at(chance(0)).srgb.shape == (1, 24, 24, 3)


def test_no_colour_is_negative_at_a_hard_edge():
    hard = np.where(ahead(HEIGHT)[..., None], np.float32(0), np.float32([1, 5, 0.5]))
    video = PanoramaVideo(hard[None].astype(np.float32), ~ALL, 8.0)
    looked = aims(video=video)
    assert min(float(looked.at(chance(seed)).srgb.min()) for seed in range(10)) >= 0


def test_what_is_brighter_than_white_stays_brighter():
    video = PanoramaVideo(20 * wallpaper(HEIGHT)[None], ~ALL, 8.0)
    assert float(aims(video=video).at(chance(0)).srgb.max()) > 1.5
