"""Places and shapes on the panorama, and what is drawn of them: in the image and on the dome."""

import sys

import bpy
import numpy as np
import pytest

from cyclorama.bridge.settings import Box, Stroke

from .drawn_regions import add_box, draw_stroke, editor, painted_region, panorama, prepared

CORNERS = [((0, 0), (-180, -90)), ((2048, 1024), (180, 90)), ((1024, 512), (0, 0)), ((1536, 768), (90, 45))]


@pytest.fixture
def scene(addon) -> bpy.types.Scene:
    """With the panorama chosen, and one Image Editor on the screen."""
    return prepared()


@pytest.fixture
def places(addon):
    from cyclorama.addon.regions import places

    return places


@pytest.fixture
def shapes(addon):
    from cyclorama.addon.regions import shapes

    return shapes


def on_sphere(longitude: float, latitude: float) -> np.ndarray:
    """The convention of the house: the panorama's centre is +Y, its right half towards +X, above the horizon +Z."""
    theta, phi = np.radians(longitude), np.radians(latitude)
    return np.array([np.cos(phi) * np.sin(theta), np.cos(phi) * np.cos(theta), np.sin(phi)])


# Places


@pytest.mark.parametrize(("pixel", "degrees"), CORNERS)
def test_pixels_and_degrees(places, pixel, degrees):
    """Blender counts an image's rows upwards, as latitude goes."""
    assert places.degrees_at(*pixel, 2048, 1024) == degrees
    assert places.image_at(*degrees, 2048, 1024) == pixel
    assert places.degrees_at(pixel[0] / 2048, pixel[1] / 1024) == degrees


def test_every_pixel_comes_back_from_its_place(places):
    for x in np.arange(-100.5, 2200, 37.0):  # beside the image too
        for y in np.arange(0.5, 1024, 41.0):
            assert places.image_at(*places.degrees_at(x, y, 2048, 1024), 2048, 1024) == pytest.approx((x, y))


@pytest.mark.parametrize(("longitude", "expected"), [(0, 0), (180, -180), (-180, -180), (190, -170), (-350, 10)])
def test_longitudes_wrap(places, longitude, expected):
    assert places.wrapped(longitude) == expected


@pytest.mark.parametrize(
    ("first", "second", "around", "expected"),
    [
        ((-10, -20), (30, 20), False, Box(10, 0, 40, 40)),
        ((30, 20), (-10, -20), False, Box(10, 0, 40, 40)),
        ((170, 0), (200, 10), False, Box(-175, 5, 30, 10)),
        ((-200, 0), (-170, 10), False, Box(175, 5, 30, 10)),
        ((-170, 0), (170, 10), True, Box(-180, 5, 20, 10)),
        ((-300, 60), (300, 130), False, Box(0, 75, 360, 30)),
    ],
)
def test_two_clicks_span_a_box_also_across_the_seam(places, first, second, around, expected):
    assert places.box_between(first, second, around) == expected


def test_a_drag_draws_an_arrow_also_across_the_seam(places):
    assert places.stroke_between((170, 10), (195, 5), 3) == Stroke(170, 10, 25, -5, 3)
    assert places.stroke_between((185, 80), (180, 120), 3) == Stroke(-175, 80, -5, 10, 3)


# Shapes


def inside(box: Box, direction: np.ndarray) -> bool:
    """Whether a direction lies in a box, which goes on over the poles; by trying all ways to name it."""
    latitude = np.degrees(np.arcsin(direction[2]))
    longitude = np.degrees(np.arctan2(direction[0], direction[1]))
    return any(
        abs(phi - box.latitude) <= box.height / 2 and abs((theta - box.longitude + 180) % 360 - 180) <= box.width / 2
        for phi, theta in ((latitude, longitude), (180 - latitude, longitude + 180), (-180 - latitude, longitude + 180))
    )


@pytest.mark.parametrize(
    "box",
    [
        *(Box(10, 5, 60, 40), Box(170, 0, 40, 30), Box(-180, 20, 10, 10), Box(30, 80, 50, 40)),
        *(Box(0, -85, 90, 60), Box(0, 0, 360, 180), Box(100, 10, 359, 20)),
    ],
)
def test_a_box_is_drawn_where_the_recipe_has_it(places, shapes, box):
    pieces = shapes.rectangles(box)
    for u in np.linspace(0.003, 0.997, 67):
        for v in np.linspace(0.004, 0.996, 41):
            drawn = any(left <= u <= right and bottom <= v <= top for left, bottom, right, top in pieces)
            assert drawn == inside(box, on_sphere(*places.degrees_at(u, v)))


def test_an_arrow_across_the_seam_is_drawn_at_both_edges(shapes):
    assert shapes.shafts(Stroke(0, 0, 36, 18, 1)) == [((0.5, 0.5), (0.6, pytest.approx(0.6)))]
    over = shapes.shafts(Stroke(162, 0, 36, 0, 1))
    assert sorted(start for (start, _), _ in over) == pytest.approx([-0.05, 0.95])
    assert sorted(tip for _, (tip, _) in over) == pytest.approx([0.05, 1.05])
    assert len(shapes.shafts(Stroke(-175, 0, 0, 20, 1))) == 1  # straight up


def test_an_arrow_s_head_lies_behind_its_tip_on_both_sides(shapes):
    left, right = shapes.head((0, 0), (100, 0), 10)
    assert left[0] == right[0] == pytest.approx(90) and left[1] == -right[1] != 0
    assert np.isfinite(shapes.head((5, 5), (5, 5), 10)).all()


# The dome


@pytest.mark.parametrize("box", [Box(0, 0, 20, 10), Box(90, 0, 20, 10), Box(170, 30, 40, 20), Box(-60, -40, 10, 10)])
def test_on_the_dome_a_box_lies_in_its_direction(shapes, box):
    points = np.concatenate([shapes.sheet(piece)[0] for piece in shapes.rectangles(box)])
    middle = on_sphere(box.longitude, box.latitude)
    nearest = points[(points @ middle).argmax()]
    np.testing.assert_allclose(nearest, middle, atol=0.05)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-6)
    assert np.degrees(np.arccos((points @ middle).min())) <= np.hypot(box.width, box.height) / 2 + 0.1


def test_the_panorama_s_centre_looks_along_y_and_its_right_half_towards_x(shapes):
    positions, uv, _triangles = shapes.sheet((0, 0, 1, 1))
    for place, direction in (((0.5, 0.5), (0, 1, 0)), ((0.75, 0.5), (1, 0, 0)), ((0.5, 1), (0, 0, 1))):
        nearest = np.hypot(*(uv - place).T).argmin()
        np.testing.assert_allclose(positions[nearest], direction, atol=0.04)


def test_the_dome_is_seen_from_inside(shapes):
    positions, _uv, triangles = shapes.sheet((0.1, 0.1, 0.4, 0.9))
    a, b, c = (positions[corner] for corner in triangles.T)
    towards_the_viewer = -((a + b + c) / 3)
    assert (np.einsum("ij,ij->i", np.cross(b - a, c - a), towards_the_viewer) > 0).all()


def test_arrows_on_the_dome_go_from_their_start_to_their_tip(shapes):
    shaft, left, right = shapes.arrow_on_dome(Stroke(80, 10, 20, -10, 1))
    np.testing.assert_allclose(shaft[0], on_sphere(80, 10), atol=1e-9)
    np.testing.assert_allclose(shaft[-1], on_sphere(100, 0), atol=1e-9)
    assert left[1] == right[1] == shaft[-1] and left[0] != right[0]


# What is drawn


def overlay(scene):
    from cyclorama.addon.regions.overlay import overlay_in

    return overlay_in(scene, editor())


def test_over_the_panorama_all_regions_are_drawn_in_their_colours(scene):
    mask = painted_region(scene).mask
    add_box(Box(175, 0, 20, 20))
    draw_stroke(Stroke(-10, 0, 10, 0, 3))
    scene.cyclorama_regions.items[1].colour = (0.25, 0.5, 0.75)
    scene.cyclorama_regions.opacity = 0.5
    bpy.ops.cyclorama.open_panorama()
    drawn = overlay(scene)
    assert drawn.backdrop is None
    assert [layer.mask for layer in drawn.layers] == [mask, None] and len(drawn.layers[1].pieces) == 2
    assert drawn.layers[1].colour == (0.25, 0.5, 0.75, 0.5)
    assert len(drawn.outlines) == 2  # across the seam
    assert [stroke for stroke, _, _ in drawn.arrows] == [Stroke(-10, 0, 10, 0, 3)]
    scene.cyclorama_regions.items[1].shown = False
    assert len(overlay(scene).layers) == 1 and not overlay(scene).arrows


def test_while_a_mask_is_painted_the_panorama_is_seen_over_it(scene):
    painted_region(scene)
    drawn = overlay(scene)
    assert editor().ui_mode == "PAINT" and drawn.backdrop == panorama()
    assert [layer.mask for layer in drawn.layers] == [editor().image]


def test_nothing_is_drawn_over_other_pictures_or_none(scene):
    assert overlay(scene) is None
    painted_region(scene)
    editor().image = bpy.data.images.new("other", 300, 100)
    assert overlay(scene) is None
    bpy.ops.cyclorama.open_panorama()
    assert overlay(scene) is not None
    editor().overlay.show_overlays = False
    assert overlay(scene) is None


def test_a_mask_or_panorama_that_was_deleted_is_left_out(scene):
    painted_region(scene)
    add_box()
    bpy.ops.cyclorama.open_panorama()
    bpy.data.images.remove(scene.cyclorama_regions.items[0].mask)
    assert [layer.mask for layer in overlay(scene).layers] == [None]
    bpy.data.images.remove(panorama())
    assert overlay(scene) is None
    from cyclorama.addon.regions import drawing

    scene.cyclorama_regions.show_dome = True
    area = next(area for area in bpy.context.screen.areas if area.type == "IMAGE_EDITOR")
    with bpy.context.temp_override(area=area):
        drawing._draw_in_image_editor()


def test_a_mask_of_another_size_is_drawn_all_the_same(scene):
    region = painted_region(scene)
    region.mask = bpy.data.images.new("coarse", 64, 32)
    bpy.ops.cyclorama.open_panorama()
    assert overlay(scene).layers[0].mask == region.mask


def test_the_dome_is_switched_on_and_off_and_leaves_nothing_in_the_file(scene):
    painted_region(scene)

    def everything():
        return {kind: len(getattr(bpy.data, kind)) for kind in ("objects", "meshes", "materials", "images")}

    before = everything()
    assert bpy.ops.cyclorama.preview_regions() == {"FINISHED"} and scene.cyclorama_regions.show_dome
    assert everything() == before
    assert bpy.ops.cyclorama.preview_regions() == {"FINISHED"} and not scene.cyclorama_regions.show_dome
    assert everything() == before


# Dragging the ends of arrows


EXTENT = ((100.0, 50.0), (2000.0, 1000.0))


def test_the_nearest_end_of_an_arrow_is_taken(addon):
    from cyclorama.addon.regions.arrow_ends import nearest_end

    strokes = (Stroke(0, 0, 18, 0, 1), None, Stroke(162, 0, 36, 0, 1))
    assert nearest_end(strokes, (1100, 550), *EXTENT, 10) == (0, "START")
    assert nearest_end(strokes, (1206, 555), *EXTENT, 10) == (0, "TIP")
    assert nearest_end(strokes, (1150, 550), *EXTENT, 10) is None
    assert nearest_end(strokes, (2000, 552), *EXTENT, 10) == (2, "START")
    assert nearest_end(strokes, (200, 548), *EXTENT, 10) == (2, "TIP")  # on the other side of the seam


def test_moving_an_end_leaves_the_other_where_it_was(addon):
    from cyclorama.addon.regions.arrow_ends import with_end_at

    assert with_end_at(Stroke(0, 0, 10, 5, 3), "TIP", 20, -5) == Stroke(0, 0, 20, -5, 3)
    assert with_end_at(Stroke(0, 0, 10, 5, 3), "START", 5, 10) == Stroke(5, 10, 5, -5, 3)
    assert with_end_at(Stroke(170, 0, 5, 0, 3), "TIP", -170, 0) == Stroke(170, 0, 20, 0, 3)
    assert with_end_at(Stroke(170, 0, 20, 0, 3), "START", -178, 0) == Stroke(-178, 0, 8, 0, 3)


# On the GPU


@pytest.mark.skipif(
    sys.platform != "linux" or bpy.app.version < (5, 2, 0), reason="NO GPU in the background before Blender 5.2"
)
def test_on_the_gpu_the_dome_shows_each_region_in_its_direction(scene):
    """Four pictures from the origin, a right angle wide: a box on the right (+X) and a mask behind (-Y) are tinted."""
    import gpu

    from cyclorama.addon.regions import drawing
    from cyclorama.addon.regions.overlay import overlay_of

    gpu.init()
    grey = bpy.data.images.new("grey", 64, 32)
    grey.generated_color = (0.25, 0.25, 0.25, 1)
    add_box(Box(90, 0, 30, 30))
    scene.cyclorama_regions.items[0].colour = (1, 0, 0)
    bpy.ops.cyclorama.open_panorama()
    height, width = panorama().size[1], panorama().size[0]
    behind = np.zeros((height, width), np.float32)
    behind[3 * height // 8 : height // 2, : width // 16] = 1  # just right of straight behind, above the horizon
    painted_region(scene, behind).colour = (0, 1, 0)
    scene.cyclorama_regions.opacity = 1.0
    pictures = {name: _seen(drawing, overlay_of(scene, grey), name) for name in ("front", "right", "behind")}
    middle = {name: picture[30:34, 30:34].mean(axis=(0, 1)) for name, picture in pictures.items()}
    assert np.ptp(middle["front"]) < 0.02 and middle["front"][0] > 0.1
    np.testing.assert_allclose(middle["right"], (1, 0, 0), atol=0.02)
    above_right, below_left = pictures["behind"][38, 36], pictures["behind"][26, 28]
    np.testing.assert_allclose(above_right, (0, 1, 0), atol=0.05)
    assert np.ptp(below_left) < 0.02


def _seen(drawing, overlay, name: str) -> np.ndarray:
    """(64, 64, 3), first row at the bottom: 90° wide from the origin."""
    import gpu
    from mathutils import Matrix

    turn = {"front": 0, "right": -90, "behind": 180}[name]
    camera = Matrix.Rotation(np.radians(turn), 4, "Z") @ Matrix.Rotation(np.radians(90), 4, "X")
    near, far = 0.1, 100.0
    perspective = Matrix(
        ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, (near + far) / (near - far), 2 * near * far / (near - far)), (0, 0, -1, 0))
    )
    screen = gpu.types.GPUOffScreen(64, 64, format="RGBA8")
    with screen.bind():
        framebuffer = gpu.state.active_framebuffer_get()
        framebuffer.clear(color=(0, 0, 0, 1), depth=1.0)
        with gpu.matrix.push_pop(), gpu.matrix.push_pop_projection():
            gpu.matrix.load_matrix(camera.inverted())
            gpu.matrix.load_projection_matrix(perspective)
            drawing.draw_dome(overlay, 10.0, (64, 64))
        pixels = framebuffer.read_color(0, 0, 64, 64, 4, 0, "FLOAT")
    screen.free()
    return np.array(pixels.to_list(), np.float32).reshape(64, 64, 4)[..., :3]
