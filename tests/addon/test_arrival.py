"""A finished scene comes into the file: where, and what becomes of one that stands there already."""

import bpy
import pytest

from cyclorama.addon.link import arrival
from cyclorama.addon.link.job import Job
from cyclorama.addon.stage.collections import is_shown
from cyclorama.addon.stage.scene_object import roots

from .packages import write_package


@pytest.fixture
def scene(addon):
    return bpy.context.scene


def _arrives(scene, tmp_path, name, viewpoint=None):
    """The root of a scene that was asked for from ``scene``, its panorama rendered from ``viewpoint``."""
    package = write_package(tmp_path / f"{name}.cyclorama")
    job = Job(name, str(tmp_path / "p.exr"), str(package), state="done")
    scene.cyclorama.panorama_source = "SCENE" if viewpoint else "FILE"
    scene.cyclorama.viewpoint = viewpoint or (0, 0, 0)
    arrival.remember(job, scene)
    arrival.import_job(job, package, scene)
    bpy.context.view_layer.update()
    assert not job.error
    return next(root for root in roots(scene) if root.name == name)


def test_it_stands_where_its_panorama_was_rendered(scene, tmp_path):
    root = _arrives(scene, tmp_path, "set", (3, -4, 1.5))
    assert tuple(root.matrix_world.translation) == pytest.approx((3, -4, 1.5))


def test_a_newer_one_takes_the_place_of_the_older_whose_camera_stays(scene, tmp_path):
    older = _arrives(scene, tmp_path, "draft")
    camera = scene.camera
    newer = _arrives(scene, tmp_path, "final")
    assert is_shown(newer, bpy.context.view_layer) and not is_shown(older, bpy.context.view_layer)
    assert scene.camera == camera and camera.name in bpy.context.view_layer.objects
    assert scene.world.cyclorama.root == newer


def test_one_that_stands_elsewhere_stays_in_sight(scene, tmp_path):
    here = _arrives(scene, tmp_path, "here")
    there = _arrives(scene, tmp_path, "there", (10, 0, 0))
    assert is_shown(here, bpy.context.view_layer) and is_shown(there, bpy.context.view_layer)
