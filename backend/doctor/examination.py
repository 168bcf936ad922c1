"""All checks, each in a thread of its own with a limit of time: none breaks another, even if it cannot be loaded."""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .finding import Check, Finding, fault, warning
from .situation import Situation

CHECK_SECONDS = 20.0
LIBRARIES_SECONDS = 130.0
"""For those that wait for libraries to be loaded, which takes long from a slow disk; see ``libraries.py``."""


class Entry(NamedTuple):
    """A check by name, for a package that it imports may be what is broken.

    Attributes:
        subject: what is named where the check itself fails.
        module: in ``checks``.
        function: in that module.
        seconds: so long it may take.
    """

    subject: str
    module: str
    function: str
    seconds: float = CHECK_SECONDS

    def load(self) -> Check:
        """The check. Raises whatever its imports raise."""
        return getattr(importlib.import_module(f".checks.{self.module}", __package__), self.function)


CHECKS = (
    Entry("Python", "computer", "python"),
    Entry("Packages", "packages", "versions"),
    Entry("Packages", "packages", "loading", LIBRARIES_SECONDS),
    Entry("Pictures", "packages", "pictures", LIBRARIES_SECONDS),
    Entry("torch", "graphics", "torch_and_gpu", LIBRARIES_SECONDS),
    Entry("gsplat", "graphics", "gsplat", LIBRARIES_SECONDS),
    Entry("Processor", "computer", "processor"),
    Entry("Memory", "computer", "memory"),
    Entry("Disk", "folder", "disk"),
    Entry("Folder", "folder", "folder"),
    Entry("Cache", "folder", "cache"),
    Entry("Keys", "keys", "keys"),
    Entry("Guests", "keys", "guests"),
    Entry("Backend", "backend", "backend"),
    Entry("Port", "backend", "port"),
    Entry("Jobs", "journal", "journal"),
    Entry("Blender", "blender", "blender"),
    Entry("Add-on", "blender", "add_on"),
    Entry("Models", "models", "models"),
    Entry("Hub", "models", "hub"),
    Entry("Clock", "computer", "clock"),
)
"""In the order of the report."""

log = logging.getLogger(__name__)


def findings(situation: Situation, checks: Sequence[Entry] | None = None) -> Iterator[Finding]:
    """Of all checks, each as soon as it and those before it have ended. All are started at once."""
    running = [_Run(entry, situation) for entry in (CHECKS if checks is None else checks)]
    for run in running:
        yield from run.wait()


class _Run:
    """A check under way."""

    def __init__(self, entry: Entry, situation: Situation):
        self._entry, self._situation = entry, situation
        self._found: tuple[Finding, ...] | None = None
        self._begin = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"check-{entry.subject}", daemon=True)
        self._thread.start()

    def wait(self) -> tuple[Finding, ...]:
        """What was found, or that it took too long."""
        self._thread.join(max(self._begin + self._entry.seconds - time.monotonic(), 0))
        if self._found is None:
            late = f"This check did not end within {self._entry.seconds:g} s."
            return (warning(self._entry.subject, late, "Is a disk or a network drive slow? Try again."),)
        return self._found

    def _run(self) -> None:
        try:
            self._found = tuple(self._entry.load()(self._situation))
        except Exception as error:  # whatever is wrong here, the other checks still count
            log.debug("A check failed", exc_info=True)
            sentence = f"This check itself failed ({type(error).__name__}: {error})."
            self._found = (
                fault(self._entry.subject, sentence, "If a package is missing, install it; else report it."),
            )
