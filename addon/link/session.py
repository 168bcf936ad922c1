"""The add-on's one backend and all jobs; a timer keeps them moving, and headless callers ``drain``.

Everything here runs in Blender's main thread, and nothing but ``wait`` waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import bpy
import msgspec

from ...bridge import messages
from ...bridge.address import ADDRESS_FILE
from ...bridge.errors import CycloramaError
from .. import preferences
from . import arrival, queue, settings
from .backend import Backend, State
from .conversation import Conversation
from .elsewhere import Elsewhere
from .job import Job, lost
from .job_list import JobList
from .recalls import Recalls

_BUSY_SECONDS = 0.1
_IDLE_SECONDS = 1.0
_BEHIND_SECONDS = 0.01
"""Until the next turn, when not all was taken in that the backend said."""

_HEARING_SECONDS = 0.0008
"""So long a turn listens at most. Blender stands still meanwhile, and shall not for more than 2 ms in all."""

_SHOWING_SECONDS = 0.25
"""While not all is taken in, a turn so often does not listen but shows what is new."""

log = logging.getLogger(__name__)

_backend: Backend | Elsewhere | None = None
_place: Path | None = None
"""Folder of ``_backend``; None when it is on another computer."""

_jobs = JobList()
_conversation = Conversation(_jobs)
_recalls = Recalls()
_last = ""
"""Name of the job that was asked for last."""

_listeners: list[Callable[[], None]] = []
_shown: object = None
"""What the listeners were last told of."""

_shown_at = 0.0
_behind = False
"""Whether something is still to be taken in, or to be shown."""


def backend_state() -> State:
    """``off``, ``starting`` or ``running``."""
    return _backend.state if _backend else "off"


def welcome() -> messages.Welcome | None:
    """How the backend introduced itself; None while it does not run."""
    return _backend.welcome if _backend else None


def device() -> str:
    """What the backend computes on, in words; "" while not known."""
    introduction = welcome()
    return introduction.device if introduction else ""


def trouble() -> CycloramaError | None:
    """Why the backend does not run, when it should."""
    return _backend.trouble if _backend else None


def notice() -> CycloramaError | None:
    """What happened to the backend that the artist should know and need not act on."""
    return (_backend.notice if _backend else None) or _recalls.remark or _conversation.refused


def backend_pid() -> int | None:
    """Process id of the backend, when this Blender started it."""
    return _backend.pid if _backend else None


def jobs() -> list[Job]:
    """All jobs, of other Blenders and of earlier days too; newest first."""
    return list(_jobs)


def job_called(name: str) -> Job | None:
    """The job of that name."""
    return _jobs.get(name)


def current_job() -> Job | None:
    """The job that was asked for last, ended or not."""
    return _jobs.get(_last)


def active_jobs() -> tuple[Job, ...]:
    """Those that are being worked on or wait, newest first."""
    return _jobs.active


def place(job: Job) -> int:
    """In the backend's queue: 1 runs next; 0 when it does not wait there."""
    return _jobs.places.get(job.name, 0)


def working() -> bool:
    """Whether a job is being worked on or waits."""
    return bool(_jobs.active)


def listen(listener: Callable[[], None]) -> None:
    """Have ``listener`` called after a ``drain`` that changed what may be shown of jobs and backend."""
    _listeners.append(listener)


def unlisten(listener: Callable[[], None]) -> None:
    """Never again."""
    _listeners.remove(listener)


def start_backend() -> None:
    """Wish the backend to run; what becomes of it, ``backend_state`` and ``trouble`` tell."""
    _opened().start()
    _wake()


def stop_backend() -> None:
    """End the backend, and cancel its jobs; one on another computer is only left, and its jobs go on."""
    if _backend:
        _backend.stop()
        _wake()


def generate(asked: messages.Generate, scene: bpy.types.Scene) -> Job:
    """Have a 4D scene made, and imported into ``scene`` when it is done. Starts the backend if need be.

    It waits for the jobs before it. Where one of those will write to ``asked.output`` too, it gets a name of its own.
    """
    global _last
    asked = msgspec.structs.replace(asked, request=asked.job, output=_jobs.free_output(Path(asked.output)))
    job = _jobs.add(Job.wished(asked, scene.session_uid))
    _last = job.name
    arrival.remember(job, scene)
    start_backend()
    return job


def cancel(name: str) -> None:
    """Stop a job, waiting or running; nothing happens when it has ended."""
    job = _jobs.get(name)
    if job is None or job.ended:
        return
    if job.pending or job.state in ("sending", "fetching"):
        _conversation.stop_sending(job)
        job.state, job.pending, job.cancelling = "cancelled", "", False
    elif _backend and _backend.state != "off":
        job.cancelling = True
        _conversation.ask_about(_backend, job, messages.Cancel(job=job.name))
    _jobs.touch()
    _wake()


def retry(name: str) -> None:
    """Do a job again that failed or was cancelled, or go on with one whose backend is off. Starts the backend."""
    job = _jobs.get(name)
    if job is None or job.active or job.state == "done":
        return
    job.pending = "generate" if job.asked and not job.listed else "retry"
    job.state, job.error, job.preview, job.fraction, job.seconds_left = "starting", None, b"", 0.0, -1.0
    job.settled, job.refusal = False, None
    _jobs.touch()
    start_backend()


def forget(name: str) -> None:
    """Take a job that has ended, or whose backend is off, off the list. Its scene stays on disk."""
    job = _jobs.get(name)
    if job is None or job.active:
        return
    job.settled = True
    for scene in bpy.data.scenes:
        if scene.session_uid == job.blender_scene:
            arrival.remember(job, scene)
    if job.listed and _backend and _backend.state != "off":
        _conversation.forget(_backend, job)
    _jobs.drop(name)
    _wake()


def prioritize(name: str, where: queue.Where) -> None:
    """Let a waiting job run before, or after, all others that wait, as far as the backend's priorities allow."""
    job = _jobs.get(name)
    priority = priority_for(job, where) if job else None
    if job and priority is not None and _backend and _backend.state != "off":
        _conversation.ask_about(_backend, job, messages.Prioritize(job=name, priority=priority))
        _wake()


def priority_for(job: Job, where: queue.Where) -> int | None:
    """The priority with which it runs there; None where it does already, or nothing can be done about it."""
    return queue.priority_for(job, where, _jobs.places, _jobs.active, guest=bool(_jobs.guest))


def recall(name: str, scene: bpy.types.Scene) -> None:
    """Put the settings of a job into ``scene``, as soon as the backend has told them."""
    job = _jobs.get(name)
    if job is None:
        return
    if job.asked:
        _recalls.come(job.asked, scene.session_uid)
    else:
        start_backend()
        answered = partial(_recalls.hear, blender_scene=scene.session_uid)
        _conversation.ask(_opened(), messages.Recall(job=name), answered)
    _wake()


def import_again(name: str, scene: bpy.types.Scene) -> None:
    """Import a finished scene into ``scene``, whoever asked for it.

    Raises:
        CycloramaError: why that does not work.
    """
    job = _jobs.get(name)
    if job and job.package:
        arrival.import_job(job, job.package, scene)
        _jobs.touch()
        _wake()
        if job.error:
            raise job.error


def drain() -> bool:
    """Take in what happened since the last call; finished scenes are imported. A timer does this; headless, you do.

    Returns:
        Whether that was all; when very much happened, the rest is for the next calls.
    """
    global _behind
    show_only = _behind and time.monotonic() - _shown_at > _SHOWING_SECONDS
    if _backend:
        _behind = show_only or not _listen(_backend)
        _conversation.speak(_backend)
    _recalls.load()
    arrival.bring_in(_jobs, _conversation.complete)
    if show_only or not _behind:
        _tell_listeners()
    return not _behind


def _listen(backend: Backend | Elsewhere) -> bool:
    """Whether all that was said is taken in, and so quickly that the same turn may do more."""
    started = time.perf_counter()
    all_heard = _conversation.listen(backend, _HEARING_SECONDS)
    quickly = time.perf_counter() - started < _HEARING_SECONDS / 2
    if all_heard:
        backend.look()
    return all_heard and quickly


def wait(job: Job, timeout: float, listener: Callable[[Job], None] = lambda job: None) -> Job:
    """Drain until ``job`` has ended; for headless callers only, because Blender stands still meanwhile.

    ``listener`` hears of the job after every look at it.

    Raises:
        CycloramaError: why the job failed or its backend is off, or ``job-too-slow`` after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while not job.ended:
        if job.state == "asleep":
            raise trouble() or lost("The backend was stopped.")
        if time.monotonic() > deadline:
            raise CycloramaError("job-too-slow", f"The scene is not finished after {timeout:.0f} seconds.")
        time.sleep(0.02)
        drain()
        listener(job)
    if job.error:
        raise job.error
    return job


def _opened() -> Backend | Elsewhere:
    """The backend that the preferences name now."""
    global _backend, _place
    place = preferences.backend_folder() if preferences.location() == "HERE" else None
    if _backend and _place != place:
        _close()
    if _backend is None:
        _place = place
        name = f"Blender {bpy.app.version_string}"
        _backend = Backend(place, name, preferences.backend_python) if place else Elsewhere(_invitation, name)
    return _backend


def _invitation() -> Path:
    """What lets us in elsewhere. Raises ``CycloramaError``."""
    if not _may_go_online():
        raise CycloramaError(
            "online-access-off",
            "Blender may not use the network, so the backend on the other computer is out of reach.",
            "Switch on Edit > Preferences > System > Allow Online Access.",
        )
    return preferences.invitation()


def _may_go_online() -> bool:
    return bpy.app.online_access


def _close() -> None:
    """Leave the backend, and forget what only it knows."""
    global _backend, _behind
    _conversation.end()
    if _backend:
        _backend.close()
    _backend, _behind = None, False
    _jobs.drop_listed()


def _tell_listeners() -> None:
    global _shown, _shown_at
    _shown_at = time.monotonic()
    shown = (_jobs.revision, backend_state(), device(), trouble(), notice())
    if shown != _shown:
        _shown = shown
        for listener in _listeners:
            listener()


def _tick() -> float:
    """The timer's turn; returns the seconds until the next."""
    try:
        if _backend is None:
            _look_for_backend()
        if not drain():
            return _BEHIND_SECONDS
    except Exception:  # a timer that raises is never called again
        log.exception("Cyclorama's timer failed")
    return _BUSY_SECONDS if working() or (_backend and _backend.busy) else _IDLE_SECONDS


def _look_for_backend() -> None:
    """One that runs already has a history to show; on another computer, if Blender may go there."""
    if preferences.location() == "HERE":
        if (preferences.backend_folder() / ADDRESS_FILE).exists():
            _opened()
    else:
        try:
            _invitation()
        except CycloramaError:
            return  # nowhere to look
        _opened().start()


def _wake() -> None:
    """Let the timer look at once, after the artist asked for something."""
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
        bpy.app.timers.register(_tick, first_interval=0.0, persistent=True)


def register() -> None:
    """Start the timer, which also finds a backend that runs already."""
    settings.register()
    bpy.app.timers.register(_tick, first_interval=_IDLE_SECONDS, persistent=True)


def unregister() -> None:
    """Stop the timer, and leave the backend: it finishes its jobs."""
    global _last, _shown
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    _close()
    _jobs.clear()
    _recalls.clear()
    _last, _shown = "", None
    settings.unregister()
