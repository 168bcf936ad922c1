"""Long work on files, in a thread: Blender stays free, the status bar says how far it is, Escape ends it."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import TYPE_CHECKING

import bpy

from ...bridge.errors import CycloramaError

_Operator = bpy.types.Operator if TYPE_CHECKING else object

Steps = Generator[float, None, None]
"""Work: yields its share done, 0..1, and leaves no trace when closed before its end."""


class Work:
    """Runs an iterator of shares done (0..1) in a thread."""

    def __init__(self, steps: Steps):
        self.done = 0.0
        self.error: CycloramaError | None = None
        self._steps = steps
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cyclorama working", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive()

    def cancel(self) -> None:
        """End it after the file it is at; no trace of it is left then."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for done in self._steps:
                self.done = done
                if self._end.is_set():
                    break
        except CycloramaError as error:
            self.error = error
        finally:
            self._steps.close()  # a generator: here it removes what is half


class Working(_Operator):
    """Mixin of operators that first work on files: give ``steps`` and ``finish``.

    ``execute`` (scripts, background) waits for the end; ``invoke`` (a button) does not.
    """

    _timer: bpy.types.Timer | None = None
    _work: Work | None = None

    def steps(self, context: bpy.types.Context) -> Steps:
        """Prepare in Blender's thread, and return the work, a generator of shares done. Raises ``CycloramaError``."""
        raise NotImplementedError

    def finish(self, context: bpy.types.Context) -> str:
        """Let the file use what was written, in Blender's thread; returns what to report."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Do it all."""
        try:
            for _ in self.steps(context):
                pass
            self.report({"INFO"}, self.finish(context))
        except CycloramaError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Start it."""
        if bpy.app.background:
            return self.execute(context)
        try:
            self._work = Work(self.steps(context))
        except CycloramaError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self._timer = context.window_manager.event_timer_add(0.1, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Show how far it is."""
        if event.type == "ESC":
            self.cancel(context)
            self.report({"INFO"}, "Cancelled")
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        work = self._work
        assert work
        if work.running:
            context.workspace.status_text_set(f"{self.bl_label}: {work.done:.0%}   Escape to cancel")
            return {"PASS_THROUGH"}
        self._clear(context)
        error = work.error
        if error is None:
            try:
                self.report({"INFO"}, self.finish(context))
                return {"FINISHED"}
            except CycloramaError as raised:
                error = raised
        self.report({"ERROR"}, str(error))
        return {"CANCELLED"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends it (Escape, another file, quitting)."""
        if self._work is not None:
            self._work.cancel()
        self._clear(context)

    def _clear(self, context: bpy.types.Context) -> None:
        context.window_manager.event_timer_remove(self._timer)
        context.workspace.status_text_set(None)
