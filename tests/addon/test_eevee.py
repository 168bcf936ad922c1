"""What EEVEE makes of splats, dithered and sorted, against closed forms; all in scene-linear light.

One file for all tests here, because EEVEE's shaders take seconds in each.
"""

import bpy
import numpy as np
import pytest

import cyclorama
from cyclorama.addon.look import dress
from cyclorama.addon.look.sorting import RINGS
from cyclorama.addon.look.surfels import SIDES
from cyclorama.addon.stage.scene_object import MOVING, SCENE, STATIC

from .packages import pixels
from .splat_pictures import SIZE, WORLD, add_splats, gaussian, look_along_y, wall

pytestmark = pytest.mark.skipif(bpy.app.version < (5, 2), reason="Before Blender 5.2 EEVEE needs a window")

RED, BLUE = np.array((2.0, 0.1, 0.1)), np.array((0.05, 0.1, 1.5))
OPACITY = 0.7

LEFT, RIGHT = np.zeros((SIZE, SIZE), bool), np.zeros((SIZE, SIZE), bool)
LEFT[:, : SIZE // 2 - 3] = RIGHT[:, SIZE // 2 + 1 :] = True


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The scene of a file with the add-on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CYCLORAMA_FOLDER", str(tmp_path_factory.mktemp("backend")))
        patch.delenv("CYCLORAMA_BACKEND_PYTHON", raising=False)
        bpy.ops.wm.read_factory_settings(use_empty=True)
        cyclorama.register()
        look_along_y(bpy.context.scene)
        bpy.ops.cyclorama.setup_render(quality="EEVEE")
        yield bpy.context.scene
        cyclorama.unregister()


@pytest.fixture
def scene(file):
    """It, with nothing in it but the camera."""
    file.camera.location, file.camera.rotation_euler = (0, -10, 0), (np.pi / 2, 0, 0)
    file.render.engine, file.eevee.use_raytracing = "BLENDER_EEVEE", False
    yield file
    for thing in [thing for thing in file.objects if thing != file.camera]:
        bpy.data.objects.remove(thing)


@pytest.fixture
def root(scene):
    root = bpy.data.objects.new("lake", None)
    root.cyclorama.role = SCENE
    scene.collection.objects.link(root)
    return root


@pytest.fixture
def sorted_root(root):
    root.cyclorama_look.eevee_sorted = True
    return root


def _part(scene, root, place, colour, role=STATIC, opacity=OPACITY, **shape):
    part = add_splats(scene, place, colour, opacity, **shape)
    part.parent, part.cyclorama.role = root, role
    dress(part, root)
    return part


def _pictured(scene, tmp_path, samples=4):
    """(SIZE, SIZE, 3), seen at the pixels' middles as nearly as EEVEE can."""
    scene.render.filter_size, scene.eevee.taa_render_samples = 0.01, samples
    scene.render.resolution_x = scene.render.resolution_y = SIZE
    scene.render.resolution_percentage = 100
    scene.render.filepath = str(tmp_path / "eevee.exr")
    settings = scene.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = "OPEN_EXR", "RGBA", "32"
    bpy.ops.render.render(write_still=True)
    return pixels(tmp_path / "eevee.exr")[..., :3]


def _layered(*layers):
    """The nearest last: (opacity x fall-off, colour)."""
    seen = WORLD
    for alpha, colour in layers:
        seen = alpha * colour + (1 - alpha) * seen
    return seen


def _black_cards():
    """One metre before the origin in the left half of the picture, and one metre behind it in all of it."""
    for place in ((-15.25, -1, 0), (0, 1, 0)):
        wall("ShaderNodeEmission").inputs["Strength"].default_value = 0.0
        bpy.context.object.location = place


# Dithered


def test_dithered_splats_are_on_the_whole_as_bright_as_blended_ones(scene, root, tmp_path):
    """Splats that hide each other, some in nearly one plane: EEVEE's own dithering has their holes at one place."""
    _part(scene, root, (0, 0, 0), RED)
    _part(scene, root, [(0, 0.1, 0), (0, 3, 0)], BLUE, MOVING)
    falloff, inside, _ = gaussian()
    alpha = OPACITY * falloff
    wanted = _layered((alpha, BLUE), (alpha, BLUE), (alpha, RED))
    assert inside.sum() > 700
    got = _pictured(scene, tmp_path, 16)
    assert got[inside].mean(axis=0) == pytest.approx(wanted[inside].mean(axis=0), abs=0.02)
    assert np.abs(got - wanted)[inside].mean() < 0.25


def test_an_opaque_object_hides_dithered_splats_and_is_hidden_by_them(scene, root, tmp_path):
    _black_cards()
    _part(scene, root, (0, 0, 0), (1.0, 1.0, 1.0), opacity=0.9)
    falloff, inside, _ = gaussian()
    got = _pictured(scene, tmp_path, 16)
    assert (got[inside & LEFT] == 0).all()
    assert got[inside & RIGHT].mean() == pytest.approx(0.9 * falloff[inside & RIGHT].mean(), abs=0.02)


def test_dithered_splats_are_seen_through_refracting_glass(scene, root, tmp_path):
    """A pane of index 1, which bends nothing and takes half of the light; EEVEE's rays lose some of it."""
    scene.eevee.use_raytracing = True
    _part(scene, root, (0, 1, 0), RED, opacity=0.99)
    pane = wall("ShaderNodeBsdfRefraction")
    pane.inputs["Color"].default_value = (0.5, 0.5, 0.5, 1)
    pane.inputs["Roughness"].default_value, pane.inputs["IOR"].default_value = 0.0, 1.0
    bpy.context.object.location = (0, -2, 0)
    bpy.context.object.active_material.use_raytrace_refraction = True
    assert 4 * WORLD[0] < _patch(_pictured(scene, tmp_path, 8), SIZE // 2)[0] < RED[0] / 2 + 0.1


def test_dithered_splats_are_seen_in_a_mirror(scene, root, tmp_path):
    """A mirror as floor, looked down on: EEVEE's rays see what is in the picture, and blur it."""
    scene.eevee.use_raytracing = True
    scene.camera.location, scene.camera.rotation_euler = (0, -10, 10), (np.pi / 4, 0, 0)
    _part(scene, root, (0, 0, 1.6), RED, opacity=0.99, scale=(0.6, 0.6, 0.02), normal=(0, -1, 0))
    mirror = wall("ShaderNodeBsdfAnisotropic")
    mirror.inputs["Color"].default_value, mirror.inputs["Roughness"].default_value = (1, 1, 1, 1), 0.0
    bpy.context.object.location, bpy.context.object.rotation_euler = (0, 0, 0), (0, 0, 0)
    row = round(SIZE / 2 + 1.6 * np.cos(np.pi / 4) / 8.0 * SIZE)  # of its picture 1.6 m under the floor
    assert _patch(_pictured(scene, tmp_path, 8), row)[0] > 2 * WORLD[0]


def _patch(picture, row):
    """Mean colour around a pixel in the middle column."""
    return picture[row - 2 : row + 2, SIZE // 2 - 2 : SIZE // 2 + 2].mean(axis=(0, 1))


# Sorted


@pytest.mark.parametrize(("red_is_nearer", "roles"), [(True, (STATIC, MOVING)), (False, (MOVING, STATIC))])
def test_the_nearer_of_two_splats_is_in_front_though_in_two_objects(scene, sorted_root, tmp_path, red_is_nearer, roles):
    """By more than two of their standard deviations: closer ones of one size are taken for one surface."""
    _part(scene, sorted_root, (-0.4, -3.0 if red_is_nearer else 3.0, 0), RED, roles[0])
    _part(scene, sorted_root, (0.4, 0.0, 0), BLUE, roles[1])
    over_red, in_red, _ = gaussian((-0.4, 0))
    over_blue, in_blue, _ = gaussian((0.4, 0))
    layers = [(OPACITY * over_blue, BLUE), (OPACITY * over_red, RED)]
    wanted = _layered(*(layers if red_is_nearer else reversed(layers)))
    both = in_red & in_blue
    assert both.sum() > 400
    assert _pictured(scene, tmp_path)[both] == pytest.approx(wanted[both], abs=0.02)


def test_the_order_follows_the_camera(scene, sorted_root, tmp_path):
    """From the other side it is the other splat that is nearer. (The tents are seen from behind there.)"""
    _part(scene, sorted_root, (0, -3, 0), RED)
    _part(scene, sorted_root, (0, 0, 0), BLUE)
    scene.camera.location, scene.camera.rotation_euler = (0, 10, 0), (np.pi / 2, 0, np.pi)
    falloff, inside, _ = gaussian()
    wanted = _layered((OPACITY * falloff, RED), (OPACITY * falloff, BLUE))
    assert _pictured(scene, tmp_path)[inside] == pytest.approx(wanted[inside], abs=0.02)


def test_an_opaque_object_hides_splats_and_is_hidden_by_them(scene, sorted_root, tmp_path):
    _black_cards()
    _part(scene, sorted_root, (0, 0, 0), (1.0, 1.0, 1.0), opacity=0.9)
    falloff, inside, _ = gaussian()
    got = _pictured(scene, tmp_path)
    assert (got[inside & LEFT] == 0).all()
    wanted = np.broadcast_to(0.9 * falloff, got.shape)
    assert got[inside & RIGHT] == pytest.approx(wanted[inside & RIGHT], abs=0.02)


def test_a_hidden_part_is_not_among_the_sorted(scene, sorted_root, tmp_path):
    _part(scene, sorted_root, (0, -1, 0), RED).hide_render = True
    _part(scene, sorted_root, (0, 0, 0), BLUE, MOVING)
    falloff, inside, _ = gaussian()
    wanted = _layered((OPACITY * falloff, BLUE))
    assert _pictured(scene, tmp_path)[inside] == pytest.approx(wanted[inside], abs=0.02)


def test_sorting_costs_cycles_and_the_viewport_nothing(scene, sorted_root):
    part = _part(scene, sorted_root, [(0, y, 0) for y in range(5)], RED)
    faces = {}
    for engine in ("BLENDER_EEVEE", "CYCLES"):
        scene.render.engine = engine
        graph = bpy.context.evaluated_depsgraph_get()
        graph.update()
        faces[engine] = len(part.evaluated_get(graph).data.polygons)
    assert faces == {"BLENDER_EEVEE": 5 * SIDES, "CYCLES": 5 * SIDES}
    assert RINGS > 1
