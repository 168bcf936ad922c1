"""Finished scenes come to the Blender scene that asked for them, also after the file was closed and opened again."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import bpy
from mathutils import Vector

from ...bridge.errors import CycloramaError
from ...bridge.scene import is_package
from ..stage.collections import SHOWN, leave_out
from ..stage.importing import import_scene
from ..stage.scene_object import roots
from .job import Job, unknown
from .job_list import JobList
from .settings import forget_oldest

_SAME_M = 1e-3
"""4D scenes nearer than this stand in the same place."""

log = logging.getLogger(__name__)


_in_step: object = None
"""How jobs and scenes were when the scenes remembered all there is to remember."""


def bring_in(jobs: JobList, complete: bool) -> None:
    """Import what is finished and asked for from an open scene; keep what scenes remember in step.

    Args:
        complete: whether ``jobs`` has all that the backend knows.
    """
    global _in_step
    scenes = {scene.session_uid: scene for scene in bpy.data.scenes if scene.library is None}
    if _in_step == (jobs.revision, complete, *_noted(scenes)):
        return
    notes = {uid: _notes(scene) for uid, scene in scenes.items()}
    for uid in scenes:
        _adopt(uid, scenes, notes[uid], jobs, complete)
    settled = True
    for job in jobs:
        scene = scenes.get(job.blender_scene)
        if scene:
            if notes[job.blender_scene].get(job.name) != (job.settled, job.imported):
                remember(job, scene)
            _settle(job, scene, jobs)
            settled = settled and (job.settled or not job.ended)
    _in_step = (jobs.revision, complete, *_noted(scenes)) if settled else None


def _notes(scene: bpy.types.Scene) -> dict[str, tuple[bool, str]]:
    """Job -> whether it is settled, and as what it was imported, as the file remembers it."""
    return {wish.name: (wish.settled, wish.imported) for wish in scene.cyclorama_wishes}


def _noted(scenes: dict[int, bpy.types.Scene]) -> Iterator[tuple]:
    """What an undo, or another file, may have changed of what scenes remember; much cheaper than to read it all."""
    for uid, scene in scenes.items():
        settled = [False] * len(scene.cyclorama_wishes)
        scene.cyclorama_wishes.foreach_get("settled", settled)
        yield uid, settled


def remember(job: Job, scene: bpy.types.Scene) -> None:
    """Note in the file how ``job`` stands, where that is not noted yet (an undo may have taken it back)."""
    wish = scene.cyclorama_wishes.get(job.name)
    if wish is None:
        wish = scene.cyclorama_wishes.add()
        wish.name, wish.panorama, wish.output = job.name, job.panorama, job.output
        if scene.cyclorama.panorama_source == "SCENE":  # what was rendered from there comes back to there
            wish.viewpoint = scene.cyclorama.viewpoint
        forget_oldest(scene.cyclorama_wishes)
    if (wish.settled, wish.imported) != (job.settled, job.imported):
        wish.settled, wish.imported = job.settled, job.imported


def _adopt(uid: int, scenes: dict[int, bpy.types.Scene], notes: dict, jobs: JobList, complete: bool) -> None:
    """The jobs that a file remembers which was opened just now."""
    for name, (settled, imported) in notes.items():
        job = jobs.get(name)
        if job is None and not settled:
            wish = scenes[uid].cyclorama_wishes[name]
            job = jobs.add(_remembered(name, wish.panorama, wish.output, complete))
        if job and job.blender_scene not in scenes:  # else this scene is a copy of the one that asked
            job.blender_scene, job.settled, job.imported = uid, settled, imported
            if job.state == "done" and not job.package and not job.theirs and not job.settled:
                job.state = "fetching"
            jobs.touch()


def _remembered(name: str, panorama: str, output: str, complete: bool) -> Job:
    """A job that no backend tells of, or not yet."""
    job = Job(name, panorama, output, state="asleep")
    if is_package(Path(output)):
        job.state, job.package = "done", Path(output)
    elif complete:
        job.fail(unknown())
    return job


def _settle(job: Job, scene: bpy.types.Scene, jobs: JobList) -> None:
    if job.settled or not job.ended:
        return
    if job.state != "done":
        job.settled = True
    elif job.package and not bpy.app.is_job_running("RENDER"):  # which reads what an import changes
        import_job(job, job.package, scene)
        remember(job, scene)
        if not job.error:
            push_undo("Import Cyclorama Scene")
    jobs.touch()


def import_job(job: Job, package: Path, scene: bpy.types.Scene) -> None:
    """Bring its scene into ``scene``; why that does not work becomes its error. Not a step of undoing.

    It takes the place of those that stand where it does: their splats are left out of the view layers.
    """
    started = time.perf_counter()
    job.settled, job.error = True, None
    try:
        with bpy.context.temp_override(scene=scene):
            wish = scene.cyclorama_wishes.get(job.name)
            place = tuple(wish.viewpoint) if wish else (0.0, 0.0, 0.0)
            before = [root for root in roots(scene) if (root.matrix_world.translation - Vector(place)).length < _SAME_M]
            job.imported = import_scene(bpy.context, package, place=place).name
            for root in before:  # two sets in one place would be drawn into each other
                leave_out(scene, root, *SHOWN)
    except CycloramaError as error:
        job.error = error
    except Exception:  # a timer that raises is never called again, and the artist would wait for ever
        log.exception("Importing %s failed", package)
        job.error = CycloramaError("import-failed", f"{package} cannot be imported.", "The system console says why.")
    else:
        job.import_seconds = time.perf_counter() - started


def push_undo(message: str) -> None:
    """Make what was done outside an operator a step of its own, where there are such steps."""
    if not bpy.app.background:
        bpy.ops.ed.undo_push(message=message)
