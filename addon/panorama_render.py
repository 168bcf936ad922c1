"""The scene rendered as a panorama: by a copy of the scene, so that the artist's own settings are never touched.

Only whether the splats of 4D scenes are rendered belongs to objects that both scenes share; that is put back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import radians
from pathlib import Path

import bpy
from mathutils import Vector

from ..bridge.errors import CycloramaError
from .properties import GenerateSettings
from .stage.scene_object import POINTS, SPLATS, parts, roots

NAME = "Cyclorama Panorama"
"""Of the copy and its camera, as long as they are there."""

_MARK = "cyclorama_panorama"
_NEAREST, _FARTHEST = 0.01, 100_000.0
"""Metres between which the camera sees."""


@dataclass(frozen=True)
class PanoramaRender:
    """One panorama being rendered; names and numbers only, because pointers do not outlive an undo.

    Attributes:
        scene: ``session_uid`` of the artist's scene.
        copy: name of the scene that is rendered.
        camera: name of its camera's data.
        hidden: names of the objects that are not rendered for now.
        path: of the EXR file.
        viewpoint: where it is rendered from, metres.
    """

    scene: int
    copy: str
    camera: str
    hidden: tuple[str, ...]
    path: Path
    viewpoint: tuple[float, float, float]


def viewpoint_of(scene: bpy.types.Scene) -> Vector:
    """Where the panorama is to be rendered from. Raises ``CycloramaError`` when that is a camera and there is none."""
    if scene.cyclorama.render_from == "CURSOR":
        return scene.cursor.location.copy()
    if scene.camera is None:
        raise CycloramaError(
            "no-active-camera", "The scene has no active camera.", "Add one, or render from the 3D cursor."
        )
    return scene.camera.matrix_world.translation.copy()


def prepare(scene: bpy.types.Scene, view_layer: str, path: Path) -> PanoramaRender:
    """Make the copy that is to be rendered to ``path``. Raises ``CycloramaError``; then nothing is left behind."""
    sweep()
    settings = scene.cyclorama
    viewpoint = viewpoint_of(scene)
    copy = scene.copy()
    try:
        copy.name = NAME
        copy[_MARK] = True
        copy.animation_data_clear()  # drivers of its settings would win over ours
        for layer in copy.view_layers:
            layer.use = layer.name == view_layer
        camera = _add_camera(copy, viewpoint)
        _set_up(copy, settings, path)
    except BaseException:
        _remove(copy)
        raise
    hidden = tuple(thing.name for thing in _splats(scene) if not thing.hide_render)
    render = PanoramaRender(scene.session_uid, copy.name, camera.name, hidden, path, tuple(viewpoint))
    _hide(render, True)
    return render


def finish(render: PanoramaRender) -> bpy.types.Image | None:
    """Take the copy away again, and hand the picture to the artist's scene; None: there is no picture, or no scene."""
    _hide(render, False)
    sweep()
    scene = next((scene for scene in bpy.data.scenes if scene.session_uid == render.scene), None)
    if scene is None or not render.path.is_file():
        return None
    scene.cyclorama.panorama_of_scene = str(render.path)
    scene.cyclorama.viewpoint = render.viewpoint
    return bpy.data.images.load(str(render.path), check_existing=True)


def sweep() -> None:
    """Remove copies that are left, of a render that an undo or a crash cut short too."""
    for copy in [scene for scene in bpy.data.scenes if scene.get(_MARK)]:
        _remove(copy)


@contextmanager
def prepared(scene: bpy.types.Scene, view_layer: str, path: Path) -> Iterator[PanoramaRender]:
    """``prepare``; and whatever happens inside, all is put back."""
    render = prepare(scene, view_layer, path)
    try:
        yield render
    finally:
        _hide(render, False)
        sweep()


def _add_camera(copy: bpy.types.Scene, viewpoint: Vector) -> bpy.types.Camera:
    """Turned by +90° about X alone, it has +Y in its middle, +X to the right and +Z above."""
    data = bpy.data.cameras.new(NAME)
    data.type = "PANO"
    data.panorama_type = "EQUIRECTANGULAR"
    data.longitude_min, data.longitude_max = radians(-180), radians(180)
    data.latitude_min, data.latitude_max = radians(-90), radians(90)
    data.clip_start, data.clip_end = _NEAREST, _FARTHEST
    camera = bpy.data.objects.new(NAME, data)
    camera.location, camera.rotation_euler = viewpoint, (radians(90), 0.0, 0.0)
    copy.collection.objects.link(camera)
    copy.camera = camera
    return data


def _set_up(copy: bpy.types.Scene, settings: GenerateSettings, path: Path) -> None:
    render = copy.render
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y = settings.render_width, settings.render_width // 2
    render.resolution_percentage = 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1.0
    render.use_border = render.use_multiview = render.use_stamp = False
    render.use_compositing = render.use_sequencer = render.film_transparent = False
    render.use_freestyle = False
    render.use_file_extension, render.use_overwrite = False, True
    render.filepath = str(path)
    copy.cycles.samples = settings.render_samples
    for marker in list(copy.timeline_markers):  # they may bind another camera
        marker.camera = None
    _write_linear(render.image_settings)


def _write_linear(settings: bpy.types.ImageFormatSettings) -> None:
    """EXR of half floats in scene-linear Rec.709."""
    if "media_type" in settings.bl_rna.properties:  # Blender 5
        settings.media_type = "IMAGE"
    settings.file_format = "OPEN_EXR"
    settings.color_mode, settings.color_depth = "RGB", "16"
    settings.exr_codec = "ZIP"
    settings.color_management = "OVERRIDE"
    settings.linear_colorspace_settings.name = "Linear Rec.709"


def _splats(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    if not scene.cyclorama.render_without_splats:
        return []
    return [part for root in roots(scene) for part in parts(root, *SPLATS, POINTS)]


def _hide(render: PanoramaRender, hidden: bool) -> None:
    for name in render.hidden:
        if thing := bpy.data.objects.get(name):
            thing.hide_render = hidden


def _remove(copy: bpy.types.Scene) -> None:
    """With its camera, and nothing that the artist's scene has too."""
    camera = copy.camera
    bpy.data.scenes.remove(copy)
    if camera and camera.name.startswith(NAME):
        data = camera.data
        bpy.data.objects.remove(camera)
        if data and not data.users:
            bpy.data.cameras.remove(data)
