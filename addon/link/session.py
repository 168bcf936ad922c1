"""The add-on's one backend and its current job; a timer keeps them moving, and headless callers ``drain``.

Everything here runs in Blender's main thread, and nothing but ``wait`` waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import bpy

from ...bridge import messages
from ...bridge.address import ADDRESS_FILE
from ...bridge.errors import CycloramaError
from .. import preferences
from ..stage.importing import import_scene
from .backend import Backend, State
from .job import Job, lost

_BUSY_SECONDS = 0.1
_IDLE_SECONDS = 1.0

log = logging.getLogger(__name__)

_backend: Backend | None = None
_job: Job | None = None
_drawn: object = None
"""What the panels showed when they were last asked to draw themselves."""


def backend_state() -> State:
    """``off``, ``starting`` or ``running``."""
    return _backend.state if _backend else "off"


def device() -> str:
    """What the backend computes on, in words; "" while not known."""
    return _backend.device if _backend else ""


def trouble() -> CycloramaError | None:
    """Why the backend does not run, when it should."""
    return _backend.trouble if _backend else None


def backend_pid() -> int | None:
    """Process id of the backend, when this Blender started it."""
    return _backend.pid if _backend else None


def current_job() -> Job | None:
    """The job that was asked for last, ended or not."""
    return _job


def working() -> bool:
    """Whether a job has not ended yet."""
    return _job is not None and not _job.ended


def start_backend() -> None:
    """Wish the backend to run; what becomes of it, ``backend_state`` and ``trouble`` tell."""
    _opened().start()
    _wake()


def stop_backend() -> None:
    """End the backend; a running job is cancelled."""
    if _backend:
        _backend.stop()
        _wake()


def generate(asked: messages.Generate, scene: bpy.types.Scene) -> Job:
    """Have a 4D scene made, and imported into ``scene`` when it is done. Starts the backend if need be.

    Raises:
        CycloramaError: ``job-running``, as long as there is one that has not ended.
    """
    global _job
    if working():
        raise CycloramaError("job-running", "Another scene is being generated.", "Wait for it, or cancel it.")
    _job = Job(asked, scene.session_uid)
    _opened().start()
    _wake()
    return _job


def cancel() -> None:
    """Stop the current job."""
    if _job and _job.told and _backend:
        _backend.send(messages.Cancel(job=_job.name))
        _job.cancelling = True
    elif _job and not _job.ended:
        _job.state = "cancelled"
    _wake()


def drain() -> None:
    """Take in what happened since the last call; a finished scene is imported. A timer does this; headless, you do."""
    heard = _backend.take() if _backend else []
    for message in heard:
        if _job:
            _job.hear(message)
        if isinstance(message, messages.Welcome) and _backend and _job and _job.told:
            _backend.send(messages.Status(request=_job.name))  # we may have missed something
    if _job and _backend:
        _move_on(_job, _backend)
    _redraw_if_changed()


def wait(job: Job, timeout: float, listener: Callable[[Job], None] = lambda job: None) -> Job:
    """Drain until ``job`` has ended; for headless callers only, because Blender stands still meanwhile.

    ``listener`` hears of the job after every look at it.

    Raises:
        CycloramaError: why the job failed, or ``job-too-slow`` after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while not job.ended:
        if time.monotonic() > deadline:
            raise CycloramaError("job-too-slow", f"The scene is not finished after {timeout:.0f} seconds.")
        time.sleep(0.02)
        drain()
        listener(job)
    if job.error:
        raise job.error
    return job


def _opened() -> Backend:
    """The backend of the folder that is set now."""
    global _backend
    folder = preferences.backend_folder()
    if _backend and _backend.folder != folder:
        _close()
    if _backend is None:
        _backend = Backend(folder, f"Blender {bpy.app.version_string}", preferences.backend_python)
    return _backend


def _close() -> None:
    global _backend
    if _backend:
        _backend.close()
        _backend = None


def _move_on(job: Job, backend: Backend) -> None:
    """What follows from the states of the two."""
    if job.state == "starting" and backend.state == "running":
        try:
            backend.send(job.asked)
            job.state = "waiting"
        except CycloramaError as error:
            job.fail(error)
    elif not job.ended and backend.state == "off":
        job.fail(backend.trouble or lost("The backend was stopped."))
        backend.trouble = None  # told as the job's
    elif job.state == "done" and job.package and not job.imported:
        _import(job, job.package)


def _import(job: Job, package: Path) -> None:
    """Bring the scene to where it was asked for; if that is no longer open, it waits on disk."""
    scene = next((scene for scene in bpy.data.scenes if scene.session_uid == job.blender_scene), None)
    if scene is None:
        return
    started = time.perf_counter()
    try:
        with bpy.context.temp_override(scene=scene):
            job.imported = import_scene(bpy.context, package).name
    except CycloramaError as error:
        job.fail(error)
    except Exception:  # a timer that raises is never called again, and the artist would wait for ever
        log.exception("Importing %s failed", package)
        job.fail(CycloramaError("import-failed", f"{package} cannot be imported.", "The system console says why."))
    else:
        job.import_seconds = time.perf_counter() - started
        if not bpy.app.background:
            bpy.ops.ed.undo_push(message="Import Cyclorama Scene")


def _redraw_if_changed() -> None:
    global _drawn
    shown = (backend_state(), device(), trouble(), _job and _shown(_job))
    if shown == _drawn:
        return
    _drawn = shown
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


def _shown(job: Job) -> tuple:
    numbers = round(job.fraction, 2), round(job.seconds_left)
    return job.state, job.cancelling, job.stage, *numbers, job.preview, job.imported


def _tick() -> float:
    """The timer's turn; returns the seconds until the next."""
    try:
        if _backend is None and (preferences.backend_folder() / ADDRESS_FILE).exists():
            _opened()
        drain()
    except Exception:  # a timer that raises is never called again
        log.exception("Cyclorama's timer failed")
    return _BUSY_SECONDS if working() or (_backend and _backend.busy) else _IDLE_SECONDS


def _wake() -> None:
    """Let the timer look at once, after the artist asked for something."""
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
        bpy.app.timers.register(_tick, first_interval=0.0, persistent=True)


def register() -> None:
    """Start the timer, which also finds a backend that runs already."""
    bpy.app.timers.register(_tick, first_interval=_IDLE_SECONDS, persistent=True)


def unregister() -> None:
    """Stop the timer, and the backend if it is ours."""
    global _job, _drawn
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    _close()
    _job = _drawn = None
