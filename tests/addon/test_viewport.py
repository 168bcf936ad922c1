"""The add-on's own drawing of splats in the viewport, off screen, against closed forms; and when it draws."""

from dataclasses import replace
from math import exp, log2
from types import SimpleNamespace

import bpy
import gpu
import numpy as np
import pytest

from cyclorama.addon.look.surfels import REACH
from cyclorama.addon.look.viewport.display import Over
from cyclorama.addon.look.viewport.layers import Layers
from cyclorama.addon.look.viewport.order import depths, far_to_near
from cyclorama.addon.look.viewport.part import Part, Splats, thinned, without_floaters
from cyclorama.addon.look.viewport.renderer import Renderer
from cyclorama.bridge.gaussians import radiance_from_colour

from .packages import facing

SIZE = 64
FIELD = 8.0
"""Metres across the picture of an orthographic eye at (0, -10, 0) that looks along +Y; it sees 20 m deep."""

TOWARDS_EYE = (0.0, -1.0, 0.0)
VIEW = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, -10], [0, 0, 0, 1]], float)
PROJECTION = np.diag([2 / FIELD, 2 / FIELD, -2 / 20, 1.0]) + np.array([[0] * 4, [0] * 4, [0, 0, 0, -1], [0] * 4])
RED, BLUE = (2.0, 0.1, 0.1), (0.05, 0.1, 1.5)


@pytest.fixture(scope="module")
def screen():
    """Floats of SIZE x SIZE pixels."""
    if not hasattr(gpu, "init"):
        pytest.skip(f"NO GPU WITHOUT A WINDOW in Blender {bpy.app.version_string}: drawing is tested in 5.2")
    gpu.init()
    return Layers(SIZE, SIZE, "RGBA32F")


def _splats(places, colours, opacity=0.9, scale=(1.0, 1.0, 0.05), normal=TOWARDS_EYE):
    places = np.asarray(places, np.float32).reshape(-1, 3)
    count = len(places)
    return Splats(
        places,
        facing(normal, count),
        np.tile(np.asarray(scale, np.float32), (count, 1)),
        radiance_from_colour(np.broadcast_to(colours, (count, 3)), opacity).astype(np.float32),
    )


def _part(*given, key="a", **others):
    about = {name: others.pop(name) for name in ("opacity", "scale", "normal") if name in others}
    return Part(key, _splats(*given, **about), **others)


def _drawn(screen, *parts, renderer=None, projection=PROJECTION, view=VIEW, **options):
    renderer = renderer or Renderer()
    renderer.draw(screen, parts, view, projection, **options)
    return screen.picture()


def _places():
    x = (np.arange(SIZE) + 0.5) * (FIELD / SIZE) - FIELD / 2
    return np.meshgrid(x, -x)


def _alpha(opacity=0.9, centre=(0.0, 0.0), scale=(1.0, 1.0)):
    """Closed form, and where a splat is certainly not cut off."""
    x, z = _places()
    squared = ((x - centre[0]) / scale[0]) ** 2 + ((z - centre[1]) / scale[1]) ** 2
    return (opacity * np.exp(-squared / 2))[..., None], squared < (REACH - 0.05) ** 2


@pytest.mark.parametrize("opacity", [1.0, 0.3])
@pytest.mark.parametrize("is_moving", [True, False])
def test_a_splat_is_a_gaussian(screen, opacity, is_moving):
    colour, scale = np.array((25.0, 0.4, 0.05)), (1.4, 0.5)
    part = _part((0.5, 0, -0.3), colour, opacity=opacity, scale=(*scale, 1), is_moving=is_moving)
    alpha, inside = _alpha(opacity, (0.5, -0.3), scale)
    got = _drawn(screen, part)
    wanted = np.concatenate([alpha * colour, alpha], axis=2)
    assert inside.sum() > 300
    assert got[inside] == pytest.approx(wanted[inside], rel=1e-4, abs=1e-4)
    assert not got[0].any() and not got[:, 0].any()


@pytest.mark.parametrize("red_is_nearer", [True, False])
@pytest.mark.parametrize("are_one_object", [True, False])
def test_the_nearer_of_two_splats_is_in_front(screen, red_is_nearer, are_one_object):
    """Whatever the order in which they are given, and whichever of them moves."""
    places = [(-0.4, -1.0 if red_is_nearer else 1.0, 0), (0.4, 0.0, 0)]
    if are_one_object:
        parts = [_part(places, [RED, BLUE], opacity=0.7)]
    else:
        parts = [_part(places[0], RED, opacity=0.7, key="r", is_moving=True), _part(places[1], BLUE, opacity=0.7)]
    got = _drawn(screen, *parts)
    red, in_red = _alpha(0.7, (-0.4, 0))
    blue, in_blue = _alpha(0.7, (0.4, 0))
    front, back = ((red, RED), (blue, BLUE)) if red_is_nearer else ((blue, BLUE), (red, RED))
    wanted = front[0] * np.array(front[1]) + (1 - front[0]) * back[0] * np.array(back[1])
    both = in_red & in_blue
    assert both.sum() > 400
    assert got[both][:, :3] == pytest.approx(wanted[both], rel=1e-4, abs=1e-4)


def test_an_object_may_be_moved_turned_and_scaled(screen):
    world = np.eye(4)
    world[:3, :3] *= 0.5
    world[:3, 3] = (1.0, 2.0, -1.0)
    got = _drawn(screen, _part((1, 0, 1), RED, world_from_part=world))
    alpha, inside = _alpha(0.9, (1.5, -0.5), (0.5, 0.5))
    assert got[inside][:, 3:] == pytest.approx(alpha[inside], abs=1e-4)


@pytest.mark.parametrize(("plane_at", "is_seen"), [(-1.0, False), (1.0, True)])
def test_ordinary_objects_hide_what_is_behind_them(screen, plane_at, is_seen):
    """Blender has drawn a plane over the left half, before or behind the splat."""
    depth = np.ones((SIZE, SIZE, 1), np.float32)
    depth[:, : SIZE // 2] = (plane_at + 10) / 20
    given = gpu.types.GPUTexture((SIZE, SIZE), format="R32F", data=gpu.types.Buffer("FLOAT", depth.size, depth.ravel()))
    got = _drawn(screen, _part((0, 0, 0), RED), ordinary_depth=given)[..., 3:]
    alpha, inside = _alpha()
    inside[:, : SIZE // 2] &= is_seen
    assert got[inside] == pytest.approx(alpha[inside], abs=1e-4)
    assert got[:, : SIZE // 2].any() == is_seen


def test_clipping_cuts_through_a_splat(screen):
    got = _drawn(screen, _part((0, 0, 0), RED), planes=np.array([(1, 0, 0, 0), (0, 0, 1, 1.0)]))[..., 3]
    x, z = _places()
    alpha, inside = _alpha()
    kept = (x > 0) & (z > -1)
    assert not got[~kept].any()
    assert got[kept & inside] == pytest.approx(alpha[..., 0][kept & inside], abs=1e-4)


@pytest.mark.parametrize("outside", [False, True])
def test_a_crop_box_leaves_out_whole_splats(screen, outside):
    crop = np.linalg.inv(np.array([[2, 0, 0, 2], [0, 9, 0, 0], [0, 0, 9, 0], [0, 0, 0, 1.0]]))  # x from 0 to 4
    part = _part([(-2, 0, 0), (2, 0, 0)], RED, crop_from_world=crop, crops_outside=outside, scale=(0.3, 0.3, 1))
    seen = _drawn(screen, part)[..., 3].max(axis=0)
    assert (seen[: SIZE // 2].max() > 0.5) == outside
    assert (seen[SIZE // 2 :].max() > 0.5) != outside


def test_look(screen):
    """In stops, towards grey, times the tint; as the surfels' material has it."""
    colour, tint = np.array((0.8, 0.4, 0.1)), (1.0, 0.5, 0.25)
    got = _drawn(screen, _part((0, 0, 0), colour, exposure=1.0, saturation=0.5, tint=tint))
    grey = colour @ (0.2126, 0.7152, 0.0722)
    wanted = (grey + 0.5 * (colour - grey)) * 2 * np.array(tint)
    middle = got[SIZE // 2, SIZE // 2]
    assert middle[:3] / middle[3] == pytest.approx(wanted, rel=1e-4)


def test_what_is_behind_the_eye_is_not_drawn(screen):
    projection = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, -0.02], [0, 0, -1, 0]], float)
    assert not _drawn(screen, _part((0, -12, 0), RED), projection=projection).any()
    assert _drawn(screen, _part((0, -8, 0), RED), projection=projection).any()


def test_only_what_a_view_shows_is_drawn(screen):
    renderer = Renderer()
    parts = _part((-2, 0, 0), RED, key="left"), _part((2, 0, 0), RED, key="right", is_moving=True)
    for shown in (["left"], ["right"], ["left", "right"], []):
        seen = _drawn(screen, *parts, renderer=renderer, shown=shown)[..., 3].max(axis=0)
        assert [seen[SIZE // 4] > 0.5, seen[3 * SIZE // 4] > 0.5] == [each in shown for each in ("left", "right")]


def test_another_frame_and_another_direction_are_drawn_anew(screen):
    renderer = Renderer()
    for colour, place in ((RED, (0, 0, 0)), (BLUE, (0, 0, 0)), (BLUE, (1, 0, 0))):
        got = _drawn(screen, _part(place, colour, is_moving=True), renderer=renderer)
        alpha, inside = _alpha(0.9, (place[0], 0))
        assert got[inside][:, :3] == pytest.approx((alpha * np.array(colour))[inside], abs=1e-3)


def test_sorting_aside_ends_in_the_same_picture(screen):
    """While a view is turned it draws in its last order; then in the right one."""
    chance = np.random.default_rng(0)
    part = _part(chance.normal(size=(3000, 3)), chance.uniform(size=(3000, 3)), opacity=0.6, scale=(0.2, 0.2, 0.1))
    turned = VIEW @ np.diag([-1, -1, 1, 1.0])  # from the other side
    renderer, settled = Renderer(), []

    def draw(view):
        settled.append(renderer.draw(screen, [part], view, PROJECTION, wait=False))
        return screen.picture()

    draw(VIEW)
    first = draw(turned)
    for order in renderer._orders.values():
        order.finish()
    second = draw(turned)
    assert settled == [True, False, True]
    wanted = _drawn(screen, part, view=turned)
    assert second == pytest.approx(wanted, abs=1e-6)
    assert np.abs(first - wanted).max() > 0.1
    renderer.free()


def test_splats_are_sorted_as_whole_numbers_of_float32_are():
    depth = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    depth[:4] = 0.0, -0.0, np.inf, -np.inf
    order = far_to_near(depth)
    assert sorted(order) == list(range(5000))
    assert (np.sort(depth)[::-1] == depth[order]).all()


def test_depth_is_along_the_axis_of_the_eye():
    world = np.eye(4)
    world[:3, 3] = (0, 5, 0)
    (found,) = depths([np.array([(3, 4, 0), (0, -1, 2)], np.float32)], [world], np.array((0.0, 1.0, 0.0)))
    assert found == pytest.approx([9, 4])


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
def test_thinning_is_even_and_fewer_are_some_of_more(density):
    splats = _splats(np.zeros((100_000, 3)), RED)
    kept = thinned(splats, density)
    assert kept.mean() == pytest.approx(density, abs=0.01)
    assert kept[:1000].mean() == pytest.approx(density, abs=0.06)
    assert (kept <= thinned(splats, min(1.0, density * 1.5))).all()


def test_points_are_discs_of_their_colour_that_face_the_eye(screen):
    part = _part((0.5, 0, -0.3), BLUE, scale=(1.3, 1.3, 1.3), normal=(1, 0, 0), are_points=True, opacity=1.0)
    turned = np.linalg.inv(np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    for world in (np.eye(4), turned):
        got = _drawn(screen, replace(part, world_from_part=world))
        x, z = _places()
        away = np.hypot(x - (world @ (0.5, 0, -0.3, 1))[0], z + 0.3)
        assert got[away < 1.25] == pytest.approx(np.broadcast_to((*BLUE, 1.0), got[away < 1.25].shape), abs=1e-5)
        assert not got[away > 1.35].any()


def test_of_a_thinned_point_cloud_points_are_larger(screen):
    part = _part((0, 0, 0), BLUE, scale=(0.5, 0.5, 0.5), are_points=True, density=0.29501262 + 1e-6)
    area = (_drawn(screen, part)[..., 3] > 0.5).sum() * (FIELD / SIZE) ** 2
    assert area == pytest.approx(np.pi * 0.5**2 / 0.295, rel=0.1)


@pytest.mark.parametrize("red_is_nearer", [True, False])
def test_what_is_in_front_is_decided_at_each_pixel(screen, red_is_nearer):
    """Two tents of one plane: each is in front where its own middle is nearer, whichever centre is nearer the eye."""
    lift = 0.02 if red_is_nearer else -0.02  # against 0.2, the height of a tent
    part = _part([(-0.7, -lift, 0), (0.7, lift, 0)], [RED, BLUE], opacity=0.8)
    got = _drawn(screen, part)
    red, blue = _alpha(0.8, (-0.7, 0))[0], _alpha(0.8, (0.7, 0))[0]
    x, z = _places()
    for side, near, far in ((x < -0.25, (red, RED), (blue, BLUE)), (x > 0.25, (blue, BLUE), (red, RED))):
        where = side & (np.abs(x) < 1.2) & (np.abs(z) < 0.3)
        wanted = near[0] * np.array(near[1]) + (1 - near[0]) * far[0] * np.array(far[1])
        assert where.sum() > 20
        assert got[where][:, :3] == pytest.approx(wanted[where], abs=1e-3)


def test_thinned_splats_keep_the_cover(screen):
    """Many splats over one pixel, a third of them drawn."""
    count, opacity = 600, 0.004
    places = np.zeros((count, 3))
    whole = _drawn(screen, _part(places, RED, opacity=opacity))[SIZE // 2, SIZE // 2, 3]
    third = _drawn(screen, _part(places, RED, opacity=opacity, density=1 / 3))[SIZE // 2, SIZE // 2, 3]
    assert whole == pytest.approx(1 - exp(count * log2(1 - opacity) / log2(exp(1))), abs=0.01)
    assert third == pytest.approx(whole, abs=0.03)


def test_floaters_are_left_out():
    splats = _splats([(0, 10, 0), (0, 1, 0), (0, 10, 0)], RED, scale=(1, 1, 0.1))
    splats.radiance[:, 3] = 0.9, 0.9, 0.05
    assert len(without_floaters(splats, 0, 0)) == 3
    assert len(without_floaters(splats, 0.1, 0)) == 2
    assert without_floaters(splats, 0.1, 0.5).position.tolist() == [[0, 10, 0]]


@pytest.mark.parametrize("transform", ["Standard", "AgX"])
def test_colours_are_shown_as_blender_shows_them(screen, tmp_path, transform):
    """Against ``Image.save_render``, of colours of all kinds; the viewport stores what it is given as sRGB."""
    chance = np.random.default_rng(0)
    light = 2.0 ** chance.uniform(-7, 4, (SIZE, SIZE, 1)) * (0.4 * chance.uniform(0.1, 1, (SIZE, SIZE, 3)) + 0.33)
    pixels = np.concatenate([light, np.ones((SIZE, SIZE, 1))], axis=2).astype(np.float32)
    scene = bpy.data.scenes.new("Shown")
    scene.view_settings.view_transform, scene.view_settings.exposure = transform, 0.5
    scene.render.image_settings.file_format, scene.render.image_settings.color_depth = "PNG", "16"
    scene.render.dither_intensity = 0
    image = bpy.data.images.new("light", SIZE, SIZE, float_buffer=True)
    image.colorspace_settings.name = "Linear Rec.709"
    image.pixels.foreach_set(pixels.ravel())
    image.save_render(str(tmp_path / "shown.png"), scene=scene)
    shown = bpy.data.images.load(str(tmp_path / "shown.png"))
    shown.colorspace_settings.name = "Non-Color"
    wanted = np.array(shown.pixels[:]).reshape(SIZE, SIZE, 4)[::-1, :, :3]
    data = gpu.types.Buffer("FLOAT", pixels.size, pixels.ravel())
    picture = gpu.types.GPUTexture((SIZE, SIZE), format="RGBA32F", data=data)
    nothing = Layers(SIZE, SIZE)
    nothing.clear()
    layers = SimpleNamespace(behind=picture, core=nothing.core, before=nothing.before)
    over, on = gpu.types.GPUOffScreen(SIZE, SIZE, format="RGBA32F"), {}
    for is_stored_as_srgb in (True, False):
        with over.bind():
            frame = gpu.state.active_framebuffer_get()
            frame.clear(color=(0, 0, 0, 0))
            Over().draw(layers, (0, 0), scene.view_settings, is_stored_as_srgb)
            read = np.array(frame.read_color(0, 0, SIZE, SIZE, 4, 0, "FLOAT"))
        on[is_stored_as_srgb] = read.reshape(SIZE, SIZE, 4)[::-1, :, :3]
    stored = on[True]
    got = np.where(stored <= 0.0031308, 12.92 * stored, 1.055 * np.maximum(stored, 1e-6) ** (1 / 2.4) - 0.055)
    bpy.data.scenes.remove(scene)
    assert on[False] == pytest.approx(got, abs=1e-5)
    assert np.abs(got - wanted).mean() < 0.5 / 255
    assert np.abs(got - wanted).max() < 3 / 255
