"""The worker process: runs one job after the other, and ends when its standard input does.

The server starts it with ``python -m cyclorama.backend.server.worker`` and talks to it through its standard input
and output; see ``pipe.py``. It stays warm between jobs.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import psutil
from jaxtyping import UInt8

from ...bridge import messages
from ...bridge.address import backend_folder
from ...bridge.errors import Cancelled, CycloramaError
from ...bridge.memory import peak_bytes
from ...bridge.settings import PanoramaTo4D
from ...bridge.whole_folder import discard_partial
from ..recipes.progress import Clock, Report, Show
from ..stage_cache import CACHE_FOLDER, StageCache
from .crew import SEAT_VARIABLE
from .device import device
from .failures import failure, free_memory
from .lock import FileLock
from .pipe import FromWorker, Pipe, Ready, ToWorker

_NICENESS = 10  # of Unix: an artist's own programs come first
LAST_SECONDS = 2.0
"""So long a job may take to stop when the server has gone; then the process ends under it."""

_PREDECESSOR_SECONDS = 10.0
_REPORT_SECONDS = 0.1
_PREVIEW_SECONDS = 0.5

log = logging.getLogger(__name__)


class RunRecipe(Protocol):
    """Writes the package ``output``; raises CycloramaError, and ``Cancelled`` out of ``report``."""

    def __call__(
        self,
        panorama: Path,
        output: Path,
        settings: PanoramaTo4D,
        report: Report,
        /,
        *,
        overwrite: bool,
        show: Show,
        cache: StageCache | None,
    ) -> object:
        """Run it."""
        ...


@dataclass(frozen=True)
class Recipe:
    """What a job runs, and for its settings the stages with their usual shares of the time (see ``Clock``)."""

    run: RunRecipe
    stages: Callable[[PanoramaTo4D], Mapping[str, float]]


def _panorama_to_4d() -> Recipe:
    from ..recipes.panorama_to_4d import panorama_to_4d, stages

    return Recipe(panorama_to_4d, stages)


Recipes = Mapping[type, Callable[[], Recipe]]

RECIPES: Recipes = {PanoramaTo4D: _panorama_to_4d}
"""By the type of their settings; loaded when first used, because the libraries below them are slow to import."""


def main(recipes: Recipes = RECIPES) -> None:
    """Run jobs until the server closes the pipe; never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the server too, which then tells us
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    _be_nice()
    Worker(_claim_standard_streams(), recipes).run()


def lock_file(seat: int) -> str:
    """In the backend's folder: held by the worker process of that seat."""
    return f"worker-{seat}.lock" if seat else "worker.lock"


def _be_nice() -> None:
    try:
        if sys.platform == "win32":
            psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            os.nice(_NICENESS)
    except (OSError, psutil.Error) as error:
        log.info("The worker's priority stays as it is: %s", error)


def _claim_standard_streams() -> Pipe[ToWorker]:
    """The pipe to the server; whatever libraries print goes to standard error, and they read nothing."""
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return Pipe(incoming, outgoing, ToWorker)  # pyright: ignore[reportArgumentType]  # a union is no type to pyright


class Worker:
    """Jobs run in the main thread; another one listens to the server."""

    def __init__(self, server: Pipe[ToWorker], recipes: Recipes):
        self._server = server
        self._recipes = recipes
        self._asked: queue.SimpleQueue[messages.Generate | None] = queue.SimpleQueue()
        self._current: messages.Generate | None = None
        self._cancelled_job = ""
        self._server_gone = False

    def run(self) -> None:
        """Until the server goes; then ends the process without waiting for threads that libraries left."""
        threading.Thread(target=self._listen, name="server", daemon=True).start()
        # The worker of a server that was killed may still be cleaning up.
        lock = FileLock(backend_folder() / lock_file(_seat()), _PREDECESSOR_SECONDS)
        found = device()
        self._tell(Ready(found.name, found.cuda, found.cores, found.memory_bytes))
        self._warm_up()
        while asked := self._asked.get():
            self._current = asked
            outcome = self._outcome(asked)
            if isinstance(outcome, messages.Failed):
                free_memory()
            self._tell(outcome)
            self._current = None
        lock.release()
        _exit(0)

    def _warm_up(self) -> None:
        for load in self._recipes.values():
            try:
                load()
            except ImportError:
                log.exception("A recipe cannot be loaded; its jobs will fail.")

    def _listen(self) -> None:
        try:
            while message := self._server.receive():
                if isinstance(message, messages.Cancel):
                    self._cancelled_job = message.job
                else:
                    self._asked.put(message)
        except (OSError, msgspec.DecodeError) as error:
            log.error("The server is not understood: %s", error)
        self._server_gone = True
        self._asked.put(None)
        time.sleep(LAST_SECONDS)
        if self._current:
            discard_partial(Path(self._current.output))
        _exit(1)

    def _outcome(self, asked: messages.Generate) -> messages.Done | messages.Failed | messages.Cancelled:
        """Run the job; whatever happens in it becomes the message that ends it."""
        log.info("Job %s: %r -> %r, %s", asked.job, asked.panorama, asked.output, _without_words(asked.settings))
        try:
            cache = StageCache(backend_folder() / CACHE_FOLDER, lease=asked.job)
            recipe = self._recipes[type(asked.settings)]()
            clock = Clock(recipe.stages(asked.settings))
            herald = _Herald(asked.job, clock, self._tell, lambda: self._unwanted(asked.job))
            recipe.run(
                Path(asked.panorama),
                Path(asked.output),
                asked.settings,
                herald.report,
                overwrite=asked.overwrite,
                show=herald.show,
                cache=cache,
            )
        except Cancelled:
            return messages.Cancelled(job=asked.job)
        except CycloramaError as error:
            log.info("Job %s failed: %s", asked.job, error)
            return failure(asked, error)
        except Exception as error:  # any fault of a recipe fails its job, not the worker; it is logged
            log.exception("Job %s failed", asked.job)
            return failure(asked, error)
        return messages.Done(
            job=asked.job,
            scene=asked.output,
            seconds=clock.seconds,
            peak_bytes=peak_bytes(),
            reused=tuple(cache.reused),
        )

    def _unwanted(self, job: str) -> bool:
        return self._server_gone or self._cancelled_job == job

    def _tell(self, message: FromWorker) -> None:
        try:
            self._server.send(message)
        except OSError:
            self._server_gone = True  # ``_listen`` sees it too and ends the process


class _Herald:
    """A job's ``Report`` and ``Show``: tells the server, but not too often.

    Args:
        tell: sends to the server.
        unwanted: whether the job shall stop.
    """

    def __init__(self, job: str, clock: Clock, tell: Callable[[FromWorker], None], unwanted: Callable[[], bool]):
        self._job = job
        self._clock = clock
        self._tell = tell
        self._unwanted = unwanted
        self._stage, self._step, self._total = "", 0, 0
        self._reported_at, self._shown_at = 0.0, -_PREVIEW_SECONDS

    def report(self, stage: str, step: int, total: int) -> None:
        """At most ten times a second, but always a stage's first and last step."""
        if self._unwanted():
            raise Cancelled
        fraction, seconds_left = self._clock.advance(stage, step, total)
        is_new = stage != self._stage
        self._stage, self._step, self._total = stage, step, total
        now = time.monotonic()
        if is_new or step >= total or now - self._reported_at >= _REPORT_SECONDS:
            self._reported_at = now
            self._tell(
                messages.Progress(
                    job=self._job, stage=stage, step=step, total=total, fraction=fraction, seconds_left=seconds_left
                )
            )

    def show(self, picture: UInt8[np.ndarray, "height width 3"]) -> None:
        """At most twice a second."""
        now = time.monotonic()
        if now - self._shown_at >= _PREVIEW_SECONDS:
            from ..recipes.preview import small_webp  # only here: OpenCV is slow to import

            self._shown_at = now
            self._tell(messages.Preview(job=self._job, step=self._step, total=self._total, picture=small_webp(picture)))


def _seat() -> int:
    return int(os.environ.get(SEAT_VARIABLE) or 0)


def _without_words(settings: Any) -> Any:
    """Settings for the log: what an artist wrote is nobody else's business."""
    if isinstance(settings, tuple):
        return tuple(_without_words(each) for each in settings)
    if not is_dataclass(settings) or isinstance(settings, type):
        return settings
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    hidden = {name: _hidden(value) for name, value in values.items() if "prompt" in name}
    return replace(settings, **{name: _without_words(value) for name, value in values.items()} | hidden)


def _hidden(words: Any) -> Any:
    if isinstance(words, str):
        return words and f"<{len(words)} characters>"
    return tuple(_hidden(each) for each in words)


def _exit(code: int) -> None:
    logging.shutdown()
    os._exit(code)


if __name__ == "__main__":
    main()
