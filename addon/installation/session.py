"""The one installation that is under way, and what the Preferences show of it. Everything here returns at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Literal

import bpy

from ... import __version__
from ...bridge.errors import CycloramaError
from .. import link, preferences
from .bundle import bundle
from .installer.place import Stamp, free_bytes, python_in, read_stamp
from .installer.request import Request
from .run import Plan, Run

State = Literal["absent", "unfinished", "broken", "outdated", "whole"]

_TICK_SECONDS = 0.2
_BACKEND_SECONDS = 15.0
"""The backend ends by itself sooner than that, or it is not ours to wait for."""

log = logging.getLogger(__name__)

_run: Run | None = None
_preparation: Run | None = None
_preparing = False
_error: CycloramaError | None = None
_next: Callable[[], None] | None = None
"""What to do when the backend has stopped."""
_next_since = 0.0
_drawn: object = None


def stamp() -> Stamp | None:
    """What is installed; None when nothing is."""
    return read_stamp(preferences.environment_folder())


def state() -> State:
    """How it stands with what is installed."""
    found = stamp()
    if found is None:
        return "absent"
    if not found.whole:
        return "unfinished"
    if not python_in(preferences.environment_folder()).is_file():
        return "broken"
    return "whole" if found.version == __version__ else "outdated"


def run() -> Run | None:
    """The installation, repair or removal that was asked for last, ended or not."""
    return _run


def working() -> bool:
    """Whether one is under way."""
    return _next is not None or (_run is not None and not _run.ended)


def waiting_for_backend() -> bool:
    """Whether the backend has to stop first."""
    return _next is not None


def preparing() -> bool:
    """Whether the artist is being asked what to install where."""
    return _preparing


def plan() -> Plan | None:
    """What would be downloaded; None while that is being looked up."""
    return _preparation.plan if _preparation else None


def preparation_ended() -> bool:
    """Whether looking that up is over."""
    return _preparation is None or _preparation.ended


def error() -> CycloramaError | None:
    """Why the last thing failed."""
    if _error:
        return _error
    if _run and _run.ended and _run.error:
        return _run.error
    return _preparation.error if _preparing and _preparation and _preparation.ended else None


def free() -> int:
    """Bytes free on the disk that is installed to; -1 when it cannot be told."""
    return free_bytes(preferences.environment_folder())


def prepare() -> None:
    """Ask the artist, and look up meanwhile what would be downloaded."""
    global _preparing
    _preparing = True
    prepare_anew()


def prepare_anew() -> None:
    """Look it up again, because a setting is another."""
    global _preparation, _error
    if not _preparing:
        return
    _drop_preparation()
    _error = None
    try:
        check_online()
        _preparation = Run(_request("plan"))
    except CycloramaError as error:
        _error = error
    _wake()


def stop_preparing() -> None:
    """The artist does not want to install after all."""
    global _preparing, _error
    _preparing, _error = False, None
    _drop_preparation()


def install() -> None:
    """Install, or go on where it was left, or bring up to date."""
    _begin("install")


def repair() -> None:
    """Check every file, and install again what is damaged."""
    _begin("repair")


def remove() -> None:
    """Delete the installed environment."""
    _begin("remove")


def cancel() -> None:
    """Stop what is under way; what is there already is kept."""
    global _next
    _next = None
    if _run:
        _run.cancel()
    _wake()


def check_online() -> None:
    """Raises CycloramaError when something has to be downloaded and Blender is not allowed to go online."""
    if preferences.wheel_folder() or bpy.app.online_access:
        return
    raise CycloramaError(
        "install-offline",
        "Blender is not allowed to go online.",
        "Switch on Edit > Preferences > System > Network > Allow Online Access, or set a Wheel Folder.",
    )


def move_on() -> None:
    """Start what waited, and have the page drawn when it shows something else. A timer does this; headless, you do."""
    global _next
    if _next and (not _backend_in_use() or time.monotonic() - _next_since > _BACKEND_SECONDS):
        begin, _next = _next, None
        begin()
    _redraw_if_changed()


def _begin(command: str) -> None:
    global _next, _next_since, _error
    if working():
        raise CycloramaError("install-busy", "Something is being installed already.", "Wait for it, or cancel it.")
    if command != "remove":
        check_online()
    request = _request(command)
    stop_preparing()
    _error = None
    _next, _next_since = (lambda: _start(request)), time.monotonic()
    if _backend_in_use():
        link.stop_backend()
    move_on()
    _wake()


def _backend_in_use() -> bool:
    """Whether a backend runs out of the environment, and holds its files."""
    if preferences.location() != "HERE" or preferences.python_by_hand():
        return False
    return link.backend_state() != "off"


def _start(request: Request) -> None:
    global _run, _error
    try:
        _run = Run(request)
    except CycloramaError as error:
        _error = error


def _request(command: str) -> Request:
    folder = str(preferences.environment_folder())
    if command == "remove":
        return Request(command, folder)
    found = bundle()
    return Request(
        command,
        folder,
        source=str(found.source),
        constraints=str(found.constraints),
        version=__version__,
        device=preferences.install_device(),
        wheel_folder=preferences.wheel_folder(),
    )


def _drop_preparation() -> None:
    global _preparation
    if _preparation:
        _preparation.cancel()
    _preparation = None


def _redraw_if_changed() -> None:
    global _drawn
    shown = (working(), _run and _shown(_run), _preparation and _shown(_preparation), _error, link.backend_state())
    if shown == _drawn:
        return
    _drawn = shown
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()


def _shown(run: Run) -> tuple:
    return run.stage, round(run.fraction, 3), run.ended, run.cancelled, run.plan is None


def _tick() -> float | None:
    """The timer's turn; it ends when nothing is under way."""
    try:
        move_on()
    except Exception:  # a timer that raises is never called again
        log.exception("Cyclorama's installation failed")
    return _TICK_SECONDS if working() or not preparation_ended() else None


def _wake() -> None:
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=0.0, persistent=True)


def register() -> None:
    """Nothing is under way yet."""


def unregister() -> None:
    """Cancel what is under way: it is continued another time."""
    global _run, _next, _drawn
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    stop_preparing()
    if _run:
        _run.cancel()
    _run = _next = _drawn = None
