"""Point clouds of a package as Blender data, and as they render."""

import bpy
import numpy as np
import pytest

from cyclorama.addon.stage.importing import import_scene
from cyclorama.bridge.scene import Scene

from .packages import attribute, point_colour, render, write_package
from .splat_pictures import FIELD, SIZE, WORLD, look_along_y, places
from .stage import parts_of

COUNT, FRAMES = 2, 3


@pytest.fixture
def cloud(scene, tmp_path):
    folder = tmp_path / "dance.cyclorama"
    write_package(folder, static=0, moving=0, frames=FRAMES, points=COUNT, video=False)
    import_scene(bpy.context, folder)
    return folder


def _points():
    return bpy.data.objects["dance points"]


def test_points_are_vertices_with_a_colour_and_a_radius(cloud):
    wanted = Scene(cloud).points(0)
    mesh = _points().data
    assert np.array_equal(attribute(mesh, "position"), wanted.position)
    assert np.array_equal(attribute(mesh, "point_colour")[:, :3], wanted.colour)
    radius = np.empty(COUNT, np.float32)
    mesh.attributes["radius"].data.foreach_get("value", radius)
    assert np.array_equal(radius, wanted.radius[:, 0])


def test_points_are_played(cloud, scene):
    for frame in (1, 3, 2, 4):
        scene.frame_set(frame)
        assert (attribute(_points().data, "position")[:, 2] == (frame - 1) % FRAMES).all()


@pytest.mark.parametrize("engine", ["CYCLES", "EEVEE"])
def test_a_point_has_its_colour_at_its_pixel(cloud, scene, tmp_path, engine):
    """The camera stands at the origin: point 0 of frame 0 is in the middle of its picture, and then higher up."""
    if engine == "EEVEE":
        if bpy.app.background and bpy.app.version < (5, 2):
            pytest.skip("Blender before 5.2 has no GPU in background mode, so no EEVEE")
        pytest.importorskip("gpu").init()
    scene.view_settings.view_transform = "Standard"
    for frame, row in ((1, 16), (3, 16 - round(2 / 5 * 24 / 36 * 32))):
        scene.frame_set(frame)
        picture = _picture(scene, tmp_path / f"{frame}.exr", engine)
        assert picture[row, 16, :3] == pytest.approx(point_colour(0, frame - 1), rel=0.01)
        assert picture[2, 2, 3] == picture[30, 30, 3] == 0


def _picture(scene, path, engine):
    from .packages import pixels, set_up

    scene.render.film_transparent = True
    if engine == "CYCLES":
        return render(scene, path, 32, 32)
    set_up(scene, path, 32, 32)
    scene.render.engine = "BLENDER_EEVEE"
    scene.eevee.taa_render_samples = 1
    bpy.ops.render.render(write_still=True)
    return pixels(path)


def test_a_point_is_a_disc_of_its_radius_and_follows_the_controls(scene, tmp_path):
    """Seen along a line of sight without perspective, at the pixels' middles; exposure +1 doubles."""
    from cyclorama.addon.look import dress
    from cyclorama.addon.stage.points import new_points

    look_along_y(scene)
    root = bpy.data.objects.new("lake", None)
    root.cyclorama.role = "SCENE"
    colour = np.array((0.6, 0.3, 0.05))
    points = new_points(
        "points",
        1,
        {"position": np.array([[0.5, 0, -0.3]]), "colour": colour[None], "radius": np.array([[1.25]])},
    )
    points.parent = root
    for thing in (root, points):
        scene.collection.objects.link(thing)
    dress(points, root)
    root.cyclorama_look.exposure = 1.0
    picture = render(scene, tmp_path / "disc.exr", SIZE, SIZE)[..., :3]
    x, z = places()
    away = np.hypot(x - 0.5, z + 0.3)
    edge = 1.5 * FIELD / SIZE  # Cycles' spheres are exact, the middles of its pixels nearly
    assert picture[away < 1.25 - edge] == pytest.approx(np.broadcast_to(2 * colour, picture.shape)[away < 1.25 - edge])
    assert picture[away > 1.25 + edge] == pytest.approx(np.broadcast_to(WORLD, picture.shape)[away > 1.25 + edge])


def test_points_and_splats_may_share_a_scene(scene, tmp_path):
    write_package(tmp_path / "both.cyclorama", points=COUNT)
    import_scene(bpy.context, tmp_path / "both.cyclorama")
    assert parts_of("both") == {"both static", "both moving", "both points"}
