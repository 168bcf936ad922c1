"""The demonstration inside Blender: generate, import, fly a camera through it and render, by operators.

Started by ``cyclorama demo``, which says in a JSON file what to do and reads the answers from another.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import pi, radians
from pathlib import Path
from typing import Any

import bpy

from ..bridge.errors import CycloramaError
from ..bridge.memory import peak_bytes
from . import link
from .stage import playback

WIDTH, HEIGHT = 640, 360
SAMPLES = 4
LENS_MILLIMETRES = 22.0

# Frame share -> camera position (metres), longitude and latitude it looks at (degrees).
PATH = {
    0.0: ((0.30, -0.35, 0.05), -64.0, -7.0),
    1.0: ((-0.25, 0.25, 0.15), -24.0, -5.0),
}
ORIGIN_LOOK = (0.0, -8.0)
"""Longitude and latitude, in degrees, of the view from the origin that is compared with the panorama."""


class Steps:
    """Seconds and memory of each step, printed as they end."""

    def __init__(self):
        self.done: dict[str, dict[str, float]] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        started = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - started, peak_bytes())

    def add(self, name: str, seconds: float, peak_bytes: int) -> None:
        """Note a step measured elsewhere."""
        self.done[name] = {"seconds": round(seconds, 3), "peak_bytes": peak_bytes}
        print(f"{name}: {seconds:.2f} s, at most {peak_bytes / 1e9:.2f} GB", flush=True)


def main(order: Path) -> None:
    """Do what the file ``order`` says: {"folder", "panorama", "frames", "answer"}; exit code 1 when it fails."""
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    try:
        _run(order)
    except CycloramaError as error:
        print(error, flush=True)
        sys.exit(1)


def _end_with_parent() -> None:
    """Whoever started us holds our standard input open; when that ends, however it ends, so do we."""
    while os.read(0, 4096):  # not sys.stdin, whose lock this thread would hold when Python ends
        pass
    os._exit(1)


def _run(order: Path) -> None:
    asked = json.loads(order.read_text(encoding="utf-8"))
    folder = Path(asked["folder"])
    steps = Steps()
    scene = _fresh_scene(folder / "scene.blend", asked["frames"])
    try:
        job = _generate(scene, asked["panorama"], steps)
    finally:
        link.stop_backend()
    figures: dict[str, Any] = {"frame_change_milliseconds": _frame_change(scene)}
    _fly(scene)
    _set_up(scene)
    with steps.step("render the view from the origin"):
        figures["origin_view"] = _render_origin(scene, folder / "origin.png")
    with steps.step("render the shot"):
        _render_shot(scene, folder / "shot_")
    with steps.step("encode the film"):
        _encode(scene, folder / "shot_", folder / "shot.mp4")
    with steps.step("save the .blend"):
        scene.frame_set(scene.frame_start)
        bpy.ops.file.make_paths_relative()
        bpy.ops.wm.save_mainfile(compress=True)
    answer = {"package": str(job.package), "blender": bpy.app.version_string, "steps": steps.done, "figures": figures}
    Path(asked["answer"]).write_text(json.dumps(answer), encoding="utf-8")


def _fresh_scene(path: Path, frames: int) -> bpy.types.Scene:
    bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, frames
    scene.render.fps = 24
    bpy.ops.wm.save_as_mainfile(filepath=str(path))  # so that "//" means its folder
    return bpy.context.scene


def _generate(scene: bpy.types.Scene, panorama: str, steps: Steps) -> link.Job:
    scene.cyclorama.panorama = panorama
    scene.cyclorama.frames = scene.frame_end
    scene.cyclorama.lift = "direct"  # in seconds, and at this size as good to the eye; fitting is for what is to last
    with steps.step("start the backend"):
        link.start_backend()
        _until(lambda: link.backend_state() != "starting", 60)
    started = time.perf_counter()
    bpy.ops.cyclorama.generate()
    job = link.current_job()
    assert job is not None
    link.wait(job, timeout=600, listener=_Printer())
    steps.add("generate", time.perf_counter() - started - job.import_seconds, job.peak_bytes)
    for stage, seconds in job.seconds.items():
        print(f"    {stage}: {seconds:.2f} s", flush=True)
    steps.add("import", job.import_seconds, peak_bytes())
    return job


class _Printer:
    """Prints a line for every new stage the backend reports."""

    def __init__(self):
        self._stage = ""

    def __call__(self, job: link.Job) -> None:
        if job.stage != self._stage:
            self._stage = job.stage
            print(f"    {job.fraction:4.0%}  {job.stage} …", flush=True)


def _until(happened, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not happened() and time.monotonic() < deadline:
        link.drain()
        time.sleep(0.02)


def _frame_change(scene: bpy.types.Scene) -> float:
    """Median milliseconds on the data side: from the files into Blender's attributes."""
    taken = []
    for frame in range(scene.frame_start, scene.frame_end + 1):
        scene.frame_set(frame)
        for mesh in bpy.data.meshes:
            mesh.cyclorama_shown = -1  # as if another frame had been shown
        started = time.perf_counter()
        playback.show_frame(scene)
        taken.append(time.perf_counter() - started)
    scene.frame_set(scene.frame_start)
    return round(sorted(taken)[len(taken) // 2] * 1e3, 2)


def _fly(scene: bpy.types.Scene) -> None:
    """Keyframe a dolly with a pan."""
    camera = scene.camera
    camera.data.lens = LENS_MILLIMETRES
    for share, (place, longitude, latitude) in PATH.items():
        frame = scene.frame_start + share * (scene.frame_end - scene.frame_start)
        camera.location = place
        _look(camera, longitude, latitude)
        camera.keyframe_insert("location", frame=frame)
        camera.keyframe_insert("rotation_euler", frame=frame)


def _look(camera: bpy.types.Object, longitude: float, latitude: float) -> None:
    camera.rotation_euler = (pi / 2 + radians(latitude), 0.0, -radians(longitude))


def _set_up(scene: bpy.types.Scene) -> None:
    bpy.ops.cyclorama.setup_render()
    scene.cycles.samples = SAMPLES
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.use_denoising = False
    scene.render.use_persistent_data = True
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.render.resolution_percentage = 100
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGB"


def _render_origin(scene: bpy.types.Scene, path: Path) -> dict:
    """What is seen where the panorama was taken. The world, which would hide holes, is black to the camera."""
    camera = scene.camera
    witness = bpy.data.objects.new("Witness", camera.data)
    scene.collection.objects.link(witness)
    _look(witness, *ORIGIN_LOOK)
    scene.camera = witness
    scene.world.cycles_visibility.camera = False
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    scene.world.cycles_visibility.camera = True
    scene.camera = camera
    bpy.data.objects.remove(witness)
    longitude, latitude = (radians(angle) for angle in ORIGIN_LOOK)
    return {"longitude": longitude, "latitude": latitude, "fov": camera.data.angle_x, "width": WIDTH, "height": HEIGHT}


def _render_shot(scene: bpy.types.Scene, stem: Path) -> None:
    scene.render.filepath = str(stem) + "####"
    bpy.ops.render.render(animation=True)


def _encode(scene: bpy.types.Scene, stem: Path, path: Path) -> None:
    """The rendered frames as MP4, by Blender's sequencer."""
    film = bpy.data.scenes.new("Film")
    film.render.resolution_x, film.render.resolution_y = WIDTH, HEIGHT
    film.render.fps = scene.render.fps
    film.frame_start, film.frame_end = scene.frame_start, scene.frame_end
    film.view_settings.view_transform = "Standard"
    strips = film.sequence_editor_create().strips
    strip = strips.new_image("Shot", f"{stem}{film.frame_start:04d}.png", channel=1, frame_start=film.frame_start)
    for frame in range(film.frame_start + 1, film.frame_end + 1):
        strip.elements.append(f"{stem.name}{frame:04d}.png")
    settings = film.render.image_settings
    if hasattr(settings, "media_type"):  # Blender 5
        settings.media_type = "VIDEO"
    settings.file_format = "FFMPEG"
    film.render.ffmpeg.format = "MPEG4"
    film.render.ffmpeg.codec = "H264"
    film.render.ffmpeg.constant_rate_factor = "HIGH"
    film.render.filepath = str(path)
    film.render.use_file_extension = False
    bpy.ops.render.render(animation=True, scene=film.name)
    bpy.data.scenes.remove(film)


if __name__ == "__main__":  # Blender as a Python module; an installed Blender imports this file as an extension's
    import cyclorama

    cyclorama.register()
    try:
        main(Path(sys.argv[-1]))
    finally:  # Blender 4.5 hangs at its end otherwise
        cyclorama.unregister()
