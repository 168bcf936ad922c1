"""What the artist asked for, and how far it is. Changes only by what the backend says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ...bridge import messages
from ...bridge.errors import CycloramaError

State = Literal["starting", "waiting", "running", "done", "failed", "cancelled"]
"""``starting``: the backend has not been told yet; ``waiting``: it has other jobs to do first."""

_ENDED = ("done", "failed", "cancelled")


@dataclass
class Job:
    """One wish, from the click to the scene in Blender.

    Args:
        asked: what to generate.
        blender_scene: ``session_uid`` of the scene it is for.
    """

    asked: messages.Generate
    blender_scene: int
    state: State = "starting"
    stage: str = ""
    fraction: float = 0.0
    seconds_left: float = -1.0
    """Below 0 while unknown."""
    preview: bytes = b""
    """The newest picture of what is being made, a WebP file; empty while there is none."""
    cancelling: bool = False
    """The artist asked it to stop."""
    error: CycloramaError | None = None
    package: Path | None = None
    """The finished 4D scene on disk."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What each stage took, when it is done."""
    peak_bytes: int = 0
    """The most memory it took, when it is done."""
    imported: str = ""
    """Name of the collection it became."""
    import_seconds: float = 0.0

    @property
    def name(self) -> str:
        """The name it goes by on the wire."""
        return self.asked.job

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in _ENDED

    @property
    def told(self) -> bool:
        """Whether the backend has it."""
        return self.state in ("waiting", "running")

    def fail(self, error: CycloramaError) -> None:
        """It ends without a scene, and why."""
        self.state, self.error = "failed", error

    def hear(self, message: messages.Reply | messages.Event) -> None:
        """Take in what the backend said; what is about other jobs, or comes after the end, changes nothing."""
        if self.ended:
            return
        if isinstance(message, messages.Refused):
            self._hear_refused(message)
        elif isinstance(message, messages.Jobs):
            self._hear_jobs(message)
        elif isinstance(message, messages.Event) and message.job == self.name:
            self._hear_event(message)

    def _hear_refused(self, message: messages.Refused) -> None:
        if message.request != self.name:
            return
        if message.code == messages.HELLO_FIRST:
            self.state = "starting"  # to be told again after the next Welcome
        else:
            self.fail(CycloramaError(message.code, message.sentence, message.hint))

    def _hear_jobs(self, message: messages.Jobs) -> None:
        """The answer to a question asked because events may have been missed."""
        if message.request != self.name:
            return
        known = next((known for known in message.jobs if known.job == self.name), None)
        if known is None:
            self.fail(lost("The backend was started anew and does not know this job any more."))
        elif known.state in _ENDED:
            self.state = "starting"  # told again, it answers with the job's last event

    def _hear_event(self, message: messages.Event) -> None:
        if isinstance(message, messages.Progress):
            self.state, self.stage = "running", message.stage
            self.fraction, self.seconds_left = message.fraction, message.seconds_left
        elif isinstance(message, messages.Preview):
            self.preview = message.picture
        elif isinstance(message, messages.Done):
            self.state, self.fraction, self.package = "done", 1.0, Path(message.scene)
            self.seconds, self.peak_bytes = message.seconds, message.peak_bytes
        elif isinstance(message, messages.Failed):
            self.fail(CycloramaError(message.code, message.sentence, message.hint))
        else:
            self.state = "cancelled"


def lost(sentence: str) -> CycloramaError:
    """The error of a job whose backend is no more."""
    return CycloramaError("backend-lost", sentence, "Click Generate again: the backend is then started anew.")
